import { expect, test } from 'vitest';
import { isWaiting, newSince, nextUrgent, sortCalls, sortIncidents, sortUnits } from '../src/order';
import { call, incident, unit } from './rows';

test('waiting incidents stand by priority, then by age', () => {
  const rows = [
    incident('TK-1', { priority: 'P3', opened_at: '2026-11-23T09:00:00Z' }),
    incident('TK-2', { priority: 'P1', opened_at: '2026-11-23T10:05:00Z' }),
    incident('TK-3', { priority: 'P1', opened_at: '2026-11-23T10:01:00Z', held: true }),
    incident('TK-4', { waiting: false, status: 'on_scene' }),
    incident('TK-5', { waiting: false, status: 'closed' }),
  ];
  expect(sortIncidents(rows)).toEqual({ waiting: ['TK-3', 'TK-2', 'TK-1'], working: ['TK-4'] });
});

test('what came after the order was held is counted, what was there is not', () => {
  const held = { waiting: ['TK-1', 'TK-2'], working: ['TK-3'] };
  const now = { waiting: ['TK-9', 'TK-1'], working: ['TK-2', 'TK-3', 'TK-8'] };
  expect(newSince(held, now)).toEqual(['TK-9', 'TK-8']);
});

test('the next most urgent follows the selected one and begins again at the end', () => {
  expect(nextUrgent(['a', 'b'], null)).toBe('a');
  expect(nextUrgent(['a', 'b'], 'a')).toBe('b');
  expect(nextUrgent(['a', 'b'], 'b')).toBe('a');
  expect(nextUrgent(['a', 'b'], 'not waiting any more')).toBe('a');
  expect(nextUrgent([], 'a')).toBeNull();
});

test('a call that nobody has stands before one that somebody has, the longest waiting first', () => {
  const rows = [
    call('c0', { status: 'linked', at: '2026-11-23T07:00:00Z' }),
    call('c1', { status: 'answered', at: '2026-11-23T09:00:00Z' }),
    call('c2', { status: 'ringing', at: '2026-11-23T10:01:00Z' }),
    call('c3', { status: 'transferred', at: '2026-11-23T10:00:00Z' }),
    call('c4', { status: 'abandoned', at: '2026-11-23T08:00:00Z' }),
    call('c5', { status: 'held', at: '2026-11-23T08:30:00Z', priority: 'P1' }),
    call('c6', { status: 'calling_back', at: '2026-11-23T09:30:00Z' }),
    call('c7', { status: 'claimed', at: '2026-11-23T08:10:00Z' }),
  ];
  const sorted = sortCalls(rows);
  expect(sorted.map((row) => row.call_id)).toEqual(['c4', 'c6', 'c3', 'c2', 'c7', 'c5', 'c1', 'c0']);
  expect(sorted.filter(isWaiting)).toHaveLength(4);
});

test('of the calls that nobody has the most urgent stand first, an unknown urgency among P2', () => {
  const rows = [
    call('c1', { status: 'queued', at: '2026-11-23T08:00:00Z', priority: 'P3' }),
    call('c2', { status: 'ringing', at: '2026-11-23T10:00:00Z' }),
    call('c3', { status: 'transferred', at: '2026-11-23T10:01:00Z', priority: 'P1' }),
    call('c4', { status: 'queued', at: '2026-11-23T09:00:00Z', priority: 'P2' }),
  ];
  expect(sortCalls(rows).map((row) => row.call_id)).toEqual(['c3', 'c4', 'c2', 'c1']);
});

test('a unit keeps its place whatever it does', () => {
  const units = [unit('TK-A10'), unit('TK-A2'), unit('TK-F1', { body: 'mes' })];
  const busy = units.map((one) => ({ ...one, status: 'en_route' as const }));
  expect(sortUnits(units).map((one) => one.unit_id)).toEqual(['TK-A2', 'TK-A10', 'TK-F1']);
  expect(sortUnits(busy).map((one) => one.unit_id)).toEqual(['TK-A2', 'TK-A10', 'TK-F1']);
});
