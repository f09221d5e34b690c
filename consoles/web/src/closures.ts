// Closed and slow roads as rows: which are in force, in which order, and where on the map they lie. Pure.

import type { ClosureRow, Drawing, Line, NewClosure } from './wire';

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

/** What the form says: `factor` 1 closes, `hours` 0 is until it is opened again. */
export interface Form {
  drawing: Drawing;
  factor: number;
  hours: number;
  reason: string;
}

/** A closure that was asked for, as it was sent. */
export interface Asked {
  form: string;
  closure: NewClosure;
  key: string;
}

/** What to send for a form. While nobody knows whether the request before it arrived, the same form is that request again,
 *  with its key and its end, so that pressing twice closes once. */
export function asking(before: Asked | null, said: Form, now: number, newKey: () => string): Asked {
  const form = JSON.stringify(said);
  if (before?.form === form) return before;
  const { drawing, factor, hours, reason } = said;
  const until = endAfter(hours, now);
  const closure = { ...drawing, reason, ...(factor > 1 ? { factor } : {}), ...(until ? { until } : {}) };
  return { form, closure, key: newKey() };
}

/** The moment so many hours after `now` (milliseconds) as the server takes it; none without hours. */
export function endAfter(hours: number, now: number): string | undefined {
  return hours > 0 ? new Date(now + hours * 3_600_000).toISOString() : undefined;
}
