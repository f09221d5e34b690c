// The live picture: boards of the covered regions as they come over the link, published once a frame.

import { clock } from './clock.svelte';
import { allCalls, allClosures, allIncidents, allUnits, applyDelta, applySnapshot, keepRegions, resumePoint } from './board';
import type { Boards } from './board';
import { Link } from './link';
import type { LinkOwner, LinkState } from './link';
import { sortCalls, sortIncidents } from './order';
import { Positions } from './positions';
import { allowedRegions, checkSession } from './session.svelte';
import type { Alarm, Frame, Health, Heartbeat, Hello, Mode, Priority } from './wire';
import { PRIORITIES } from './wire';

const COVERED = 'dispatch112.regions';

export interface Waiting {
  priority: Priority;
  count: number;
  oldest: string | null;
}

class Live implements LinkOwner {
  boards = $state.raw<Boards>({});
  /** Every region that this operator may see, and the ones covered now. */
  allowed = $state.raw<readonly string[]>([]);
  regions = $state.raw<readonly string[]>([]);
  state = $state<LinkState>('connecting');
  age_ms = $state(0);
  health = $state.raw<Health>({});
  /** What is wrong now, the worst first, as it was said last. */
  alarms = $state.raw<readonly Alarm[]>([]);
  mode = $state<Mode | null>(null);
  /** Counts up when positions changed; the positions themselves are plain data for the canvas. */
  moved = $state(0);
  readonly positions = new Positions();

  incidents = $derived(new Map(allIncidents(this.boards).map((row) => [row.incident_id, row])));
  sections = $derived(sortIncidents([...this.incidents.values()]));
  calls = $derived(sortCalls(allCalls(this.boards)));
  units = $derived(allUnits(this.boards));
  unitById = $derived(new Map(this.units.map((unit) => [unit.unit_id, unit])));
  closures = $derived(allClosures(this.boards));
  waiting = $derived(countWaiting(this.boards));
  more = $derived(Object.values(this.boards).reduce((sum, kept) => sum + (kept.board.counts.more ?? 0), 0));
  canSend = $derived(this.state === 'live' || this.state === 'unsure');
  /** The picture is old, and looks it. */
  old = $derived(this.state === 'lost' || this.state === 'still');

  private pending: Boards = {};
  private scheduled = false;
  private link: Link | null = null;
  /** The class of fields that the boards were drawn in; null before the first hello. */
  private view: string | null = null;

  start(allowed: readonly string[]): void {
    this.allowed = allowed;
    this.regions = coveredOf(allowed);
    this.pending = {};
    this.boards = {};
    this.view = null;
    this.health = {};
    this.alarms = [];
    this.link = new Link(this);
    this.link.start();
  }

  stop(): void {
    this.link?.stop();
    this.link = null;
    this.positions.clear();
  }

  cover(regions: readonly string[]): void {
    if (regions.length === 0) return;
    localStorage.setItem(COVERED, regions.join(','));
    this.keep(regions);
    this.link?.resync();
  }

  url(): string {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const after = resumePoint(this.pending);
    const query = `regions=${this.regions.join(',')}${after ? `&after=${after}` : ''}`;
    return `${scheme}://${location.host}/ws/v1/board?${query}`;
  }

  take(frame: Frame): void {
    if (frame.type === 'snapshot') this.change(applySnapshot(this.pending, frame));
    else if (frame.type === 'delta') {
      const outcome = applyDelta(this.pending, frame);
      if (outcome.kind === 'applied') this.change(outcome.boards);
      else if (outcome.kind === 'gap') this.link?.resync();
    } else if (frame.type === 'positions') {
      this.positions.take(frame, performance.now());
      this.schedule();
    } else if (frame.type === 'hello') this.greet(frame);
    else if (frame.type === 'heartbeat') this.beat(frame);
  }

  report(state: LinkState, age_ms: number): void {
    this.state = state;
    const whole = Math.floor(age_ms / 1000) * 1000;
    if (this.age_ms !== whole) this.age_ms = whole;
  }

  doubt(): void {
    void checkSession().then(() => this.limit(allowedRegions()));
  }

  /** Cover what the session may see now, when that is not what it was. */
  private limit(allowed: readonly string[]): void {
    const isSame = allowed.length === this.allowed.length && allowed.every((one) => this.allowed.includes(one));
    if (!this.link || isSame) return;
    this.allowed = allowed;
    this.keep(coveredOf(allowed));
    this.link.resync();
  }

  /** Show these regions and no others. */
  private keep(regions: readonly string[]): void {
    this.regions = regions;
    this.pending = keepRegions(this.pending, regions);
    this.boards = this.pending;
    this.positions.keepRegions(regions);
  }

  /** Units as a person calls them. */
  callSigns(units: readonly string[]): string {
    return units.map((id) => this.unitById.get(id)?.call_sign ?? id).join(', ');
  }

  private greet(frame: Hello): void {
    this.mode = frame.mode;
    this.alarms = frame.alarms;
    clock.hear(frame.at, frame.speed);
    this.admit(frame);
  }

  /** Forget what this session is not shown any more, at once: no frame would ever say more of it. */
  private admit({ regions, view }: Hello): void {
    const lost = this.regions.filter((one) => !regions.includes(one));
    if (lost.length > 0) {
      this.allowed = this.allowed.filter((one) => !lost.includes(one));
      this.keep(this.regions.filter((one) => regions.includes(one)));
    }
    const isOther = this.view !== null && this.view !== view;
    this.view = view;
    if (!isOther) return;
    // A number says the same in every view, so what follows would lead on from fields that this one has not.
    this.pending = this.boards = {};
    this.positions.clear();
    this.link?.resync();
  }

  private beat(frame: Heartbeat): void {
    clock.hear(frame.at, frame.speed);
    this.health = frame.health;
    this.alarms = frame.alarms;
  }

  private change(boards: Boards): void {
    this.pending = boards;
    this.schedule();
  }

  /** Many frames become one repaint; a hidden window gets no animation frame, so a timer stands by. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    if (document.hidden) setTimeout(() => this.publish(), 100);
    else requestAnimationFrame(() => this.publish());
  }

  private publish(): void {
    this.scheduled = false;
    this.boards = this.pending;
    if (this.positions.version !== this.moved) this.moved = this.positions.version;
  }
}

/** The regions that this workplace covers of those allowed: the remembered ones, else all. */
function coveredOf(allowed: readonly string[]): string[] {
  const remembered = (localStorage.getItem(COVERED) ?? '').split(',').filter((one) => allowed.includes(one));
  return remembered.length > 0 ? remembered : [...allowed];
}

function countWaiting(boards: Boards): Waiting[] {
  const counts = Object.values(boards).map((kept) => kept.board.counts);
  return PRIORITIES.map((priority) => {
    const oldest = counts.map((one) => one.oldest?.[priority]).filter((at): at is string => Boolean(at));
    return {
      priority,
      count: counts.reduce((sum, one) => sum + (one.waiting?.[priority] ?? 0), 0),
      oldest: oldest.sort()[0] ?? null,
    };
  });
}

export const live = new Live();
