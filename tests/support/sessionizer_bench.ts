/** A partition of the sessionizer under test: clicks go in at growing offsets, epochs are closed on request. */
import {
  acceptBatch,
  emptyPartition,
  type PartitionSeal,
  type PartitionState,
  sealPartition,
} from "../../actors/sessionizer.ts";
import type { PartitionBarrier, SessionSemantics } from "../../schema/epoch.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { ProducedRecord } from "../../sources/source.ts";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
/** Event times are given relative to this. */
export const T0 = Date.UTC(2026, 0, 5, 12);
/** The settings' defaults. */
export const SEMANTICS: SessionSemantics = {
  sessionTimeoutMs: 30 * MINUTE,
  watermarkDelayMs: MINUTE,
  allowedLatenessMs: 2 * MINUTE,
  maxSessionDurationMs: 24 * 60 * MINUTE,
  maxSessionEvents: 50_000,
  maxClockSkewMs: MINUTE,
  keyCheck: "session_id",
};

/** An event, with defaults for all but its time. */
export interface Click {
  readonly session?: string;
  readonly at: number;
  readonly id?: string;
  readonly type?: string;
  readonly key?: string | null;
  readonly fields?: Record<string, unknown>;
}

const encoder = new TextEncoder();

/** The click as a record. */
export function record(
  { session = "s", at, id = `e${at}`, type = "article_view", key, fields }: Click,
): ProducedRecord {
  const event = {
    event_id: id,
    session_id: session,
    user_id: 7,
    event_type: type,
    timestamp: T0 + at,
    ...fields,
  };
  const keyText = key === undefined ? session : key;
  return {
    key: keyText === null ? null : encoder.encode(keyText),
    value: encoder.encode(JSON.stringify(event)),
  };
}

/** Feeds clicks at growing offsets and closes epochs. */
export class Bench {
  readonly state: PartitionState;
  #offset = 0;
  #number = 0;
  constructor(
    semantics: Partial<SessionSemantics> = {},
    private readonly brokerTime = T0 + 365 * 24 * 60 * MINUTE,
  ) {
    this.state = emptyPartition(3, { ...SEMANTICS, ...semantics });
  }
  feed(...clicks: readonly Click[]): this {
    this.raw(clicks.map(record));
    return this;
  }
  raw(records: readonly ProducedRecord[]): void {
    acceptBatch(this.state, recordBatchOf(3, this.#offset, this.brokerTime, records));
    this.#offset += records.length;
  }
  /** Closes an epoch at the watermarks, relative to T0. */
  seal(eventWatermark: number | null = null, more: Partial<PartitionBarrier> = {}): PartitionSeal {
    const absolute = eventWatermark === null ? null : T0 + eventWatermark;
    return sealPartition(this.state, {
      partition: 3,
      number: ++this.#number,
      epoch: this.#number,
      from: 0,
      to: this.#offset,
      clock: T0,
      eventWatermark: absolute,
      watermark: absolute,
      idleSince: null,
      forgetBefore: absolute === null ? null : absolute - SEMANTICS.allowedLatenessMs,
      closeOpen: false,
      revise: false,
      lastRecord: null,
      ...more,
    });
  }
}
