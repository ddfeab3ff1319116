/**
 * The way messages travel: typed ports, and the bounded mailbox of a session actor. With the supervisor and the
 * workers' entry files, the only place that knows `postMessage`.
 */
import { type ColumnBatch, transferList } from "../schema/column_batch.ts";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import type { RecordBatch } from "../sources/source.ts";
import type { ActorReport, Credit, Failure, ShardMessage } from "./protocol.ts";

/** One end of a port: sends `Out`, receives `In`. */
export interface Channel<Out, In> {
  send(message: Out, transfer?: ArrayBuffer[]): void;
  /** Sets the receiver; messages that came before it are kept and handed over first. */
  receive(handler: (message: In) => void): void;
  close(): void;
}

/** A channel over a `MessagePort`. */
export function channel<Out, In>(port: MessagePort): Channel<Out, In> {
  return {
    send: (message, transfer = []) => port.postMessage(message, transfer),
    receive(handler) {
      port.onmessage = ({ data }: MessageEvent<In>) => handler(data);
      port.start();
    },
    close: () => port.close(),
  };
}

/** The bytes that a batch counts for in a mailbox: its buffers, and a record's share of bookkeeping. */
export function batchBytes(batch: RecordBatch): number {
  return batch.keys.byteLength + batch.values.byteLength + batch.count * 25;
}

/**
 * The sending end of a session actor's mailbox, bounded by credit: `deliver` waits while more than `bytesMax` bytes are
 * on their way. One batch always fits an empty mailbox, however large it is.
 */
export class Mailbox {
  #outstanding = 0;
  #waiting: (() => void) | null = null;
  readonly #channel: Channel<ShardMessage, Credit>;

  constructor(port: MessagePort, private readonly bytesMax: number) {
    this.#channel = channel(port);
    this.#channel.receive(({ bytes }) => {
      this.#outstanding -= bytes;
      this.#waiting?.();
      this.#waiting = null;
    });
  }

  /** Bytes delivered and not yet taken in. */
  get outstandingBytes(): number {
    return this.#outstanding;
  }

  /** Hands over a batch; its buffers can't be used here afterwards. */
  async deliver(batch: RecordBatch): Promise<void> {
    const bytes = batchBytes(batch);
    while (this.#outstanding > 0 && this.#outstanding + bytes > this.bytesMax) {
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
    this.#outstanding += bytes;
    const { offsets, timestamps, keys, keyEnds, values, valueEnds, nulls } = batch;
    const buffers = new Set(
      [offsets, timestamps, keys, keyEnds, values, valueEnds, nulls].map(({ buffer }) => buffer),
    );
    this.#channel.send({ type: "records", batch }, [...buffers] as ArrayBuffer[]);
  }

  /** Posts what is small and must not wait: barriers and restores. They follow all batches delivered before. */
  post(message: Exclude<ShardMessage, { type: "records" }>): void {
    this.#channel.send(message);
  }
}

/** The buffers of several column batches, for a transfer. */
export function transferLists(...batches: readonly ColumnBatch[]): ArrayBuffer[] {
  return batches.flatMap(transferList);
}

/** The part of a worker's global scope that an actor's entry file uses. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
}

/** An actor's line to the supervisor, or to whoever else started it. */
export interface Supervised<Command, Report = ActorReport> {
  report(message: Report): void;
  /** Sets the receiver of the supervisor's commands. */
  commands(handler: (command: Command) => void): void;
}

/**
 * Runs an actor in its worker: waits for the start message, then `run`. Whatever `run` throws, now or later in a
 * promise, reaches the supervisor as `failed`.
 */
export function runActor<Start, Command = never, Report = ActorReport>(
  run: (start: Start, supervised: Supervised<Command, Report>) => Promise<void>,
): void {
  const scope = self as unknown as WorkerScope;
  const fail = (error: unknown) =>
    scope.postMessage({ type: "failed", failure: failureOf(error) } satisfies ActorReport);
  self.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    fail(event.reason);
  });
  self.addEventListener("error", (event) => {
    event.preventDefault();
    fail(event.error ?? event.message);
  });
  let handler: ((command: Command) => void) | null = null;
  const early: Command[] = [];
  scope.onmessage = ({ data }: MessageEvent<Start>) => {
    scope.onmessage = ({ data }: MessageEvent<Command>) => handler ? handler(data) : early.push(data);
    run(data, {
      report: (message) => scope.postMessage(message),
      commands(receiver) {
        handler = receiver;
        early.splice(0).forEach(receiver);
      },
    }).catch(fail);
  };
}

/** What is left of an error after its journey between threads. */
export function failureOf(error: unknown): Failure {
  return {
    name: error instanceof Error ? error.name : "Error",
    message: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
    exitCode: error instanceof UserError ? error.exitCode : EXIT.internal,
  };
}
