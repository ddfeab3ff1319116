import { assert, assertEquals } from "@std/assert";
import { batchBytes, type Channel, channel, failureOf, Mailbox } from "../../actors/mailbox.ts";
import type { Credit, ShardMessage } from "../../actors/protocol.ts";
import { EXIT, SourceError } from "../../schema/errors.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { RecordBatch } from "../../sources/source.ts";
import { turns } from "../support/fake_clock.ts";
import { barrierOf } from "../support/records.ts";

/** A batch of one record that counts for `bytes` bytes in a mailbox. */
function batchOfBytes(bytes: number, offset = 0): RecordBatch {
  const batch = recordBatchOf(0, offset, 1, [{ key: null, value: new Uint8Array(bytes - 25) }]);
  assertEquals(batchBytes(batch), bytes);
  return batch;
}

/** A mailbox, and the far end of its port. */
async function withMailbox(
  bytesMax: number,
  work: (mailbox: Mailbox, actor: Channel<Credit, ShardMessage>, received: ShardMessage[]) => Promise<void>,
): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const actor = channel<Credit, ShardMessage>(port2);
  const received: ShardMessage[] = [];
  actor.receive((message) => received.push(message));
  try {
    await work(new Mailbox(port1, bytesMax), actor, received);
  } finally {
    port1.close();
    port2.close();
  }
}

/** Delivers the batches one after another; `delivered` counts those that the mailbox took. */
function deliverAll(
  mailbox: Mailbox,
  batches: readonly RecordBatch[],
): { delivered: number; done: Promise<void> } {
  const progress = { delivered: 0, done: Promise.resolve() };
  progress.done = (async () => {
    for (const batch of batches) {
      await mailbox.deliver(batch);
      progress.delivered++;
    }
  })();
  return progress;
}

Deno.test("a mailbox takes batches up to its bound exactly, and then waits for credit", async () => {
  await withMailbox(300, async (mailbox, actor) => {
    const progress = deliverAll(mailbox, [100, 200, 50, 250].map((bytes) => batchOfBytes(bytes)));
    await turns();
    assertEquals([progress.delivered, mailbox.outstandingBytes], [2, 300]);
    actor.send({ bytes: 49 });
    await turns();
    assertEquals([progress.delivered, mailbox.outstandingBytes], [2, 251]);
    actor.send({ bytes: 1 });
    await turns();
    assertEquals([progress.delivered, mailbox.outstandingBytes], [3, 300]);
    actor.send({ bytes: 250 });
    await progress.done;
    assertEquals([progress.delivered, mailbox.outstandingBytes], [4, 300]);
  });
});

Deno.test("a batch larger than the bound passes, alone", async () => {
  await withMailbox(100, async (mailbox, actor, received) => {
    const progress = deliverAll(mailbox, [batchOfBytes(40), batchOfBytes(5000), batchOfBytes(40)]);
    await turns();
    assertEquals(received.length, 1);
    actor.send({ bytes: 40 });
    await turns();
    assertEquals([received.length, mailbox.outstandingBytes], [2, 5000]);
    actor.send({ bytes: 5000 });
    await progress.done;
    assertEquals(mailbox.outstandingBytes, 40);
  });
});

Deno.test("bytes on their way never exceed the bound while an actor takes batches in one by one", async () => {
  await withMailbox(200, async (mailbox, actor) => {
    const batches = Array.from({ length: 60 }, (_, i) => batchOfBytes(30 + (i * 37) % 170, i));
    let waiting = 0;
    const offsets: number[] = [];
    actor.receive((message) => {
      assert(message.type === "records");
      waiting += batchBytes(message.batch);
      assert(waiting <= 200 && mailbox.outstandingBytes <= 200);
      offsets.push(message.batch.offsets[0]!);
      waiting -= batchBytes(message.batch);
      actor.send({ bytes: batchBytes(message.batch) });
    });
    await deliverAll(mailbox, batches).done;
    await turns();
    assertEquals(offsets, batches.map((_, i) => i));
    assertEquals(mailbox.outstandingBytes, 0);
  });
});

Deno.test("a barrier follows the batches before it, and needs no credit", async () => {
  await withMailbox(100, async (mailbox, _, received) => {
    await mailbox.deliver(batchOfBytes(100));
    mailbox.post({ type: "replayed", verify: false, barrier: barrierOf() });
    mailbox.post({ type: "live", partitions: [] });
    await turns();
    assertEquals(received.map(({ type }) => type), ["records", "replayed", "live"]);
    assertEquals(mailbox.outstandingBytes, 100);
  });
});

Deno.test("a delivered batch arrives whole, its buffers transferred and not copied", async () => {
  await withMailbox(1000, async (mailbox, _, received) => {
    const records = [{ key: Uint8Array.of(1), value: null }, { key: null, value: Uint8Array.of(2, 3) }];
    const batch = recordBatchOf(4, 10, 99, records);
    const expected = structuredClone(batch);
    await mailbox.deliver(batch);
    await turns();
    assertEquals(received, [{ type: "records", batch: expected }]);
    const buffers = [
      batch.offsets,
      batch.timestamps,
      batch.keys,
      batch.keyEnds,
      batch.values,
      batch.valueEnds,
    ];
    assert([...buffers, batch.nulls].every(({ buffer }) => (buffer as ArrayBuffer).detached));
  });
});

Deno.test("messages that came before there was a receiver are kept", async () => {
  const { port1, port2 } = new MessageChannel();
  const [near, far] = [channel<number, never>(port1), channel<never, number>(port2)];
  near.send(1);
  near.send(2);
  await turns();
  const received: number[] = [];
  far.receive((message) => received.push(message));
  near.send(3);
  await turns();
  assertEquals(received, [1, 2, 3]);
  near.close();
  far.close();
});

Deno.test("an error keeps its name, sentence and exit code on its way between threads", () => {
  const error = new SourceError("The topic is gone.");
  const { stack: _, ...failure } = failureOf(error);
  assertEquals(failure, { name: "SourceError", message: "The topic is gone.", exitCode: EXIT.source });
  assertEquals(failureOf(new TypeError("bug")).exitCode, EXIT.internal);
  assertEquals(failureOf("text"), {
    name: "Error",
    message: "text",
    stack: undefined,
    exitCode: EXIT.internal,
  });
});
