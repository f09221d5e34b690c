// Closing a road: what was asked for, what it would mean on the map, and how the server answered.
// Nothing is sent twice and nothing is guessed: where words mean several streets the operator chooses.

import { why } from './advice.svelte';
import { api, newKey } from './api';
import { asking, standing } from './closures';
import { clock } from './clock.svelte';
import { t } from './lang.svelte';
import { live } from './live.svelte';
import { may } from './session.svelte';
import type { Answer } from './api';
import type { Asked } from './closures';
import type { Choice, ClosurePreview, ClosureRow, Drawing, FoundPlace } from './wire';

export type Position = readonly [number, number];
/** Around a place that is no road of its own, as far as the first road; and of what kinds a place is too wide for that. */
const AROUND_M = [50, 150, 300];
const WIDE = ['region', 'district', 'city_district', 'city', 'town', 'village', 'mahalla', 'quarter', 'street'];
/** What a search is answered with when one street is meant but badly spelt, or several are. */
const ASKED_BACK = ['street_ambiguous', 'unknown_street'];
/** A fault of one of the two crossings between which a street was to be cut. */
const CROSSING = /^\/street\/between\/([01])$/;

class Closures {
  open = $state(false);
  /** The form for another closure is open, and a click on the map means a road. */
  drafting = $state(false);
  busy = $state(false);
  drawing = $state.raw<Drawing | null>(null);
  preview = $state.raw<ClosurePreview | null>(null);
  streets = $state.raw<readonly Choice[]>([]);
  places = $state.raw<readonly FoundPlace[]>([]);
  /** A sentence about the last step, and whether it went wrong. */
  said = $state<{ text: string; bad: boolean } | null>(null);
  marked = $state<string | null>(null);
  /** Counts up when the map shall bring the marked one, or the preview, into view. */
  look = $state(0);
  standing = $derived(standing(live.closures, clock.now));
  mayClose = $derived(may('closure.work'));
  private turn = 0;
  /** The closure that was sent for this drawing and has no answer yet. */
  private asked: Asked | null = null;

  toggle(): void {
    this.open = !this.open;
    if (!this.open) this.forget();
  }

  begin(): void {
    this.forget();
    this.drafting = true;
  }

  forget(): void {
    this.turn += 1;
    this.drafting = this.busy = false;
    this.drawing = this.preview = this.said = this.asked = null;
    this.streets = this.places = [];
  }

  mark(id: string): void {
    this.open = true;
    this.marked = id;
    this.look += 1;
  }

  /** The street of that name, or those to choose from; where none has it, what else the words may mean. */
  async find(text: string): Promise<void> {
    const turn = this.ask();
    const [street, places] = await Promise.all([api.preview({ street: { name: text } }), api.places(text)]);
    if (turn !== this.turn) return;
    this.busy = false;
    if (street.kind === 'done') return this.show({ street: { name: text } }, street.value);
    const several = street.kind === 'refused' && street.problem.code === 'street_ambiguous';
    const found = places.kind === 'done' && !several ? places.value.places : [];
    this.places = found.filter((one) => !WIDE.includes(one.kind));
    this.streets = street.kind === 'refused' ? (street.problem.choices ?? []) : [];
    this.said = { text: this.answered(street), bad: this.streets.length + this.places.length === 0 };
  }

  private answered(street: Answer<ClosurePreview>): string {
    if (street.kind !== 'refused') return t('login.away');
    if (street.problem.code === 'no_street_names') return t('closure.unnamed');
    if (!ASKED_BACK.includes(street.problem.code ?? '')) return why(street.problem);
    if (street.problem.code === 'street_ambiguous') return t('closure.several');
    return this.streets.length + this.places.length > 0 ? t('closure.like') : t('closure.nothing');
  }

  choose(street: Choice): Promise<void> {
    return this.draw({ street: { name: street.name, near: street.point } });
  }

  around(place: FoundPlace): Promise<void> {
    return this.draw(...AROUND_M.map((radius_m): Drawing => ({ point: [place.lon, place.lat], radius_m })));
  }

  /** Only the part of the named street between two that cross it; all of it without them. */
  cut(from: string, to: string): Promise<void> {
    const street = this.drawing?.street;
    if (!street) return Promise.resolve();
    const { name, near } = street;
    return this.draw({ street: { name, near, ...(from && to ? { between: [from, to] as const } : {}) } });
  }

  /** A click on the map: a first one means the piece of road there, a second one its other end. */
  point(at: Position): Promise<void> {
    const first = this.drawing?.road;
    return this.draw(first ? { between: [first, at] } : { road: at });
  }

  /** Preview the first of these that means a road. */
  private async draw(...drawings: Drawing[]): Promise<void> {
    const turn = this.ask();
    for (const [index, drawing] of drawings.entries()) {
      const answer = await api.preview(drawing);
      if (turn !== this.turn) return;
      const nothing = answer.kind === 'refused' && answer.problem.code === 'no_road_there';
      if (nothing && index < drawings.length - 1) continue;
      this.busy = false;
      if (answer.kind === 'done') this.show(drawing, answer.value);
      else this.fail(answer, drawing);
      return;
    }
  }

  private ask(): number {
    this.busy = true;
    this.said = null;
    return ++this.turn;
  }

  private show(drawing: Drawing, preview: ClosurePreview): void {
    this.drawing = drawing;
    this.preview = preview;
    this.streets = this.places = [];
    this.marked = null;
    this.look += 1;
  }

  private fail(answer: Answer<unknown>, drawing?: Drawing): void {
    const crossing = answer.kind === 'refused' ? CROSSING.exec(answer.problem.errors?.[0]?.pointer ?? '')?.[1] : undefined;
    const which = crossing ? drawing?.street?.between?.[Number(crossing)] : undefined;
    const reason = answer.kind === 'refused' ? t('send.refused', { why: why(answer.problem) }) : t('closure.unsure');
    this.said = { text: which ? `${which}: ${reason}` : reason, bad: true };
  }

  /** Close what is previewed, or say that it is slow. `hours` 0: until it is opened again. */
  async confirm(factor: number, hours: number, reason: string): Promise<void> {
    if (!this.drawing || !this.preview || this.busy || !live.canSend) return;
    const turn = this.ask();
    const asked = asking(this.asked, { drawing: this.drawing, factor, hours, reason }, clock.now, newKey);
    this.asked = asked;
    const answer = await api.close(asked.closure, asked.key);
    if (answer.kind !== 'unknown' && this.asked === asked) this.asked = null;
    if (turn !== this.turn) return;
    this.busy = false;
    if (answer.kind !== 'done') return this.fail(answer);
    this.forget();
    this.marked = answer.value.closure_id;
    this.said = { text: t('closure.done'), bad: false };
  }

  async reopen(row: ClosureRow): Promise<void> {
    if (this.busy || !live.canSend) return;
    const turn = this.ask();
    this.asked = null; // it may be this one: to close it once more is another request
    const answer = await api.reopen(row.closure_id);
    if (turn !== this.turn) return;
    this.busy = false;
    if (answer.kind === 'done') this.said = { text: t('closure.opened'), bad: false };
    else this.fail(answer);
  }
}

export const closures = new Closures();
