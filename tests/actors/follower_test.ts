import { assertEquals, assertRejects } from "@std/assert";
import { Follower, type FollowerDeps } from "../../actors/follower.ts";
import { Meter } from "../../actors/meter.ts";
import { SinkError } from "../../schema/errors.ts";
import { FakeClock, turns } from "../support/fake_clock.ts";

/** A log whose odd versions have rows, and a warehouse that can be down. */
class World {
  readonly clock = new FakeClock();
  readonly notices: string[] = [];
  readonly followed: [version: number, rows: number, parquet: string | null][] = [];
  readonly reads: number[] = [];
  /** Versions that retired dates: what the lake has seen of them, and what was deleted. */
  readonly retirements: number[] = [];
  readonly deleted: [version: number, dates: readonly string[]][] = [];
  down: SinkError | null = null;
  done = new Set<number>();
  /** Where the log stands. */
  newest = -1;
  /** What an insert takes. */
  insertMs = 0;
  readonly follower: Follower;

  constructor() {
    const deps: FollowerDeps = {
      tableId: "table",
      clock: this.clock,
      notice: (text) => this.notices.push(text),
      meter: new Meter(this.clock),
      lake: {
        retirements: this.retirements,
        state: () => {
          const { newest: version } = this;
          return Promise.resolve({
            tableId: "table",
            version,
            lastEpoch: 0,
            firstPartitions: null,
            positions: [],
          });
        },
        changes: (versions) => {
          this.reads.push(versions.length);
          return Promise.resolve(versions.map((version) => ({
            version,
            ...(this.retirements.includes(version) ? { retired: ["2024-01-01"] } : {}),
            files: version % 2 ? [{ kind: "add" as const, path: `file-${version}`, rows: 1 }] : [],
          })));
        },
        encodeVersion: (files) => {
          const parquet = new TextEncoder().encode(files.map(({ path }) => path).join());
          return Promise.resolve({ parquet, rows: files.length, signed: false, joined: [] });
        },
      },
      warehouse: {
        doneVersions: (_table, from = 0) =>
          this.down
            ? Promise.reject(this.down)
            : Promise.resolve(new Set([...this.done].filter((version) => version >= from))),
        follow: (_table, version, payload) => {
          if (this.down) return Promise.reject(this.down);
          this.clock.time += this.insertMs;
          const { rows = 0, parquet = null } = payload ?? {};
          this.followed.push([version, rows, parquet && new TextDecoder().decode(parquet)]);
          return Promise.resolve();
        },
        retire: (_table, version, dates) => {
          this.followed.push([version, 0, "retired"]);
          this.deleted.push([version, dates]);
          return Promise.resolve();
        },
      },
    };
    this.follower = new Follower(deps);
  }
}

const OUTAGE = new SinkError("ClickHouse is down.", true);

Deno.test("versions are inserted in the order of their commits; those without rows are marked too", async () => {
  const w = new World();
  const running = w.follower.run();
  for (const version of [3, 4, 5]) w.follower.push(version, () => {});
  assertEquals(await w.follower.settled(1000), true);
  assertEquals(w.followed, [[3, 1, "file-3"], [4, 0, null], [5, 1, "file-5"]]);
  w.follower.stop();
  await running;
});

Deno.test("dates that were retired before a version are deleted before it is inserted, and once", async () => {
  const w = new World();
  await w.follower.catchUp(1);
  w.retirements.push(2);
  const running = w.follower.run();
  for (const version of [3, 5]) w.follower.push(version, () => {});
  await w.follower.settled(1000);
  assertEquals(w.followed.map(([version]) => version), [0, 1, 2, 3, 5]);
  assertEquals(w.deleted, [[2, ["2024-01-01"]]]);
  w.follower.stop();
  await running;
});

Deno.test("at the start everything is taken up that the warehouse has not done, gaps included", async () => {
  const w = new World();
  w.done = new Set([0, 1, 3, 9]);
  assertEquals(await w.follower.catchUp(5), 3);
  w.follower.push(6, () => {});
  assertEquals(w.follower.lag, 4);
  const running = w.follower.run();
  await w.follower.settled(1000);
  assertEquals(w.followed.map(([version]) => version), [2, 4, 5, 6]);
  assertEquals(w.follower.lag, 0);
  w.follower.stop();
  await running;
});

Deno.test("the log is read a hundred versions at a time", async () => {
  const w = new World();
  await w.follower.catchUp(249);
  const running = w.follower.run();
  await w.follower.settled(1000);
  assertEquals(w.reads, [100, 100, 50]);
  assertEquals(w.followed.map(([version]) => version), Array.from({ length: 250 }, (_, i) => i));
  w.follower.stop();
  await running;
});

Deno.test("each insert tells how long it took", async () => {
  const w = new World();
  w.insertMs = 70;
  const times: number[] = [];
  const running = w.follower.run();
  w.follower.push(1, (ms) => times.push(ms));
  await w.follower.settled(1000);
  assertEquals(times, [70]);
  w.follower.stop();
  await running;
});

Deno.test("an outage delays and loses nothing: commits go on, and all is inserted in order afterwards", async () => {
  const w = new World();
  w.down = OUTAGE;
  const running = w.follower.run();
  w.follower.push(1, () => {});
  await turns();
  w.follower.push(2, () => {});
  await w.clock.advance(60_000);
  assertEquals([w.followed.length, w.follower.lag], [0, 2]);
  w.down = null;
  await w.clock.advance(60_000);
  assertEquals(w.followed.map(([version]) => version), [1, 2]);
  assertEquals(w.notices, [
    "The ClickHouse insert of Delta version 1 failed and is tried again: ClickHouse is down.",
    "The ClickHouse insert of Delta version 1 succeeded after 3 tries.",
  ]);
  w.follower.stop();
  await running;
});

Deno.test("settled waits for the version at work, and gives up after its time", async () => {
  const w = new World();
  assertEquals(await w.follower.settled(0), true);
  w.down = OUTAGE;
  const running = w.follower.run();
  w.follower.push(1, () => {});
  const settled = w.follower.settled(5000);
  await turns();
  await w.clock.advance(5000);
  assertEquals(await settled, false);
  assertEquals(w.follower.lag, 1);
  w.follower.stop();
  await running;
});

Deno.test("stopped during an outage it ends without an error: the next start inserts the rest", async () => {
  const w = new World();
  w.down = OUTAGE;
  const running = w.follower.run();
  w.follower.push(1, () => {});
  await turns();
  w.follower.stop();
  await running;
  assertEquals([w.followed.length, w.follower.lag], [0, 1]);
});

Deno.test("an error that no retry mends ends the run", async () => {
  const w = new World();
  w.down = new SinkError("The table has another schema.", false);
  w.follower.push(1, () => {});
  await assertRejects(() => w.follower.run(), SinkError, "another schema");
});

Deno.test("versions of other instances are theirs to insert; what two looks in a row find missing is taken on", async () => {
  const w = new World();
  w.done = new Set([0, 1]);
  await w.follower.catchUp(1);
  const running = [w.follower.run(), w.follower.watch()];
  const look = () => w.clock.advance(15_000);
  w.newest = 4;
  w.follower.push(3, () => {});
  await look();
  assertEquals(w.followed.map(([version]) => version), [3]);
  w.done.add(2).add(3);
  w.newest = 6;
  await look();
  assertEquals(w.followed.map(([version]) => version), [3, 4]);
  w.done.add(4).add(6);
  await look();
  await look();
  assertEquals(w.followed.map(([version]) => version), [3, 4, 5]);
  w.follower.stop();
  await Promise.all(running);
});
