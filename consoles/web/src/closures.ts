// Closed and slow roads as rows: which are in force, in which order, and where on the map they lie. Pure.

import type { ClosureRow, Line } from './wire';

export type Phase = 'coming' | 'now' | 'over';

/** The server keeps a closure on the board until another one is made: what is over is known here by the clock. */
export function phaseOf(row: Pick<ClosureRow, 'since' | 'until'>, now: number): Phase {
  if (row.until !== null && Date.parse(row.until) <= now) return 'over';
  return Date.parse(row.since) > now ? 'coming' : 'now';
}

/** Those not yet over, the latest first. */
export function standing(rows: readonly ClosureRow[], now: number): ClosureRow[] {
  return rows
    .filter((row) => phaseOf(row, now) !== 'over')
    .sort((a, b) => b.at.localeCompare(a.at) || a.closure_id.localeCompare(b.closure_id));
}

export function linesOf(drawn: { line: Line; more: readonly Line[] }): Line[] {
  return [drawn.line, ...drawn.more];
}

/** Where its sign stands: the middle point of its first line, which is the longest. */
export function signOf(line: Line): readonly [number, number] {
  const [before, after] = [line[Math.floor((line.length - 1) / 2)], line[Math.ceil((line.length - 1) / 2)]];
  if (!before || !after) return [0, 0];
  return [(before[0] + after[0]) / 2, (before[1] + after[1]) / 2];
}

/** The moment so many hours after `now` (milliseconds) as the server takes it; none without hours. */
export function endAfter(hours: number, now: number): string | undefined {
  return hours > 0 ? new Date(now + hours * 3_600_000).toISOString() : undefined;
}
