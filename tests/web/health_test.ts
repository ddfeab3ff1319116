import { assertEquals } from "@std/assert";
import { liveness, readiness, SILENCE_MAX_MS } from "../../web/health.ts";
import { pipelineStats } from "../support/stats.ts";

Deno.test("a process whose actors report is up, and so is one that starts", () => {
  assertEquals(liveness(null, 0), { status: "up", problems: [] });
  assertEquals(liveness(pipelineStats(), 1_000 + SILENCE_MAX_MS), { status: "up", problems: [] });
});

Deno.test("an actor that hangs is named, with when it was last heard", () => {
  assertEquals(liveness(pipelineStats(), 1_001 + SILENCE_MAX_MS), {
    status: "stuck",
    problems: [
      "The ingest has not reported since 1970-01-01T00:00:01.000Z: restart the process, nothing is lost.",
    ],
  });
});

Deno.test("a pipeline is ready when it is restored and both sinks are up", () => {
  assertEquals(readiness(pipelineStats()), { status: "ready", problems: [] });
  assertEquals(readiness(null).status, "not ready");
  assertEquals(readiness({ ...pipelineStats(), coordinator: null }).status, "not ready");
});

Deno.test("a sink that is down is named, with since when and why", () => {
  const up = { rows: 0, bytes: 0, retries: 0, down: null, sinceMs: 0 };
  const stats = pipelineStats({
    sinks: { lake: up, warehouse: { ...up, down: "It hangs.", sinceMs: 60_000 } },
  });
  assertEquals(readiness(stats), {
    status: "not ready",
    problems: ["ClickHouse has been down since 1970-01-01T00:01:00.000Z: It hangs."],
  });
});
