/** RFC 3339 times as they stand in JSON, read from their bytes: the common forms, exactly as `rfc3339.ts` reads them. */
import { parseRfc3339 } from "./rfc3339.ts";

const DAY_MS = 86_400_000;
const [DASH, COLON, T, Z, DOT, PLUS, QUOTE] = [0x2d, 0x3a, 0x54, 0x5a, 0x2e, 0x2b, 0x22];
/** The longest form that is read: nanoseconds and an offset. */
const LENGTH_MAX = 35;

/** Reads the times of events, which are mostly of one date. */
export class TimeScanner {
  /** Epoch milliseconds. */
  time = 0;
  /** The bytes of the newest date, and its start in epoch milliseconds. */
  readonly #date = new DataView(new ArrayBuffer(12));
  #day = NaN;

  /**
   * Reads what follows a quote; sets {@linkcode time}.
   *
   * @param view holds at least {@linkcode LENGTH_MAX} bytes more
   * @returns the position after the closing quote; -1 for every other form, be it a time or not
   */
  scan(bytes: Uint8Array, view: DataView, start: number): number {
    if (!this.#isDate(view, start) && !this.#readDate(bytes, view, start)) return -1;
    const hour = twoDigits(bytes, start + 11);
    const minute = twoDigits(bytes, start + 14);
    const second = twoDigits(bytes, start + 17);
    if (bytes[start + 10] !== T || bytes[start + 13] !== COLON || bytes[start + 16] !== COLON) return -1;
    // A leap second is left to the plain version.
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return -1;
    let at = start + 19;
    let milliseconds = 0;
    if (bytes[at] === DOT) {
      const first = ++at;
      for (; at < start + LENGTH_MAX - 6; at++) {
        const digit = bytes[at]! - 48;
        if (digit < 0 || digit > 9) break;
        if (at - first < 3) milliseconds = milliseconds * 10 + digit;
      }
      if (at === first) return -1;
      if (at - first < 3) milliseconds *= at - first === 1 ? 100 : 10;
    }
    let offset = 0;
    const sign = bytes[at++];
    if (sign === PLUS || sign === DASH) {
      const [hours, minutes] = [twoDigits(bytes, at), twoDigits(bytes, at + 3)];
      if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || bytes[at + 2] !== COLON) return -1;
      offset = (hours * 60 + minutes) * (sign === PLUS ? 60_000 : -60_000);
      at += 5;
    } else if (sign !== Z) return -1;
    if (bytes[at] !== QUOTE) return -1;
    this.time = this.#day + ((hour * 60 + minute) * 60 + second) * 1_000 + milliseconds - offset;
    return at + 1;
  }

  #isDate(view: DataView, at: number): boolean {
    const date = this.#date;
    return view.getInt32(at, true) === date.getInt32(0, true) &&
      view.getInt32(at + 4, true) === date.getInt32(4, true) &&
      view.getInt16(at + 8, true) === date.getInt16(8, true);
  }

  #readDate(bytes: Uint8Array, view: DataView, at: number): boolean {
    for (let i = at; i < at + 10; i++) if (bytes[i]! >= 0x80) return false;
    const day = parseRfc3339(`${String.fromCharCode(...bytes.subarray(at, at + 10))}T00:00:00Z`);
    if (day === null || day < 0 || day % DAY_MS !== 0) return false;
    this.#day = day;
    this.#date.setInt32(0, view.getInt32(at, true), true);
    this.#date.setInt32(4, view.getInt32(at + 4, true), true);
    this.#date.setInt16(8, view.getInt16(at + 8, true), true);
    return true;
  }
}

/** A number of two digits; negative where they are none. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const [tens, ones] = [bytes[at]! - 48, bytes[at + 1]! - 48];
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}
