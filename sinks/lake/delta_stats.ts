/**
 * A data file's statistics (protocol: "Per-file Statistics"), by which readers skip files: for every row,
 * min ≤ value ≤ max. Strings are compared as readers compare them, by UTF-8 bytes, which is by code points.
 */
import type { Column, ColumnBatch, ColumnKind } from "../../schema/column_batch.ts";
import { assertNever } from "../../schema/errors.ts";
import { STATS_STRING_CHARACTERS_MAX } from "../../schema/limits.ts";
import type { ColumnSpec } from "./arrow.ts";

/** A column of which statistics are kept unless `stats` is false. */
export interface StatsSpec extends ColumnSpec {
  readonly stats: boolean;
}

type StatsValue = string | number;

/** `min` and `max` are absent where there is no value, or no bound short enough. */
interface Bounds {
  readonly min?: StatsValue;
  readonly max?: StatsValue;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const ASCII_MAX = 0x7f;
const CODE_POINT_MAX = 0x10ffff;

/** The first characters of a minimum: a prefix is never greater than the whole. */
export function truncateMin(text: string): string {
  const points = [...text];
  return points.length <= STATS_STRING_CHARACTERS_MAX
    ? text
    : points.slice(0, STATS_STRING_CHARACTERS_MAX).join("");
}

/**
 * An upper bound of `text` with few characters: its first ones and a tie breaker, a character greater than the one
 * that was cut off. Where that is the greatest of all it stays, and the next one decides. Null where that would
 * take more than twice the characters.
 */
export function truncateMax(text: string): string | null {
  const points = [...text];
  if (points.length <= STATS_STRING_CHARACTERS_MAX) return text;
  let kept = STATS_STRING_CHARACTERS_MAX;
  while (kept < points.length && points[kept]!.codePointAt(0) === CODE_POINT_MAX) kept++;
  if (kept > 2 * STATS_STRING_CHARACTERS_MAX) return null;
  if (kept === points.length) return text;
  const tieBreaker = points[kept]!.codePointAt(0)! < ASCII_MAX ? ASCII_MAX : CODE_POINT_MAX;
  return points.slice(0, kept).join("") + String.fromCodePoint(tieBreaker);
}

/** Negative where the bytes `startA` ≤ i < `endA` of `a` sort before those of `b`. */
function compareBytes(
  a: Uint8Array,
  startA: number,
  endA: number,
  b: Uint8Array,
  startB: number,
  endB: number,
): number {
  const [lengthA, lengthB] = [endA - startA, endB - startB];
  const shared = Math.min(lengthA, lengthB);
  for (let i = 0; i < shared; i++) {
    const difference = a[startA + i]! - b[startB + i]!;
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}

function compareScalars<T extends number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The rows of the least and the greatest value; null where every row is null. */
function extremes(valid: Uint8Array, compare: (a: number, b: number) => number): [number, number] | null {
  let least = -1;
  let greatest = -1;
  for (let row = 0; row < valid.length; row++) {
    if (valid[row] === 0) continue;
    if (least < 0) least = greatest = row;
    else if (compare(row, least) < 0) least = row;
    else if (compare(row, greatest) > 0) greatest = row;
  }
  return least < 0 ? null : [least, greatest];
}

/** Floored to milliseconds, which readers of a maximum allow for. */
function timestampText(micros: bigint): string {
  const millis = micros / 1000n - (micros % 1000n < 0n ? 1n : 0n);
  return new Date(Number(millis)).toISOString();
}

/** A value of a column; a text's is its UTF-8 bytes. */
type Value = Uint8Array | number | bigint;

function compareValues(a: Value, b: Value): number {
  return a instanceof Uint8Array && b instanceof Uint8Array
    ? compareBytes(a, 0, a.length, b, 0, b.length)
    : compareScalars(a as number | bigint, b as number | bigint);
}

/** A column's least and its greatest value; null where it has none, or is of a kind without bounds. */
function extremeValues(column: Column): readonly [Value, Value] | null {
  switch (column.kind) {
    case "utf8": {
      const { values: { bytes, offsets }, valid } = column;
      const rows = extremes(
        valid,
        (a, b) => compareBytes(bytes, offsets[a]!, offsets[a + 1]!, bytes, offsets[b]!, offsets[b + 1]!),
      );
      const text = (row: number) => bytes.slice(offsets[row]!, offsets[row + 1]!);
      return rows && [text(rows[0]), text(rows[1])];
    }
    case "int32":
    case "int64":
    case "timestamp": {
      const { values, valid } = column;
      const rows = extremes(
        valid,
        (a, b) => compareScalars(values[a]!, values[b]!),
      );
      return rows && [values[rows[0]]!, values[rows[1]]!];
    }
    case "binary":
    case "list_utf8":
    case "list_page_event":
      return null;
    default:
      return assertNever(column);
  }
}

function boundsOf(kind: ColumnKind, least: Value, greatest: Value): Bounds {
  if (least instanceof Uint8Array && greatest instanceof Uint8Array) {
    const upper = truncateMax(decoder.decode(greatest));
    return { min: truncateMin(decoder.decode(least)), ...(upper === null ? {} : { max: upper }) };
  }
  return kind === "timestamp"
    ? { min: timestampText(least as bigint), max: timestampText(greatest as bigint) }
    : { min: Number(least), max: Number(greatest) };
}

function nullCountOf(column: Column): number {
  if (column.kind === "list_utf8" || column.kind === "list_page_event") return 0;
  let count = 0;
  for (const valid of column.valid) if (valid === 0) count++;
  return count;
}

/** The statistics of a file, from its rows as they are written. */
export class FileStats {
  #rows = 0;
  readonly #columns: readonly { least: Value | null; greatest: Value | null; nulls: number }[];

  constructor(private readonly specs: readonly StatsSpec[]) {
    this.#columns = specs.map(() => ({ least: null, greatest: null, nulls: 0 }));
  }

  /** More of the file's rows. */
  add(batch: ColumnBatch): this {
    this.#rows += batch.rows;
    for (const [i, { stats }] of this.specs.entries()) {
      if (!stats) continue;
      const [column, known] = [batch.columns[i]!, this.#columns[i]!];
      known.nulls += nullCountOf(column);
      const found = extremeValues(column);
      if (found === null) continue;
      const [least, greatest] = found;
      if (known.least === null || compareValues(least, known.least) < 0) known.least = least;
      if (known.greatest === null || compareValues(greatest, known.greatest) > 0) known.greatest = greatest;
    }
    return this;
  }

  /** The JSON text of `add.stats`. */
  text(): string {
    const minValues: Record<string, StatsValue> = {};
    const maxValues: Record<string, StatsValue> = {};
    const nullCount: Record<string, number> = {};
    for (const [i, { name, kind, stats }] of this.specs.entries()) {
      if (!stats) continue;
      const { least, greatest, nulls } = this.#columns[i]!;
      const { min, max }: Bounds = least === null || greatest === null ? {} : boundsOf(kind, least, greatest);
      if (min !== undefined) minValues[name] = min;
      if (max !== undefined) maxValues[name] = max;
      nullCount[name] = nulls;
    }
    return JSON.stringify({ numRecords: this.#rows, minValues, maxValues, nullCount });
  }
}

/** A test of a file's statistics: whether a row with `value` in a column of numbers may be in the file. */
export function boundsIn(stats: string | undefined): (column: string, value: number) => boolean {
  interface Stats {
    readonly minValues?: Readonly<Record<string, unknown>>;
    readonly maxValues?: Readonly<Record<string, unknown>>;
  }
  const { minValues = {}, maxValues = {} } = (stats === undefined ? {} : JSON.parse(stats)) as Stats;
  return (column, value) => {
    const [min, max] = [minValues[column], maxValues[column]];
    return !(typeof min === "number" && value < min) && !(typeof max === "number" && value > max);
  };
}

/** The number of rows that a file's statistics tell; null where they don't. */
export function recordsIn(stats: string | undefined): number | null {
  if (stats === undefined) return null;
  const { numRecords } = JSON.parse(stats) as { readonly numRecords?: unknown };
  return typeof numRecords === "number" ? numRecords : null;
}
