// The line to the server: one WebSocket, its heartbeat's age, and coming back from where it broke.
// A line on which nobody decides behind the server shows a picture that stands still: it counts as one that broke.
// So does one that has said hello, until what was missed meanwhile has come.
// It only listens. Commands go by HTTP, and none is ever kept back and sent later.

import type { Delta, Frame, Snapshot } from './wire';

/**
 * `unsure` is amber: the line is down, silent or catching up, but the data is younger than three seconds. `still`:
 * the line is well, but the server has said for as long that no process which decides answers it.
 */
export type LinkState = 'connecting' | 'live' | 'unsure' | 'lost' | 'still';

export const UNSURE_AFTER_MS = 2000;
export const LOST_AFTER_MS = 3000;
export const SILENT_AFTER_MS = 4000;
/** What is owed may take so long to come, frame by frame: a snapshot is one frame, and the server waits as long. */
export const OWED_AFTER_MS = 30_000;
/** An attempt on which nothing has been heard for so long is given up: a network may swallow it without a word. */
export const GIVE_UP_AFTER_MS = 5000;
/** The close codes with which the server says that the session is over, or that it may see or do something else. */
const SESSION_OVER = 4401;
const SCOPE_CHANGED = 4403;
const BACKOFF_MS = [150, 300, 600, 1000, 1500, 2000];

export interface LinkFacts {
  /** Something was heard on this line. */
  open: boolean;
  everLive: boolean;
  /** Since when the picture is not kept: the line went down then, and what was missed has not come yet. */
  downSince: number | null;
  lastFrameAt: number;
  /** When the picture was whole last. */
  wholeAt: number;
  /** Since when nobody decides; null while somebody does, or while nobody has said. */
  stillSince: number | null;
}

/** The state of a line at `now`; all times are milliseconds of one wall clock. */
export function judge(facts: LinkFacts, now: number): LinkState {
  const age = now - facts.lastFrameAt;
  if (facts.downSince !== null && now - facts.downSince >= LOST_AFTER_MS) return 'lost';
  if (age >= SILENT_AFTER_MS) return 'lost';
  if (facts.stillSince !== null && now - facts.stillSince >= LOST_AFTER_MS) return 'still';
  if (facts.downSince !== null) return facts.everLive ? 'unsure' : 'connecting';
  return age >= UNSURE_AFTER_MS || facts.stillSince !== null ? 'unsure' : 'live';
}

/** How old the picture is, in milliseconds: nothing changes in it while nobody decides. */
export function ageOf(facts: LinkFacts, now: number): number {
  return now - Math.min(facts.wholeAt, facts.stillSince ?? facts.wholeAt);
}

/** What must still come before the picture is whole: region -> the number that it reaches then. */
export type Owed = Readonly<Record<string, number>>;

/** What is still owed after this frame: a hello says it, a snapshot or the last of the deltas pays it. */
export function owedAfter(owed: Owed, frame: Frame): Owed {
  if (frame.type === 'hello') return frame.owed ?? {};
  if (!bearsOn(owed, frame)) return owed;
  if (frame.type === 'delta' && frame.to < (owed[frame.region] ?? 0)) return owed;
  return Object.fromEntries(Object.entries(owed).filter(([region]) => region !== frame.region));
}

function bearsOn(owed: Owed, frame: Frame): frame is Snapshot | Delta {
  return (frame.type === 'snapshot' || frame.type === 'delta') && frame.region in owed;
}

/** Since when nobody decides, after this frame: only a heartbeat says whether somebody does. */
export function stillAfter(since: number | null, frame: Frame, now: number): number | null {
  if (frame.type !== 'heartbeat') return since;
  return frame.health.core === 'away' ? (since ?? now) : null;
}

/** The wait before the next attempt, with a spread so that a thousand consoles do not return at once. */
export function backoffMs(attempt: number, spread: number): number {
  const base = BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length - 1)] ?? 2000;
  return Math.round(base * (0.75 + spread / 2));
}

function fresh(now: number): LinkFacts {
  return { open: false, everLive: false, downSince: now, lastFrameAt: now, wholeAt: now, stillSince: null };
}

export interface LinkOwner {
  url(): string;
  take(frame: Frame): void;
  report(state: LinkState, ageMs: number): void;
  /** Called when the server keeps turning us away: the session may be over, or another than it was. */
  doubt(): void;
}

export class Link {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private attempt = 0;
  private triedAt = 0;
  private facts: LinkFacts = fresh(0);
  private owed: Owed = {};
  /** When something came last that was owed, or was said to be. */
  private paidAt = 0;

  constructor(private readonly owner: LinkOwner) {}

  start(): void {
    this.facts = fresh(performance.now());
    this.watch = setInterval(() => this.look(), 250);
    this.connect();
  }

  stop(): void {
    clearInterval(this.watch);
    clearTimeout(this.timer);
    this.drop();
  }

  /** Begin again from the resume point: after a gap, or when other regions are wanted. */
  resync(): void {
    clearTimeout(this.timer);
    this.drop();
    this.connect();
  }

  private connect(): void {
    const socket = new WebSocket(this.owner.url());
    this.socket = socket;
    this.triedAt = performance.now();
    socket.onmessage = (message: MessageEvent<string>) => this.hear(socket, message.data);
    socket.onclose = (event) => {
      if (event.code === SESSION_OVER || event.code === SCOPE_CHANGED) this.owner.doubt();
      this.lose(socket);
    };
  }

  private hear(socket: WebSocket, data: string): void {
    if (socket !== this.socket) return;
    this.attempt = 0;
    const now = performance.now();
    const frame = JSON.parse(data) as Frame;
    const stillSince = stillAfter(this.facts.stillSince, frame, now);
    if (frame.type === 'hello' || bearsOn(this.owed, frame)) this.paidAt = now;
    this.owed = owedAfter(this.owed, frame);
    this.facts = { ...this.facts, open: true, lastFrameAt: now, stillSince };
    if (!this.isOwed()) this.facts = { ...this.facts, everLive: true, downSince: null, wholeAt: now };
    this.owner.take(frame);
    this.report();
  }

  private lose(socket: WebSocket): void {
    if (socket !== this.socket) return;
    this.drop();
    this.attempt += 1;
    if (this.attempt % 3 === 2) this.owner.doubt();
    this.timer = setTimeout(() => this.connect(), backoffMs(this.attempt, Math.random()));
    this.report();
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.facts.open = false;
    this.facts.downSince ??= performance.now();
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private look(): void {
    const now = performance.now();
    const isOver = this.isOwed()
      ? now - this.paidAt >= OWED_AFTER_MS
      : now - this.facts.lastFrameAt >= SILENT_AFTER_MS;
    if (this.facts.open && isOver) this.resync();
    else if (this.socket && !this.facts.open && now - this.triedAt >= GIVE_UP_AFTER_MS) this.lose(this.socket);
    this.report();
  }

  private isOwed(): boolean {
    return Object.keys(this.owed).length > 0;
  }

  private report(): void {
    const now = performance.now();
    this.owner.report(judge(this.facts, now), ageOf(this.facts, now));
  }
}
