// Where each unit's cell stands: rows of a fixed number of columns, a label before each group. Only the rows
// in sight are drawn, so that a nation's three thousand units cost no more than one region's.

import type { Body, UnitCell } from './wire';

export interface Group {
  key: string;
  region: string;
  body: Body;
  units: UnitCell[];
  free: number;
}
export type Place = { kind: 'label'; group: Group } | { kind: 'unit'; unit: UnitCell };
export interface CellRow {
  key: string;
  places: Place[];
}

export const CELL_PX = 92;
export const ROW_PX = 27;
/** Rows drawn above and below the visible ones, so that scrolling never shows a hole. */
const SPARE_ROWS = 4;

export function columnsIn(width: number): number {
  return Math.max(3, Math.floor(width / CELL_PX));
}

/** Groups one after another, wrapped; a label takes `span` columns and never stands alone at a row's end. */
export function rowsOf(groups: readonly Group[], columns: number, span: number): CellRow[] {
  const rows: CellRow[] = [];
  let row: Place[] = [];
  let used = 0;
  const close = (): void => {
    if (row.length > 0) rows.push({ key: keyOf(row), places: row });
    row = [];
    used = 0;
  };
  for (const group of groups) {
    if (used + span + 1 > columns) close();
    row.push({ kind: 'label', group });
    used += span;
    for (const unit of group.units) {
      if (used + 1 > columns) close();
      row.push({ kind: 'unit', unit });
      used += 1;
    }
  }
  close();
  return rows;
}

function keyOf(row: Place[]): string {
  const first = row[0];
  if (!first) return '';
  return first.kind === 'label' ? first.group.key : first.unit.unit_id;
}

/** The rows to draw for a scroll position: [first, end). */
export function inSight(rows: number, top: number, height: number): [number, number] {
  const first = Math.max(0, Math.floor(top / ROW_PX) - SPARE_ROWS);
  const end = Math.min(rows, Math.ceil((top + height) / ROW_PX) + SPARE_ROWS);
  return [Math.min(first, end), end];
}

/** The row that holds a unit, or -1. */
export function rowWith(rows: readonly CellRow[], unit: string): number {
  return rows.findIndex((row) => row.places.some((place) => place.kind === 'unit' && place.unit.unit_id === unit));
}
