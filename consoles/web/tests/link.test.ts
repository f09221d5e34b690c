import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { GIVE_UP_AFTER_MS, Link, OWED_AFTER_MS, ageOf, backoffMs, judge, owedAfter, stillAfter } from '../src/link';
import type { LinkFacts, LinkOwner, LinkState } from '../src/link';
import type { Delta, Frame, Health, Heartbeat, Hello, Snapshot } from '../src/wire';

const OPEN: LinkFacts = {
  open: true,
  everLive: true,
  downSince: null,
  lastFrameAt: 10_000,
  wholeAt: 10_000,
  stillSince: null,
};

function heartbeat(health: Health): Heartbeat {
  return { type: 'heartbeat', at: '2026-11-23T10:00:00Z', speed: 1, health, alarms: [] };
}

function hello(owed: Record<string, number>): Hello {
  const actor = { username: 'dispatcher', role: 'dispatcher', body: null };
  const regions = ['UZ-TK', 'UZ-SA'];
  return { type: 'hello', at: '2026-11-23T10:00:00Z', regions, owed, view: 'full', actor, mode: 'LIVE', speed: 1, alarms: [] };
}

function snapshot(region: string, seq: number): Snapshot {
  return { type: 'snapshot', region, seq, mark: '', board: {} as Snapshot['board'] };
}

function delta(region: string, from: number, to: number): Delta {
  return { type: 'delta', region, from, to, mark: '', changes: {} };
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
  const first: LinkFacts = { ...OPEN, open: false, everLive: false, downSince: 0, lastFrameAt: 0, wholeAt: 0 };
  expect(judge(first, 500)).toBe('connecting');
  expect(judge(first, 3_000)).toBe('lost');
});

describe('a link on which nobody decides any more', () => {
  const since = stillAfter(null, heartbeat({ postgres: 'ok', core: 'away' }), 10_000);
  const at = (now: number): LinkFacts => ({ ...OPEN, lastFrameAt: now, wholeAt: now, stillSince: since });

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

describe('what is owed before the picture is whole', () => {
  test('is paid by a snapshot, whatever its number, and by the last delta', () => {
    const owed = owedAfter({}, hello({ 'UZ-TK': 81, 'UZ-SA': 40 }));
    expect(owedAfter(owed, snapshot('UZ-TK', 12))).toEqual({ 'UZ-SA': 40 });
    expect(owedAfter(owed, delta('UZ-SA', 38, 39))).toEqual(owed);
    expect(owedAfter(owed, delta('UZ-SA', 39, 40))).toEqual({ 'UZ-TK': 81 });
  });
  test('is not paid by what concerns another region, or by a heartbeat', () => {
    const owed = { 'UZ-TK': 81 };
    expect(owedAfter(owed, delta('UZ-SA', 80, 81))).toEqual(owed);
    expect(owedAfter(owed, heartbeat({}))).toEqual(owed);
  });
  test('is said anew by each hello', () => expect(owedAfter({ 'UZ-TK': 81 }, hello({}))).toEqual({}));
});

/** A socket of which a test says what is heard on it; like one that a network swallows until then. */
class Line {
  static made: Line[] = [];
  static get last(): Line {
    return Line.made[Line.made.length - 1] as Line;
  }
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  closed = false;
  constructor() {
    Line.made.push(this);
  }
  close(): void {
    this.closed = true;
  }
  say(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

describe('a link', () => {
  let link: Link;
  let states: LinkState[];
  let age_ms: number;
  const owner: LinkOwner = {
    url: () => 'ws://nowhere',
    take: () => {},
    report: (state, age) => {
      states.push(state);
      age_ms = age;
    },
    doubt: () => {},
  };

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
    vi.stubGlobal('WebSocket', Line);
    Line.made = [];
    states = [];
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
    expect(Line.made.map((line) => line.closed)).toEqual([false]);
    vi.advanceTimersByTime(GIVE_UP_AFTER_MS);
    expect(Line.made.map((line) => line.closed)).toEqual([true, false]);
    vi.advanceTimersByTime(10 * GIVE_UP_AFTER_MS);
    expect(Line.made.length).toBeGreaterThan(5);
    expect(Line.made.filter((line) => !line.closed)).toHaveLength(1);
  });

  test('that is answered in time stays', () => {
    vi.advanceTimersByTime(GIVE_UP_AFTER_MS - 1000);
    for (let second = 0; second < 20; second += 1) {
      Line.last.say(heartbeat({ core: 'ok' }));
      vi.advanceTimersByTime(1000);
    }
    expect(Line.made.map((line) => line.closed)).toEqual([false]);
  });

  test('waits for a snapshot that takes six seconds, and is not live before it', () => {
    Line.last.say(hello({ 'UZ-TK': 81 }));
    vi.advanceTimersByTime(6000);
    expect(Line.made).toHaveLength(1);
    expect(states).not.toContain('live');
    expect(states).not.toContain('unsure');
    Line.last.say(snapshot('UZ-TK', 81));
    expect(states.at(-1)).toBe('live');
    expect(age_ms).toBe(0);
  });

  test('that comes back shows the old picture as old until what was missed has come', () => {
    Line.last.say(hello({}));
    expect(states.at(-1)).toBe('live');
    vi.advanceTimersByTime(1000);
    Line.last.onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1000);
    states = [];
    Line.last.say(hello({ 'UZ-TK': 83, 'UZ-SA': 40 }));
    expect(states.at(-1)).toBe('unsure');
    vi.advanceTimersByTime(8000);
    expect(states.at(-1)).toBe('lost');
    Line.last.say(snapshot('UZ-SA', 41));
    Line.last.say(delta('UZ-TK', 81, 82));
    expect(age_ms).toBe(10_000);
    expect(states).not.toContain('live');
    Line.last.say(delta('UZ-TK', 82, 83));
    expect(states.at(-1)).toBe('live');
    expect(Line.made).toHaveLength(2);
  });

  test('on which nothing comes of what is owed is made anew, though heartbeats come', () => {
    Line.last.say(hello({ 'UZ-TK': 81, 'UZ-SA': 40 }));
    const beat = (times: number): void => {
      for (let second = 0; second < times; second += 1) {
        vi.advanceTimersByTime(1000);
        Line.last.say(heartbeat({}));
      }
    };
    beat(OWED_AFTER_MS / 1000 - 2);
    Line.last.say(snapshot('UZ-SA', 40));
    beat(OWED_AFTER_MS / 1000 - 2);
    expect(Line.made).toHaveLength(1);
    vi.advanceTimersByTime(3000);
    expect(Line.made.map((line) => line.closed)).toEqual([true, false]);
  });
});

test('attempts come slower and slower, never slower than two and a half seconds, and spread', () => {
  expect(backoffMs(0, 0)).toBeLessThan(backoffMs(3, 0));
  expect(backoffMs(50, 1)).toBe(2500);
  expect(backoffMs(50, 0)).toBe(1500);
});
