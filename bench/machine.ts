/** Where and with what a run is made. */
import { cpus, totalmem } from "node:os";
import { systemClock } from "../actors/clock.ts";
import manifest from "../deno.json" with { type: "json" };
import { output } from "./processes.ts";
import type { Surroundings } from "./record.ts";
import { EmbeddedWorld, type Env } from "./world.ts";

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);
/** The packages that a figure may depend on. */
const PACKAGES = [
  "chdb",
  "kafkajs",
  "snappy",
  "parquet-wasm",
  "apache-arrow",
  "@clickhouse/client",
  "minio",
] as const;
/** Variables that say where something is, or are secret: no part of what was measured. */
const PLACES = /^(DATA_DIR|HTTP_PORT)$|PASSWORD|SECRET|ACCESS_KEY|USER/;

function versions(): Record<string, string> {
  const packages = PACKAGES.map((name) => {
    const target: string = manifest.imports[name];
    return [name, target.slice(target.lastIndexOf("@") + 1)] as const;
  });
  return { deno: Deno.version.deno, v8: Deno.version.v8, ...Object.fromEntries(packages) };
}

/** Looks at the machine and the repository. */
export async function surroundings(
  settings: Env,
  more: Readonly<Record<string, string>> = {},
): Promise<Surroundings> {
  const git = (...args: string[]) => output("git", ["-C", ROOT, ...args]);
  const [commit, changes] = await Promise.all([git("rev-parse", "HEAD"), git("status", "--porcelain")]);
  const processors = cpus();
  return {
    startedAt: new Date(systemClock.now()).toISOString(),
    commit: commit || "unknown",
    dirty: changes !== "",
    cores: processors.length,
    cpu: processors[0]?.model ?? "unknown",
    memoryBytes: totalmem(),
    versions: { ...versions(), ...more },
    load: Deno.loadavg()[0]!,
    settings: Object.fromEntries(Object.entries(settings).filter(([name]) => !PLACES.test(name))),
  };
}

/** The version of the embedded ClickHouse, asked of itself. */
export async function embeddedClickHouseVersion(folder: string): Promise<string> {
  const { openAccess } = await import("../sinks/warehouse/open.ts");
  const { startEmbeddedWarehouse } = await import("../actors/supervisor.ts");
  const { configOf } = await import("./world.ts");
  const config = configOf(await new EmbeddedWorld(folder).newPipeline());
  const embedded = await startEmbeddedWarehouse(`${folder}/version`);
  try {
    const { client } = openAccess(config, embedded.connect());
    const result = await client.query({ query: "SELECT version() AS version", format: "JSONEachRow" });
    const [row] = await result.json<{ version: string }>();
    await client.close();
    return row!.version;
  } finally {
    await embedded.close();
  }
}
