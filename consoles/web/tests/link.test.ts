import { describe, expect, test } from 'vitest';
import { backoffMs, judge } from '../src/link';
import type { LinkFacts } from '../src/link';

const OPEN: LinkFacts = { open: true, everLive: true, downSince: null, lastFrameAt: 10_000 };

describe('a broken link', () => {
  const broken: LinkFacts = { ...OPEN, open: false, downSince: 10_200 };
  test('is amber at once', () => expect(judge(broken, 10_200)).toBe('unsure'));
  test('is lost after three seconds', () => {
    expect(judge(broken, 13_199)).toBe('unsure');
    expect(judge(broken, 13_200)).toBe('lost');
  });
});

describe('a silent link', () => {
  test('is live while heartbeats come each second', () => expect(judge(OPEN, 11_900)).toBe('live'));
  test('is amber when two are missing', () => expect(judge(OPEN, 12_000)).toBe('unsure'));
  test('is lost after four seconds though the socket stands open', () => expect(judge(OPEN, 14_000)).toBe('lost'));
});

test('a console that was never connected says that it connects, then that it cannot', () => {
  const first: LinkFacts = { open: false, everLive: false, downSince: 0, lastFrameAt: 0 };
  expect(judge(first, 500)).toBe('connecting');
  expect(judge(first, 3_000)).toBe('lost');
});

test('attempts come slower and slower, never slower than two and a half seconds, and spread', () => {
  expect(backoffMs(0, 0)).toBeLessThan(backoffMs(3, 0));
  expect(backoffMs(50, 1)).toBe(2500);
  expect(backoffMs(50, 0)).toBe(1500);
});
