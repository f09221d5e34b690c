// What an error answer says about the command: refused, or perhaps done all the same.

import { expect, test } from 'vitest';
import { isInDoubt } from '../src/api';

test.each(['timed_out', 'fault', undefined])('after a 5xx with the code %s it may have been done', (code) => {
  expect(isInDoubt({ title: '', status: 503, code })).toBe(true);
});

test.each(['overloaded', 'service_away', 'not_ready'])('%s says that nothing was changed', (code) => {
  expect(isInDoubt({ title: '', status: 503, code })).toBe(false);
});

test('a 4xx was refused', () => {
  expect(isInDoubt({ title: '', status: 409, code: 'unit_taken' })).toBe(false);
});
