/** A statement as it comes over ClickHouse's HTTP interface, taken apart into what chDB can run. */
import { Buffer } from "node:buffer";
import { sqlText } from "../../../sinks/warehouse/ddl.ts";

/** A server looks for the statement in so much of a request (its setting `max_query_size`). */
const STATEMENT_BYTES_MAX = 262_144;

/** What a request asks for. */
export interface Statement {
  readonly sql: string;
  /** The Parquet bytes after the statement; null where it has none. */
  readonly parquet: Uint8Array | null;
}

/** `query`, a line break and the body are one text, as a server reads them; Parquet bytes may follow in it. */
export function splitRequest(query: string, body: Uint8Array): Statement {
  const whole = query === "" ? Buffer.from(body) : Buffer.concat([Buffer.from(`${query}\n`), body]);
  // Latin-1: a character is a byte, whatever the bytes after the statement are.
  const head = whole.subarray(0, STATEMENT_BYTES_MAX).toString("latin1");
  const format = /^\s*INSERT\b[^]*?\bFORMAT\s+Parquet\b[^\S\n]*\n/i.exec(head)?.[0];
  if (format === undefined) return { sql: whole.toString(), parquet: null };
  const sql = whole.subarray(0, format.length).toString().replace(/\bFORMAT\s+Parquet\s*$/i, "");
  return { sql, parquet: whole.subarray(format.length) };
}

/** The INSERT with the Parquet file at `path` instead of the bytes that came with it. */
export function readFromFile(sql: string, path: string): string {
  const source = (structure: string) => `file(${sqlText(path)}, Parquet${structure})`;
  const input = /\binput\(\s*('(?:[^'\\]|\\[^])*')\s*\)/;
  if (input.test(sql)) {
    return sql.replace(input, (_, structure: string) => source(`, ${structure}`));
  }
  return `${sql} SELECT * FROM ${source("")}`;
}

/** Whether the statement changes nothing. */
export function isRead(sql: string): boolean {
  return /^\s*(SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN)\b/i.test(sql);
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  "0": "\0",
};

/** A `param_*` of a scalar type as the text it stands for; `\N` is null. */
export function unescapeParameter(escaped: string): string | null {
  if (escaped === "\\N") return null;
  return escaped.replace(/\\([^])/g, (_, character: string) => ESCAPES[character] ?? character);
}
