// What is on the screen when a session may see less than it could.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { api } from '../src/api';
import { live } from '../src/live.svelte';
import { visit } from '../src/session.svelte';
import type { Frame, Hello, Session, Snapshot } from '../src/wire';

class Line {
  static made: Line[] = [];
  static get last(): Line {
    return Line.made[Line.made.length - 1] as Line;
  }
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor(readonly url: string) {
    Line.made.push(this);
  }
  close(): void {}
  say(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

function hello(regions: string[], view = 'full'): Hello {
  const actor = { username: 'anna', role: 'dispatcher', body: null };
  return { type: 'hello', at: '2026-11-23T10:00:00Z', regions, view, actor, mode: 'LIVE', speed: 1, alarms: [] };
}

function snapshot(region: string): Snapshot {
  const board = { region, incidents: {}, calls: {}, units: {}, closures: {}, counts: {} } as unknown as Snapshot['board'];
  return { type: 'snapshot', region, seq: 5, mark: 'aa', board };
}

const session = (regions: string[], role = 'dispatcher'): Session => ({
  username: 'anna',
  role,
  body: null,
  regions,
  language: 'en',
  may: [],
});
const asked = vi.spyOn(api, 'session');

/** Both regions are on the screen. */
beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', Line);
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => {} });
  vi.stubGlobal('location', { protocol: 'http:', host: 'here' });
  vi.stubGlobal('document', { hidden: false });
  vi.stubGlobal('requestAnimationFrame', (paint: () => void) => void setTimeout(paint, 1));
  asked.mockReset();
  visit.gate = 'inside';
  visit.session = session(['UZ-TK', 'UZ-TO']);
  live.start(['UZ-TK', 'UZ-TO']);
  Line.last.say(hello(['UZ-TK', 'UZ-TO']));
  Line.last.say(snapshot('UZ-TK'));
  Line.last.say(snapshot('UZ-TO'));
  live.positions.take({ type: 'positions', region: 'UZ-TO', at: '', units: [['TO-A1', 69, 41, null, 0]] }, 0);
  vi.advanceTimersByTime(10);
  expect(Object.keys(live.boards)).toEqual(['UZ-TK', 'UZ-TO']);
});
afterEach(() => {
  live.stop();
  Line.made = [];
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** The server closes the board because the session may see something else, and the console comes back. */
async function comesBack(now: Session): Promise<void> {
  asked.mockResolvedValue({ kind: 'done', value: now });
  Line.last.onclose?.({ code: 4403 });
  await vi.advanceTimersByTimeAsync(1000);
}

test('a region that a hello does not name any more goes from the screen at once', () => {
  Line.last.onclose?.({ code: 1006 });
  vi.advanceTimersByTime(1000);
  Line.last.say(hello(['UZ-TK']));
  expect(Object.keys(live.boards)).toEqual(['UZ-TK']);
  expect([live.regions, live.allowed]).toEqual([['UZ-TK'], ['UZ-TK']]);
  expect(live.positions.fixes.size).toBe(0);
});

test('boards of another view are forgotten, and asked for anew', () => {
  Line.last.onclose?.({ code: 1006 });
  vi.advanceTimersByTime(1000);
  expect(Line.last.url).toContain('after=UZ-TK:5:aa');
  const before = Line.made.length;
  Line.last.say(hello(['UZ-TK', 'UZ-TO'], 'body:mia'));
  expect(live.boards).toEqual({});
  expect(Line.made).toHaveLength(before + 1);
  expect(Line.last.url).not.toContain('after=');
  Line.last.say(hello(['UZ-TK', 'UZ-TO'], 'body:mia'));
  expect(Line.made).toHaveLength(before + 1);
});

test('a session that may do something else is learnt anew', async () => {
  await comesBack(session(['UZ-TK', 'UZ-TO'], 'call_taker'));
  expect(visit.session?.role).toBe('call_taker');
  expect(live.allowed).toEqual(['UZ-TK', 'UZ-TO']);
});

test('who may see no region any more is shown none, though no hello comes', async () => {
  await comesBack(session([]));
  expect(live.boards).toEqual({});
});

test('a region that was given is one to choose', async () => {
  await comesBack(session(['UZ-TK', 'UZ-TO', 'UZ-SA']));
  expect(live.allowed).toEqual(['UZ-TK', 'UZ-TO', 'UZ-SA']);
  expect(Line.last.url).toContain('regions=UZ-TK,UZ-TO,UZ-SA');
});
