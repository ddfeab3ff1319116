/** Progress of a long production: a bar on a terminal, a line every few seconds elsewhere. */
// @ts-types="@types/cli-progress"
import { SingleBar } from "cli-progress";
import process from "node:process";
import type { ProduceProgress } from "../sources/produce.ts";
import type { CommandContext } from "./context.ts";

const LINE_INTERVAL_MS = 5_000;

/** A progress display. */
export interface Progress {
  update(progress: ProduceProgress): void;
  stop(): void;
}

/** Starts a display on standard error; `total` is null where nobody knows how many records will come. */
export function startProgress(total: number | null, context: CommandContext): Progress {
  return context.isTerminal ? startBar(total) : startLines(context);
}

function startBar(total: number | null): Progress {
  const bar = new SingleBar({
    stream: process.stderr,
    format: total === null
      ? "{value} events  {rate}/s"
      : "{bar} {percentage} %  {value}/{total} events  {rate}/s",
    hideCursor: true,
    formatValue: (value, _, type) => type === "percentage" ? String(value) : value.toLocaleString("en-US"),
  });
  bar.start(total ?? 0, 0, { rate: 0 });
  return {
    update: ({ records, recordsPerSecond }) => bar.update(records, { rate: Math.round(recordsPerSecond) }),
    stop: () => bar.stop(),
  };
}

function startLines(context: CommandContext): Progress {
  let last = context.clock.monotonic();
  return {
    update({ records, recordsPerSecond }) {
      const now = context.clock.monotonic();
      if (now - last < LINE_INTERVAL_MS) return;
      last = now;
      context.warn(`${records} events so far, ${Math.round(recordsPerSecond)} events/s.`);
    },
    stop() {},
  };
}
