/** Micro-benchmarks of each stage: the budget of README.md. */
import type { Suite } from "../suites.ts";
import { type Figure, figure } from "../record.ts";
import { measure, stageList } from "../stage_list.ts";
import { median } from "../stats.ts";

const EVENTS_MAX = 200_000;

/** See the file's comment. */
export const stagesSuite: Suite = {
  name: "stages",
  about: "What each stage of a session actor and of a commit costs, in CPU time",
  run(_world, options) {
    const events = Math.min(options.events, EVENTS_MAX);
    const measured: Figure[] = [];
    for (const stage of stageList(events)) {
      const samples = measure(stage);
      measured.push(figure(stage.name, `µs/${stage.unit}`, median(samples), { samples }));
    }
    const plot = (unit: string, title: string) => {
      const own = measured.filter((one) => one.unit === unit);
      return {
        title,
        kind: "bars",
        x: { title: "Stage", unit: "" },
        y: { title: "CPU time", unit },
        xs: own.map((_, i) => i),
        labels: own.map(({ name }) => name),
        series: [{ name: "CPU time", ys: own.map(({ value }) => value) }],
      } as const;
    };
    return Promise.resolve({
      figures: measured,
      plots: [
        plot("µs/event", "Cost of an event, by stage"),
        plot("µs/session", "Cost of a session, by stage"),
      ],
      faults: [],
    });
  },
};
