// Times, distances and ages as short text. Digits only, so that one form serves every language.

/** Whole seconds from `iso` to `now` (milliseconds), never negative. */
export function secondsSince(iso: string, now: number): number {
  return Math.max(0, Math.floor((now - Date.parse(iso)) / 1000));
}

/** "0:42", "12:05", "1:05:09". */
export function timer(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const tail = `${String(Math.floor(s / 60) % 60).padStart(s >= 3600 ? 2 : 1, '0')}:${String(s % 60).padStart(2, '0')}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${tail}` : tail;
}

/** Minutes for a small cell: "0′", "12′", and from a hundred minutes on hours and minutes: "2:05". */
export function minutes(seconds: number): string {
  const whole = Math.floor(seconds / 60);
  if (whole < 100) return `${whole}′`;
  const hours = Math.floor(whole / 60);
  return hours > 99 ? '>99:00' : `${hours}:${String(whole % 60).padStart(2, '0')}`;
}

/** Wall-clock time of day in Uzbekistan (UTC+5, no daylight saving): "14:05:09". */
export function clockTime(time: number | string, withSeconds = true): string {
  const at = typeof time === 'string' ? Date.parse(time) : time;
  if (Number.isNaN(at)) return '–';
  const text = new Date(at + 5 * 3_600_000).toISOString();
  return text.slice(11, withSeconds ? 19 : 16);
}

/** "14:05", and on another day than `now` (milliseconds) with the date before it: "27.11 14:05". */
export function dayTime(time: string, now: number): string {
  const [at, today] = [Date.parse(time), now].map((one) => new Date(one + 5 * 3_600_000).toISOString());
  if (!at || !today) return '–';
  const day = at.slice(0, 10) === today.slice(0, 10) ? '' : `${at.slice(8, 10)}.${at.slice(5, 7)} `;
  return day + at.slice(11, 16);
}

export function coordinates(lat: number, lon: number): string {
  return `${lat.toFixed(5)}, ${lon.toFixed(5)}`;
}

/** "35 m" or "1.2 km"; the unit letters come from the catalogue. */
export function distance(metres: number, m: string, km: string): string {
  return metres < 1000 ? `${Math.round(metres)} ${m}` : `${(metres / 1000).toFixed(1)} ${km}`;
}
