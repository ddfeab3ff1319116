/** The newest report of every actor, on the supervisor's side. PURE. */
import { assertNever } from "../schema/errors.ts";
import type {
  ActorStats,
  CoordinatorStats,
  IngestStats,
  PipelineStats,
  SessionActorStats,
  UpkeepStats,
} from "../schema/pipeline_stats.ts";

/** Collects what the actors report. */
export class StatsBoard {
  #ingest: IngestStats | null = null;
  #coordinator: CoordinatorStats | null = null;
  #upkeep: UpkeepStats | null = null;
  /** By shard. */
  readonly #sessionActors = new Map<number, SessionActorStats>();
  readonly #lastSeen: Map<string, number>;
  #firstNewEventMs: number | null = null;

  /**
   * @param shards session actors, all of which are started now
   * @param upkeep whether the upkeep actor is, too
   * @param now wall clock, epoch milliseconds
   */
  constructor(shards: number, upkeep: boolean, private readonly now: () => number) {
    const names = [
      "ingest",
      ...Array.from({ length: shards }, (_, shard) => sessionActor(shard)),
      "coordinator",
      ...(upkeep ? ["upkeep"] : []),
    ];
    this.#lastSeen = new Map(names.map((name) => [name, now()]));
  }

  /** Takes a report in. */
  take(stats: ActorStats): void {
    switch (stats.actor) {
      case "ingest":
        this.#ingest = stats;
        return this.#saw("ingest");
      case "session":
        this.#sessionActors.set(stats.shard, stats);
        return this.#saw(sessionActor(stats.shard));
      case "coordinator":
        this.#coordinator = stats;
        return this.#saw("coordinator");
      case "upkeep":
        this.#upkeep = stats;
        return this.#saw("upkeep");
      default:
        assertNever(stats);
    }
  }

  /** Takes it that a session actor has processed its first new event; the first of them counts. */
  processing(atMs: number): void {
    this.#firstNewEventMs ??= atMs;
  }

  get stats(): PipelineStats {
    return {
      ingest: this.#ingest,
      sessionActors: [...this.#sessionActors.values()].sort((a, b) => a.shard - b.shard),
      coordinator: this.#coordinator,
      upkeep: this.#upkeep,
      firstNewEventMs: this.#firstNewEventMs,
      pulses: [...this.#lastSeen].map(([name, lastSeenMs]) => ({ name, lastSeenMs })),
    };
  }

  #saw(name: string): void {
    this.#lastSeen.set(name, this.now());
  }
}

function sessionActor(shard: number): string {
  return `session actor ${shard}`;
}
