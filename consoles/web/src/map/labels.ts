// Call signs beside their units. Where two would cover each other the later one is left out; one that the
// operator asked for is always drawn.

import type { Paint } from './basemap';

export interface Label {
  text: string;
  /** Left edge and middle, in pixels. */
  x: number;
  y: number;
  marked: boolean;
}
interface Taken {
  left: number;
  right: number;
  y: number;
}

const LINE_PX = 13;
const FONT = '600 11px "Noto Sans"';

/** Those that fit beside one another, the marked ones first. `width` measures a text in pixels. */
export function fitting(labels: readonly Label[], width: (text: string) => number): Label[] {
  const taken: Taken[] = [];
  return [...labels]
    .sort((a, b) => Number(b.marked) - Number(a.marked))
    .filter((label) => {
      const place = { left: label.x, right: label.x + width(label.text) + 3, y: label.y };
      if (!label.marked && taken.some((one) => covers(one, place))) return false;
      taken.push(place);
      return true;
    });
}

function covers(a: Taken, b: Taken): boolean {
  return a.left < b.right && b.left < a.right && Math.abs(a.y - b.y) < LINE_PX;
}

export function paintLabels(ctx: CanvasRenderingContext2D, labels: readonly Label[], paint: Paint): void {
  ctx.font = FONT;
  ctx.textBaseline = 'middle';
  ctx.lineJoin = 'round';
  ctx.lineWidth = 3;
  ctx.strokeStyle = paint('--map-halo');
  ctx.fillStyle = paint('--ink');
  for (const { text, x, y } of fitting(labels, (one) => ctx.measureText(one).width)) {
    ctx.strokeText(text, x, y);
    ctx.fillText(text, x, y);
  }
}
