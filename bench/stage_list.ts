/** The stages of a session actor and of a commit, each as a piece of work that can be measured alone. */
import { cpuUsage } from "node:process";
import { FastSessions } from "../actors/fast_sessions.ts";
import { PlainSessions } from "../actors/plain_sessions.ts";
import { splitByShard } from "../actors/route.ts";
import type { ShardSessions } from "../actors/sessions.ts";
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { SESSION_COLUMNS } from "../schema/session.ts";
import { parseEvent } from "../schema/user_event.ts";
import { toArrow } from "../sinks/lake/arrow.ts";
import { encodeParquet } from "../sinks/lake/parquet.ts";
import { encodeSessions } from "../sinks/lake/session_files.ts";
import { recordBatchOf } from "../sources/record_batch.ts";
import { Simulator, virtualTimeline } from "../sources/simulator.ts";
import { type ProducedRecord, type RecordBatch, valueAt } from "../sources/source.ts";

const RECORDS_PER_BATCH = 4_096;
const SHARDS = 2;
export const ROUNDS = 3;
/** Events of a session that stays open. */
export const OPEN_EVENTS = 15;
/** Simulated events that the open sessions' are made of. */
const TEMPLATES = 20_000;
const MINUTE = 60_000;
/** The simulated day ends here: 2026-01-05T12:00Z. */
const END_MS = Date.UTC(2026, 0, 5, 12);

const SEMANTICS: SessionSemantics = {
  sessionTimeoutMs: 30 * MINUTE,
  watermarkDelayMs: MINUTE,
  allowedLatenessMs: 2 * MINUTE,
  maxSessionDurationMs: 24 * 60 * MINUTE,
  maxSessionEvents: 50_000,
  maxClockSkewMs: MINUTE,
  keyCheck: "session_id",
};

const BARRIER: PartitionBarrier = {
  partition: 0,
  number: 1,
  epoch: 1,
  from: 0,
  to: 0,
  clock: END_MS,
  eventWatermark: null,
  watermark: null,
  idleSince: null,
  forgetBefore: null,
  closeOpen: false,
  revise: false,
  lastRecord: null,
};

/** The simulator's events as batches of one partition. */
export function simulate(events: number): RecordBatch[] {
  const encoder = new TextEncoder();
  const { timeline, readers } = virtualTimeline(events, END_MS);
  const simulator = new Simulator({ seed: 1, timeline, readers });
  const batches: RecordBatch[] = [];
  for (let offset = 0; offset < events; offset += RECORDS_PER_BATCH) {
    const records: ProducedRecord[] = [];
    for (let i = offset; i < Math.min(events, offset + RECORDS_PER_BATCH); i++) {
      const { event } = simulator.next();
      records.push({ key: encoder.encode(event.session_id), value: encoder.encode(JSON.stringify(event)) });
    }
    batches.push(recordBatchOf(0, offset, END_MS, records));
  }
  return batches;
}

/** Sessions that are all open, of 15 events each, which come in turns. */
function* openEvents(events: number): Generator<RecordBatch> {
  const batches = simulate(Math.min(events, TEMPLATES));
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const templates = batches.flatMap((batch) =>
    Array.from({ length: batch.count }, (_, i) => JSON.parse(decoder.decode(valueAt(batch, i)!)))
  ).filter(({ event_type }) => event_type !== "session_end");
  const sessions = Math.max(1, Math.floor(events / OPEN_EVENTS));
  for (let turn = 0; turn < OPEN_EVENTS; turn++) {
    for (let first = 0; first < sessions; first += RECORDS_PER_BATCH) {
      const length = Math.min(RECORDS_PER_BATCH, sessions - first);
      const records = Array.from({ length }, (_, i): ProducedRecord => {
        const session = first + i;
        const session_id = `00000000-0000-4000-8000-${session.toString(16).padStart(12, "0")}`;
        const event_id = `00000000-0000-4000-9000-${
          (turn * sessions + session).toString(16).padStart(12, "0")
        }`;
        const reader = templates[session % templates.length];
        const { page_title, page_url, article_id, category, event_type } =
          templates[(session * OPEN_EVENTS + turn) % templates.length];
        const event = {
          ...reader,
          event_id,
          session_id,
          event_type,
          page_title,
          page_url,
          article_id,
          category,
        };
        const timestamp = new Date(END_MS - OPEN_EVENTS * 10_000 + turn * 10_000).toISOString();
        return {
          key: encoder.encode(session_id),
          value: encoder.encode(JSON.stringify({ ...event, timestamp })),
        };
      });
      yield recordBatchOf(0, turn * sessions + first, END_MS, records);
    }
  }
}

/** A piece of work that is repeated. */
export interface Stage {
  readonly name: string;
  readonly unit: "event" | "session";
  readonly count: number;
  readonly work: () => void;
}

/**
 * Each round's microseconds per unit: of CPU, garbage collection on other threads included, because the time on the
 * wall depends on who else uses the machine.
 */
export function measure({ work, count }: Stage): number[] {
  return Array.from({ length: ROUNDS }, () => {
    const start = cpuUsage();
    work();
    const { user, system } = cpuUsage(start);
    return (user + system) / count;
  });
}

const PLACE = { shard: 0, shards: 1 };
const IMPLEMENTATIONS = [["fast", FastSessions], ["plain", PlainSessions]] as const;

/** Sessions of one partition, with a snapshot's or none. */
function begin<S extends ShardSessions>(
  Sessions: new (place: typeof PLACE) => S,
  occurrences: Uint8Array = new Uint8Array(0),
): S {
  const sessions = new Sessions(PLACE);
  const [latestEventTime, watermark] = [null, null];
  sessions.restore({ partition: 0, occurrences, latestEventTime, watermark, semantics: SEMANTICS });
  return sessions;
}

function accepted<S extends ShardSessions>(
  Sessions: new (place: typeof PLACE) => S,
  batches: Iterable<RecordBatch>,
): S {
  const sessions = begin(Sessions);
  for (const batch of batches) sessions.accept(batch);
  return sessions;
}

function perEvent(batches: readonly RecordBatch[], events: number): Stage[] {
  const decoder = new TextDecoder();
  const each = (work: (value: Uint8Array) => void) => () => {
    for (const batch of batches) for (let i = 0; i < batch.count; i++) work(valueAt(batch, i)!);
  };
  const route = () =>
    batches.forEach((batch) => splitByShard([{ batch, start: 0, end: batch.count }], SHARDS));
  const [unit, count] = ["event", events] as const;
  return [
    { name: `route to ${SHARDS} shards`, unit, count, work: route },
    { name: "ceiling: UTF-8 + JSON.parse", unit, count, work: each((v) => JSON.parse(decoder.decode(v))) },
    { name: "parse and validate", unit, count, work: each(parseEvent) },
    ...IMPLEMENTATIONS.map(([name, Sessions]) => ({
      name: `accept, ${name}`,
      unit,
      count,
      work: () => void accepted<ShardSessions>(Sessions, batches),
    })),
  ];
}

function perSession(batches: readonly RecordBatch[], rows: ColumnBatch): Stage[] {
  const table = toArrow(SESSION_COLUMNS, rows);
  const [unit, count] = ["session", rows.rows] as const;
  // A seal empties the state, so each round has one of its own.
  const seals = IMPLEMENTATIONS.map(([name, Sessions]): Stage => {
    const states = Array.from({ length: ROUNDS + 1 }, () => accepted<ShardSessions>(Sessions, batches));
    const work = () => void states.pop()!.seal([{ ...BARRIER, closeOpen: true }]);
    return { name: `seal to columns, ${name}`, unit, count, work };
  });
  return [
    ...seals,
    { name: "columns to Arrow", unit, count, work: () => void toArrow(SESSION_COLUMNS, rows) },
    { name: "ceiling: Arrow to Parquet", unit, count, work: () => void encodeParquet(table) },
    { name: "columns to Parquet", unit, count, work: () => void encodeSessions(rows) },
  ];
}

function checkpoints(batches: readonly RecordBatch[]): Stage[] {
  return IMPLEMENTATIONS.flatMap(([name, Sessions]): Stage[] => {
    const sessions = accepted<ShardSessions>(Sessions, batches);
    sessions.seal([BARRIER]);
    const bytes = sessions.snapshot(0);
    const [unit, count] = ["session", sessions.openSessions] as const;
    return [
      { name: `checkpoint encode, ${name}`, unit, count, work: () => void sessions.snapshot(0) },
      {
        name: `checkpoint decode, ${name}`,
        unit,
        count,
        work: () => void begin<ShardSessions>(Sessions, bytes),
      },
    ];
  });
}

/** The bytes that each of so many open sessions of 15 events holds, by the shard's own account. */
export function openSessionBytes(sessions: number): number {
  const memory = accepted(FastSessions, openEvents(sessions * OPEN_EVENTS));
  memory.seal([BARRIER]);
  return memory.byteLength / memory.openSessions;
}

function sealed(batches: readonly RecordBatch[]): ColumnBatch {
  return accepted(FastSessions, batches).seal([{ ...BARRIER, closeOpen: true }]).rows;
}

/** Arrow to Parquet alone. */
export function parquetStage(batches: readonly RecordBatch[]): Stage {
  const rows = sealed(batches);
  const table = toArrow(SESSION_COLUMNS, rows);
  return {
    name: "Arrow to Parquet",
    unit: "session",
    count: rows.rows,
    work: () => void encodeParquet(table),
  };
}

/** Every stage over `events` simulated events, made one group after the other so that one's state is all there is. */
export function* stageList(events: number): Generator<Stage> {
  const batches = simulate(events);
  yield* perEvent(batches, events);
  yield* perSession(batches, sealed(batches));
  yield* checkpoints([...openEvents(events)]);
}
