/** Worker entry of a session actor: loads the sessionizer, and no client of anything. */
/// <reference lib="deno.worker" />
import { assertNever } from "../../schema/errors.ts";
import { systemClock } from "../clock.ts";
import { batchBytes, channel, runActor, transferLists } from "../mailbox.ts";
import type {
  Credit,
  SessionActorCommand,
  SessionActorStart,
  ShardMessage,
  ShardReport,
} from "../protocol.ts";
import { openSessions, SessionActor } from "../session_actor.ts";
import { reportStats } from "../stats_report.ts";

runActor<SessionActorStart, SessionActorCommand>((start, { report: supervise, commands }) => {
  const { config, shard, ingest, coordinator } = start;
  const reports = channel<ShardReport, never>(coordinator);
  const mailbox = channel<Credit, ShardMessage>(ingest);
  const sessions = openSessions(config.sessionizer, { shard, shards: config.sessionActors });
  const actor = new SessionActor(shard, sessions, config.topic, (report) => {
    switch (report.type) {
      case "restored":
        return reports.send(report);
      case "remade":
        return reports.send(report, transferLists(report.rows, report.revisions));
      case "sealed": {
        const snapshots = report.snapshots.map(({ occurrences }) => occurrences.buffer as ArrayBuffer);
        const columns = transferLists(report.rows, report.revisions, report.deadLetters);
        return reports.send(report, [...columns, report.closingTimes.buffer as ArrayBuffer, ...snapshots]);
      }
      default:
        assertNever(report);
    }
  });
  let replay: "under way" | "done" | "passed" = "under way";
  mailbox.receive((message) => {
    const bytes = message.type === "records" ? batchBytes(message.batch) : 0;
    actor.handle(message);
    if (message.type === "live" && replay === "under way") replay = "done";
    if (bytes > 0 && replay === "done") {
      replay = "passed";
      supervise({ type: "processing", atMs: systemClock.now() });
    }
    if (bytes > 0) mailbox.send({ bytes });
    if (message.type === "barrier") supervise({ type: "stats", stats: actor.stats });
  });
  commands(({ id, query }) => supervise({ type: "inspected", id, shard, sessions: actor.inspect(query) }));
  supervise({ type: "ready" });
  return reportStats(() => actor.stats, supervise, systemClock);
});
