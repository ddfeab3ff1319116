/** Worker entry of the ingest actor: loads a source, and nothing of the sinks. */
/// <reference lib="deno.worker" />
import { openSource } from "../../sources/open.ts";
import { systemClock } from "../clock.ts";
import { Ingest } from "../ingest.ts";
import { channel, Mailbox, runActor } from "../mailbox.ts";
import type { IngestCommand, IngestReport, IngestStart } from "../protocol.ts";
import { reportStats } from "../stats_report.ts";

runActor<IngestStart>(async ({ config, mode, shards, coordinator }, { report }) => {
  const notice = (text: string) => report({ type: "notice", level: "warning", text });
  const source = await openSource(config, systemClock, notice);
  const ingest = new Ingest({
    source,
    mailboxes: shards.map((port) => new Mailbox(port, config.mailboxBytesMax)),
    coordinator: channel<IngestReport, IngestCommand>(coordinator),
    clock: systemClock,
    config,
    mode,
    notice,
  });
  const stopped = new AbortController();
  const reporting = reportStats(() => ingest.stats, report, systemClock, stopped.signal);
  try {
    await ingest.run();
  } finally {
    stopped.abort();
  }
  await reporting;
});
