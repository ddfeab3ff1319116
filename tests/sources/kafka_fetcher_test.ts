/** The loops of the fetcher against brokers that answer what each test wants. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SourceError } from "../../schema/errors.ts";
import type { KafkaConnection } from "../../sources/kafka_client.ts";
import { type Fetched, type FetchPosition, KafkaFetcher } from "../../sources/kafka_fetcher.ts";
import { FakeCluster, oneRecord, type PartitionAnswer, refused } from "../support/kafka_answers.ts";

/** Turns of the event loop after which a test fails instead of going on for ever. */
const TURNS_MAX = 20_000;

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert(turns < TURNS_MAX, `waited for ${what}`);
    await turn();
  }
}

/** A fetcher over a fake cluster, in which sleeping takes no time. */
class World implements AsyncDisposable {
  readonly fake = new FakeCluster();
  readonly failures: SourceError[] = [];
  readonly notices: string[] = [];
  /** partition:offset of what was taken in. */
  readonly taken: string[] = [];
  readonly outOfRange: FetchPosition[] = [];
  topicUnknown = 0;
  take: (fetched: Fetched) => Promise<void> = () => Promise.resolve();
  mend: (position: FetchPosition) => Promise<void> = () => Promise.resolve();
  readonly fetcher: KafkaFetcher;
  #now = 0;

  constructor(leaders: readonly number[]) {
    leaders.forEach((leader, partition) => this.fake.leaders.set(partition, leader));
    const connection: KafkaConnection = {
      brokers: ["fake:9092"],
      clientId: "test",
      tls: false,
      tlsCaPath: null,
      sasl: null,
      now: () => this.#now,
      sleep: async (ms) => {
        await turn();
        this.#now += ms;
      },
      notice: (text) => this.notices.push(text),
    };
    this.fetcher = new KafkaFetcher({ topic: "clicks", cluster: this.fake.cluster, connection }, {
      fetched: async (fetched) => {
        await this.take(fetched);
        if (fetched.records.bytes.length > 0) this.taken.push(`${fetched.records.partition}:${fetched.from}`);
      },
      outOfRange: (position) => {
        this.outOfRange.push(position);
        return this.mend(position);
      },
      topicUnknown: () => this.topicUnknown++,
      failed: (error) => this.failures.push(error),
    });
  }

  /** Answers once what `make` gives, and from then on records. */
  answerOnce(make: (partition: number, offset: number) => PartitionAnswer | Promise<PartitionAnswer>): void {
    const usual = this.fake.answer;
    this.fake.answer = ({ asked }) => {
      this.fake.answer = usual;
      return Promise.all(asked.map(([partition, offset]) => make(partition, offset)));
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fetcher.close();
  }
}

Deno.test("each leader is asked for its own partitions, and each position moves on by what came", async () => {
  await using world = new World([1, 2, 1]);
  for (const [partition, offset] of [[0, 5], [1, 7], [2, 9]] as const) {
    world.fetcher.read(partition, offset, false);
  }
  await until("records", () => ["0:7", "1:9", "2:11"].every((place) => world.taken.includes(place)));
  for (const { leader, asked } of world.fake.requests) {
    for (const [partition] of asked) assertEquals(leader, partition === 1 ? 2 : 1);
  }
  for (const [partition, offset] of [[0, 5], [1, 7], [2, 9]] as const) {
    const own = world.taken.filter((place) => place.startsWith(`${partition}:`));
    assertEquals(own, own.map((_, i) => `${partition}:${offset + i}`));
  }
});

Deno.test("while an answer is taken in the next request is under way, and no further one", async () => {
  await using world = new World([1]);
  const gate = Promise.withResolvers<void>();
  world.take = () => gate.promise;
  world.fetcher.read(0, 0, false);
  await until("the second request", () => world.fake.requests.length === 2);
  for (let turns = 0; turns < 50; turns++) await turn();
  assertEquals(world.fake.requests.map(({ asked }) => asked), [[[0, 0]], [[0, 1]]]);
  gate.resolve();
  await until("the third request", () => world.fake.requests.length >= 3);
  assertEquals(world.fake.requests[2]!.asked, [[0, 2]]);
});

Deno.test("another partition comes first in each request", async () => {
  await using world = new World([1, 1, 1]);
  for (const partition of [0, 1, 2]) world.fetcher.read(partition, 0, false);
  await until(
    "requests for all",
    () => world.fake.requests.filter(({ asked }) => asked.length === 3).length >= 4,
  );
  const firsts = world.fake.requests.filter(({ asked }) => asked.length === 3).map(({ asked }) =>
    asked[0]![0]
  );
  assertEquals(new Set(firsts.slice(0, 4)).size, 3);
});

// CORRUPT_MESSAGE, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, REQUEST_TIMED_OUT, REPLICA_NOT_AVAILABLE,
// KAFKA_STORAGE, FENCED and UNKNOWN leader epoch, OFFSET_NOT_AVAILABLE, UNKNOWN_TOPIC_ID, and what has no name.
for (const code of [-1, 2, 3, 5, 6, 7, 9, 56, 74, 75, 78, 100, 999]) {
  Deno.test(`a leader's answer ${code} is asked again of whoever leads then, at the same offset`, async () => {
    await using world = new World([1]);
    world.answerOnce((partition) => {
      world.fake.leaders.set(0, -1);
      return refused(partition, code);
    });
    let asked = 0;
    world.fake.onRefresh = () => {
      if (++asked === 2) world.fake.leaders.set(0, 2);
    };
    world.fetcher.read(0, 40, false);
    await until("records of the new leader", () => world.taken.length >= 2);
    assertEquals(world.taken.slice(0, 2), ["0:40", "0:41"]);
    assertEquals(world.fake.requests.slice(0, 2).map(({ leader }) => leader), [1, 2]);
    assertEquals([world.failures, world.topicUnknown], [[], code === 3 ? 1 : 0]);
    const isQuiet = [3, 5, 6, 9, 74, 75, 78].includes(code);
    assertEquals(world.notices.length, isQuiet ? 0 : 1, world.notices.join());
  });
}

Deno.test("a refusal that only a person can mend stops the reader, and names the setting", async () => {
  await using world = new World([1]);
  world.answerOnce((partition) => refused(partition, 29));
  world.fetcher.read(0, 0, false);
  await until("the failure", () => world.failures.length > 0);
  assertMatch(world.failures[0]!.message, /^Reading partition 0 of topic 'clicks'.*KAFKA_TOPIC/);
});

Deno.test("a position out of range is never reset: it waits for the check, and stops the reader where that fails", async () => {
  await using world = new World([1]);
  world.answerOnce((partition) => refused(partition, 1));
  const check = Promise.withResolvers<void>();
  world.mend = () => check.promise;
  world.fetcher.read(0, 40, false);
  await until("the check", () => world.outOfRange.length === 1);
  for (let turns = 0; turns < 20; turns++) await turn();
  assertEquals(world.fake.requests.length, 1);
  assertEquals(world.outOfRange[0]!.offset, 40);
  check.resolve();
  await until("records", () => world.taken.length > 0);
  assertEquals(world.taken[0], "0:40");
  world.mend = () => Promise.reject(new Error("begins at 50"));
  world.answerOnce((partition) => refused(partition, 1));
  await until("the failure", () => world.failures.length > 0);
  assertMatch(world.failures[0]!.message, /begins at 50/);
});

Deno.test("a broker that can't be asked is given up with its connections, and its partitions are read from the next leader", async () => {
  await using world = new World([1, 2]);
  const usual = world.fake.answer;
  world.fake.answer = (request) => request.leader === 1 ? Promise.reject(new Error("cut")) : usual(request);
  world.fake.onRefresh = () => {
    if (world.fake.removed.length === 3) world.fake.leaders.set(0, 2);
  };
  world.fetcher.read(0, 40, false);
  world.fetcher.read(1, 0, false);
  await until("records of both", () => world.taken.includes("0:42"));
  assert(world.fake.removed.length >= 3 && world.fake.removed.every((node) => node === 1));
  assertEquals(world.failures, []);
  assertEquals(world.taken.filter((place) => place.startsWith("0:"))[0], "0:40");
});

Deno.test("what comes for a position that was left is dropped, and a paused one is not asked for", async () => {
  await using world = new World([1, 1]);
  const gate = Promise.withResolvers<void>();
  world.answerOnce(async (partition, offset) => {
    await gate.promise;
    return await oneRecord(partition, offset);
  });
  world.fetcher.read(0, 0, false);
  await until("the request", () => world.fake.requests.length === 1);
  world.fetcher.read(0, 500, false);
  const other = world.fetcher.read(1, 0, true);
  gate.resolve();
  await until("records", () => world.taken.length >= 3);
  assertEquals(world.taken.slice(0, 3), ["0:500", "0:501", "0:502"]);
  world.fetcher.forget(0);
  other.paused = false;
  world.fetcher.wakeUp();
  await until("records of the other", () => world.taken.includes("1:2"));
  const seen = world.fake.requests.length;
  await until("more requests", () => world.fake.requests.length > seen + 3);
  for (const { asked } of world.fake.requests.slice(seen + 1)) {
    assertEquals(asked.map(([partition]) => partition), [1]);
  }
});

Deno.test("one record is fetched beside the positions, and again where the leader has moved", async () => {
  await using world = new World([1]);
  world.answerOnce((partition) => {
    world.fake.leaders.set(0, 2);
    return refused(partition, 6);
  });
  const fetched = await world.fetcher.fetchOnce(0, 77);
  assertEquals([fetched.partition, fetched.end], [0, 1_000]);
  assertEquals(world.fake.requests, [{ leader: 1, asked: [[0, 77]] }, { leader: 2, asked: [[0, 77]] }]);
  assertEquals(world.taken, []);
});
