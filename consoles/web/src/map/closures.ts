// Closed and slow roads on the map. Told apart by pattern as well as by colour: a closed road is striped like a
// barrier's tape, a slow one runs between two rails, one that is only previewed is dotted. Each has its sign.

import { linesOf, phaseOf, signOf } from '../closures';
import type { ClosurePreview, ClosureRow, Line } from '../wire';
import type { Paint } from './basemap';
import type { Spot, View } from './layers';

export interface ClosureScene {
  rows: readonly ClosureRow[];
  preview: ClosurePreview | null;
  marked: string | null;
  /** Service time in milliseconds. */
  now: number;
}

const SIGNS_FROM_ZOOM = 8;
const CASING_PX = 9;
const INNER_PX = 5;
const SIGN_PX = 9;
const MARGIN_PX = 40;
const STRIPES = [8, 7];

/** Paints all that stands and answers where each sign is, for the pointer. */
export function paintClosures(ctx: CanvasRenderingContext2D, view: View, scene: ClosureScene, paint: Paint): Spot[] {
  const spots: Spot[] = [];
  for (const row of scene.rows) {
    const shape = shapeOf(view, row);
    if (!shape.inside) continue;
    const coming = phaseOf(row, scene.now) === 'coming';
    ctx.save();
    ctx.globalAlpha = coming ? 0.55 : 1;
    if (row.closure_id === scene.marked) stroke(ctx, shape.path, CASING_PX + 6, paint('--accent'));
    if (row.factor === null) paintTape(ctx, shape.path, paint);
    else paintRails(ctx, shape.path, paint);
    const sign = view.project(...signOf(row.line));
    paintSign(ctx, { ...sign, size: view.zoom < SIGNS_FROM_ZOOM ? SIGN_PX * 0.6 : SIGN_PX }, row.factor, paint);
    ctx.restore();
    spots.push({ id: row.closure_id, ...sign });
  }
  if (scene.preview) paintPreview(ctx, view, scene.preview, paint);
  return spots.reverse();
}

/** Its lines, or its circle, as a path; and whether any of it can be in sight. */
function shapeOf(view: View, drawn: { line: Line; more: readonly Line[]; radius_m: number }): { path: Path2D; inside: boolean } {
  const path = new Path2D();
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const line of linesOf(drawn)) {
    const circle = line.length === 1;
    line.forEach(([lon, lat], index) => {
      const { x, y } = view.project(lon, lat);
      const reach = circle ? Math.max(4, drawn.radius_m / view.metresPerPixel(lat)) : 0;
      [left, top] = [Math.min(left, x - reach), Math.min(top, y - reach)];
      [right, bottom] = [Math.max(right, x + reach), Math.max(bottom, y + reach)];
      if (circle) path.arc(x, y, reach, 0, Math.PI * 2);
      else if (index === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    });
  }
  const inside = right > -MARGIN_PX && bottom > -MARGIN_PX && left < view.width + MARGIN_PX && top < view.height + MARGIN_PX;
  return { path, inside };
}

function stroke(ctx: CanvasRenderingContext2D, path: Path2D, width: number, colour: string, dash: number[] = []): void {
  ctx.setLineDash(dash);
  ctx.lineJoin = 'round';
  ctx.lineWidth = width;
  ctx.strokeStyle = colour;
  ctx.stroke(path);
}

function paintTape(ctx: CanvasRenderingContext2D, path: Path2D, paint: Paint): void {
  stroke(ctx, path, CASING_PX, paint('--closure'));
  stroke(ctx, path, INNER_PX, paint('--on-closure'));
  stroke(ctx, path, INNER_PX, paint('--closure'), STRIPES);
}

function paintRails(ctx: CanvasRenderingContext2D, path: Path2D, paint: Paint): void {
  stroke(ctx, path, CASING_PX, paint('--closure'));
  stroke(ctx, path, INNER_PX, paint('--map-land'));
}

/** A bar in a circle where nobody drives through, the factor in a tag where it takes longer. */
function paintSign(
  ctx: CanvasRenderingContext2D,
  at: { x: number; y: number; size: number },
  factor: number | null,
  paint: Paint,
): void {
  const { x, y, size } = at;
  ctx.setLineDash([]);
  ctx.lineWidth = 2;
  ctx.strokeStyle = paint('--map-halo');
  ctx.fillStyle = paint('--closure');
  ctx.beginPath();
  if (factor === null) ctx.arc(x, y, size, 0, Math.PI * 2);
  else ctx.roundRect(x - size * 1.5, y - size, size * 3, size * 2, 3);
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = paint('--on-closure');
  if (factor === null) {
    ctx.fillRect(x - size * 0.6, y - size * 0.22, size * 1.2, size * 0.44);
    return;
  }
  ctx.font = `600 ${Math.round(size * 1.25)}px "Noto Sans"`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.fillText(`×${factor}`, x, y + 0.5);
}

function paintPreview(ctx: CanvasRenderingContext2D, view: View, preview: ClosurePreview, paint: Paint): void {
  const { path } = shapeOf(view, preview);
  ctx.save();
  stroke(ctx, path, CASING_PX, paint('--map-halo'));
  ctx.lineCap = 'round';
  stroke(ctx, path, INNER_PX, paint('--accent'), [0.1, INNER_PX * 1.6]);
  ctx.restore();
}
