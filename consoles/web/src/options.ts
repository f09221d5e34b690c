// A recommendation as the choices a person can take with one key: the best, then at most two exchanges.

import type { Candidate, Recommendation } from './wire';

export interface Option {
  /** The units that would be sent together. */
  units: Candidate[];
  /** The unit that makes this option differ from the best one; null in the best. */
  instead: { unit: Candidate; of: Candidate } | null;
  /** Seconds until the last unit is there; null when any is unknown. */
  slowest_s: number | null;
}

export const FRESH_S = 10;
const OPTIONS_MAX = 12;

export function optionsOf(recommendation: Recommendation): Option[] {
  const best = recommendation.chosen;
  if (best.length === 0) return [];
  const exchanges = recommendation.alternatives.flatMap((unit) => exchange(best, unit));
  return [{ units: best, instead: null, slowest_s: slowest(best) }, ...exchanges].slice(0, OPTIONS_MAX);
}

function exchange(best: Candidate[], unit: Candidate): Option[] {
  const of = replacedBy(best, unit);
  if (!of) return [];
  const units = best.map((chosen) => (chosen === of ? unit : chosen));
  return [{ units, instead: { unit, of }, slowest_s: slowest(units) }];
}

/** The chosen unit that an alternative stands for: the one it names, else the first of its body. */
function replacedBy(best: Candidate[], unit: Candidate): Candidate | undefined {
  const named = best.find((chosen) => chosen.unit_id === unit.alternative_to);
  return named ?? best.find((chosen) => chosen.body === unit.body);
}

function slowest(units: Candidate[]): number | null {
  const times = units.map((unit) => unit.eta_s);
  return times.some((time) => time === null) ? null : Math.max(...(times as number[]));
}

export function unitIds(option: Option | undefined): string[] {
  return option?.units.map((unit) => unit.unit_id) ?? [];
}

/** Whether two options would send the same units, in whatever order. */
export function sendsSame(a: Option | undefined, b: Option | undefined): boolean {
  if (!a || !b) return false;
  return [...unitIds(a)].sort().join() === [...unitIds(b)].sort().join();
}
