// One region's board as the server keeps it: a snapshot, then deltas in an unbroken line.
// Pure: it never asks for anything; a gap is answered with `gap`, and the link asks again.

import type { Changes, ClosureRow, Delta, IncidentRow, CallRow, RegionBoard, Snapshot, UnitCell } from './wire';

export interface Kept {
  seq: number;
  /** Of which journal the number is: after a restore it may come again. */
  mark: string;
  board: RegionBoard;
}
export type Boards = Readonly<Record<string, Kept>>;
export type Outcome = { kind: 'applied'; boards: Boards } | { kind: 'old' } | { kind: 'gap' };

export function applySnapshot(boards: Boards, frame: Snapshot): Boards {
  return { ...boards, [frame.region]: { seq: frame.seq, mark: frame.mark, board: frame.board } };
}

/** A delta counts only when it starts where this board ends; one that ends no later is a repeat. */
export function applyDelta(boards: Boards, frame: Delta): Outcome {
  const kept = boards[frame.region];
  if (!kept) return { kind: 'gap' };
  if (frame.from !== kept.seq) return frame.to <= kept.seq ? { kind: 'old' } : { kind: 'gap' };
  const board = mergeBoard(kept.board, frame.changes);
  return { kind: 'applied', boards: { ...boards, [frame.region]: { seq: frame.to, mark: frame.mark, board } } };
}

export function mergeBoard(board: RegionBoard, changes: Changes): RegionBoard {
  const { incidents, calls, units, closures, ...whole } = changes;
  return {
    ...board,
    ...whole,
    incidents: mergeRows(board.incidents, incidents),
    calls: mergeRows(board.calls, calls),
    units: mergeRows(board.units, units),
    closures: mergeRows(board.closures, closures),
  };
}

function mergeRows<Row>(rows: Record<string, Row>, patch?: Record<string, Row | null>): Record<string, Row> {
  if (!patch) return rows;
  const merged = { ...rows };
  for (const [id, row] of Object.entries(patch)) {
    if (row === null) delete merged[id];
    else merged[id] = row;
  }
  return merged;
}

/** Boards of regions that are still covered; the rest would only grow old unseen. */
export function keepRegions(boards: Boards, regions: readonly string[]): Boards {
  return Object.fromEntries(Object.entries(boards).filter(([region]) => regions.includes(region)));
}

/** What a reconnecting console says it has: "UZ-TK:81:0c9e…,UZ-TO:40:a41b…". */
export function resumePoint(boards: Boards): string {
  return Object.entries(boards)
    .map(([region, kept]) => `${region}:${kept.seq}:${kept.mark}`)
    .join(',');
}

export function allIncidents(boards: Boards): IncidentRow[] {
  return Object.values(boards).flatMap((kept) => Object.values(kept.board.incidents));
}

export function allCalls(boards: Boards): CallRow[] {
  return Object.values(boards).flatMap((kept) => Object.values(kept.board.calls));
}

export function allUnits(boards: Boards): UnitCell[] {
  return Object.values(boards).flatMap((kept) => Object.values(kept.board.units));
}

export function allClosures(boards: Boards): ClosureRow[] {
  return Object.values(boards).flatMap((kept) => Object.values(kept.board.closures));
}

/** The region whose board holds the incident, or undefined. */
export function regionOf(boards: Boards, incidentId: string): string | undefined {
  return Object.keys(boards).find((region) => incidentId in (boards[region]?.board.incidents ?? {}));
}
