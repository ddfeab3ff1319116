/**
 * Replays a web server's access log, in the Common or the Combined Log Format, as events:
 *
 *     host ident user [17/May/2015:10:05:03 +0000] "GET /target HTTP/1.1" 200 1234 "referer" "user agent" …
 *
 * A line parses if it has this form up to the size; the referer and the agent may be left out together, and anything
 * may follow the agent. Of the request a method and a target are needed: `"-"` and binary noise do not parse. The
 * target is what stands between the method and the HTTP version, as it was logged: escapes are not undone.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { parseRfc3339 } from "../schema/rfc3339.ts";
import type { RecordFeed } from "./feed.ts";
import { LinePuller, readChunks } from "./lines.ts";
import type { ProducedRecord } from "./source.ts";

/** What makes a session's id: the client's host, or the host with its user agent. */
export type SessionKey = "host" | "host+agent";

/** A parsed line. The texts hold one character a byte (Latin-1), so that no byte is lost. */
export interface AccessLogLine {
  readonly host: string;
  /** Epoch milliseconds. */
  readonly time: number;
  readonly target: string;
  /** "" where the line has none. */
  readonly agent: string;
}

/** A line that does not parse, for a person to see. */
export interface UnparsableLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

export interface AccessLogOptions {
  /** A file, `.gz` too, or "-" for standard input. */
  readonly path: string;
  readonly sessionKey: SessionKey;
  readonly onUnparsable?: (line: UnparsableLine) => void;
}

const HEAD =
  /^([^ ]+) [^ ]+ [^ ]+ \[(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{2})(\d{2})\] "((?:[^"\\]|\\.)*)" (?:\d{3}|-) (?:\d+|-)(.*)$/s;
/** A method (RFC 9110, "token"), the target, and the version, which HTTP/0.9 had not. */
const REQUEST = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ ([^ ].*?)(?: HTTP\/\d(?:\.\d)?)?$/s;
const REFERER_AND_AGENT = /^ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"(?: .*)?$/s;
/** Some servers do not escape quotes: the agent is then taken to end with the line. */
const UNESCAPED_AGENT = /^ "[^"]*" "(.*)"$/s;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const CARRIAGE_RETURN = 0x0d;

/** The parts of a line that its event needs; null where it does not parse. A final carriage return is ignored. */
export function parseAccessLogLine(line: Uint8Array): AccessLogLine | null {
  const end = line[line.length - 1] === CARRIAGE_RETURN ? line.length - 1 : line.length;
  const head = HEAD.exec(Buffer.from(line.buffer, line.byteOffset, end).toString("latin1"));
  if (head === null) return null;
  const [host, day, monthName, year, clock, offsetHours, offsetMinutes, request, rest] = head.slice(1) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const month = String(MONTHS.indexOf(monthName) + 1).padStart(2, "0");
  const time = parseRfc3339(`${year}-${month}-${day}T${clock}${offsetHours}:${offsetMinutes}`);
  const target = REQUEST.exec(request)?.[1];
  const agent = rest === "" ? "" : (REFERER_AND_AGENT.exec(rest) ?? UNESCAPED_AGENT.exec(rest))?.[1];
  return time === null || target === undefined || agent === undefined ? null : { host, time, target, agent };
}

/** The event of a parsed line: key and JSON. `bytes` is the whole line, `number` counts from 1. */
export function accessLogRecord(
  parsed: AccessLogLine,
  bytes: Uint8Array,
  number: number,
  sessionKey: SessionKey,
): ProducedRecord {
  const { host, time, target, agent } = parsed;
  const sessionId = sessionKey === "host"
    ? utf8(host)
    : createHash("sha256").update(`${host} ${agent}`, "latin1").digest("hex").slice(0, 32);
  const key = Buffer.from(sessionId, "utf8");
  const event = {
    event_id: createHash("sha256").update(`${number} `).update(bytes).digest("hex").slice(0, 32),
    session_id: sessionId,
    user_id: createHash("sha256").update(key).digest().readUInt32BE(0),
    event_type: "article_view",
    timestamp: new Date(time).toISOString(),
    brand: null,
    country: null,
    city: null,
    device_type: null,
    device_os: null,
    browser: null,
    subscription_tier: null,
    user_segment: null,
    page_title: null,
    page_url: utf8(target),
    article_id: null,
    category: null,
  };
  return { key, value: Buffer.from(JSON.stringify(event), "utf8") };
}

/** The lines of an access log as records; lines that do not parse are counted and handed to `onUnparsable`. */
export class AccessLogFeed implements RecordFeed {
  readonly #puller: LinePuller;
  #unparsable = 0;

  constructor(options: AccessLogOptions, chunks: AsyncIterable<Uint8Array> = readChunks(options.path)) {
    this.#puller = new LinePuller(chunks, (line, number) => {
      const parsed = parseAccessLogLine(line);
      if (parsed !== null) return accessLogRecord(parsed, line, number, options.sessionKey);
      this.#unparsable++;
      options.onUnparsable?.({ number, text: new TextDecoder().decode(line) });
      return null;
    });
  }

  /** Lines so far that did not parse. */
  get unparsable(): number {
    return this.#unparsable;
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    return this.#puller.next(maxRecords, maxBytes);
  }

  acknowledge(): Promise<void> {
    return Promise.resolve();
  }

  finish(): Promise<void> {
    return this.#puller.close();
  }

  abandon(): Promise<void> {
    return this.#puller.close();
  }
}

/** The text of UTF-8 bytes that a Latin-1 string holds; what is not UTF-8 becomes U+FFFD. */
function utf8(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}
