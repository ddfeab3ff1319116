/**
 * `deno task bench:stages [EVENTS] [--profile]`: what each stage of a session actor and of a commit costs, in microseconds of
 * CPU per event and per session, beside the ceilings of its kind. The budget in README.md is made of this.
 * `--profile` adds the functions that each stage spends its time in.
 */
import { cpuUsage } from "node:process";
import { encodeOccurrences, restoreOccurrences } from "../actors/checkpoint.ts";
import { splitByShard } from "../actors/route.ts";
import { acceptBatch, emptyPartition, type PartitionState, sealPartition } from "../actors/sessionizer.ts";
import { sessionRows } from "../actors/session_rows.ts";
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
import { profile } from "./profile.ts";

const EVENTS_DEFAULT = 200_000;
const RECORDS_PER_BATCH = 4_096;
const SHARDS = 2;
const ROUNDS = 3;
const PROFILE_LINES = 12;
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
function simulate(events: number): RecordBatch[] {
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

interface Stage {
  readonly name: string;
  readonly unit: "event" | "session";
  readonly count: number;
  readonly work: () => void;
}

/**
 * The median of the rounds, in microseconds per unit: of CPU, garbage collection on other threads included, because
 * the time on the wall depends on who else uses the machine.
 */
function measure({ work, count }: Stage): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const start = cpuUsage();
    work();
    const { user, system } = cpuUsage(start);
    return (user + system) / count;
  });
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

function stateOf(batches: readonly RecordBatch[]): PartitionState {
  const state = emptyPartition(0, SEMANTICS);
  for (const batch of batches) acceptBatch(state, batch);
  return state;
}

function rowsOf(batches: readonly RecordBatch[]): ColumnBatch {
  return sessionRows([sealPartition(stateOf(batches), { ...BARRIER, closeOpen: true })]).finish();
}

function perEvent(batches: readonly RecordBatch[], events: number): Stage[] {
  const decoder = new TextDecoder();
  const each = (work: (value: Uint8Array) => void) => () => {
    for (const batch of batches) for (let i = 0; i < batch.count; i++) work(valueAt(batch, i)!);
  };
  const route = () => batches.forEach((batch) => splitByShard(batch, 0, batch.count, SHARDS));
  const [unit, count] = ["event", events] as const;
  return [
    { name: `route to ${SHARDS} shards`, unit, count, work: route },
    { name: "ceiling: UTF-8 + JSON.parse", unit, count, work: each((v) => JSON.parse(decoder.decode(v))) },
    { name: "parse and validate", unit, count, work: each(parseEvent) },
    { name: "accept (parse, validate, sessionize)", unit, count, work: () => void stateOf(batches) },
  ];
}

function perSession(batches: readonly RecordBatch[], rows: ColumnBatch): Stage[] {
  const seal = sealPartition(stateOf(batches), { ...BARRIER, closeOpen: true });
  const table = toArrow(SESSION_COLUMNS, rows);
  const [unit, count] = ["session", rows.rows] as const;
  return [
    { name: "rows to columns", unit, count, work: () => void sessionRows([seal]).finish() },
    { name: "columns to Arrow", unit, count, work: () => void toArrow(SESSION_COLUMNS, rows) },
    { name: "ceiling: Arrow to Parquet", unit, count, work: () => void encodeParquet(table) },
    { name: "columns to Parquet", unit, count, work: () => void encodeSessions(rows) },
  ];
}

function checkpoints(batches: readonly RecordBatch[], sessions: number): Stage[] {
  const state = stateOf(batches);
  sealPartition(state, BARRIER);
  const bytes = encodeOccurrences(state);
  const restore = () => restoreOccurrences(emptyPartition(0, SEMANTICS), bytes, () => true);
  const [unit, count] = ["session", sessions] as const;
  return [
    { name: "checkpoint encode", unit, count, work: () => void encodeOccurrences(state) },
    { name: "checkpoint decode", unit, count, work: restore },
  ];
}

async function report(stage: Stage, profiled: boolean): Promise<void> {
  console.log(`${stage.name.padEnd(40)}${measure(stage).toFixed(2).padStart(10)} µs per ${stage.unit}`);
  if (!profiled) return;
  for (const { where, share } of (await profile(stage.work)).slice(0, PROFILE_LINES)) {
    console.log(`${(100 * share).toFixed(1).padStart(10)} %  ${where}`);
  }
}

const profiled = Deno.args.includes("--profile");
const [count = String(EVENTS_DEFAULT)] = Deno.args.filter((arg) => arg !== "--profile");
const events = Number(count);
if (!Number.isInteger(events) || events < 1) {
  throw new Error(`EVENTS must be a positive integer: found '${count}'.`);
}
const batches = simulate(events);
const bytes = batches.reduce((sum, { values }) => sum + values.length, 0);
const rows = rowsOf(batches);
console.log(
  `${events} events of ${Math.round(bytes / events)} bytes in ${rows.rows} sessions; median of ${ROUNDS}`,
);
for (
  const stages of [perEvent(batches, events), perSession(batches, rows), checkpoints(batches, rows.rows)]
) {
  for (const stage of stages) await report(stage, profiled);
}
