import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { startEmbeddedWarehouse } from "../../actors/supervisor.ts";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, feedTopic, runToEnd } from "../support/pipeline_run.ts";

async function inClickHouse(config: Config, ...statements: readonly string[]): Promise<void> {
  const embedded = await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse);
  const { client } = openAccess(config, embedded.connect());
  for (const query of statements) await client.command({ query });
  await client.close();
  await embedded.close();
}

Deno.test("verify agrees after a run, names what is lost, doubled or changed in ClickHouse, and --repair mends it", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data` });
    const { timeline, readers } = virtualTimeline(2_000, Date.now());
    await feedTopic(
      config,
      new SimulatedFeed(new Simulator({ seed: 3, timeline, readers }), { events: 2_000 }),
    );
    const { sessions } = await runToEnd(config);
    const printed = async (options: { repair?: boolean; json?: boolean } = {}) => {
      const context = recordingContext();
      await verifyData(config, { json: false, repair: false, ...options }, context);
      return context.printed.join("\n");
    };
    assertStringIncludes(await printed(), "Everything agrees.");
    const damages = [
      `ALTER TABLE session_metrics DELETE WHERE session_id IN (SELECT min(session_id) FROM session_metrics)
       SETTINGS mutations_sync = 2`,
      `INSERT INTO session_metrics SELECT * REPLACE (first_offset + 1000000 AS first_offset) FROM session_metrics LIMIT 1
       SETTINGS insert_deduplicate = 0`,
      `ALTER TABLE session_metrics UPDATE brand = 'x' WHERE session_id IN (SELECT max(session_id) FROM session_metrics)
       SETTINGS mutations_sync = 2`,
    ];
    for (const damage of damages) {
      await inClickHouse(config, damage);
      const error = await assertRejects(() => printed(), UserError) as UserError;
      assertEquals(error.exitCode, EXIT.different);
      assertStringIncludes(error.message, "--repair");
    }
    const repaired = JSON.parse(await printed({ repair: true, json: true }));
    assertEquals(repaired.differences, []);
    assertEquals(
      repaired.days.reduce((sum: number, day: { clickhouseRows: number }) => sum + day.clickhouseRows, 0),
      sessions,
    );
    await inClickHouse(config, "TRUNCATE TABLE brand_analytics");
    const error = await assertRejects(() => printed(), UserError) as UserError;
    assertStringIncludes(error.message, "differences");
  }));

Deno.test("verify refuses where nothing was ever written, and makes nothing", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data` });
    const context = recordingContext();
    const error = await assertRejects(
      () => verifyData(config, { json: false, repair: false }, context),
      UserError,
    ) as UserError;
    assertStringIncludes(error.message, "There is no Delta table");
    assertEquals(context.printed, []);
    assertEquals([...Deno.readDirSync(`${dir}/data`)].filter(({ isDirectory }) => isDirectory), []);
  }));
