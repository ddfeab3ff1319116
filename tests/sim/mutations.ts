/** Ways to break the program on purpose: the simulation must find each of them. */

/** One change of a file's text. `find` occurs in it exactly once. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A program with one thing wrong. */
export interface Mutation {
  readonly name: string;
  readonly edits: readonly Edit[];
}

const COMMITTED = "(this.deps.source as unknown as { committedOffset(partition: number): number })" +
  ".committedOffset(partition)";

/** The list. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: "checkpoints are written before the commit",
    edits: [{
      file: "actors/epoch.ts",
      find: `return [{ type: "stage", epoch }];`,
      replace: `return [{ type: "checkpoint", snapshots: epoch.snapshots }, { type: "stage", epoch }];`,
    }],
  },
  {
    name: "reading goes on from the offsets that the group has committed",
    edits: [{
      file: "actors/ingest.ts",
      find: "await this.deps.source.seek(partition, start.offset);",
      replace: `await this.deps.source.seek(partition, Math.max(start.offset, ${COMMITTED}));`,
    }],
  },
  {
    name: "offsets are committed first, and reading goes on from them",
    edits: [{
      file: "actors/coordinator.ts",
      find: "const outcome = await this.#retry(",
      replace: `this.deps.ingest.send({
        type: "committed",
        epoch: epoch.number,
        positions: new Map(epoch.barriers.map(({ partition, to }) => [partition, to])),
      });
      const outcome = await this.#retry(`,
    }, {
      file: "actors/ingest.ts",
      find: "if (replay.length > 0) await this.deps.source.seek(partition, reading.position);",
      replace: `reading.position = Math.max(reading.position, ${COMMITTED});
      await this.deps.source.seek(partition, reading.position);`,
    }],
  },
  {
    name: "the token of an insert does not name the version",
    edits: [{
      file: "sinks/warehouse/parquet_insert.ts",
      find: "const token = `${tableId}:${version}`;",
      replace: "const token = tableId;",
    }],
  },
  {
    name: "an insert is marked as done before it is made",
    edits: [{
      file: "sinks/warehouse/clickhouse_warehouse.ts",
      find: "const started = parquet === null ? null : await this.#insert(tableId, version, rows, parquet);",
      replace: `await this.#followed.markDone(tableId, version, rows, null);
      const started = parquet === null ? null : await this.#insert(tableId, version, rows, parquet);`,
    }],
  },
  {
    name: "nobody is fenced",
    edits: [{
      file: "sinks/lake/lake_commit.ts",
      find: "return !offsetHolds || (barrier?.version ?? 0) !== barrierNumber - 1;",
      replace: "return !offsetHolds && barrier === null;",
    }],
  },
  {
    name: "fencing looks at the offset alone",
    edits: [{
      file: "sinks/lake/lake_commit.ts",
      find: "return !offsetHolds || (barrier?.version ?? 0) !== barrierNumber - 1;",
      replace: "return !offsetHolds || barrier === null;",
    }],
  },
  {
    name: "a commit that is tried again has another id",
    edits: [{
      file: "sinks/lake/lake.ts",
      find: "const txnId = this.#failedTxnIds.get(identity) ?? this.#uuid();",
      replace: "const txnId = this.#uuid();",
    }],
  },
  {
    name: "remembered sessions are left out of checkpoints",
    edits: [{
      file: "actors/checkpoint.ts",
      find: "for (const { sessionId, key, firstOffset, closed, events } of occurrences) {",
      replace: `for (const { sessionId, key, firstOffset, closed, events } of occurrences) {
      if (closed !== null) continue;`,
    }],
  },
  {
    name: "the event ids of restored sessions are forgotten",
    edits: [{
      file: "actors/checkpoint.ts",
      find: "eventIds: new Set(stored.map(({ event }) => event.eventId)),",
      replace: "eventIds: new Set(),",
    }],
  },
  {
    name: "close-open is not on record",
    edits: [{
      file: "actors/ingest.ts",
      find: `this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers });`,
      replace: `const recorded = barriers.map((barrier) => ({ ...barrier, closeOpen: false }));
    this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers: recorded });`,
    }],
  },
  {
    name: "the watermark is not restored",
    edits: [{
      file: "actors/ingest.ts",
      find: "const watermark = checkpoint?.watermark ?? null;",
      replace: "const watermark = null;",
    }],
  },
  {
    name: "the latest event times are not restored",
    edits: [{
      file: "actors/coordinator.ts",
      find: "if (latestEventTime === null) continue;",
      replace: "if (latestEventTime !== undefined) continue;",
    }],
  },
  {
    name: "the ledger is not restored",
    edits: [{
      file: "actors/coordinator.ts",
      find: "for (const [partition, ledger] of plan.ledgers) epochs.ledgers.set(partition, ledger);",
      replace: "",
    }],
  },
  {
    name: "the barriers' clock follows the wall clock back",
    edits: [{
      file: "actors/barrier.ts",
      find: "const clock = Math.max(request.clock, last?.clock ?? 0);",
      replace: "const clock = request.clock;",
    }],
  },
  {
    name: "a replay uses the settings in force now",
    edits: [{
      file: "actors/ingest.ts",
      find: `for (const { barrier, semantics } of replay) {
      post({ type: "semantics", partition, semantics });`,
      replace: "for (const { barrier } of replay) {",
    }, {
      file: "actors/ingest.ts",
      find: "const semantics = replay[0]?.semantics ?? this.#semantics;",
      replace: "const semantics = this.#semantics;",
    }],
  },
  {
    name: "what a replay has fetched beyond its end is not read again",
    edits: [{
      file: "actors/ingest.ts",
      find: "if (replay.length > 0) await this.deps.source.seek(partition, reading.position);",
      replace: "",
    }],
  },
  {
    name: "two epochs are committed out of order",
    edits: [{
      file: "actors/epoch.ts",
      find: `const oldest = state.inFlight[0];
  if (oldest?.phase !== "staged") return [];`,
      replace: `const oldest = state.inFlight.find(({ phase }) => phase === "staged");
  if (oldest === undefined || state.inFlight.some(({ phase }) => phase === "committing")) return [];`,
    }, {
      file: "actors/epoch.ts",
      find: "state.inFlight.shift();",
      replace: "state.inFlight.splice(state.inFlight.indexOf(epoch), 1);",
    }],
  },
  {
    name: "the follower goes on from the newest version that is in",
    edits: [{
      file: "actors/follower.ts",
      find: "if (!done.has(version)) this.#queue.push({ version, inserted: () => {} });",
      replace: "if (version > Math.max(-1, ...done)) this.#queue.push({ version, inserted: () => {} });",
    }],
  },
  {
    name: "dead letters are not fed again after a crash",
    edits: [{
      file: "actors/coordinator.ts",
      find: "await this.#refeedDeadLetters(plan);",
      replace: "",
    }],
  },
  {
    name: "one id under two keys is one session",
    edits: [{
      file: "actors/sessionizer.ts",
      find: "sameBytes(known.key, key)\n",
      replace: "known.key.length > 0 || sameBytes(known.key, key)\n",
    }],
  },
  {
    name: "commits that landed since the positions were read are taken for replayed",
    edits: [{
      file: "actors/restart.ts",
      find: "const recent = since.filter(({ version }) => version <= state.version);",
      replace: "const recent = since;",
    }],
  },
  {
    name: "a mailbox takes in whatever comes",
    edits: [{
      file: "actors/mailbox.ts",
      find: "this.#outstanding + bytes > this.bytesMax",
      replace: "this.#outstanding + bytes > 100 * this.bytesMax",
    }],
  },
  {
    name: "three epochs are in flight",
    edits: [{
      file: "actors/epoch.ts",
      find: `state.stage === "ending" ? 1 : EPOCHS_IN_FLIGHT_MAX`,
      replace: `state.stage === "ending" ? 1 : EPOCHS_IN_FLIGHT_MAX + 1`,
    }],
  },
];
