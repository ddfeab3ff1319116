/** A run of the bench that nobody measured. */
import type { Figure, Plot, Run } from "../../bench/record.ts";

/** One suite with these figures and plots. */
export function runOf(figures: readonly Figure[], plots: readonly Plot[] = []): Run {
  return {
    format: 1,
    surroundings: {
      startedAt: "2024-05-01T12:00:00.000Z",
      commit: "0123456789abcdef",
      dirty: false,
      cores: 2,
      cpu: "A <processor>",
      memoryBytes: 8 * 2 ** 30,
      versions: { deno: "2.9.6" },
      load: 0.1,
      settings: {},
    },
    suites: [{
      suite: "baseline",
      over: "embedded",
      about: "It has </script> & <b> in it.",
      figures,
      plots,
      faults: [],
    }],
  };
}
