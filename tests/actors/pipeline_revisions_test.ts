/** Late events through the whole pipeline: into the Delta table, ClickHouse and the six views, and past a crash. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { NdjsonFeed } from "../../sources/ndjson.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import {
  configOf,
  deltaRows,
  feedTopic,
  ledgerOf,
  runToEnd,
  warehouseRows,
} from "../support/pipeline_run.ts";

const T0 = Date.UTC(2024, 4, 2);

interface Line {
  readonly session: string;
  readonly id: string;
  /** Seconds after midnight. */
  readonly at: number;
  readonly type?: string;
  readonly brand?: string;
}

/** Sends events to the topic; each is one record. */
async function send(config: Config, dir: string, lines: readonly Line[]): Promise<void> {
  const text = lines.map(({ session, id, at, type = "article_view", brand = "Herald" }) =>
    JSON.stringify({
      ...{ event_id: id, session_id: session, user_id: 1, event_type: type, timestamp: T0 + at * 1_000 },
      ...{ brand, page_url: `/${session}` },
    })
  );
  await Deno.writeTextFile(`${dir}/in.ndjson`, text.join("\n") + "\n");
  await feedTopic(config, new NdjsonFeed({ path: `${dir}/in.ndjson` }));
}

async function verified(config: Config, repair = false): Promise<string> {
  const context = recordingContext();
  await verifyData(config, { json: false, repair }, context);
  return context.printed.join("\n");
}

const SHOWN = ["session_id", "revision", "total_events", "session_date", "close_reason", "brand"];

async function shownRows(config: Config) {
  const rows = await deltaRows(config);
  return rows.map((row) => SHOWN.map((name) => row[name])).sort();
}

Deno.test("late events rewrite committed sessions in both sinks and the views, run after run, and verify agrees", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data`, KAFKA_PARTITIONS: "3" });
    const session = (id: string, at: number): Line[] => [
      { session: id, id: `${id}1`, at },
      { session: id, id: `${id}9`, at: at + 60, type: "session_end" },
    ];
    await send(config, dir, [...session("a", 5), ...session("b", 20), ...session("c", 30)]);
    assertEquals((await runToEnd(config, false)).sessions, 3);
    // Two for a, one of them from the day before; one for b, twice; and a session of the same epoch.
    await send(config, dir, [
      { session: "a", id: "a2", at: -3, brand: "Early" },
      { session: "a", id: "a3", at: 40 },
      { session: "b", id: "b2", at: 50 },
      { session: "b", id: "b2", at: 50 },
      ...session("d", 70),
    ]);
    assertEquals((await runToEnd({ ...config, sessionActors: 3 }, false)).sessions, 1);
    assertEquals(await shownRows(config), [
      ["a", 1, 4, "2024-05-01", "session_end", "Early"],
      ["b", 1, 3, "2024-05-02", "session_end", "Herald"],
      ["c", 0, 2, "2024-05-02", "session_end", "Herald"],
      ["d", 0, 2, "2024-05-02", "session_end", "Herald"],
    ]);
    assertStringIncludes(await verified(config), "Everything agrees.");
    await send(config, dir, [{ session: "a", id: "a4", at: 41 }, { session: "c", id: "c2", at: 31 }]);
    await runToEnd({ ...config, sessionActors: 1 });
    assertEquals((await shownRows(config)).map(([id, revision, events]) => [id, revision, events]), [
      ["a", 2, 5],
      ["b", 1, 3],
      ["c", 1, 3],
      ["d", 0, 2],
    ]);
    assertEquals(await ledgerOf(config), {
      consumed: 14,
      inSessions: 13,
      duplicates: 1,
      deadLetters: 0,
      held: 0,
    });
    assertStringIncludes(await verified(config), "Everything agrees.");
    assertStringIncludes(await verified(config, true), "Everything agrees.");
    const answers = await warehouseRows(config, ["sessions", "brand_analytics", "page_analytics"]);
    const sessions = answers.get("sessions")!.map((row) => [row.session_id, row.revision, row.total_events]);
    assertEquals(sessions.sort(), [["a", 2, 5], ["b", 1, 3], ["c", 1, 3], ["d", 0, 2]]);
    const brands = answers.get("brand_analytics")!.map(({ hour, brand, sessions, total_events }) =>
      [hour, brand, sessions, total_events].map(String).join(" ")
    );
    assertEquals(brands, ["2024-05-02T00:00:00Z Herald 3 8", "2024-05-01T23:00:00Z Early 1 5"]);
    const views = answers.get("page_analytics")!.reduce((sum, row) => sum + Number(row.page_views), 0);
    assertEquals(views, 9);
  }));

Deno.test("a revision that was pending when the process was killed comes out after the restart, once", () =>
  withTempDir(async (dir) => {
    const env = {
      ...{ DATA_DIR: `${dir}/data`, EPOCH_INTERVAL: "100ms", REVISION_INTERVAL: "1h", KAFKA_PARTITIONS: "1" },
      ...{ HTTP_PORT: "0", ALLOWED_LATENESS: "1h" },
    };
    const config = configOf(env);
    const main = new URL("../../main.ts", import.meta.url).pathname;
    const start = () =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "-P=sessionary", main, "run"],
        ...{ env, stdout: "null", stderr: "null" },
      }).spawn();
    const until = async (
      child: Deno.ChildProcess,
      done: (ledger: Awaited<ReturnType<typeof ledgerOf>>) => boolean,
    ) => {
      let ended = false;
      child.status.then(() => ended = true);
      while (!done(await ledgerOf(config))) {
        assert(!ended, "the pipeline runs until it is killed");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    let child = start();
    await send(config, dir, [{ session: "a", id: "a1", at: 0 }, {
      session: "a",
      id: "a9",
      at: 60,
      type: "session_end",
    }]);
    await until(child, ({ inSessions }) => inSessions === 2);
    // The first revision leaves at once; what comes within the hour after it waits.
    await send(config, dir, [{ session: "a", id: "a2", at: 30 }]);
    await until(child, ({ inSessions }) => inSessions === 3);
    await send(config, dir, [{ session: "a", id: "a3", at: 31 }, { session: "a", id: "a4", at: 32 }]);
    await until(child, ({ held }) => held === 2);
    child.kill("SIGKILL");
    await child.status;
    child = start();
    await until(child, ({ inSessions }) => inSessions === 5);
    child.kill("SIGKILL");
    await child.status;
    await runToEnd(config);
    assertEquals((await shownRows(config)).map((row) => row.slice(0, 3)), [["a", 2, 5]]);
    assertEquals(await ledgerOf(config), {
      consumed: 5,
      inSessions: 5,
      duplicates: 0,
      deadLetters: 0,
      held: 0,
    });
    assertStringIncludes(await verified(config), "Everything agrees.");
  }));
