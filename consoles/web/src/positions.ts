// Where units were last seen. Not reactive: thousands of points a second go straight to the canvas.

import type { Positions as PositionsFrame } from './wire';

export const HOLLOW_AFTER_S = 60;
export const STRUCK_AFTER_S = 300;

export interface Fix {
  region: string;
  lon: number;
  lat: number;
  heading: number | null;
  /** Wall time of the fix, in milliseconds of `performance.now()`. */
  at: number;
}
export type Freshness = 'fresh' | 'hollow' | 'struck' | 'none';

export class Positions {
  readonly fixes = new Map<string, Fix>();
  version = 0;

  take(frame: PositionsFrame, now: number): void {
    for (const [unit, lon, lat, heading, age_s] of frame.units) {
      this.fixes.set(unit, { region: frame.region, lon, lat, heading, at: now - age_s * 1000 });
    }
    this.version += 1;
  }

  age_s(unit: string, now: number): number | null {
    const fix = this.fixes.get(unit);
    return fix ? Math.max(0, (now - fix.at) / 1000) : null;
  }

  keepRegions(regions: readonly string[]): void {
    for (const [unit, fix] of this.fixes) if (!regions.includes(fix.region)) this.fixes.delete(unit);
    this.version += 1;
  }

  clear(): void {
    this.fixes.clear();
    this.version += 1;
  }
}

/** A position is believed for a minute, shown hollow until five, and struck after that. */
export function freshness(age_s: number | null): Freshness {
  if (age_s === null) return 'none';
  if (age_s > STRUCK_AFTER_S) return 'struck';
  return age_s > HOLLOW_AFTER_S ? 'hollow' : 'fresh';
}
