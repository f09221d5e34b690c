// A call that is being handed over says so in the list, and that something new about its place has not reached it.

import { expect, test } from 'vitest';
import { wayOf } from '../src/calls';
import { call } from './rows';

test.each([
  [['unlocated', 'no_number'], []],
  [['handing_over'], ['handing_over']],
  [['handing_over', 'taking_back'], ['taking_back']],
  [['unlocated', 'handing_over', 'evidence_waiting'], ['handing_over', 'evidence_waiting']],
  [['handing_over', 'taking_back', 'evidence_waiting'], ['taking_back', 'evidence_waiting']],
  [['evidence_waiting'], ['evidence_waiting']],
])('of the flags %j it says %j', (flags, said) => {
  expect(wayOf(call('c-1', { flags }))).toEqual(said);
});
