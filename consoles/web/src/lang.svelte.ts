// The words of the console: hand-written catalogues, one per language tag, loaded when chosen.
// Data (place names) comes from the server in all tags and is only picked here, never translated.

import fallback from './lang/en.json';
import type { Language, Names } from './wire';

export type Key = keyof typeof fallback;
type Catalogue = Record<string, string>;

export const LANGUAGES: readonly { tag: Language; name: string }[] = [
  { tag: 'uz-Latn', name: 'Oʻzbekcha' },
  { tag: 'uz-Cyrl', name: 'Ўзбекча' },
  { tag: 'ru', name: 'Русский' },
  { tag: 'kaa', name: 'Qaraqalpaqsha' },
  { tag: 'en', name: 'English' },
];
/** Written without a native speaker at hand; the console says so where this language is chosen. */
export const AWAITING_REVIEW: readonly Language[] = ['kaa'];

const LOADERS: Record<Language, () => Promise<{ default: Catalogue }>> = {
  'uz-Latn': () => import('./lang/uz-Latn.json'),
  'uz-Cyrl': () => import('./lang/uz-Cyrl.json'),
  ru: () => import('./lang/ru.json'),
  kaa: () => import('./lang/kaa.json'),
  en: () => Promise.resolve({ default: fallback }),
};
const REMEMBERED = 'dispatch112.language';

class Words {
  tag = $state<Language>('en');
  catalogue = $state.raw<Catalogue>(fallback);
}
export const words = new Words();

/** What a language is called by those who speak it; one that the console does not know keeps its tag. */
export function languageName(tag: string | null | undefined): string {
  return LANGUAGES.find((language) => language.tag === tag)?.name ?? tag ?? '';
}

export function isLanguage(tag: string | null | undefined): tag is Language {
  return LANGUAGES.some((language) => language.tag === tag);
}

/** The language of this workplace: remembered, else the browser's, else Uzbek in Latin letters. */
export function preferredLanguage(): Language {
  const remembered = localStorage.getItem(REMEMBERED);
  if (isLanguage(remembered)) return remembered;
  const spoken = navigator.languages.map((tag) => (tag.startsWith('ru') ? 'ru' : tag));
  return spoken.find(isLanguage) ?? 'uz-Latn';
}

export async function speak(tag: Language, remember = true): Promise<void> {
  const loaded = await LOADERS[tag]();
  words.catalogue = loaded.default;
  words.tag = tag;
  document.documentElement.lang = tag;
  if (remember) localStorage.setItem(REMEMBERED, tag);
}

export function isRemembered(): boolean {
  return isLanguage(localStorage.getItem(REMEMBERED));
}

/** The text of a key with its parameters filled in. */
export function t(key: Key, parameters: Record<string, string | number> = {}): string {
  return fill(words.catalogue[key] ?? fallback[key], parameters);
}

/** A word of the service such as `status.en_route`; one that no catalogue knows is shown as it came. */
export function word(family: string, value: string, parameters: Record<string, string | number> = {}): string {
  const key = `${family}.${value}`;
  const text = words.catalogue[key] ?? (fallback as Catalogue)[key];
  return text === undefined ? value.replaceAll('_', ' ') : fill(text, parameters);
}

function fill(text: string, parameters: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(parameters[name] ?? whole));
}

/** A name in the operator's script, with the tag that it is really in, for the `lang` attribute. */
export function pick(names: Names | null | undefined): { text: string; lang: Language } | null {
  if (!names) return null;
  const order: Language[] = [words.tag, 'uz-Latn', 'uz-Cyrl', 'ru', 'en', 'kaa'];
  const lang = order.find((tag) => names[tag]);
  return lang ? { text: names[lang] ?? '', lang } : null;
}
