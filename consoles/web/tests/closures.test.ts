import { describe, expect, test } from 'vitest';
import { applyDelta, applySnapshot } from '../src/board';
import { asking, endAfter, phaseOf, signOf, standing } from '../src/closures';
import { dayTime } from '../src/format';
import { board, closure } from './rows';

const NOW = Date.parse('2026-11-23T12:00:00Z');

describe('a closure in time', () => {
  test.each([
    [{}, 'now'],
    [{ until: '2026-11-23T12:00:01Z' }, 'now'],
    [{ until: '2026-11-23T12:00:00Z' }, 'over'],
    [{ since: '2026-11-23T12:00:01Z' }, 'coming'],
  ] as const)('%j is %s', (changed, phase) => {
    expect(phaseOf(closure('r-1', changed), NOW)).toBe(phase);
  });

  test('one that is over leaves the list though the server keeps it on the board', () => {
    const rows = [
      closure('r-1'),
      closure('r-2', { until: '2026-11-23T11:00:00Z' }),
      closure('r-3', { at: '2026-11-23T11:00:00Z' }),
    ];
    expect(standing(rows, NOW).map((row) => row.closure_id)).toEqual(['r-3', 'r-1']);
  });

  test('its end is counted from now, and without hours it has none', () => {
    expect(endAfter(0.5, NOW)).toBe('2026-11-23T12:30:00.000Z');
    expect(endAfter(0, NOW)).toBeUndefined();
  });

  test('a time of another day is said with its date', () => {
    expect(dayTime('2026-11-23T13:05:00Z', NOW)).toBe('18:05');
    expect(dayTime('2026-11-23T21:05:00Z', NOW)).toBe('24.11 02:05');
  });
});

test('a form that is sent twice is one request, and one that was changed another', () => {
  let keys = 0;
  const send = (before: Parameters<typeof asking>[0], now: number, changed = {}) =>
    asking(before, { drawing: { road: [69, 41] }, factor: 2, hours: 1, reason: 'snow', ...changed }, now, () => `key-${++keys}`);
  const first = send(null, NOW);
  expect(first.closure).toEqual({ road: [69, 41], factor: 2, reason: 'snow', until: '2026-11-23T13:00:00.000Z' });
  expect(send(first, NOW + 60_000)).toBe(first);
  for (const changed of [{ hours: 2 }, { reason: 'flood' }, { factor: 1 }, { drawing: { road: [69, 42] } }]) {
    expect(send(first, NOW, changed).key).not.toBe(first.key);
  }
});

test('closures come and go by deltas', () => {
  const boards = applySnapshot({}, { type: 'snapshot', region: 'UZ-TK', seq: 1, mark: 'a', board: board('UZ-TK') });
  const closed = applyDelta(boards, { type: 'delta', region: 'UZ-TK', from: 1, to: 2, mark: 'b', changes: { closures: { 'r-1': closure('r-1') } } });
  if (closed.kind !== 'applied') throw new Error('a delta that continues the board was not taken');
  expect(Object.keys(closed.boards['UZ-TK']?.board.closures ?? {})).toEqual(['r-1']);
  const opened = applyDelta(closed.boards, { type: 'delta', region: 'UZ-TK', from: 2, to: 3, mark: 'c', changes: { closures: { 'r-1': null } } });
  expect(opened.kind === 'applied' && opened.boards['UZ-TK']?.board.closures).toEqual({});
});

test('the sign stands in the middle of the line', () => {
  expect(signOf([[69, 41]])).toEqual([69, 41]);
  expect(signOf([[69, 41], [69.2, 41]])).toEqual([69.1, 41]);
  expect(signOf([[69, 41], [69.3, 41], [70, 41]])).toEqual([69.3, 41]);
});
