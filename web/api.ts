/** The routes of the page's API: read-only, named, paged, parameters checked. `openapi.ts` documents them from here. */
import Type, { type Static, type TObject, type TSchema } from "typebox";
import type { Rows, SessionFilter, SessionPosition } from "../schema/exploration.ts";
import {
  type Inspection,
  OPEN_SESSIONS_LISTED_MAX,
  type OpenSession,
  type OpenSessionQuery,
} from "../schema/open_session.ts";
import type { PartitionWatermark } from "../schema/pipeline_stats.ts";
import {
  AnalyticsSchema,
  DeadLettersSchema,
  HistorySchema,
  type OpenSessionAnswer,
  OpenSessionsSchema,
  SessionsSchema,
  type Status,
  StatusSchema,
  TableSchema,
  VersionsSchema,
} from "./api_schema.ts";
import type { Explorer } from "./explorer.ts";
import type { HistoryPoint } from "./live_history.ts";
import { limitParam, ParamError, Params, text, timeOf, timeParam, whole } from "./params.ts";
import type { SharedAnswers } from "./shared_answers.ts";
import { explainOpen } from "./why_open.ts";

/** What the routes ask. Null results: the pipeline is not up. */
export interface ApiDeps {
  readonly status: () => Status;
  readonly history: () => readonly HistoryPoint[];
  readonly watermarks: () => readonly PartitionWatermark[];
  readonly inspect: (query: OpenSessionQuery) => Promise<Inspection> | null;
  readonly explorer: () => Explorer | null;
  /** What this instance has written up to now: answers of before are not given any more. */
  readonly stamp: () => string;
  readonly shared: SharedAnswers;
}

/** One route. */
export interface ApiRoute {
  readonly path: string;
  /** A sentence. */
  readonly summary: string;
  /** The names of `:parts` of the path come with the parameters. */
  readonly params: Params<TObject>;
  readonly answer: TSchema;
  /** Null: the pipeline is not up, or the path names nothing. */
  run(deps: ApiDeps, values: Record<string, unknown>): Promise<unknown>;
}

/** There is nothing of that name: a sentence. */
export class NotFound extends Error {}

/** The pipeline is not up. */
export class NotReady extends Error {
  constructor() {
    super("The pipeline is starting or stopping: try again in a moment.");
  }
}

/**
 * Milliseconds that an answer over many rows may be old, of what other instances write; what this one writes counts at
 * once. The embedded ClickHouse has no query cache of its own.
 */
const SHARED_MS = 5_000;
/** Open sessions change with every event. */
const OPEN_SHARED_MS = 1_000;
/** Dead letters that can be paged through; the lake's files hold all of them. */
const DEAD_LETTERS_REACH = 10_000;

function route<P extends TObject>(
  declared: Omit<ApiRoute, "params" | "run"> & {
    readonly params: P;
    readonly run: (deps: ApiDeps, values: Static<P>) => Promise<unknown> | unknown;
  },
): ApiRoute {
  const { run, params, ...others } = declared;
  return {
    ...others,
    params: new Params<TObject>(params),
    run: async (deps, values) => await run(deps, values as Static<P>),
  };
}

function explorerOf({ explorer }: ApiDeps): Explorer {
  const found = explorer();
  if (found === null) throw new NotReady();
  return found;
}

/** One answer for all who ask the same while nothing new is written. */
function shared<T>(deps: ApiDeps, question: readonly unknown[], ask: () => Promise<T>): Promise<T> {
  return deps.shared.get(JSON.stringify([...question, deps.stamp()]), SHARED_MS, ask);
}

/** A session by its id, or a reader's sessions. */
function filterOf(sessionId: string | undefined, userId: number | undefined): SessionFilter {
  if (sessionId !== undefined && userId !== undefined) {
    throw new ParamError("Only one of session_id and user_id must be given: found both.");
  }
  if (sessionId !== undefined) return { by: "session_id", sessionId };
  return userId === undefined ? { by: "all" } : { by: "user_id", userId };
}

const sessionIdParam = Type.Optional(text(1, 128));
const userIdParam = Type.Optional(whole(0, 4_294_967_295));
const PLACE = /^(\d{1,16})-(\d{1,10})-(\d{1,16})$/;

/** A place in the order of finished sessions, as `next` gives it and `before` takes it. */
function placeOf(written: string | undefined): SessionPosition | null {
  if (written === undefined) return null;
  const [, batchId, sourcePartition, firstOffset] = PLACE.exec(written) ?? [];
  if (batchId === undefined) {
    throw new ParamError(`before must be the \`next\` of a page: found ${JSON.stringify(written)}.`);
  }
  return {
    batchId: Number(batchId),
    sourcePartition: Number(sourcePartition),
    firstOffset: Number(firstOffset),
  };
}

function nextPlace({ columns, rows }: Rows): string | null {
  const last = rows.at(-1);
  if (last === undefined) return null;
  return ["batch_id", "source_partition", "first_offset"].map((name) => last[columns.indexOf(name)]).join(
    "-",
  );
}

function answerOf(session: OpenSession, deps: ApiDeps): OpenSessionAnswer {
  const {
    sessionId,
    userId,
    brand,
    partition,
    shard,
    firstOffset,
    lastOffset,
    start,
    end,
    events,
    lastEvent,
  } = session;
  const known = deps.watermarks().find((one) => one.partition === partition) ?? null;
  const { now, epochIntervalMs } = deps.status();
  const explanation = explainOpen(session, known, now, epochIntervalMs);
  return {
    sessionId,
    userId,
    brand,
    partition,
    shard,
    firstOffset,
    lastOffset,
    start,
    end,
    events,
    lastEvent,
    watermark: known?.watermark ?? session.watermark,
    explanation: { ...explanation, ways: [...explanation.ways] },
  };
}

const NOTHING = Type.Object({}, { additionalProperties: false });

const LIVE: readonly ApiRoute[] = [
  route({
    path: "/api/status",
    summary: "The running pipeline at this moment: rates, lags, epochs, sinks, what holds it up.",
    params: NOTHING,
    answer: StatusSchema,
    run: ({ status }) => status(),
  }),
  route({
    path: "/api/history",
    summary: "The last five minutes, second by second.",
    params: NOTHING,
    answer: HistorySchema,
    run: ({ history }) => ({ points: history() }),
  }),
  route({
    path: "/api/open-sessions",
    summary:
      "Open sessions, the newest last event first, each with why it is still open: those of an id or a reader, or all.",
    params: Type.Object({
      session_id: sessionIdParam,
      user_id: userIdParam,
      limit: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: OPEN_SESSIONS_LISTED_MAX,
          default: 20,
          description: `a whole number from 1 to ${OPEN_SESSIONS_LISTED_MAX}`,
        }),
      ),
    }, { additionalProperties: false }),
    answer: OpenSessionsSchema,
    async run(deps, { session_id, user_id, limit = 20 }) {
      const filter = filterOf(session_id, user_id);
      const query = filter.by === "all" ? { by: "recent" as const, limit } : { ...filter, limit };
      const ask = () => deps.inspect(query) ?? Promise.reject(new NotReady());
      const { sessions, silentShards } = await deps.shared.get(JSON.stringify(query), OPEN_SHARED_MS, ask);
      return { sessions: sessions.map((session) => answerOf(session, deps)), silentShards };
    },
  }),
];

const STORED: readonly ApiRoute[] = [
  route({
    path: "/api/sessions",
    summary:
      "Finished sessions as ClickHouse has them, the newest epoch first; all columns where an id is given.",
    params: Type.Object({
      session_id: sessionIdParam,
      user_id: userIdParam,
      limit: limitParam,
      before: Type.Optional(text(1, 48)),
    }, { additionalProperties: false }),
    answer: SessionsSchema,
    async run(deps, { session_id, user_id, limit = 1, before }) {
      const filter = filterOf(session_id, user_id);
      const place = placeOf(before);
      const key = JSON.stringify(["sessions", filter, place, limit]);
      const explorer = explorerOf(deps);
      const rows = await deps.shared.get(
        key,
        SHARED_MS,
        () => explorer.finishedSessions(filter, limit, place),
      );
      return { ...rows, next: rows.rows.length < limit ? null : nextPlace(rows) };
    },
  }),
  route({
    path: "/api/analytics/:name",
    summary:
      "One of the six analytics over the sessions that started in [since, until), in whole hours or days (UTC), by way of ClickHouse's query cache.",
    params: Type.Object({
      name: text(1, 64),
      since: timeParam,
      until: timeParam,
      limit: limitParam,
    }, { additionalProperties: false }),
    answer: AnalyticsSchema,
    async run(deps, { name, since, until, limit = 1 }) {
      const range = { sinceMs: timeOf("since", since), untilMs: timeOf("until", until) };
      const explorer = explorerOf(deps);
      const stamp = deps.stamp();
      const answer = await shared(
        deps,
        ["analytics", name, range, limit],
        () => explorer.analytics(name, range, limit, stamp),
      );
      if (answer !== null) return answer;
      const names = explorer.analyticsNames.join(", ");
      throw new NotFound(`The name must be one of ${names}: found ${JSON.stringify(name)}.`);
    },
  }),
  route({
    path: "/api/table",
    summary: "The Delta table at its newest version.",
    params: NOTHING,
    answer: TableSchema,
    run: (deps) => {
      const explorer = explorerOf(deps);
      return shared(deps, ["table"], () => explorer.summary());
    },
  }),
  route({
    path: "/api/table/versions",
    summary: "The Delta table's versions below `before`, the newest first, and what each did.",
    params: Type.Object(
      { limit: limitParam, before: Type.Optional(whole(0, Number.MAX_SAFE_INTEGER)) },
      { additionalProperties: false },
    ),
    answer: VersionsSchema,
    async run(deps, { limit = 1, before }) {
      const explorer = explorerOf(deps);
      const ask = () => explorer.history(limit, before ?? null);
      const versions = await shared(deps, ["versions", limit, before ?? null], ask);
      const oldest = versions.at(-1)?.version ?? 0;
      return { versions, next: versions.length < limit || oldest === 0 ? null : oldest };
    },
  }),
  route({
    path: "/api/dead-letters",
    summary:
      "Events that could not be used, the newest first, with reason and bytes (text where UTF-8, and base64).",
    params: Type.Object({
      limit: limitParam,
      skip: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: DEAD_LETTERS_REACH,
          default: 0,
          description: `a whole number from 0 to ${DEAD_LETTERS_REACH}`,
        }),
      ),
    }, { additionalProperties: false }),
    answer: DeadLettersSchema,
    async run(deps, { limit = 1, skip = 0 }) {
      const explorer = explorerOf(deps);
      const rows = await shared(deps, ["dead-letters", limit, skip], () => explorer.deadLetters(limit, skip));
      const next = skip + limit;
      return { ...rows, next: rows.rows.length < limit || next > DEAD_LETTERS_REACH ? null : next };
    },
  }),
];

/** All of them. */
export const API_ROUTES: readonly ApiRoute[] = [...LIVE, ...STORED];
