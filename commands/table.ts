/** `sessionary table`: the Delta table's past and upkeep. One file a subcommand, in `table/`. */
import type { Command } from "commander";
import { GROUPS, TABLE_SETTINGS } from "../schema/settings.ts";
import { addCommand, spec } from "./command_spec.ts";
import type { CommandContext } from "./context.ts";

/** What every subcommand needs to find the table. */
const TABLE = { prefix: "TABLE_", groups: [GROUPS.data, GROUPS.objectStore, GROUPS.service] } as const;

const { json, limit, version, timestamp, from, to } = TABLE_SETTINGS;
const { date, dryRun, retention, forceShortRetention, olderThan } = TABLE_SETTINGS;

const history = spec({
  ...TABLE,
  name: "history",
  summary: "what each version of the table did, the newest first",
  settings: { json, limit },
  run: async ({ config }, { values }, context) =>
    (await import("./table/history.ts")).showHistory(config, values, context),
});

const show = spec({
  ...TABLE,
  name: "show",
  summary: "the table at a version: its rows, files, schema and properties",
  settings: { json, version, timestamp },
  run: async ({ config }, { values }, context) =>
    (await import("./table/show.ts")).showTable(config, values, context),
});

const changes = spec({
  ...TABLE,
  name: "changes",
  summary: "the rows that versions added, revised and took away",
  settings: { from, to, limit, json },
  run: async ({ config }, { values }, context) =>
    (await import("./table/changes.ts")).showChanges(config, values, context),
});

const restore = spec({
  ...TABLE,
  name: "restore",
  summary: "make the rows those of an old version again, in a new commit; ClickHouse follows",
  settings: { json, version, timestamp },
  run: async ({ config }, { values }, context) =>
    (await import("./table/restore.ts")).restoreTable(config, values, context),
});

const optimize = spec({
  ...TABLE,
  groups: [...TABLE.groups, GROUPS.upkeep],
  name: "optimize",
  summary: "pack small files into larger ones, sorted by brand; no row changes",
  settings: { date, dryRun, json },
  run: async ({ config }, { values }, context) =>
    (await import("./table/optimize.ts")).optimizeTable(config, values, context),
});

const vacuum = spec({
  ...TABLE,
  groups: [...TABLE.groups, GROUPS.clickhouse, GROUPS.upkeep],
  name: "vacuum",
  summary: "delete files that left the table, and clean its log",
  settings: { retention, forceShortRetention, dryRun, json },
  run: async ({ config }, { values }, context) =>
    (await import("./table/vacuum.ts")).vacuumTable(config, values, context),
});

const retain = spec({
  ...TABLE,
  groups: [...TABLE.groups, GROUPS.clickhouse, GROUPS.retention],
  name: "retain",
  summary: "let whole dates leave the table and ClickHouse by their age, into the archive if there is one",
  settings: { olderThan, dryRun, json },
  run: async ({ config }, { values }, context) =>
    (await import("./table/retain.ts")).retainTable(config, values, context),
});

/** Adds `table` with its subcommands. */
export function addTableCommands(program: Command, context: CommandContext): void {
  const table = program.command("table")
    .summary("the Delta table: its history, what versions changed, restore, upkeep")
    .description("Looks into the Delta table's past and looks after it, also while dev or run is up.");
  addCommand(table, history, context);
  addCommand(table, show, context);
  addCommand(table, changes, context);
  addCommand(table, restore, context);
  addCommand(table, optimize, context);
  addCommand(table, vacuum, context);
  addCommand(table, retain, context);
}
