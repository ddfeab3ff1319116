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
      find: `return [{ type: "stage", epoch, attempt: epoch.attempt }];`,
      replace: `return [
      { type: "checkpoint", snapshots: epoch.snapshots },
      { type: "stage", epoch, attempt: epoch.attempt },
    ];`,
    }, {
      file: "actors/log_places.ts",
      find: "place?.number === snapshot.barrier.number ?",
      replace: "place !== undefined ?",
    }],
  },
  {
    name: "a checkpoint names the newest version at hand",
    edits: [{
      file: "actors/log_places.ts",
      find: "deltaVersion: place.version",
      replace: "deltaVersion: Math.max(...[...this.#places.values()].map(({ version }) => version))",
    }],
  },
  {
    name: "reading goes on from the offsets that the group has committed",
    edits: [{
      file: "actors/ingest.ts",
      find: `await source.seek(partition, reading.position);
    }
    for (const replay`,
      replace: `await source.seek(partition, Math.max(reading.position, ${COMMITTED}));
    }
    for (const replay`,
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
      find: "for (const { partition, reading } of held) await source.seek(partition, reading.position);",
      replace: `for (const { partition, reading } of held) {
      reading.position = Math.max(reading.position, ${COMMITTED});
      await source.seek(partition, reading.position);
    }`,
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
      find: "const started = payload === null ? null : await this.#insert(tableId, version, payload, state);",
      replace: `await this.#followed.markDone(tableId, version, rows, null);
      const started = payload === null ? null : await this.#insert(tableId, version, payload, state);`,
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
      find: "const attempt = this.#failed.get(identity) ?? this.#newAttempt(commit);",
      replace: "const attempt = this.#newAttempt(commit);",
    }],
  },
  {
    name: "remembered sessions are left out of checkpoints",
    edits: [{
      file: "actors/fast_snapshot.ts",
      find: "if (isMine(part.columns.keyHash[i]!)) reader.restore(i);",
      replace: "if (isMine(part.columns.keyHash[i]!) && part.columns.closed[i] === 0) reader.restore(i);",
    }],
  },
  {
    name: "the event ids of restored sessions are forgotten",
    edits: [{
      file: "actors/fast_snapshot.ts",
      find: "block.write(e - from, idHash[2 * e]!, idHash[2 * e + 1]!, what);",
      replace: "block.write(e - from, e, 0, what);",
    }],
  },
  {
    name: "close-open is not on record",
    edits: [{
      file: "actors/ingest.ts",
      find: `this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers, snapshots });`,
      replace: `const recorded = barriers.map((barrier) => ({ ...barrier, closeOpen: false }));
    this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers: recorded, snapshots });`,
    }],
  },
  {
    name: "the watermark is not restored",
    edits: [{
      file: "actors/replay.ts",
      find: "const watermark = checkpoint?.watermark ?? null;",
      replace: "const watermark = null;",
    }],
  },
  {
    name: "the latest event times are not restored",
    edits: [{
      file: "actors/epoch.ts",
      find: "noteLatest(state, partition, latestEventTime);",
      replace: "if (Number.isNaN(latestEventTime)) noteLatest(state, partition, latestEventTime);",
    }],
  },
  {
    name: "the ledger is not restored",
    edits: [{
      file: "actors/epoch.ts",
      find: "if (ledger !== null) state.ledgers.set(partition, ledger);",
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
      file: "actors/replay.ts",
      find: `const semantics = this.#next?.semantics ?? this.semantics;
    const watermark`,
      replace: `const semantics = this.semantics;
    const watermark`,
    }, {
      file: "actors/replay.ts",
      find: `const semantics = this.#next?.semantics ?? this.semantics;
    this.ports.post`,
      replace: `const semantics = this.semantics;
    this.ports.post`,
    }],
  },
  {
    name: "what a replay has fetched beyond its end is not read again",
    edits: [{
      file: "actors/ingest.ts",
      find: "for (const { partition, reading } of held) await source.seek(partition, reading.position);",
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
      find: "await refeedDeadLetters(this.deps.deadLetterTopic, lake, recent);",
      replace: "",
    }],
  },
  {
    name: "one id under two keys is one session",
    edits: [{
      file: "actors/occurrence_table.ts",
      find: "if (key === null || keyView === null) return key === keyView;",
      replace: "if (key === null || keyView === null || keyView !== null) return true;",
    }],
  },
  {
    name: "commits that landed since the positions were read are taken for replayed",
    edits: [{
      file: "actors/restart.ts",
      find: "version <= state.version &&",
      replace: "",
    }],
  },
  {
    name: "a pending revision is forgotten",
    edits: [{
      file: "actors/fast_partition.ts",
      find: "if (table.count[i] === 0 || closed === 0 || table.amended[i] !== 0) continue;",
      replace: "if (table.count[i] === 0 || closed === 0 || table.amended[i]! > 1_000) continue;",
    }],
  },
  {
    name: "pending revisions are left out of checkpoints",
    edits: [{
      file: "actors/fast_snapshot.ts",
      find: "columns.amended[at] = table.amended[i]!;",
      replace: "columns.amended[at] = 0;",
    }],
  },
  {
    name: "revise is not on record",
    edits: [{
      file: "actors/ingest.ts",
      find: `this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers, snapshots });`,
      replace: `const recorded = barriers.map((barrier) => ({ ...barrier, revise: false }));
    this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers: recorded, snapshots });`,
    }],
  },
  {
    name: "a drain leaves revisions pending",
    edits: [{
      file: "actors/epoch.ts",
      find: "if (due.length === 0 || (early && !final)) return [];",
      replace: "if (due.length === 0 || early) return [];",
    }],
  },
  {
    name: "the row that a revision replaces is left out of the change data",
    edits: [{
      file: "sinks/lake/copy_on_write.ts",
      find: "const left = date === oldDate ? changed.map((row) => ({ row, revised: false })) : [];",
      replace: "const left: { row: number; revised: boolean }[] = [];",
    }],
  },
  {
    name: "a rewrite is kept where another writer has replaced its files",
    edits: [{
      file: "sinks/lake/copy_on_write.ts",
      find: "const holds = done?.sources.every((path) => snapshot.files.has(path)) &&",
      replace: "const holds = done !== null &&",
    }],
  },
  {
    name: "OPTIMIZE commits though another writer has replaced one of its files",
    edits: [{
      file: "sinks/lake/optimize.ts",
      find: "removed.every(({ path }) => newest.files.has(path));",
      replace: 'removed.every(({ path }) => newest.files.has(path) || path !== "");',
    }],
  },
  {
    name: "OPTIMIZE takes one file's rows twice, and another's not at all",
    edits: [{
      file: "sinks/lake/optimize.ts",
      find: "const batches = group.map(({ rows }) => rows);",
      replace:
        "const batches = group.map(({ rows }, i) => rows.rows === 1 ? group[i === 0 ? 0 : i - 1]!.rows : rows);",
    }],
  },
  {
    name: "what a restore takes away is not on record",
    edits: [{
      file: "sinks/lake/restore.ts",
      find: "...retiringTxns(snapshot, owner, went, timestampMs).map((txn) => ({ txn })),",
      replace: "",
    }],
  },
  {
    name: "a row that comes back by a revision stays on record as taken away",
    edits: [{
      file: "sinks/lake/copy_on_write.ts",
      find: "recovered: recoveredEvents(this.#wanted, rewritten),",
      replace: "recovered: new Map<number, number>(),",
    }],
  },
  {
    name: "a restore leaves in the table what others committed meanwhile",
    edits: [{
      file: "sinks/lake/restore.ts",
      find: "const gone = [...snapshot.files].filter(",
      replace:
        "const gone = (this as unknown as { gone: [string, AddFile][] }).gone ??= [...snapshot.files].filter(",
    }],
  },
  {
    name: "what a fenced partition had in an epoch is committed with the rest",
    edits: [{
      file: "actors/commit.ts",
      find: "const order = (reduced ?",
      replace: "const order = (reduced && partitions.length < 0 ?",
    }],
  },
  {
    name: "a fenced partition's state is kept",
    edits: [{
      file: "actors/ingest.ts",
      find: "this.#forget(stale);",
      replace: "",
    }],
  },
  {
    name: "a restart is planned while an epoch of the partition is in flight",
    edits: [{
      file: "actors/epoch.ts",
      find: "filter((partition) => !inFlight.has(partition))",
      replace: "filter((partition) => !inFlight.has(partition + 1_000))",
    }],
  },
  {
    name: "what comes late of an earlier assignment is taken for the present one's",
    edits: [{
      file: "actors/epoch.ts",
      find: "epoch.barriers = report.barriers.filter(({ partition }) => state.assignments.has(partition));",
      replace: "epoch.barriers = report.barriers;",
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
