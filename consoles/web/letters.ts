// Cuts the bundled extension fonts down to the letters of our five languages, at build time: whole, they
// would weigh 160 kB; the letters that Uzbek, Karakalpak and the proposed new Latin need weigh 15 kB.

import subset from 'subset-font';
import type { Plugin } from 'vite';

const LATIN = [range(0x0100, 0x017f), 'ƏəǴǵ'].join('');
const CYRILLIC = 'ҒғҚқҢңҮүҰұҲҳҺһӘәӨө';
/** By the file name that the font package gives; the basic Latin and Cyrillic files stay whole. */
const LETTERS: Record<string, string> = {
  'noto-sans-latin-ext': LATIN,
  'noto-sans-cyrillic-ext': CYRILLIC,
};

function range(first: number, last: number): string {
  return Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i)).join('');
}

export function ourLettersOnly(): Plugin {
  return {
    name: 'our-letters-only',
    apply: 'build',
    async generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'asset' || typeof file.source === 'string') continue;
        const font = Object.keys(LETTERS).find((name) => file.fileName.includes(name));
        if (!font) continue;
        file.source = await subset(Buffer.from(file.source), LETTERS[font] ?? '', { targetFormat: 'woff2' });
      }
    },
  };
}
