/** Durations and sizes as people write them in settings: `30m`, `500ms`, `64MiB`. */

/** Milliseconds of each unit, the greatest first. */
const DURATION_UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
/** Bytes of each unit, the greatest first. */
const SIZE_UNITS = { GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024, B: 1 } as const;

function parseWithUnit(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  if (match === null) return null;
  const unit = match[2] === "" ? 1 : Object.hasOwn(units, match[2]!) ? units[match[2]!]! : null;
  if (unit === null) return null;
  const value = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(value) ? value : null;
}

function formatWithUnit(value: number, units: Readonly<Record<string, number>>): string {
  for (const [name, factor] of Object.entries(units)) {
    if (value >= factor && value % factor === 0) return `${value / factor}${name}`;
  }
  return String(value);
}

/** Milliseconds of `10s`, `30m`, `24h`, `7d`, `500ms` or a plain number of milliseconds; null for anything else. */
export function parseDuration(text: string): number | null {
  return parseWithUnit(text, DURATION_UNITS);
}

/** Milliseconds in the greatest unit that divides them: the inverse of {@linkcode parseDuration}. */
export function formatDuration(milliseconds: number): string {
  return formatWithUnit(milliseconds, DURATION_UNITS);
}

/** Bytes of `512`, `8KiB`, `64MiB` or `2GiB`; null for anything else. Powers of 1024 only: `MB` means two things. */
export function parseSize(text: string): number | null {
  return parseWithUnit(text, SIZE_UNITS);
}

/** Bytes in the greatest unit that divides them: the inverse of {@linkcode parseSize}. */
export function formatSize(bytes: number): string {
  return formatWithUnit(bytes, SIZE_UNITS);
}
