// Every catalogue is complete, names the same parameters, and is written in its own letters.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SERVERS } from '../src/wire';

type Catalogue = Record<string, string>;
const read = (tag: string): Catalogue =>
  JSON.parse(readFileSync(new URL(`../src/lang/${tag}.json`, import.meta.url), 'utf8')) as Catalogue;
const english = read('en');
const parameters = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
/** Names that stay as they are in every script. */
const FOREIGN = /AML|SMS|eCall|Redis|Natural Earth|F8|F9|F10|\{\w+\}/g;

describe.each(['uz-Latn', 'uz-Cyrl', 'ru', 'kaa'])('%s', (tag) => {
  const own = read(tag);

  test('has a text for every key and no other', () => {
    expect(Object.keys(own).sort()).toEqual(Object.keys(english).sort());
    expect(Object.entries(own).filter(([, text]) => text.trim() === '')).toEqual([]);
  });

  test('fills in the same parameters as English', () => {
    const differing = Object.keys(english).filter(
      (key) => parameters(own[key] ?? '').join() !== parameters(english[key] ?? '').join(),
    );
    expect(differing).toEqual([]);
  });
});

test.each(['uz-Latn', 'kaa'])('%s is written in Latin letters with the right apostrophes', (tag) => {
  const wrong = Object.values(read(tag)).filter((text) => /[Ѐ-ӿ'’‘`]/.test(text));
  expect(wrong).toEqual([]);
});

test.each(['uz-Cyrl', 'ru'])('%s is written in Cyrillic letters', (tag) => {
  const wrong = Object.values(read(tag)).filter((text) => /[A-Za-z]/.test(text.replace(FOREIGN, '')));
  expect(wrong).toEqual([]);
});

test('every server that may be away has words', () => {
  expect(SERVERS.filter((server) => !(`health.${server}` in english))).toEqual([]);
});

test('every refusal that has words is one that the service can give', () => {
  const listed = readFileSync(new URL('../../../docs/refusals.md', import.meta.url), 'utf8');
  const known = [...listed.matchAll(/^\| `(\w+)`/gm)].map((found) => found[1]);
  const worded = Object.keys(english).filter((key) => key.startsWith('refusal.'));
  expect(worded.filter((key) => !known.includes(key.slice('refusal.'.length)))).toEqual([]);
});
