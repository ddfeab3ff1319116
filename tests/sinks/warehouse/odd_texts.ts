/** Sessions of text that JSON, SQL, Parquet or UTF-8 could stumble over, and what must come of it. */
import { assertEquals } from "@std/assert";
import type { PageEvent } from "../../../schema/column_batch.ts";
import type { ClickHouseAccess } from "../../../sinks/warehouse/clickhouse_access.ts";
import { jsonOf, rowsOf, type SessionRow, sessionRow } from "./harness.ts";

/** Text of each kind. */
export const ODD_TEXTS = [
  "\0",
  "a\u0001\u0008\t\n\u000b\f\r\u000e\u000f\u001a\u001b\u001c\u001d\u001e\u001f\u007f",
  "\"quoted\" 'single' `back`",
  "back\\slash \\\\ \\u2028 \\\\u2028 \\u000B \\n",
  "/a/path?x=1&y=%20",
  "\u2028\u2029\u0085\u00a0",
  "\\\u2028\\\\\u2029",
  "😀 é 𝒳 \uffff \u{10ffff}",
  "__proto__",
  ']}",[{',
  // Whichever of them must be escaped, each alone: no other makes up for it.
  ...Array.from({ length: 0x80 }, (_, code) => `a${String.fromCharCode(code)}b`),
];

/** A session all of whose texts are `texts`, as far as they go. */
export function oddRow(index: number, texts: readonly string[]): SessionRow {
  const pages = texts.map((text, i): PageEvent => ({
    timestamp: Date.UTC(1999, 11, 31, 23, 59, 59, i % 1000),
    event_type: "navigation",
    page_url: text,
    article_id: i % 2 === 0 ? text : null,
  }));
  return sessionRow(index, {
    session_id: texts[0]!,
    brand: texts[0]!,
    categories_visited: texts,
    article_ids_visited: texts,
    article_titles_visited: texts.map(() => ""),
    page_events: pages,
  });
}

/** Every text of `rows`, all that the table has, is there as it was. */
export async function assertTextsKept(access: ClickHouseAccess, rows: readonly SessionRow[]): Promise<void> {
  const found = await rowsOf(
    access,
    "SELECT session_id, brand, categories_visited, article_ids_visited, article_titles_visited, page_events " +
      "FROM sessions ORDER BY first_offset",
  );
  const expected = rows.map((row) => [
    row.session_id,
    row.brand,
    JSON.stringify(row.categories_visited),
    JSON.stringify(row.article_ids_visited),
    JSON.stringify(row.article_titles_visited),
    jsonOf(row.page_events as PageEvent[]),
  ]);
  assertEquals(found, expected);
}
