// What moves over the ground: units and incidents, painted on two plain canvases. A thousand units cost a
// fifth of what they cost as map features, and the incidents keep their colours when the rest is greyed.

import { freshness } from '../positions';
import type { Positions } from '../positions';
import { SHAPES } from '../shapes';
import type { IncidentRow, UnitCell } from '../wire';
import type { Paint } from './basemap';
import { paintLabels } from './labels';
import type { Label } from './labels';

export type Project = (lon: number, lat: number) => { x: number; y: number };

export interface View {
  project: Project;
  zoom: number;
  width: number;
  height: number;
  metresPerPixel: (lat: number) => number;
}
export interface Spot {
  id: string;
  x: number;
  y: number;
}

const LABELS_FROM_ZOOM = 11.5;
/** Farther out, an incident that waits for nobody is a dot: pins are for what still needs a decision. */
const PINS_FROM_ZOOM = 8;
const MARGIN_PX = 30;
const paths = new Map<string, Path2D>();

function pathOf(d: string): Path2D {
  const known = paths.get(d) ?? new Path2D(d);
  paths.set(d, known);
  return known;
}

function isInside(view: View, x: number, y: number): boolean {
  return x > -MARGIN_PX && y > -MARGIN_PX && x < view.width + MARGIN_PX && y < view.height + MARGIN_PX;
}

export interface UnitScene {
  units: readonly UnitCell[];
  positions: Positions;
  now: number;
  selected: string | null;
  /** Units of the selected incident: ringed, and joined to it by a line. */
  incident: IncidentRow | null;
  /** Units of the best recommendation: ringed with dashes until they are sent. */
  advised: readonly string[];
}

/** Paints the units and answers where each one is, for the pointer. */
export function paintUnits(ctx: CanvasRenderingContext2D, view: View, scene: UnitScene, paint: Paint): Spot[] {
  const spots: Spot[] = [];
  const labels: Label[] = [];
  const size = view.zoom < 7.5 ? 5 : view.zoom < 10 ? 8 : 13;
  for (const unit of scene.units) {
    const fix = scene.positions.fixes.get(unit.unit_id);
    if (!fix || !unit.on_shift) continue;
    const { x, y } = view.project(fix.lon, fix.lat);
    if (!isInside(view, x, y)) continue;
    const related = scene.incident !== null && unit.incident_id === scene.incident.incident_id;
    const advised = scene.advised.includes(unit.unit_id);
    if ((related || advised) && scene.incident) paintLine(ctx, view, { x, y, dash: advised ? [2, 5] : [6, 3] }, scene.incident, paint);
    paintUnit(ctx, { x, y, size }, unit, freshness((scene.now - fix.at) / 1000), paint);
    const marked = related || advised || unit.unit_id === scene.selected;
    if (marked) paintRing(ctx, x, y, size, paint('--accent'));
    if (marked || view.zoom >= LABELS_FROM_ZOOM) {
      labels.push({ text: unit.call_sign, x: x + size / 2 + 4, y, marked });
    }
    spots.push({ id: unit.unit_id, x, y });
  }
  paintLabels(ctx, labels, paint);
  return spots;
}

function paintUnit(
  ctx: CanvasRenderingContext2D,
  at: { x: number; y: number; size: number },
  unit: UnitCell,
  seen: ReturnType<typeof freshness>,
  paint: Paint,
): void {
  const shape = SHAPES[unit.status] ?? SHAPES.out_of_service;
  const scale = at.size / 16;
  ctx.save();
  ctx.translate(at.x - at.size / 2, at.y - at.size / 2);
  ctx.scale(scale, scale);
  const path = pathOf(shape.path);
  ctx.lineWidth = 4;
  ctx.strokeStyle = paint('--map-halo');
  ctx.stroke(path);
  const colour = paint(shape.colour);
  if (shape.filled && seen === 'fresh') {
    ctx.fillStyle = colour;
    ctx.fill(path);
  } else {
    ctx.fillStyle = paint('--map-land');
    ctx.fill(path);
    ctx.lineWidth = 2.4;
    ctx.strokeStyle = colour;
    ctx.stroke(path);
  }
  if (seen === 'struck') {
    ctx.beginPath();
    ctx.moveTo(0, 16);
    ctx.lineTo(16, 0);
    ctx.strokeStyle = paint('--ink');
    ctx.stroke();
  }
  ctx.restore();
}

function paintRing(ctx: CanvasRenderingContext2D, x: number, y: number, size: number, colour: string): void {
  ctx.beginPath();
  ctx.arc(x, y, size / 2 + 5, 0, Math.PI * 2);
  ctx.lineWidth = 2;
  ctx.strokeStyle = colour;
  ctx.stroke();
}

function paintLine(
  ctx: CanvasRenderingContext2D,
  view: View,
  from: { x: number; y: number; dash: number[] },
  incident: IncidentRow,
  paint: Paint,
): void {
  if (incident.lat === null || incident.lon === null) return;
  const end = view.project(incident.lon, incident.lat);
  ctx.save();
  ctx.beginPath();
  ctx.setLineDash(from.dash);
  ctx.moveTo(from.x, from.y);
  ctx.lineTo(end.x, end.y);
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = paint('--accent');
  ctx.stroke();
  ctx.restore();
}

export interface IncidentScene {
  rows: readonly IncidentRow[];
  selected: string | null;
}

/** Paints incidents as pins with their priority's number, the most urgent on top. */
export function paintIncidents(
  ctx: CanvasRenderingContext2D,
  view: View,
  scene: IncidentScene,
  paint: Paint,
): Spot[] {
  const spots: Spot[] = [];
  const rows = [...scene.rows].sort((a, b) => rank(a, scene.selected) - rank(b, scene.selected));
  for (const row of rows) {
    if (row.lat === null || row.lon === null) continue;
    const { x, y } = view.project(row.lon, row.lat);
    const selected = row.incident_id === scene.selected;
    if (selected) paintUncertainty(ctx, view, row, x, y, paint);
    if (!isInside(view, x, y)) continue;
    const pinned = row.waiting || selected || view.zoom >= PINS_FROM_ZOOM;
    if (pinned) paintPin(ctx, x, y, row, selected, paint);
    else paintDot(ctx, x, y, row, paint);
    spots.push({ id: row.incident_id, x, y: pinned ? y - 13 : y });
  }
  return spots.reverse();
}

function rank(row: IncidentRow, selected: string | null): number {
  if (row.incident_id === selected) return 100;
  return (row.waiting ? 10 : 0) + 4 - Number(row.priority.slice(1));
}

const PIN = 'M0 0C-3 -5 -9 -8 -9 -15A9 9 0 0 1 9 -15C9 -8 3 -5 0 0Z';

function paintPin(
  ctx: CanvasRenderingContext2D,
  x: number,
  y: number,
  row: IncidentRow,
  selected: boolean,
  paint: Paint,
): void {
  const level = row.priority.toLowerCase();
  const scale = row.priority === 'P1' ? 1.15 : selected ? 1.1 : 0.9;
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(scale, scale);
  const path = pathOf(PIN);
  ctx.lineWidth = selected ? 6 : 3;
  ctx.strokeStyle = paint(selected ? '--accent' : '--map-halo');
  ctx.stroke(path);
  ctx.fillStyle = row.waiting ? paint(`--${level}`) : paint('--panel');
  ctx.fill(path);
  if (!row.waiting) {
    ctx.lineWidth = 2;
    ctx.strokeStyle = paint(`--${level}`);
    ctx.stroke(path);
  }
  ctx.fillStyle = row.waiting ? paint(`--on-${level}`) : paint('--ink');
  ctx.font = '600 12px "Noto Sans"';
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.fillText(row.priority.slice(1), 0, -14.5);
  ctx.restore();
}

function paintDot(ctx: CanvasRenderingContext2D, x: number, y: number, row: IncidentRow, paint: Paint): void {
  ctx.beginPath();
  ctx.arc(x, y, row.priority === 'P1' ? 3.5 : 3, 0, Math.PI * 2);
  ctx.fillStyle = paint('--panel');
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = paint(`--${row.priority.toLowerCase()}`);
  ctx.stroke();
}

function paintUncertainty(
  ctx: CanvasRenderingContext2D,
  view: View,
  row: IncidentRow,
  x: number,
  y: number,
  paint: Paint,
): void {
  if (row.accuracy_m === null || row.lat === null) return;
  const radius = row.accuracy_m / view.metresPerPixel(row.lat);
  if (radius < 4) return;
  ctx.save();
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, Math.PI * 2);
  ctx.globalAlpha = 0.14;
  ctx.fillStyle = paint('--accent');
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = paint('--accent');
  ctx.stroke();
  ctx.restore();
}

/** The thing nearest to a point, within `reach` pixels. */
export function nearest(spots: readonly Spot[], x: number, y: number, reach: number): string | null {
  let found: string | null = null;
  let best = reach;
  for (const spot of spots) {
    const away = Math.hypot(spot.x - x, spot.y - y);
    if (away < best) [found, best] = [spot.id, away];
  }
  return found;
}
