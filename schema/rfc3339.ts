/** RFC 3339 date-times (section 5.6), strictly: an offset is required, and the date must exist. */

const DATE_TIME =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/**
 * Parses an RFC 3339 date-time.
 *
 * A leap second (`23:59:60` UTC) is read as the second after it; digits beyond milliseconds are cut off.
 *
 * @returns epoch milliseconds, or null where `text` is not such a date-time
 */
export function parseRfc3339(text: string): number | null {
  const match = DATE_TIME.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const leapDay = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
  if (month < 1 || month > 12 || day < 1 || day > DAYS[month - 1]! + leapDay) return null;
  if (hour > 23 || minute > 59 || second > 60) return null;
  const offsetHour = Number(match[9] ?? 0);
  const offsetMinute = Number(match[10] ?? 0);
  if (offsetHour > 23 || offsetMinute > 59) return null;
  const milliseconds = Number((match[7] ?? "").slice(0, 3).padEnd(3, "0"));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would read the years 0 to 99 as 19xx
  const local = date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + milliseconds;
  const offset = (offsetHour * 60 + offsetMinute) * 60_000;
  const time = local - (match[8] === "-" ? -offset : offset);
  if (second === 60 && (time - milliseconds) % 86_400_000 !== 0) return null;
  return time;
}
