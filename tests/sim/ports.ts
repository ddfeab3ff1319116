/** Ports between the actors of an instance: first in, first out each, in any order together. */
import type { Random } from "../../sources/random.ts";
import type { Party, Scheduler } from "./scheduler.ts";

export interface PortOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly party: Party;
  /** Typical time of a message on its way, and how often one takes a thousand times as long. */
  readonly delayMs: number;
  readonly stall: number;
  /** Messages are copied and their buffers taken away, as between threads; otherwise handed over. */
  readonly transfers: boolean;
}

/** One end; what `mailbox.ts` uses of a MessagePort. */
class Port {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  /** Whoever receives here has done all there is to do when it returns. */
  plain = false;
  peer!: Port;
  readonly #queue: unknown[] = [];
  #started = false;

  constructor(private readonly options: PortOptions) {}

  postMessage(message: unknown, transfer: ArrayBuffer[] = []): void {
    const { scheduler, random, party, delayMs, stall, transfers } = this.options;
    const { peer } = this;
    peer.#queue.push(transfers ? structuredClone(message, { transfer }) : message);
    const delay = delayMs * random.float() * (random.float() < stall ? 1_000 : 1);
    scheduler.after(delay, party, () => peer.#deliver(), peer.plain);
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { scheduler, party } = this.options;
    for (let i = 0; i < this.#queue.length; i++) scheduler.after(0, party, () => this.#deliver(), this.plain);
  }

  close(): void {
    this.onmessage = null;
  }

  /** Hands over the oldest message: whichever message's turn it was, order is kept. */
  #deliver(): void {
    if (!this.#started || this.#queue.length === 0) return;
    this.onmessage?.({ data: this.#queue.shift() });
  }
}

/**
 * Two joined ends.
 *
 * @param plain whether the receiver at `port2` waits for nothing
 */
export function portPair(options: PortOptions, plain = false): { port1: MessagePort; port2: MessagePort } {
  const [port1, port2] = [new Port(options), new Port(options)];
  port2.plain = plain;
  port1.peer = port2;
  port2.peer = port1;
  return { port1: port1 as unknown as MessagePort, port2: port2 as unknown as MessagePort };
}
