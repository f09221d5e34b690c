// Status as a shape, so that it never depends on colour alone. One path serves the DOM and the canvas.

import type { UnitStatus } from './wire';

export interface Shape {
  /** SVG path in a 16 × 16 box. */
  path: string;
  filled: boolean;
  /** The custom property with its colour. */
  colour: string;
}

const CIRCLE = 'M8 2.4a5.6 5.6 0 1 0 0 11.2a5.6 5.6 0 1 0 0-11.2z';
const TRIANGLE = 'M3.4 2L14.2 8L3.4 14z';
const TRIANGLE_BACK = 'M12.6 2L1.8 8L12.6 14z';
const SQUARE = 'M2.8 2.8h10.4v10.4H2.8z';
const DIAMOND = 'M8 1L15 8L8 15L1 8z';

export const SHAPES: Record<UnitStatus, Shape> = {
  available: { path: CIRCLE, filled: true, colour: '--free' },
  dispatched: { path: TRIANGLE, filled: false, colour: '--en-route' },
  acknowledged: { path: TRIANGLE, filled: false, colour: '--en-route' },
  en_route: { path: TRIANGLE, filled: true, colour: '--en-route' },
  on_scene: { path: SQUARE, filled: true, colour: '--on-scene' },
  transporting: { path: DIAMOND, filled: true, colour: '--transporting' },
  at_facility: { path: DIAMOND, filled: false, colour: '--transporting' },
  returning: { path: TRIANGLE_BACK, filled: true, colour: '--returning' },
  out_of_service: { path: CIRCLE, filled: false, colour: '--off' },
};

/** Legend order: what a dispatcher looks for first. */
export const LEGEND: readonly UnitStatus[] = [
  'available',
  'dispatched',
  'en_route',
  'on_scene',
  'transporting',
  'returning',
  'out_of_service',
];

/** Glyphs of the five bodies in a 16 × 16 box, drawn for this console. */
export const BODY_PATHS: Record<string, string> = {
  moh: 'M6 2h4v4h4v4h-4v4H6v-4H2V6h4z',
  mes: 'M8.6 1.2c.5 2.4-.6 3.5-1.7 4.9C5.8 7.5 4 8.6 4 10.9a4.05 4.05 0 0 0 8 0c0-1.9-.8-3-1.5-4c-.2 1-.7 1.6-1.4 1.9c.5-2.5.4-5.5-.5-7.6z',
  mia: 'M8 1l6 2.2v4.3c0 3.6-2.4 6.2-6 7.5c-3.6-1.3-6-3.9-6-7.5V3.2z',
  gas: 'M6 1h4v3h1.5A1.5 1.5 0 0 1 13 5.5V15H3V5.5A1.5 1.5 0 0 1 4.5 4H6z',
  nasp: 'M8 1.5a2.7 2.7 0 1 1 0 5.4a2.7 2.7 0 1 1 0-5.4zM2.5 14.5c0-3.7 2.3-6 5.5-6s5.5 2.3 5.5 6z',
};
