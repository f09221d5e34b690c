import { expect, test } from 'vitest';
import { optionsOf, sendsSame, unitIds } from '../src/options';
import { candidate, recommendation } from './rows';

const BEST = [candidate('TK-A1', { eta_s: 240 }), candidate('TK-A2', { eta_s: 300 }), candidate('TK-F1', { body: 'mes' })];

test('the best option sends everything that was chosen', () => {
  const [best] = optionsOf(recommendation({ chosen: BEST }));
  expect(unitIds(best)).toEqual(['TK-A1', 'TK-A2', 'TK-F1']);
  expect(best?.instead).toBeNull();
  expect(best?.slowest_s).toBe(300);
});

test('an alternative takes the place of the unit that it names', () => {
  const other = candidate('TK-A7', { eta_s: 420, alternative_to: 'TK-A2' });
  const [, second] = optionsOf(recommendation({ chosen: BEST, alternatives: [other] }));
  expect(unitIds(second)).toEqual(['TK-A1', 'TK-A7', 'TK-F1']);
  expect(second?.instead?.of.unit_id).toBe('TK-A2');
  expect(second?.slowest_s).toBe(420);
});

test('one that names nobody stands for the first of its body, and one of no body is left out', () => {
  const engine = candidate('TK-F9', { body: 'mes' });
  const gas = candidate('TK-G1', { body: 'gas' });
  const options = optionsOf(recommendation({ chosen: BEST, alternatives: [engine, gas] }));
  expect(options.map(unitIds)).toEqual([
    ['TK-A1', 'TK-A2', 'TK-F1'],
    ['TK-A1', 'TK-A2', 'TK-F9'],
  ]);
});

test('nothing chosen is nothing to confirm', () => {
  expect(optionsOf(recommendation({ alternatives: [candidate('TK-A1')] }))).toEqual([]);
});

test('a renewed recommendation is the same choice only when the same units would go', () => {
  const [best] = optionsOf(recommendation({ chosen: BEST }));
  const [turned] = optionsOf(recommendation({ chosen: [...BEST].reverse() }));
  const [other] = optionsOf(recommendation({ chosen: BEST.slice(1) }));
  expect(sendsSame(best, turned)).toBe(true);
  expect(sendsSame(best, other)).toBe(false);
  expect(sendsSame(best, undefined)).toBe(false);
});
