/** Members of a Kafka group that read, in this process or in one of their own, and what each of them holds. */
import { systemClock } from "../../../actors/clock.ts";
import type { KafkaConnection } from "../../../sources/kafka_client.ts";
import { openKafkaSource } from "../../../sources/kafka_source.ts";
import type { Poll, Source } from "../../../sources/source.ts";
import { testConnection } from "./kafka_world.ts";

const POLL_BYTES = 100_000;
const POLL_MS = 100;

/** What a poll said of the assignment. */
export type Change = Pick<Poll, "revoked" | "assigned">;

/** A member as the tests see it. */
export interface Member {
  /** The partitions that it reads, as its polls have said. */
  readonly held: ReadonlySet<number>;
  /** Its polls that said something of the assignment. */
  readonly changes: readonly Change[];
}

/** Takes in what a poll says of the assignment. */
function take(held: Set<number>, changes: Change[], { revoked, assigned }: Change): void {
  if (revoked.length === 0 && assigned.length === 0) return;
  changes.push({ revoked, assigned });
  for (const partition of revoked) {
    if (!held.delete(partition)) throw new Error(`partition ${partition} was revoked, and was not held`);
  }
  for (const partition of assigned) {
    if (held.has(partition)) throw new Error(`partition ${partition} was assigned twice`);
    held.add(partition);
  }
}

/**
 * A member in this process. What it reads counts only where the partition is still where it believes, as a commit that
 * compares and swaps: `positions` is the log that all members share.
 */
export class LocalMember implements Member, AsyncDisposable {
  readonly held = new Set<number>();
  readonly changes: Change[] = [];
  #closed = false;
  readonly #reading: Promise<void>;

  private constructor(readonly source: Source, private readonly positions: Map<number, number>) {
    this.#reading = this.#read();
    this.#reading.catch(() => {}); // Thrown when it is disposed of.
  }

  static async join(
    connection: KafkaConnection,
    topic: string,
    positions: Map<number, number> = new Map(),
  ): Promise<LocalMember> {
    const source = await openKafkaSource({ connection, topic, partitions: 1, groupId: topic });
    return new LocalMember(source, positions);
  }

  async #read(): Promise<void> {
    const position = (partition: number) => this.positions.get(partition) ?? 0;
    while (!this.#closed) {
      const poll = await this.source.poll(POLL_BYTES, POLL_MS);
      take(this.held, this.changes, poll);
      for (const partition of poll.assigned) await this.source.seek(partition, position(partition));
      for (const { partition, offsets, nextOffset } of poll.batches) {
        if (offsets[0] === position(partition)) this.positions.set(partition, nextOffset);
        else await this.source.seek(partition, position(partition)); // fenced
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.source.close();
    await this.#reading;
  }
}

/** A member in a process of its own, which can be stopped and killed. */
export class RemoteMember implements Member, AsyncDisposable {
  readonly held = new Set<number>();
  readonly changes: Change[] = [];
  readonly #listening: Promise<void>;

  private constructor(private readonly process: Deno.ChildProcess) {
    this.#listening = this.#listen();
  }

  static join(brokers: string, topic: string, memberPath: string): RemoteMember {
    const main = new URL("./kafka_member_main.ts", import.meta.url).pathname;
    const args = ["run", "-q", "--no-prompt", "--no-check", "-P=services", main, brokers, topic, memberPath];
    const command = new Deno.Command(Deno.execPath(), {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    });
    return new RemoteMember(command.spawn());
  }

  async #listen(): Promise<void> {
    let rest = "";
    for await (const text of this.process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) take(this.held, this.changes, JSON.parse(line) as Change);
    }
  }

  /** SIGSTOP: it does nothing, and does not know; SIGCONT: it goes on; SIGKILL: it is dead. */
  async signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): Promise<void> {
    this.process.kill(signal);
    if (signal === "SIGKILL") await this.process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.process.kill("SIGKILL");
    } catch {
      // It is dead.
    }
    await this.process.status;
    await this.#listening;
  }
}

/** What a {@linkcode RemoteMember}'s process does: it polls for ever, and prints each change. */
export async function runRemoteMember(brokers: string, topic: string, memberPath: string): Promise<void> {
  const connection = testConnection(brokers);
  const source = await openKafkaSource({ connection, topic, partitions: 1, groupId: topic, memberPath });
  for (;;) {
    const { revoked, assigned } = await source.poll(POLL_BYTES, POLL_MS);
    if (revoked.length + assigned.length > 0) console.log(JSON.stringify({ revoked, assigned }));
    for (const partition of assigned) await source.seek(partition, 0);
  }
}

/** Waits until the members hold so many partitions each, each partition held by one of them. */
export async function untilShared(counts: readonly number[], members: readonly Member[]): Promise<void> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const isShared = () =>
    members.every(({ held }, i) => held.size === counts[i]) &&
    new Set(members.flatMap(({ held }) => [...held])).size === total;
  for (let looks = 0; !isShared(); looks++) {
    if (looks > LOOKS_MAX) {
      const held = members.map(({ held }) => `{${[...held].sort()}}`).join(" ");
      throw new Error(`The members were to hold ${counts} partitions, and hold ${held}.`);
    }
    await systemClock.sleep(LOOK_MS);
  }
}

const LOOK_MS = 50;
const LOOKS_MAX = 600;
