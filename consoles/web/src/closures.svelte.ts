// Closing a road: what was asked for, what it would mean on the map, and how the server answered.
// Nothing is sent twice and nothing is guessed: where words mean several streets the operator chooses.

import { why } from './advice.svelte';
import { api, newKey } from './api';
import { endAfter, standing } from './closures';
import { clock } from './clock.svelte';
import { t } from './lang.svelte';
import { live } from './live.svelte';
import { may } from './session.svelte';
import type { Answer } from './api';
import type { Choice, ClosurePreview, ClosureRow, Drawing, FoundPlace } from './wire';

export type Position = readonly [number, number];
/** Around a place that is no road of its own. */
const AROUND_M = 50;
/** What a search is answered with when one street is meant but badly spelt, or several are. */
const ASKED_BACK = ['street_ambiguous', 'unknown_street'];

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
    this.drawing = this.preview = this.said = null;
    this.streets = this.places = [];
  }

  mark(id: string): void {
    this.open = true;
    this.marked = id;
    this.look += 1;
  }

  /** Streets of that name, and beside them what else the words may mean. */
  async find(text: string): Promise<void> {
    const turn = this.ask();
    const [street, places] = await Promise.all([api.preview({ street: { name: text } }), api.places(text)]);
    if (turn !== this.turn) return;
    this.busy = false;
    if (street.kind === 'done') return this.show({ street: { name: text } }, street.value);
    this.places = places.kind === 'done' ? places.value.places.filter((one) => one.kind !== 'street') : [];
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
    return this.draw({ point: [place.lon, place.lat], radius_m: AROUND_M });
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

  private async draw(drawing: Drawing): Promise<void> {
    const turn = this.ask();
    const answer = await api.preview(drawing);
    if (turn !== this.turn) return;
    this.busy = false;
    if (answer.kind === 'done') this.show(drawing, answer.value);
    else this.fail(answer);
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

  private fail(answer: Answer<unknown>): void {
    const text = answer.kind === 'refused' ? t('send.refused', { why: why(answer.problem) }) : t('closure.unsure');
    this.said = { text, bad: true };
  }

  /** Close what is previewed, or say that it is slow. `hours` 0: until it is opened again. */
  async confirm(factor: number, hours: number, reason: string): Promise<void> {
    if (!this.drawing || !this.preview || this.busy || !live.canSend) return;
    const turn = this.ask();
    const until = endAfter(hours, clock.now);
    const closure = { ...this.drawing, reason, ...(factor > 1 ? { factor } : {}), ...(until ? { until } : {}) };
    const answer = await api.close(closure, newKey());
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
    const answer = await api.reopen(row.closure_id);
    if (turn !== this.turn) return;
    this.busy = false;
    if (answer.kind === 'done') this.said = { text: t('closure.opened'), bad: false };
    else this.fail(answer);
  }
}

export const closures = new Closures();
