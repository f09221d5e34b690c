import { expect, test } from 'vitest';
import { columnsIn, inSight, ROW_PX, rowsOf, rowWith } from '../src/cells';
import type { Group } from '../src/cells';
import { unit } from './rows';

function group(key: string, count: number): Group {
  const units = Array.from({ length: count }, (_, n) => unit(`TK-${key}${n + 1}`));
  return { key, region: 'UZ-TK', body: 'moh', units, free: count };
}
const text = (groups: Group[], columns: number, span: number): string[] =>
  rowsOf(groups, columns, span).map((row) =>
    row.places.map((place) => (place.kind === 'label' ? `[${place.group.key}]` : place.unit.call_sign)).join(' '),
  );

test('cells run on from group to group and wrap at the last column', () => {
  expect(text([group('A', 3), group('F', 2)], 5, 1)).toEqual(['[A] A1 A2 A3', '[F] F1 F2']);
  expect(text([group('A', 2), group('F', 2)], 5, 1)).toEqual(['[A] A1 A2 [F] F1', 'F2']);
});

test('a wide label counts as two columns', () => {
  expect(text([group('A', 4)], 4, 2)).toEqual(['[A] A1 A2', 'A3 A4']);
});

test('every unit has exactly one cell', () => {
  const groups = [group('A', 75), group('F', 22), group('P', 37), group('G', 9)];
  const drawn = rowsOf(groups, 17, 2).flatMap((row) => row.places.filter((place) => place.kind === 'unit'));
  expect(drawn).toHaveLength(143);
  expect(new Set(drawn.map((place) => (place.kind === 'unit' ? place.unit.unit_id : ''))).size).toBe(143);
});

test('only the rows in sight and a few spare ones are drawn', () => {
  expect(inSight(1000, 0, 7 * ROW_PX)).toEqual([0, 11]);
  expect(inSight(1000, 100 * ROW_PX, 7 * ROW_PX)).toEqual([96, 111]);
  expect(inSight(5, 100 * ROW_PX, 7 * ROW_PX)).toEqual([5, 5]);
  expect(inSight(0, 0, 100)).toEqual([0, 0]);
});

test('a unit is found in its row', () => {
  const rows = rowsOf([group('A', 30)], 10, 1);
  expect(rowWith(rows, 'TK-A1')).toBe(0);
  expect(rowWith(rows, 'TK-A30')).toBe(3);
  expect(rowWith(rows, 'TK-X1')).toBe(-1);
});

test('a narrow window still has columns', () => expect(columnsIn(10)).toBe(3));
