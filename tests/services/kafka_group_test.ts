/** Several instances in one group, on a real broker: each partition has one reader, whatever happens to the others. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { openKafkaProducer } from "../../sources/kafka_producer.ts";
import { openKafkaSource } from "../../sources/kafka_source.ts";
import { record } from "../sources/log_support.ts";
import { inTempDir } from "../sources/log_support.ts";
import { newTopic, sharedBroker, stopKafka } from "./harness/kafka.ts";
import { LocalMember, RemoteMember, untilShared } from "./harness/kafka_members.ts";
import { KafkaProxy } from "./harness/kafka_proxy.ts";
import { plainKafka, testConnection } from "./harness/kafka_world.ts";
import { until } from "./harness/pipeline_run.ts";

Deno.test.afterAll(stopKafka);

const PARTITIONS = 8;
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition);
/** After it the group takes a member for dead. */
const SESSION_MS = 10_000;

const sorted = (partitions: Iterable<number>) => [...partitions].sort((a, b) => a - b);

/** A new topic on the shared broker. */
async function groupTopic(partitions = PARTITIONS): Promise<{ brokers: string; topic: string }> {
  const { brokers } = await sharedBroker();
  const topic = newTopic();
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] });
  await admin.disconnect();
  return { brokers, topic };
}

Deno.test("members that come and go share the partitions evenly, each takes only its share, and each record counts once", async () => {
  const { brokers, topic } = await groupTopic();
  const connection = testConnection(brokers);
  const producer = await openKafkaProducer({ connection, topic, partitions: PARTITIONS });
  const stopped = new AbortController();
  let sent = 0;
  const producing = (async () => {
    while (!stopped.signal.aborted) {
      sent += (await producer.send(Array.from({ length: 40 }, (_, i) => record(`${sent + i}`, "v")))).length;
      await systemClock.sleep(20);
    }
  })();
  const positions = new Map<number, number>();
  const first = await LocalMember.join(connection, topic, positions);
  await untilShared([8], [first]);
  const second = await LocalMember.join(connection, topic, positions);
  await untilShared([4, 4], [first, second]);
  const [had, got] = [sorted(first.held), sorted(second.held)];
  const third = await LocalMember.join(connection, topic, positions);
  await untilShared([3, 3, 2], [first, second, third]);
  assert(sorted(first.held).every((partition) => had.includes(partition)));
  assert(sorted(second.held).every((partition) => got.includes(partition)));
  const kept = [sorted(first.held), sorted(second.held)];
  await third[Symbol.asyncDispose]();
  await untilShared([4, 4], [first, second]);
  assert(kept[0]!.every((partition) => first.held.has(partition)));
  assert(kept[1]!.every((partition) => second.held.has(partition)));
  await second[Symbol.asyncDispose]();
  await untilShared([8], [first]);
  stopped.abort();
  await producing;
  await producer.close();
  await until("all records", () => [...positions.values()].reduce((sum, next) => sum + next, 0) === sent);
  assertEquals(first.changes.map(({ revoked, assigned }) => [revoked.length, assigned.length]), [
    [0, 8],
    [4, 0],
    [1, 0],
    [0, 1],
    [0, 4],
  ]);
  await first[Symbol.asyncDispose]();
});

Deno.test("a member that finds no partition waits, and reads when another one leaves", async () => {
  const { brokers, topic } = await groupTopic(1);
  const connection = testConnection(brokers);
  const first = await LocalMember.join(connection, topic);
  await untilShared([1], [first]);
  await using second = await LocalMember.join(connection, topic);
  await untilShared([1, 0], [first, second]);
  assertEquals((await second.source.ranges()).length, 1);
  await second.source.seek(0, 5); // another instance's: nothing happens, also beyond the end
  await first[Symbol.asyncDispose]();
  await untilShared([1], [second]);
});

Deno.test("partitions that another member had in between are revoked and assigned in one poll, and have no position", async () => {
  const { brokers, topic } = await groupTopic();
  const connection = testConnection(brokers);
  const source = await openKafkaSource({ connection, topic, partitions: 1, groupId: topic });
  assertEquals(await source.poll(1_000, 5_000), { batches: [], atEnd: [], revoked: [], assigned: ALL });
  for (const partition of ALL) await source.seek(partition, 0);
  const other = await LocalMember.join(connection, topic);
  await until("the other's share", () => other.held.size === 4);
  const lent = sorted(other.held);
  await other[Symbol.asyncDispose]();
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  await until("the group to be whole again", async () => {
    const { groups: [group] } = await admin.describeGroups([topic]);
    return group!.state === "Stable" && group!.members.length === 1;
  });
  await admin.disconnect();
  await systemClock.sleep(500); // the broker answers the member before it describes the group
  for (const partition of lent) await source.seek(partition, 0); // it can't know yet: nothing happens
  const producer = await openKafkaProducer({ connection, topic, partitions: PARTITIONS });
  await producer.send(Array.from({ length: 200 }, (_, i) => record(`${i}`, "v")));
  assertEquals(await source.poll(100_000, 5_000), { batches: [], atEnd: [], revoked: lent, assigned: lent });
  for (let polls = 0; polls < 20; polls++) {
    for (const { partition } of (await source.poll(100_000, 50)).batches) assert(!lent.includes(partition));
  }
  await producer.close();
  await source.close();
});

Deno.test("partitions that are added to the topic are shared out without a restart", async () => {
  const { brokers, topic } = await groupTopic(3);
  const connection = testConnection(brokers);
  await using first = await LocalMember.join(connection, topic);
  await using second = await LocalMember.join(connection, topic);
  await untilShared([2, 1], [first, second]);
  const before = sorted(first.held);
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic, count: 8 }] });
  await admin.disconnect();
  await untilShared([4, 4], [first, second]);
  assert(before.every((partition) => first.held.has(partition)));
  assertEquals(first.changes.at(-1)!.revoked, []);
});

/** Ends one of two members by `kill` and starts it again: it must have its share before the group could have missed it. */
async function killAndStartAgain(kill: (killed: RemoteMember) => Promise<void>): Promise<void> {
  await inTempDir(async (directory) => {
    const { brokers, topic } = await groupTopic();
    const memberPath = `${directory}/kafka_member.json`;
    await using other = await LocalMember.join(testConnection(brokers), topic);
    const killed = RemoteMember.join(brokers, topic, memberPath);
    await untilShared([4, 4], [other, killed]);
    await kill(killed);
    const startedAt = systemClock.monotonic();
    await using successor = RemoteMember.join(brokers, topic, memberPath);
    await untilShared([4, 4], [other, successor]);
    const elapsed = systemClock.monotonic() - startedAt;
    await killed[Symbol.asyncDispose]();
    assertLess(elapsed, SESSION_MS - 2_000);
  });
}

Deno.test("a member that is killed and started again has partitions again before the group could have missed it", () =>
  killAndStartAgain((killed) => killed.signal("SIGKILL")));

Deno.test("a member that lives through a broker's restart stays who it was: another one need not wait for its session to end", () =>
  killAndStartAgain(async (killed) => {
    const broker = await sharedBroker();
    await broker.kill();
    await killed.signal("SIGKILL");
    await broker.startAgain();
  }));

Deno.test("a member that leaves in order takes its file with it", () =>
  inTempDir(async (directory) => {
    const { brokers, topic } = await groupTopic(1);
    const memberPath = `${directory}/kafka_member.json`;
    const options = { connection: testConnection(brokers), topic, partitions: 1, groupId: topic, memberPath };
    const source = await openKafkaSource(options);
    const { groupId, memberId } = JSON.parse(await Deno.readTextFile(memberPath));
    assertEquals(groupId, topic);
    await source.close();
    assertEquals([...Deno.readDirSync(directory)], []);
    // A file that was left over names nobody: it does no harm.
    await Deno.writeTextFile(memberPath, JSON.stringify({ groupId, memberId }));
    const again = await openKafkaSource(options);
    assertEquals((await again.poll(1, 5_000)).assigned, [0]);
    await again.close();
  }));

Deno.test("a member that leaves while the group waits for another one is gone at once, and is given nothing", () =>
  inTempDir(async (directory) => {
    const { brokers, topic } = await groupTopic();
    const leaving = await LocalMember.join(testConnection(brokers), topic);
    await using hung = RemoteMember.join(brokers, topic, `${directory}/hung.json`);
    await untilShared([4, 4], [leaving, hung]);
    await hung.signal("SIGSTOP");
    await using joining = RemoteMember.join(brokers, topic, `${directory}/joining.json`);
    const admin = plainKafka(brokers).admin();
    await admin.connect();
    const group = async () => (await admin.describeGroups([topic])).groups[0]!;
    await until("the group to wait for its members", async () => (await group()).members.length === 3);
    await systemClock.sleep(1_500); // now the one that leaves has joined again, by its next heartbeat
    assertEquals((await group()).state, "PreparingRebalance");
    const closedAt = systemClock.monotonic();
    await leaving[Symbol.asyncDispose]();
    assertLess(systemClock.monotonic() - closedAt, 4_000);
    assertEquals((await group()).members.length, 2);
    await untilShared([8], [joining]);
    assertEquals((await group()).members.length, 1);
    await admin.disconnect();
  }));

Deno.test("a member that dies without a successor loses its partitions to the others", () =>
  inTempDir(async (directory) => {
    const { brokers, topic } = await groupTopic();
    await using survivor = await LocalMember.join(testConnection(brokers), topic);
    await using killed = RemoteMember.join(brokers, topic, `${directory}/kafka_member.json`);
    await untilShared([4, 4], [survivor, killed]);
    const kept = sorted(survivor.held);
    await killed.signal("SIGKILL");
    await untilShared([8], [survivor]);
    assert(survivor.changes.every(({ revoked }) => kept.every((partition) => !revoked.includes(partition))));
  }));

Deno.test("a member that is held up longer than the group waits has lost its partitions, and its polls say so", () =>
  inTempDir(async (directory) => {
    const { brokers, topic } = await groupTopic();
    await using other = await LocalMember.join(testConnection(brokers), topic);
    await using paused = RemoteMember.join(brokers, topic, `${directory}/kafka_member.json`);
    await untilShared([4, 4], [other, paused]);
    const had = sorted(paused.held);
    await paused.signal("SIGSTOP");
    await untilShared([8], [other]);
    const seen = paused.changes.length;
    await paused.signal("SIGCONT");
    await until("the paused member's word", () => paused.changes.length > seen);
    assertEquals(paused.changes[seen]!.revoked, had);
    await untilShared([4, 4], [other, paused]);
  }));

for (const how of ["held", "cut and held"] as const) {
  Deno.test(`a member whose network is ${how} gives its partitions up, and has some again when it is back`, async () => {
    const broker = await sharedBroker();
    const { brokers, topic } = await groupTopic();
    const { proxy: port, broker: brokerPort } = broker.proxyPorts;
    await using proxy = new KafkaProxy(port, brokerPort);
    await using other = await LocalMember.join(testConnection(brokers), topic);
    await using remote = await LocalMember.join(testConnection(`127.0.0.1:${port}`), topic);
    await untilShared([4, 4], [other, remote]);
    const had = sorted(remote.held);
    proxy.hold();
    if (how === "cut and held") proxy.cut();
    await untilShared([8, 0], [other, remote]);
    assertEquals(sorted(remote.changes.at(-1)!.revoked), had);
    proxy.release();
    await untilShared([4, 4], [other, remote]);
  });
}

Deno.test("a network that is cut for less than the group waits costs no partition", async () => {
  const broker = await sharedBroker();
  const { topic } = await groupTopic();
  const { proxy: port, broker: brokerPort } = broker.proxyPorts;
  await using proxy = new KafkaProxy(port, brokerPort);
  const connection = testConnection(`127.0.0.1:${port}`);
  const positions = new Map<number, number>();
  const producer = await openKafkaProducer({
    connection: testConnection(broker.brokers),
    topic,
    partitions: 1,
  });
  await using member = await LocalMember.join(connection, topic, positions);
  await untilShared([8], [member]);
  let sent = 0;
  for (let round = 0; round < 10; round++) {
    sent += (await producer.send(Array.from({ length: 500 }, (_, i) => record(`${i}`, "v")))).length;
    await systemClock.sleep(round * 20);
    proxy.cut();
  }
  await until("all records", () => [...positions.values()].reduce((sum, next) => sum + next, 0) === sent);
  await producer.close();
  assertEquals(member.changes.length, 1);
});
