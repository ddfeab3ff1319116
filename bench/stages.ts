/**
 * `deno task bench:stages [EVENTS] [--profile]`: what each stage of a session actor and of a commit costs, in microseconds of
 * CPU per event and per session, beside the ceilings of its kind. `--profile` adds the functions that each stage spends
 * its time in. The suite `stages` measures the same for the report.
 */
import { profile } from "./profile.ts";
import { measure, ROUNDS, type Stage, stageList } from "./stage_list.ts";
import { median } from "./stats.ts";

const EVENTS_DEFAULT = 200_000;
const PROFILE_LINES = 12;

async function report(stage: Stage, profiled: boolean): Promise<void> {
  console.log(
    `${stage.name.padEnd(40)}${median(measure(stage)).toFixed(2).padStart(10)} µs per ${stage.unit}`,
  );
  if (!profiled) return;
  for (const { where, share } of (await profile(stage.work)).slice(0, PROFILE_LINES)) {
    console.log(`${(100 * share).toFixed(1).padStart(10)} %  ${where}`);
  }
}

const profiled = Deno.args.includes("--profile");
const [count = String(EVENTS_DEFAULT)] = Deno.args.filter((arg) => arg !== "--profile");
const events = Number(count);
if (!Number.isInteger(events) || events < 1) {
  throw new Error(`EVENTS must be a positive integer: found '${count}'.`);
}
console.log(`${events} events; median of ${ROUNDS}`);
for (const stage of stageList(events)) await report(stage, profiled);
