import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { GIVE_UP_AFTER_MS, Link, ageOf, backoffMs, judge, stillAfter } from '../src/link';
import type { LinkFacts, LinkOwner } from '../src/link';
import type { Frame, Health, Heartbeat } from '../src/wire';

const OPEN: LinkFacts = { open: true, everLive: true, downSince: null, lastFrameAt: 10_000, stillSince: null };

function heartbeat(health: Health): Heartbeat {
  return { type: 'heartbeat', at: '2026-11-23T10:00:00Z', speed: 1, health, alarms: [] };
}

describe('a broken link', () => {
  const broken: LinkFacts = { ...OPEN, open: false, downSince: 10_200 };
  test('is amber at once', () => expect(judge(broken, 10_200)).toBe('unsure'));
  test('is lost after three seconds', () => {
    expect(judge(broken, 13_199)).toBe('unsure');
    expect(judge(broken, 13_200)).toBe('lost');
  });
});

describe('a silent link', () => {
  test('is live while heartbeats come each second', () => expect(judge(OPEN, 11_900)).toBe('live'));
  test('is amber when two are missing', () => expect(judge(OPEN, 12_000)).toBe('unsure'));
  test('is lost after four seconds though the socket stands open', () => expect(judge(OPEN, 14_000)).toBe('lost'));
});

test('a console that was never connected says that it connects, then that it cannot', () => {
  const first: LinkFacts = { open: false, everLive: false, downSince: 0, lastFrameAt: 0, stillSince: null };
  expect(judge(first, 500)).toBe('connecting');
  expect(judge(first, 3_000)).toBe('lost');
});

describe('a link on which nobody decides any more', () => {
  const since = stillAfter(null, heartbeat({ postgres: 'ok', core: 'away' }), 10_000);
  const at = (now: number): LinkFacts => ({ ...OPEN, lastFrameAt: now, stillSince: since });

  test('is amber at once, and no longer well after three seconds though heartbeats come', () => {
    expect(judge(at(10_000), 10_000)).toBe('unsure');
    expect(judge(at(12_900), 12_999)).toBe('unsure');
    expect(judge(at(13_000), 13_000)).toBe('still');
  });
  test('shows a picture as old as that', () => expect(ageOf(at(70_000), 70_200)).toBe(60_200));
  test('is lost all the same when it breaks', () => {
    expect(judge({ ...at(20_000), open: false, downSince: 20_000 }, 23_000)).toBe('lost');
  });
  test('is well again with the first heartbeat that says so, and not with another frame', () => {
    expect(stillAfter(since, heartbeat({ core: 'away' }), 15_000)).toBe(10_000);
    const moved: Frame = { type: 'positions', region: 'UZ-TK', at: '2026-11-23T10:00:00Z', units: [] };
    expect(stillAfter(since, moved, 15_000)).toBe(10_000);
    expect(stillAfter(since, heartbeat({ core: 'degraded' }), 15_000)).toBeNull();
    expect(judge({ ...OPEN, stillSince: stillAfter(since, heartbeat({ core: 'ok' }), 10_500) }, 10_500)).toBe('live');
  });
  test('is of no process that decides itself', () => {
    expect(stillAfter(null, heartbeat({ postgres: 'away' }), 10_000)).toBeNull();
  });
});

describe('an attempt to connect', () => {
  /** A socket that a network swallows: it stays CONNECTING until the browser's own patience ends, minutes later. */
  class Swallowed {
    static made: Swallowed[] = [];
    onmessage: ((message: { data: string }) => void) | null = null;
    onclose: ((event: { code: number }) => void) | null = null;
    closed = false;
    constructor() {
      Swallowed.made.push(this);
    }
    close(): void {
      this.closed = true;
    }
  }
  const owner: LinkOwner = { url: () => 'ws://nowhere', take: () => {}, report: () => {}, doubt: () => {} };
  let link: Link;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
    vi.stubGlobal('WebSocket', Swallowed);
    Swallowed.made = [];
    link = new Link(owner);
    link.start();
  });
  afterEach(() => {
    link.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  test('on which nothing is heard is given up, and another made', () => {
    vi.advanceTimersByTime(GIVE_UP_AFTER_MS - 1);
    expect(Swallowed.made.map((socket) => socket.closed)).toEqual([false]);
    vi.advanceTimersByTime(GIVE_UP_AFTER_MS);
    expect(Swallowed.made.map((socket) => socket.closed)).toEqual([true, false]);
    vi.advanceTimersByTime(10 * GIVE_UP_AFTER_MS);
    expect(Swallowed.made.length).toBeGreaterThan(5);
    expect(Swallowed.made.filter((socket) => !socket.closed)).toHaveLength(1);
  });

  test('that is answered in time stays', () => {
    vi.advanceTimersByTime(GIVE_UP_AFTER_MS - 1000);
    for (let second = 0; second < 20; second += 1) {
      Swallowed.made[0]?.onmessage?.({ data: JSON.stringify(heartbeat({ core: 'ok' })) });
      vi.advanceTimersByTime(1000);
    }
    expect(Swallowed.made.map((socket) => socket.closed)).toEqual([false]);
  });
});

test('attempts come slower and slower, never slower than two and a half seconds, and spread', () => {
  expect(backoffMs(0, 0)).toBeLessThan(backoffMs(3, 0));
  expect(backoffMs(50, 1)).toBe(2500);
  expect(backoffMs(50, 0)).toBe(1500);
});
