/**
 * The statistics of our files by the readers that skip files by them: whatever they skip, no row is missing. The values are
 * those at which a bound goes wrong: longer than what is kept of a text, above the Basic Multilingual Plane, between two
 * milliseconds, null.
 */
import { assert, assertEquals } from "@std/assert";
import { STATS_STRING_CHARACTERS_MAX } from "../../../schema/limits.ts";
import {
  folderStore,
  lakeOn,
  NOW,
  nthCommit,
  sessionRows,
  temporaryFolder,
  type TestSession,
} from "../../sinks/lake/lake_fixture.ts";
import { runDeltaRs } from "../harness/delta_rs.ts";
import { runSpark } from "../harness/spark.ts";

const path = (name: string) => new URL(`./${name}`, import.meta.url).pathname;

const LONG = "a".repeat(STATS_STRING_CHARACTERS_MAX);
const FACES = "😀".repeat(STATS_STRING_CHARACTERS_MAX);

type Fields = Partial<TestSession>;

/** A file each; the sessions of a file, by what is not plain in them. `start` is in milliseconds after NOW. */
const FILES: readonly (readonly Fields[])[] = [
  [{ brand: `${LONG}x`, start: 0 }, { brand: `${LONG}m`, start: 0 }],
  [{ brand: `${LONG}z`, city: "Bergen", start: 1 }],
  [{ brand: `${FACES}😀`, city: "Å😀", start: 1 }, { brand: "b", start: 2 }],
  [{ brand: `${FACES}😎`, start: 5 }, { brand: FACES, city: null, start: 6 }],
  [{ brand: `${FACES}\u{10ffff}`, city: "Zürich", start: -1 }, { brand: `${LONG}\u{7f}`, start: -1 }],
  [{ brand: "\uffff", start: 9 }, { brand: "\u{1f600}", start: 10 }],
];

interface Session extends TestSession {
  readonly brand: string;
  readonly city: string | null;
  readonly start: number;
}

const SESSIONS: readonly (readonly Session[])[] = FILES.map((sessions, file) =>
  sessions.map(({ start, brand, city }, i) => ({
    partition: 0,
    firstOffset: 100 * file + 2 * i,
    brand: brand!,
    city: city ?? null,
    start: NOW + start!,
  }))
);

const OPERATORS = ["=", "<", ">", "<=", ">="] as const;

interface Filter {
  readonly column: "brand" | "city" | "session_start";
  readonly operator: typeof OPERATORS[number] | "is null" | "is not null";
  /** Text; of a time its microseconds. */
  readonly value: string | bigint | null;
}

const bytes = (text: string) => new TextEncoder().encode(text);

function compareTexts(a: string, b: string): number {
  const [left, right] = [bytes(a), bytes(b)];
  const at = left.findIndex((byte, i) => byte !== right[i]);
  if (at === -1) return left.length - right.length;
  return left[at]! - (right[at] ?? -1);
}

const microsOf = (session: Session) => BigInt(session.start) * 1_000n;

/** Whether the filter's row is this one, by definition. */
function holds({ column, operator, value }: Filter, session: Session): boolean {
  const own = column === "session_start" ? microsOf(session) : session[column];
  if (operator === "is null") return own === null;
  if (operator === "is not null") return own !== null;
  if (own === null) return false;
  const order = column === "session_start"
    ? Number((own as bigint) - (value as bigint))
    : compareTexts(own as string, value as string);
  switch (operator) {
    case "=":
      return order === 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
    case "<=":
      return order <= 0;
    case ">=":
      return order >= 0;
  }
}

function isoOf(micros: bigint): string {
  const text = new Date(Number(micros / 1_000n)).toISOString().slice(0, -1);
  return `${text}${String(micros % 1_000n).padStart(3, "0")}+00:00`;
}

const all = SESSIONS.flat();
const FILTERS: readonly Filter[] = [
  ...["brand", "city"].flatMap((column) =>
    [...new Set(all.map((session) => session[column as "brand" | "city"]))].filter((value) => value !== null)
      .flatMap((value) => OPERATORS.map((operator) => ({ column, operator, value }) as Filter))
  ),
  // Rows have whole milliseconds, and a filter may have any microsecond beside them.
  ...[...new Set(all.map(microsOf))].flatMap((value) =>
    [-1n, 0n, 1n, 999n].flatMap((beside) =>
      OPERATORS.map((operator): Filter => ({ column: "session_start", operator, value: value + beside }))
    )
  ),
  { column: "city", operator: "is null", value: null },
  { column: "city", operator: "is not null", value: null },
];

/** A reader that skips files by their statistics: answers filters, as JSON, over a table. */
export type FilteringReader = (table: string, filters: string, scratch: string) => Promise<string>;

export const byDeltaRs: FilteringReader = (table, filters) =>
  runDeltaRs(path("delta_rs_filtered.py"), [table, filters], null);

export const bySpark: FilteringReader = (table, filters, scratch) =>
  runSpark(path("spark_filtered.py"), [table, filters], scratch);

/** Makes a table of the values above, and asserts that `reader` finds the rows of every filter, and skips files. */
export async function assertFiltersFind(name: string, reader: FilteringReader): Promise<void> {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  for (const [i, sessions] of SESSIONS.entries()) {
    await lake.commit(nthCommit(i + 1, await lake.stage(i + 1, sessionRows(sessions, i + 1))));
  }
  const table = `${folder.path}/sessions`;
  const scratch = `${folder.path}/spark`;
  await Deno.mkdir(scratch);
  const answer = await reader(table, asked(FILTERS), scratch);
  const found = JSON.parse(answer) as { rows: number[]; files: number }[];
  assertEquals(found.length, FILTERS.length);
  let skipped = 0;
  for (const [i, filter] of FILTERS.entries()) {
    const expected = all.filter((session) => holds(filter, session)).map(({ firstOffset }) => firstOffset);
    const { rows, files } = found[i]!;
    assertEquals(rows, expected.sort((a, b) => a - b), `${name}: ${JSON.stringify(filter, text)}`);
    skipped += FILES.length - files;
  }
  console.log(
    `${name}: ${FILTERS.length} filters over ${FILES.length} files, ${skipped} of ${
      FILTERS.length * FILES.length
    } looks into a file were spared.`,
  );
  assert(skipped > FILTERS.length, `${name} skips files`);
}

/** Filters as the readers' scripts take them. */
function asked(filters: readonly Filter[]): string {
  return JSON.stringify(
    filters.map(({ column, operator, value }) => [
      column,
      operator,
      typeof value === "bigint" ? isoOf(value) : value,
    ]),
  );
}

const text = (_: string, value: unknown) => typeof value === "bigint" ? String(value) : value;
