/** Numbers with units, times with a zone, and anybody's text as harmless text. PURE. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A count: `12,345`. */
export function count(value: number): string {
  return whole.format(value);
}

/** A rate or mean: one digit below 100. */
export function decimal(value: number): string {
  return Math.abs(value) < 100 ? oneDigit.format(value) : whole.format(value);
}

/** `1.5 MiB`. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (Math.abs(value) >= 1024 && index < units.length - 1) {
    value /= 1024;
    index++;
  }
  return `${index === 0 ? whole.format(value) : oneDigit.format(value)} ${units[index]}`;
}

/** A span of time in milliseconds: `41 ms`, `1.3 s`, `5 min 2 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${oneDigit.format(ms / 1000)} s`;
  const [days, hours, minutes, seconds] = [
    Math.floor(ms / 86_400_000),
    Math.floor(ms / 3_600_000) % 24,
    Math.floor(ms / 60_000) % 60,
    Math.floor(ms / 1000) % 60,
  ];
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`;
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  return seconds > 0 ? `${minutes} min ${seconds} s` : `${minutes} min`;
}

/** A span of time in seconds that may be unknown. */
export function seconds(value: number | null): string {
  return value === null ? "–" : duration(value * 1000);
}

/** A moment in epoch milliseconds: `2026-11-25 14:05:47 UTC`. */
export function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** The same, without the day: `14:05:47 UTC`. */
export function timeOfDay(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 19)} UTC`;
}

/** A share of 1: `99.5 %`. */
export function percent(share: number): string {
  const value = 100 * share;
  // 100 % only where nothing is missing.
  const shown = value < 100 && value > 99.95 ? "99.9" : oneDigit.format(value);
  return `${shown} %`;
}

/** `1 epoch`, `2 epochs`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Controls, the marks that turn writing around, and lone surrogates: what could make a text look like another one. */
const INVISIBLE =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

/** A text from outside as it can be shown: what is invisible is written as `\u202e`. */
export function visible(text: string): string {
  return text.replaceAll(INVISIBLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Bytes as rows of sixteen: offset, hexadecimal, and what is printable. */
export function hexDump(data: Uint8Array): string {
  const rows: string[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return rows.join("\n");
}

/** Base64 as bytes. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
