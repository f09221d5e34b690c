declare module 'subset-font' {
  /** The font with only the glyphs of `text`. */
  export default function subset(
    font: Buffer,
    text: string,
    options: { targetFormat: 'woff2' | 'woff' | 'truetype' },
  ): Promise<Buffer>;
}
