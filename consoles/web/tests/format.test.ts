import { expect, test } from 'vitest';
import { clockTime, distance, minutes, secondsSince, timer } from '../src/format';
import { freshness, Positions } from '../src/positions';

test.each([
  [0, '0:00'],
  [42, '0:42'],
  [725, '12:05'],
  [3600, '1:00:00'],
  [3909, '1:05:09'],
  [-3, '0:00'],
])('%i seconds read %s', (seconds, text) => expect(timer(seconds)).toBe(text));

test.each([
  [59, '0′'],
  [720, '12′'],
  [6000, '1:40'],
  [400_000, '>99:00'],
])('%i seconds in a unit cell read %s', (seconds, text) => expect(minutes(seconds)).toBe(text));

test('the clock shows the time of Uzbekistan wherever the browser stands', () => {
  expect(clockTime('2026-11-23T21:05:09Z')).toBe('02:05:09');
  expect(clockTime('2026-11-23T21:05:09Z', false)).toBe('02:05');
  expect(clockTime('not a time')).toBe('–');
});

test('an age is never negative, whatever the clocks say', () => {
  const at = Date.parse('2026-11-23T10:00:00Z');
  expect(secondsSince('2026-11-23T10:00:00Z', at + 1999)).toBe(1);
  expect(secondsSince('2026-11-23T10:00:00Z', at - 5000)).toBe(0);
});

test('metres turn to kilometres from a thousand on', () => {
  expect(distance(35.4, 'm', 'km')).toBe('35 m');
  expect(distance(1240, 'm', 'km')).toBe('1.2 km');
});

test('a position is believed for a minute, hollow until five, then struck', () => {
  expect([0, 60, 61, 300, 301].map(freshness)).toEqual(['fresh', 'fresh', 'hollow', 'hollow', 'struck']);
  expect(freshness(null)).toBe('none');
});

test('the age of a position counts on from what the server said', () => {
  const positions = new Positions();
  positions.take({ type: 'positions', region: 'UZ-TK', at: '', units: [['TK-A1', 69.2, 41.3, 90, 20]] }, 1_000_000);
  expect(positions.age_s('TK-A1', 1_045_000)).toBe(65);
  expect(positions.age_s('TK-A2', 1_045_000)).toBeNull();
  positions.keepRegions(['UZ-TO']);
  expect(positions.age_s('TK-A1', 1_045_000)).toBeNull();
});
