// What is said of an order and of its recall, by what the server answered.

import { beforeEach, expect, test, vi } from 'vitest';
import { advice } from '../src/advice.svelte';
import { api } from '../src/api';
import type { Answer } from '../src/api';
import { RECALL_WITHIN_MS } from '../src/keys';
import { live } from '../src/live.svelte';
import { sending } from '../src/sending.svelte';

const DONE: Answer<{ seq: number }> = { kind: 'done', value: { seq: 7 } };
const AWAY: Answer<{ seq: number }> = {
  kind: 'refused',
  problem: { title: '', status: 503, code: 'service_away' },
};
const UNKNOWN: Answer<{ seq: number }> = { kind: 'unknown' };
const recall = vi.spyOn(api, 'recall');

/** Units go, and what the server answers to their recall is told. */
async function recalled(...answers: Answer<{ seq: number }>[]): Promise<void> {
  for (const answer of answers) {
    recall.mockResolvedValueOnce(answer);
    await sending.recall();
  }
}

beforeEach(async () => {
  recall.mockReset();
  vi.spyOn(api, 'assign').mockResolvedValue(DONE);
  vi.spyOn(api, 'recommendation').mockResolvedValue(UNKNOWN);
  live.state = 'live';
  advice.incident = null;
  sending.last = null;
  Object.assign(sending, { lockedUntil: 0 });
  await sending.sendUnit('UZ-TK-1', 'TK-A1');
});

test('a recall that is refused leaves the units sent, and says so', async () => {
  const before = sending.last;
  await recalled(AWAY);
  expect(sending.last).toEqual(before);
  expect(sending.last?.outcome).toBe('sent');
  expect(sending.notice).toContain('TK-A1 not recalled');
});

test('a recall without an answer is not said to be about the sending', async () => {
  await recalled(UNKNOWN);
  expect(sending.last?.outcome).toBe('sent');
  expect(sending.notice).toContain('not known whether TK-A1 were recalled');
});

test('the key recalls again, as long as it would have', async () => {
  await recalled(AWAY, DONE);
  expect(recall).toHaveBeenCalledTimes(2);
  expect(sending.last?.outcome).toBe('recalled');
  expect(sending.notice).toBeNull();
});

test('a failed recall makes the time for another no longer', async () => {
  const left_ms = sending.recallLeft_ms(0);
  await recalled(AWAY);
  expect(sending.recallLeft_ms(0)).toBe(left_ms);
  expect(sending.recallLeft_ms((sending.last?.at ?? 0) + RECALL_WITHIN_MS)).toBe(0);
});

test('however often it is asked, the recall of one order is one, and that of the next another', async () => {
  await recalled(UNKNOWN, AWAY);
  Object.assign(sending, { lockedUntil: 0 });
  await sending.sendUnit('UZ-TK-1', 'TK-A2');
  await recalled(DONE);
  const [first, again, other] = recall.mock.calls.map(([, , key]) => key);
  expect(again).toBe(first);
  expect(other).not.toBe(first);
});

test('the reason for another choice is still asked after a failed recall, and not after one that was done', async () => {
  expect(sending.askWhy).toBe('UZ-TK-1');
  await recalled(AWAY);
  expect(sending.askWhy).toBe('UZ-TK-1');
  await recalled(DONE);
  expect(sending.askWhy).toBeNull();
});
