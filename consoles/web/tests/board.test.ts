// The console's half of the law: a snapshot with all later deltas equals a fresh snapshot.

import { describe, expect, test } from 'vitest';
import { applyDelta, applySnapshot, keepRegions, regionOf, resumePoint } from '../src/board';
import type { Boards } from '../src/board';
import type { Changes, Delta, RegionBoard } from '../src/wire';
import { board, COUNTS, incident, unit } from './rows';

function begun(seq = 81, first: RegionBoard = board('UZ-TK')): Boards {
  return applySnapshot({}, { type: 'snapshot', region: 'UZ-TK', seq, mark: `m${seq}`, board: first });
}
function delta(from: number, to: number, changes: Changes = {}, region = 'UZ-TK'): Delta {
  return { type: 'delta', region, from, to, mark: `m${to}`, changes };
}
function applied(boards: Boards, frame: Delta): Boards {
  const outcome = applyDelta(boards, frame);
  if (outcome.kind !== 'applied') throw new Error(outcome.kind);
  return outcome.boards;
}

describe('a board kept by deltas', () => {
  test('equals a fresh snapshot after rows came, changed and went', () => {
    const start = begun(81, board('UZ-TK', { incidents: { 'TK-1': incident('TK-1'), 'TK-2': incident('TK-2') } }));
    const moved = { 'TK-A1': unit('TK-A1', { status: 'en_route', incident_id: 'TK-3' }) };
    const one = applied(start, delta(81, 82, { incidents: { 'TK-3': incident('TK-3', { priority: 'P1' }) } }));
    const two = applied(one, delta(82, 85, { incidents: { 'TK-1': null, 'TK-2': incident('TK-2', { calls: 4 }) } }));
    const three = applied(two, delta(85, 86, { units: moved, counts: { ...COUNTS, more: 3 }, phase: 'parallel' }));
    const fresh = board('UZ-TK', {
      incidents: { 'TK-2': incident('TK-2', { calls: 4 }), 'TK-3': incident('TK-3', { priority: 'P1' }) },
      units: moved,
      counts: { ...COUNTS, more: 3 },
      phase: 'parallel',
    });
    expect(three['UZ-TK']).toEqual({ seq: 86, mark: 'm86', board: fresh });
  });

  test('never changes the board that is already painted', () => {
    const start = begun(81, board('UZ-TK', { incidents: { 'TK-1': incident('TK-1') } }));
    const before = structuredClone(start);
    applied(start, delta(81, 82, { incidents: { 'TK-1': null } }));
    expect(start).toEqual(before);
  });

  test('sees a gap and asks for the missing part', () => {
    expect(applyDelta(begun(81), delta(83, 84)).kind).toBe('gap');
    expect(applyDelta(begun(81), delta(80, 84)).kind).toBe('gap');
    expect(applyDelta(begun(81), delta(81, 82, {}, 'UZ-TO')).kind).toBe('gap');
  });

  test('lets a repeated delta pass', () => {
    expect(applyDelta(begun(81), delta(79, 80)).kind).toBe('old');
    expect(applyDelta(begun(81), delta(80, 81)).kind).toBe('old');
  });

  test('replaces the policy whole', () => {
    const changed = applied(begun(), delta(81, 82, { policy: { dispatch: 'automatic', attended: true } }));
    expect(changed['UZ-TK']?.board.policy).toEqual({ dispatch: 'automatic', attended: true });
  });
});

test('a console resumes every region from its own number and mark', () => {
  const boards = applySnapshot(begun(81), { type: 'snapshot', region: 'UZ-TO', seq: 40, mark: 'm40', board: board('UZ-TO') });
  expect(resumePoint(boards)).toBe('UZ-TK:81:m81,UZ-TO:40:m40');
  expect(resumePoint(keepRegions(boards, ['UZ-TO']))).toBe('UZ-TO:40:m40');
});

test('an incident is found in the region that holds it', () => {
  const boards = begun(1, board('UZ-TK', { incidents: { 'TK-1': incident('TK-1') } }));
  expect(regionOf(boards, 'TK-1')).toBe('UZ-TK');
  expect(regionOf(boards, 'TK-9')).toBeUndefined();
});
