import { assertEquals, assertMatch } from "@std/assert";
import type { CoordinatorStats, EpochTrace, IngestStats, SinkStats } from "../../schema/pipeline_stats.ts";
import { diagnose } from "../../web/diagnosis.ts";
import { pipelineStats } from "../support/stats.ts";

const NOW = 1_000_000;
const SINK: SinkStats = { rows: 0, bytes: 0, retries: 0, down: null, sinceMs: 0 };

/** What is found of a pipeline that is well but for `coordinator` and `ingest`. */
function findings(coordinator: Partial<CoordinatorStats>, ingest: Partial<IngestStats> = {}, rate = 10) {
  const stats = pipelineStats(coordinator);
  const pulses = stats.pulses.map(({ name }) => ({ name, lastSeenMs: NOW }));
  const partitions = [{ partition: 0, position: 10, end: 10 }];
  return diagnose({ ...stats, pulses, ingest: { ...stats.ingest!, partitions, ...ingest } }, rate, NOW);
}

function trace(fields: Partial<EpochTrace>): EpochTrace {
  const unknown = {
    version: null,
    closedBy: null,
    sessions: null,
    revisions: null,
    events: null,
    deadLetters: null,
    bytes: null,
  };
  const times = { askedMs: NOW, sealedMs: null, uploadedMs: null, committedMs: null, insertedMs: null };
  return { epoch: 7, ...unknown, ...times, ...fields };
}

Deno.test("Of a pipeline that is well, nothing is found", () => {
  assertEquals(findings({}), []);
  assertEquals(findings({ epochs: [trace({ sealedMs: NOW })], epochsInFlight: 1 }), []);
});

Deno.test("A sink that is down comes first, with since when, why, and what follows", () => {
  const down = { ...SINK, down: "Connection refused.", sinceMs: NOW - 5_000 };
  const [lake, warehouse] = findings({ sinks: { lake: down, warehouse: down } });
  assertMatch(
    lake!.text,
    /^The lake has been down since 1970-01-01 00:16:35 UTC: Connection refused\. Nothing can be/,
  );
  assertMatch(warehouse!.text, /^ClickHouse has been down since .*queries show older sessions/);
  assertEquals(lake!.severity, "error");
});

Deno.test("An epoch that takes long is named with the stage it waits for", () => {
  const stages: readonly (readonly [Partial<EpochTrace>, RegExp])[] = [
    [{}, /now for the session actors' seals\.$/],
    [{ sealedMs: NOW }, /now for the upload of its files\.$/],
    [{ sealedMs: NOW, uploadedMs: NOW }, /now for its Delta commit\.$/],
  ];
  for (const [fields, sentence] of stages) {
    const [found] = findings({ epochs: [trace({ askedMs: NOW - 61_000, ...fields })], epochsInFlight: 1 });
    assertMatch(found!.text, /^Epoch 7 has waited 61 s/);
    assertMatch(found!.text, sentence);
  }
  const [full] = findings({ epochs: [trace({ sealedMs: NOW })], epochsInFlight: 2 });
  assertMatch(full!.text, /As many epochs are under way as may be, so reading waits\.$/);
});

Deno.test("Full mailboxes tell a slow actor from slow actors", () => {
  const mailboxes = (...mailboxBytes: number[]) => findings({}, { mailboxBytes, mailboxBytesMax: 100 });
  assertEquals(mailboxes(90, 0), []);
  assertMatch(mailboxes(91, 0)[0]!.text, /^The mailbox is full: session actor 0 is behind the others\.$/);
  assertMatch(mailboxes(95, 0, 95)[0]!.text, /session actors 0, 2 are behind/);
  assertMatch(mailboxes(91, 100)[0]!.text, /^All mailboxes are full/);
});

Deno.test("A backlog counts by how long it takes to be read", () => {
  const backlog = (end: number, rate: number) =>
    findings({}, { partitions: [{ partition: 0, position: 0, end }] }, rate);
  assertEquals(backlog(299, 10), []);
  assertMatch(backlog(400, 10)[0]!.text, /^400 events wait in the log: .* takes 40 s\.$/);
  assertMatch(backlog(1, 0)[0]!.text, /and nothing is read\.$/);
});

Deno.test("A ClickHouse that lags without being down, and many dead letters, are found", () => {
  assertEquals(findings({ lagVersions: 3 }), []);
  assertMatch(findings({ lagVersions: 4 })[0]!.text, /^ClickHouse lacks 4 committed versions/);
  assertEquals(findings({ recent: { consumed: 1_000, deadLetters: 10 } }), []);
  assertMatch(findings({ recent: { consumed: 1_000, deadLetters: 25 } })[0]!.text, /^2\.5 % of the records/);
});

Deno.test("An actor that is silent is found even before anything else is known", () => {
  const stats = { ...pipelineStats(), coordinator: null };
  const [silent] = diagnose(stats, 0, NOW);
  assertMatch(silent!.text, /^The ingest has not reported since .*: restart the process, nothing is lost\.$/);
});
