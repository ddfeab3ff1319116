/** What a run of the crash harness prints at its end. */
import { formatTable } from "../../../commands/terminal.ts";
import type { CrashReport } from "./crash_run.ts";

/** The value that `share` of the ascending `values` do not exceed; null where there are none. */
function percentile(values: readonly number[], share: number): number | null {
  return values[Math.max(Math.ceil(values.length * share) - 1, 0)] ?? null;
}

/** The table, and what is wrong. */
export function formatReport(report: CrashReport): string {
  const { produced, recoveries, landings, cpu } = report;
  const rows: [string, string | number][] = [
    ["kills", report.kills],
    ["records produced", produced.records],
    ["sessions in the table", report.rows],
    ["lost", report.lost],
    ["repeated", report.repeated],
    ["unknown", report.unknown],
    ["differing", report.differing],
    ["records consumed, by the ledger", report.consumed],
    ["dead letters", `${report.deadLetters} of ${produced.bad}`],
    ["of the sessions, revised by late events", report.revised],
    ["fenced commits", report.fenced],
    ["partitions came to a running instance", `${report.taken} times`],
    ["barriers whose replay was verified", report.verifiedBarriers],
    ["stops by an outage", report.stopsByOutage],
  ];
  const at = (values: readonly number[], digits = 0) =>
    [0.5, 0.99, 1].map((share) => percentile(values, share)?.toFixed(digits) ?? "-");
  const times = formatTable({
    columns: ["from start to the first new event", "starts", "P50", "P99", "max"],
    rows: [
      ["processed, ms", recoveries.length, ...at(recoveries)],
      ["in both sinks, ms", landings.length, ...at(landings)],
      ["CPU time up to its processing, s", cpu.length, ...at(cpu, 1)],
    ],
  });
  const others =
    `Not counted: ${report.killedBefore} starts that were killed before their first new event, ` +
    `${report.duringOutages} during an outage.`;
  const verdict = report.problems.length === 0 ? "Nothing lost, nothing twice." : report.problems.join("\n");
  return [formatTable({ columns: ["", ""], rows }), times, others, verdict].join("\n\n");
}
