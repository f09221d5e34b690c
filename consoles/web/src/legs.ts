// What a body's part in an incident still lacks. On the wire `needed` is what is missing now and
// `assigned` what is there: both change with every unit, and their sum is what the plan asks for.

import type { IncidentRow, Leg } from './wire';

export function missing(leg: Leg): number {
  return leg.status === 'cancelled' || leg.status === 'done' ? 0 : leg.needed;
}

export function total(leg: Leg): number {
  return leg.needed + leg.assigned;
}

/** Parts that ask for somebody or have somebody; one that is done and empty again is history. */
export function livingLegs(row: IncidentRow): Leg[] {
  return row.legs.filter((leg) => total(leg) > 0);
}

export function lacksUnits(row: IncidentRow): boolean {
  return row.legs.some((leg) => missing(leg) > 0);
}
