// The order of waiting work, and the promise that a row never moves under the cursor.

import type { CallRow, IncidentRow, UnitCell } from './wire';
import { BODIES } from './wire';

export interface Sections {
  waiting: readonly string[];
  working: readonly string[];
}

/** Priority first, then age: the order of the server's own queue. */
export function sortIncidents(rows: readonly IncidentRow[]): Sections {
  const sorted = [...rows].sort(byUrgency);
  const working = sorted.filter((row) => !row.waiting && row.status !== 'closed');
  return { waiting: sorted.filter((row) => row.waiting).map(idOf), working: working.map(idOf) };
}

function byUrgency(a: IncidentRow, b: IncidentRow): number {
  return (
    compare(a.priority, b.priority) || compare(a.opened_at, b.opened_at) || compare(a.incident_id, b.incident_id)
  );
}

/** By code point, as the server sorts: these are values, not words. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

const idOf = (row: IncidentRow): string => row.incident_id;

/** Incidents that are not in the frozen order: they wait behind the pinned "N new". */
export function newSince(frozen: Sections, current: Sections): string[] {
  const shown = new Set([...frozen.waiting, ...frozen.working]);
  return [...current.waiting, ...current.working].filter((id) => !shown.has(id));
}

/** The next most urgent waiting incident after the selected one; from the end it begins again. */
export function nextUrgent(waiting: readonly string[], selected: string | null): string | null {
  if (waiting.length === 0) return null;
  const index = selected === null ? -1 : waiting.indexOf(selected);
  return waiting[(index + 1) % waiting.length] ?? null;
}

/** A call that nobody has in hand, and one that somebody deals with; the others are joined to an incident or over. */
const WAITING_CALL = ['ringing', 'queued', 'transferred', 'abandoned', 'calling_back'];
const IN_HAND = ['claimed', 'answered', 'held'];

export function isWaiting(call: CallRow): boolean {
  return WAITING_CALL.includes(call.status);
}

/** Calls that nobody has come first, by priority and age as in the server's own queue; then those in hand. */
export function sortCalls(rows: readonly CallRow[]): CallRow[] {
  const group = (row: CallRow): number => (isWaiting(row) ? 0 : IN_HAND.includes(row.status) ? 1 : 2);
  // An unknown priority may be the worst, but must not push a known P1 back.
  const urgency = (row: CallRow): string => (isWaiting(row) ? (row.priority ?? 'P2') : '');
  return [...rows].sort(
    (a, b) =>
      group(a) - group(b) ||
      compare(urgency(a), urgency(b)) ||
      compare(a.at, b.at) ||
      compare(a.call_id, b.call_id),
  );
}

const bySign = new Intl.Collator('en', { numeric: true });

/** A unit's place on the board depends on nothing that changes during a shift. */
export function sortUnits(rows: readonly UnitCell[]): UnitCell[] {
  return [...rows].sort(
    (a, b) =>
      BODIES.indexOf(a.body) - BODIES.indexOf(b.body) ||
      bySign.compare(a.call_sign, b.call_sign) ||
      bySign.compare(a.unit_id, b.unit_id),
  );
}
