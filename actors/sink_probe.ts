/** Asks a sink again and again whether it is there, so that an outage is known before an epoch runs into it. */
import { messageOf } from "../schema/errors.ts";
import type { Clock } from "./clock.ts";
import type { SinkHealth } from "./sink_health.ts";

/** With {@linkcode ANSWER_WAIT_MS}, and the time between two reports and two statuses of the page, five seconds. */
export const PROBE_INTERVAL_MS = 1_000;
export const ANSWER_WAIT_MS = 2_000;

const PROBE = "probe";

export interface ProbeOptions {
  /** Resolves where the sink answers. It may take as long as it likes: at most one is under way. */
  readonly ping: () => Promise<void>;
  readonly health: SinkHealth;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Probes until `signal` aborts. */
export async function probeSink({ ping, health, clock, signal }: ProbeOptions): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(PROBE_INTERVAL_MS, signal);
    if (signal.aborted) return;
    const answered = new AbortController();
    const answer = ping().then(() => null, messageOf).finally(() => answered.abort());
    const silence = clock.sleep(ANSWER_WAIT_MS, answered.signal).then(() => {
      if (answered.signal.aborted) return;
      health.failed(PROBE, `It has not answered for ${ANSWER_WAIT_MS / 1000} s.`);
    });
    const why = await answer;
    await silence;
    if (why === null) health.ended(PROBE);
    else health.failed(PROBE, why);
  }
}
