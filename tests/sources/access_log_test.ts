import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { parseEvent } from "../../schema/user_event.ts";
import {
  AccessLogFeed,
  type AccessLogLine,
  parseAccessLogLine,
  type SessionKey,
  type UnparsableLine,
} from "../../sources/access_log.ts";
import type { ProducedRecord } from "../../sources/source.ts";

const REAL_LOG = new URL("../data/access.log.gz", import.meta.url).pathname;
const latin1 = (text: string) => Buffer.from(text, "latin1");
const parse = (line: string) => parseAccessLogLine(latin1(line));
const sha256 = (...parts: (string | Uint8Array)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");

async function replay(
  input: Uint8Array | string,
  sessionKey: SessionKey = "host",
): Promise<{ records: ProducedRecord[]; unparsable: UnparsableLine[] }> {
  const unparsable: UnparsableLine[] = [];
  const options = {
    path: typeof input === "string" ? input : "-",
    sessionKey,
    onUnparsable: (line: UnparsableLine) => unparsable.push(line),
  };
  const feed = typeof input === "string"
    ? new AccessLogFeed(options)
    : new AccessLogFeed(options, ReadableStream.from([input]));
  const records: ProducedRecord[] = [];
  for (;;) {
    const next = await feed.next(500, 1_000_000);
    if (next.length === 0) break;
    records.push(...next);
  }
  await feed.finish();
  assertEquals(feed.unparsable, unparsable.length);
  return { records, unparsable };
}

function eventOf(record: ProducedRecord): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(record.value!));
}

const COMMON = '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12';

Deno.test("lines of the Common and the Combined Log Format parse, with what may follow the agent", () => {
  const time = Date.UTC(2015, 4, 17, 10, 5, 3);
  const base: AccessLogLine = { host: "1.2.3.4", time, target: "/a", agent: "" };
  const cases: [string, AccessLogLine][] = [
    [COMMON, base],
    [`${COMMON} "-" "curl/8"`, { ...base, agent: "curl/8" }],
    [`${COMMON} "-" "curl/8"\r`, { ...base, agent: "curl/8" }],
    [`${COMMON} "http://r/" "a" "10.0.0.1" 0.003`, { ...base, agent: "a" }],
    [`${COMMON} "-" "say \\"hi\\" \\\\"`, { ...base, agent: 'say \\"hi\\" \\\\' }],
    [`${COMMON} "-" "say "hi" now"`, { ...base, agent: 'say "hi" now' }],
    [`${COMMON} "-" ""`, base],
    [COMMON.replace("1.2.3.4", "2001:db8::1"), { ...base, host: "2001:db8::1" }],
    [COMMON.replace("1.2.3.4 - -", "h.example id frank"), { ...base, host: "h.example" }],
    [COMMON.replace("+0000", "-0730"), { ...base, time: time + 7.5 * 3_600_000 }],
    [COMMON.replace("+0000", "+0530"), { ...base, time: time - 5.5 * 3_600_000 }],
    [COMMON.replace("200 12", "408 -"), base],
    [COMMON.replace("GET /a HTTP/1.1", "GET /a"), base],
    [COMMON.replace("GET /a HTTP/1.1", "PROPFIND * HTTP/2"), { ...base, target: "*" }],
    [COMMON.replace("/a HTTP", '/a b\\x22?q=\\" HTTP'), { ...base, target: '/a b\\x22?q=\\"' }],
    [COMMON.replace("/a HTTP", "/\xe4 HTTP"), { ...base, target: "/\xe4" }],
  ];
  for (const [line, expected] of cases) assertEquals(parse(line), expected, line);
});

Deno.test("a line that lacks what its event needs does not parse", () => {
  const lines = [
    "",
    "\r",
    "hello",
    COMMON.slice(0, 60),
    COMMON.replace("GET /a HTTP/1.1", "-"),
    COMMON.replace("GET /a HTTP/1.1", ""),
    COMMON.replace("GET /a HTTP/1.1", "GET"),
    COMMON.replace("GET /a HTTP/1.1", "GET  HTTP/1.1"),
    COMMON.replace("GET /a HTTP/1.1", "\\x16\\x03\\x01 \\x02"),
    COMMON.replace("17/May", "31/Apr"),
    COMMON.replace("17/May", "17/Mai"),
    COMMON.replace("10:05:03", "24:05:03"),
    COMMON.replace(" +0000", ""),
    COMMON.replace("200", "OK"),
    COMMON.replace("1.2.3.4 ", ""),
    `www.example:80 ${COMMON}`,
    `${COMMON} "only a referer"`,
    `${COMMON} "-" "cut of`,
  ];
  for (const line of lines) assertEquals(parse(line), null, line);
});

Deno.test("an event has the ids of the mapping, from the line's number and its bytes", async () => {
  const lines = [`${COMMON} "-" "Agent 7"`, "noise \xff", `${COMMON} "-" "Agent 7"\r`];
  const input = latin1(lines.join("\n"));
  const { records, unparsable } = await replay(input);
  assertEquals(unparsable, [{ number: 2, text: "noise \ufffd" }]);
  const [first, third] = records.map(eventOf);
  assertEquals(first, {
    event_id: sha256("1 ", latin1(lines[0]!)).slice(0, 32),
    session_id: "1.2.3.4",
    user_id: parseInt(sha256("1.2.3.4").slice(0, 8), 16),
    event_type: "article_view",
    timestamp: "2015-05-17T10:05:03.000Z",
    brand: null,
    country: null,
    city: null,
    device_type: null,
    device_os: null,
    browser: null,
    subscription_tier: null,
    user_segment: null,
    page_title: null,
    page_url: "/a",
    article_id: null,
    category: null,
  });
  assertEquals(third!.event_id, sha256("3 ", latin1(lines[2]!)).slice(0, 32));

  const byAgent = (await replay(input, "host+agent")).records;
  const id = sha256("1.2.3.4 Agent 7").slice(0, 32);
  assertEquals(byAgent.map((record) => new TextDecoder().decode(record.key!)), [id, id]);
  assertEquals(eventOf(byAgent[0]!).user_id, parseInt(sha256(id).slice(0, 8), 16));
});

Deno.test("UTF-8 in a target is kept, and other bytes become U+FFFD", async () => {
  const line = COMMON.replace("/a HTTP", "/\xc3\xa4\xff HTTP");
  const { records } = await replay(latin1(line));
  assertEquals(eventOf(records[0]!).page_url, "/ä\ufffd");
});

Deno.test("every line of the real log is an event that the contract accepts, under its own key", async () => {
  for (const sessionKey of ["host", "host+agent"] as const) {
    const { records, unparsable } = await replay(REAL_LOG, sessionKey);
    assertEquals([records.length, unparsable.length], [3_000, 0]);
    const ids = new Set<string>();
    for (const { key, value } of records) {
      const parsed = parseEvent(value);
      assert("event" in parsed);
      assertEquals(parsed.event.sessionId, new TextDecoder().decode(key!));
      ids.add(parsed.event.eventId);
    }
    assertEquals(ids.size, 3_000);
  }
});
