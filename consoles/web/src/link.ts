// The line to the server: one WebSocket, its heartbeat's age, and coming back from where it broke.
// A line on which nobody decides behind the server shows a picture that stands still: it counts as one that broke.
// It only listens. Commands go by HTTP, and none is ever kept back and sent later.

import type { Frame } from './wire';

/**
 * `unsure` is amber: the line is down or silent, but the data is younger than three seconds. `still`: the line is
 * well, but the server has said for as long that no process which decides answers it.
 */
export type LinkState = 'connecting' | 'live' | 'unsure' | 'lost' | 'still';

export const UNSURE_AFTER_MS = 2000;
export const LOST_AFTER_MS = 3000;
export const SILENT_AFTER_MS = 4000;
/** An attempt on which nothing has been heard for so long is given up: a network may swallow it without a word. */
export const GIVE_UP_AFTER_MS = 5000;
/** The close code with which the server ends a session. */
const SESSION_OVER = 4401;
const BACKOFF_MS = [150, 300, 600, 1000, 1500, 2000];

export interface LinkFacts {
  open: boolean;
  everLive: boolean;
  downSince: number | null;
  lastFrameAt: number;
  /** Since when nobody decides; null while somebody does, or while nobody has said. */
  stillSince: number | null;
}

/** The state of a line at `now`; all times are milliseconds of one wall clock. */
export function judge(facts: LinkFacts, now: number): LinkState {
  const age = now - facts.lastFrameAt;
  if (facts.downSince !== null && now - facts.downSince >= LOST_AFTER_MS) return 'lost';
  if (age >= SILENT_AFTER_MS) return 'lost';
  if (facts.stillSince !== null && now - facts.stillSince >= LOST_AFTER_MS) return 'still';
  if (!facts.open) return facts.everLive ? 'unsure' : 'connecting';
  return age >= UNSURE_AFTER_MS || facts.stillSince !== null ? 'unsure' : 'live';
}

/** How old the picture is, in milliseconds: nothing changes in it while nobody decides. */
export function ageOf(facts: LinkFacts, now: number): number {
  return now - Math.min(facts.lastFrameAt, facts.stillSince ?? facts.lastFrameAt);
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

export interface LinkOwner {
  url(): string;
  take(frame: Frame): void;
  report(state: LinkState, ageMs: number): void;
  /** Called when the server keeps turning us away: the session may be over. */
  doubt(): void;
}

export class Link {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private attempt = 0;
  private triedAt = 0;
  private facts: LinkFacts = { open: false, everLive: false, downSince: null, lastFrameAt: 0, stillSince: null };

  constructor(private readonly owner: LinkOwner) {}

  start(): void {
    const now = performance.now();
    this.facts = { open: false, everLive: false, downSince: now, lastFrameAt: now, stillSince: null };
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
      if (event.code === SESSION_OVER) this.owner.doubt();
      this.lose(socket);
    };
  }

  private hear(socket: WebSocket, data: string): void {
    if (socket !== this.socket) return;
    this.attempt = 0;
    const now = performance.now();
    const frame = JSON.parse(data) as Frame;
    const stillSince = stillAfter(this.facts.stillSince, frame, now);
    this.facts = { open: true, everLive: true, downSince: null, lastFrameAt: now, stillSince };
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
    if (this.facts.open && now - this.facts.lastFrameAt >= SILENT_AFTER_MS) this.resync();
    else if (this.socket && !this.facts.open && now - this.triedAt >= GIVE_UP_AFTER_MS) this.lose(this.socket);
    this.report();
  }

  private report(): void {
    const now = performance.now();
    this.owner.report(judge(this.facts, now), ageOf(this.facts, now));
  }
}
