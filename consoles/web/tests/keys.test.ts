import { describe, expect, test } from 'vitest';
import { actOf, isOurs } from '../src/keys';
import type { Press, Scene } from '../src/keys';

function press(code: string, changed: Partial<Press> = {}): Press {
  return { code, repeat: false, ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, ...changed };
}
function scene(changed: Partial<Scene> = {}): Scene {
  return { atWork: true, typing: false, locked: false, ...changed };
}

describe('function keys', () => {
  test.each([
    ['F9', 'confirm'],
    ['F8', 'next'],
    ['F10', 'recall'],
    ['F4', 'closures'],
    ['Escape', 'leave'],
  ])('%s means %s anywhere, even while typing', (code, act) => {
    expect(actOf(press(code), scene({ atWork: false, typing: true }))).toBe(act);
  });

  test('a held F9 confirms once', () => {
    expect(actOf(press('F9', { repeat: true }), scene())).toBeNull();
  });

  test('F9 does nothing while an order is on its way or just went', () => {
    expect(actOf(press('F9'), scene({ locked: true }))).toBeNull();
  });

  test('the lock never keeps anybody from recalling or going on', () => {
    expect(actOf(press('F10'), scene({ locked: true }))).toBe('recall');
    expect(actOf(press('F8'), scene({ locked: true }))).toBe('next');
  });

  test('a key with a modifier belongs to the browser', () => {
    expect(actOf(press('F9', { ctrlKey: true }), scene())).toBeNull();
    expect(isOurs(press('F10', { altKey: true }))).toBe(false);
    expect(isOurs(press('F10'))).toBe(true);
  });
});

describe('single characters', () => {
  test('take an alternative only while queue or card has focus', () => {
    expect(actOf(press('Digit2'), scene())).toBe('second');
    expect(actOf(press('Numpad3'), scene())).toBe('third');
    expect(actOf(press('Digit2'), scene({ atWork: false }))).toBeNull();
  });

  test('are text while somebody types', () => {
    expect(actOf(press('Digit2'), scene({ typing: true }))).toBeNull();
  });

  test('obey the lock', () => {
    expect(actOf(press('Digit3'), scene({ locked: true }))).toBeNull();
  });
});
