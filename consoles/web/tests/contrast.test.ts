// Contrast is computed, not judged by eye: WCAG 2.2, 4.5 for text, 3 for shapes and edges.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const sheet = readFileSync(new URL('../src/tokens.css', import.meta.url), 'utf8');

function tokens(theme: string): Record<string, string> {
  const block = sheet.split(`[data-theme='${theme}']`)[1]?.split('}')[0] ?? '';
  return Object.fromEntries([...block.matchAll(/(--[\w-]+): (#[0-9a-f]{6})/g)].map((found) => [found[1], found[2]]));
}

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const TEXT: [string, string][] = [
  ...['--ground', '--panel', '--raised', '--field'].flatMap((under): [string, string][] => [
    ['--ink', under],
    ['--ink-2', under],
  ]),
  ['--ink', '--accent-ground'],
  ['--ink-2', '--accent-ground'],
  ['--accent', '--panel'],
  ['--accent', '--raised'],
  ['--on-accent', '--accent'],
  ['--p1-ink', '--p1-ground'],
  ['--on-p1', '--p1'],
  ['--on-p2', '--p2'],
  ['--on-p3', '--p3'],
  ['--on-p4', '--p4'],
  ['--warn', '--warn-ground'],
  ['--warn', '--panel'],
  ['--warn', '--raised'],
  ['--on-alarm', '--alarm'],
  ['--simulation', '--simulation-ground'],
  ['--simulation', '--ground'],
  ['--map-label', '--map-land'],
  ['--on-closure', '--closure'],
];
const SHAPES: [string, string][] = [
  ...['--free', '--en-route', '--on-scene', '--transporting', '--returning', '--off'].flatMap(
    (shape): [string, string][] => [
      [shape, '--raised'],
      [shape, '--panel'],
      [shape, '--map-land'],
      [shape, '--accent-ground'],
    ],
  ),
  ['--closure', '--map-land'],
  ['--closure', '--map-road-major'],
  ['--edge', '--panel'],
  ['--edge', '--raised'],
  ['--edge', '--ground'],
  ['--p1', '--map-land'],
  ['--p2', '--map-land'],
  ['--p3', '--map-land'],
  ['--p4', '--map-land'],
  ['--p1', '--panel'],
  ['--p2', '--panel'],
  ['--p3', '--panel'],
  ['--good', '--ground'],
  ['--alarm', '--ground'],
];

describe.each(['light', 'dark'])('%s theme', (theme) => {
  const own = tokens(theme);
  const of = (pairs: [string, string][], least: number): string[] =>
    pairs.flatMap(([over, under]) => {
      const ratio = contrast(own[over] ?? '', own[under] ?? '');
      return ratio >= least ? [] : [`${over} on ${under}: ${ratio.toFixed(2)}`];
    });

  test('text reads at 4.5 to 1', () => expect(of(TEXT, 4.5)).toEqual([]));
  test('shapes and edges show at 3 to 1', () => expect(of(SHAPES, 3)).toEqual([]));
});

test('both themes name the same colours', () => {
  expect(Object.keys(tokens('light')).sort()).toEqual(Object.keys(tokens('dark')).sort());
});
