/** One producer, one consumer: the whole job over a log that was written first, beside a bare read of the same log. */
import type { Suite } from "../suites.ts";
import { atLeast, atMost, type Figure, figure } from "../record.ts";
import { runJob } from "../processes.ts";
import { median } from "../stats.ts";
import { bareRead } from "../bare_read.ts";
import { fill } from "../world.ts";

const ROUNDS = 3;

/** See the file's comment. */
export const baseline: Suite = {
  name: "baseline",
  about: "One producer fills the log; then the whole job reads it to its end, into both sinks",
  async run(world, { events }) {
    let env = await world.newPipeline();
    const sent = await fill(env, events);
    const rates: number[] = [];
    const cpu: number[] = [];
    const memory: number[] = [];
    const rows: number[] = [];
    const bare: number[] = [];
    const intoEmbedded: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      if (round > 0) env = await world.again(env);
      // In turns, so that what else the machine does falls on both.
      bare.push(await bareRead(env, sent.records));
      const job = await runJob(env, sent);
      rates.push(sent.records / job.seconds);
      rows.push(sent.sessions / job.seconds);
      cpu.push(1e6 * job.cpuSeconds / sent.records);
      memory.push(job.rssPeakBytes / 2 ** 20);
      const embedded = await world.intoEmbeddedSinks(env);
      if (embedded !== null) intoEmbedded.push(sent.records / (await runJob(embedded, sent)).seconds);
    }
    const ceiling = {
      name: world.services ? "bare kafkajs consumer" : "bare read of the log",
      value: median(bare),
    };
    const target = world.services ? { at: "least", value: 0.8, of: "ratio" } as const : null;
    const figures: Figure[] = [
      figure("producer", "events/s", sent.records / sent.seconds),
      figure("size of an event", "bytes", sent.bytes / sent.records - KEY_BYTES),
      figure("whole job", "events/s", median(rates), { samples: rates, ceiling, target }),
      figure("rows into each sink", "rows/s", median(rows), { samples: rows, target: atLeast(30_000) }),
      figure("CPU of the job", "µs/event", median(cpu), { samples: cpu }),
      figure("RSS, peak", "MiB", median(memory), { samples: memory, target: atMost(900) }),
    ];
    const series = [{ name: "whole job", ys: rates }, { name: ceiling.name, ys: bare }];
    if (intoEmbedded.length > 0) {
      const name = "whole job into the embedded sinks";
      const target = { at: "least", value: 1.1, of: "ratio" } as const;
      figures.push(
        figure(name, "events/s", median(intoEmbedded), { samples: intoEmbedded, ceiling, target }),
      );
      series.push({ name, ys: intoEmbedded });
    }
    return {
      figures,
      plots: [{
        title: "Rate of the job and of a bare read",
        kind: "bars",
        x: { title: "Round", unit: "" },
        y: { title: "Events", unit: "1/s" },
        xs: rates.map((_, i) => i + 1),
        labels: rates.map((_, i) => String(i + 1)),
        series,
      }],
      faults: [],
    };
  },
};

/** A session id's. */
const KEY_BYTES = 36;
