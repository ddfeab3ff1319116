/** Worker entry of a session actor: loads the sessionizer, and no client of anything. */
/// <reference lib="deno.worker" />
import { assertNever } from "../../schema/errors.ts";
import { batchBytes, channel, runActor, transferLists } from "../mailbox.ts";
import type { Credit, SessionActorStart, ShardMessage, ShardReport } from "../protocol.ts";
import { SessionActor } from "../session_actor.ts";

runActor<SessionActorStart>(({ config, shard, ingest, coordinator }, { report: supervise }) => {
  const reports = channel<ShardReport, never>(coordinator);
  const mailbox = channel<Credit, ShardMessage>(ingest);
  const actor = new SessionActor(shard, config.sessionActors, config.topic, (report) => {
    switch (report.type) {
      case "restored":
        return reports.send(report);
      case "sealed": {
        const snapshots = report.snapshots.map(({ occurrences }) => occurrences.buffer as ArrayBuffer);
        return reports.send(report, [...transferLists(report.rows, report.deadLetters), ...snapshots]);
      }
      default:
        assertNever(report);
    }
  });
  mailbox.receive((message) => {
    const bytes = message.type === "records" ? batchBytes(message.batch) : 0;
    actor.handle(message);
    if (bytes > 0) mailbox.send({ bytes });
  });
  supervise({ type: "ready" });
  return Promise.resolve();
});
