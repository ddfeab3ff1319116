/**
 * A ClickHouse over HTTP for the tests: the one that `CLICKHOUSE_URL` names, with `CLICKHOUSE_USER` and
 * `CLICKHOUSE_PASSWORD`, or else chDB behind the tests' own front (`clickhouse_front.ts`: the real engine, a thin wire).
 */
import { TextLineStream } from "./lines.ts";
import type { FrontOptions, FrontReady } from "./clickhouse_front.ts";

const ROOT = decodeURIComponent(new URL("../../..", import.meta.url).pathname);
const FRONT = decodeURIComponent(new URL("./clickhouse_front.ts", import.meta.url).pathname);
