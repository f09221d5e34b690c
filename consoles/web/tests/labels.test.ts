// Call signs on the map never cover each other, and the one asked for is always there.

import { expect, test } from 'vitest';
import { fitting } from '../src/map/labels';

const width = (text: string): number => text.length * 7;
const label = (text: string, x: number, y: number, marked = false) => ({ text, x, y, marked });
const texts = (labels: { text: string }[]): string[] => labels.map((one) => one.text).sort();

test('of two that cover each other one is left out', () => {
  expect(texts(fitting([label('A1', 0, 0), label('A2', 5, 4)], width))).toEqual(['A1']);
});

test('those side by side or one below the other both stay', () => {
  expect(texts(fitting([label('A1', 0, 0), label('A2', 20, 0), label('A3', 0, 14)], width))).toHaveLength(3);
});

test('the one asked for stays and takes the place', () => {
  expect(texts(fitting([label('A1', 0, 0), label('A2', 5, 4, true)], width))).toEqual(['A2']);
});
