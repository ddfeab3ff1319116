/** What must hold when all is done: the log, the lake, ClickHouse and its views against the oracle. */
import { crc32 } from "node:zlib";
import { type Cell, cellAt, type ColumnBatch } from "../../schema/column_batch.ts";
import { DEAD_LETTER_COLUMNS, EMPTY_LEDGER } from "../../schema/epoch.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { openDeltaLake } from "../../sinks/lake/lake.ts";
import { type Sums, viewsOf } from "./clickhouse.ts";
import { type ExpectedRow, type ExpectedSeal, expectSeals } from "./oracle.ts";
import { type ChainLink, lackingVersions, type World } from "./simulation.ts";
import { localStore } from "./stores.ts";
import type { SimRecord } from "./topic.ts";

/** Differences that are told of one kind. */
const SHOWN_MAX = 3;

/** What is wrong at the end of a run, a line each. */
export async function judge(world: World): Promise<string[]> {
  const { topic, chains, plan } = world;
  const moves = plan.instances > 1 || plan.rebalances + plan.zombies + plan.additions.length > 0;
  const seals = new Map<number, ExpectedSeal[]>();
  const failures: string[] = [];
  for (const [partition, links] of [...chains].sort(([a], [b]) => a - b)) {
    const { history } = topic.partitions[partition]!;
    const expected = expectSeals(history, links);
    seals.set(partition, expected);
    failures.push(...judgeChain(partition, links, expected, history, moves));
  }
  if (failures.length > 0) return failures;
  failures.push(...await judgeLake(world, seals));
  const rows = failures.length === 0 ? await lakeRows(world) : [];
  if (failures.length === 0) failures.push(...await judgeRetired(world, rows));
  failures.push(...judgeWarehouse(world, rows));
  return failures;
}

/** One partition's barriers: consecutive, never back, and as the records have them. */
function judgeChain(
  partition: number,
  links: readonly ChainLink[],
  seals: readonly ExpectedSeal[],
  history: readonly SimRecord[],
  moves: boolean,
): string[] {
  const failures: string[] = [];
  links.forEach((link, i) => {
    const { barrier, ledger } = link;
    const before = links[i - 1]?.barrier ?? null;
    const where = `Partition ${partition}, barrier ${barrier.number} (version ${link.version})`;
    const must = (holds: boolean, what: string) => {
      if (!holds) failures.push(`${where}: ${what}. ${JSON.stringify({ before, barrier, ledger })}`);
    };
    must(barrier.number === i + 1, `its number is ${i + 1}`);
    must(before === null || barrier.from === before.to, "it begins where the one before ended");
    must(barrier.to >= barrier.from, "it does not go back");
    must(barrier.clock >= (before?.clock ?? 0), "its clock does not go back");
    const { consumed, inSessions, duplicates, deadLetters, held } = ledger;
    must(consumed === inSessions + duplicates + deadLetters + held, "the ledger balances");
    const expected = seals[i]!.ledger;
    for (const name of Object.keys(EMPTY_LEDGER) as (keyof typeof expected)[]) {
      must(ledger[name] === expected[name], `${name} is ${expected[name]}`);
    }
    const last = history.findLast(({ offset }) => offset < barrier.to && offset >= links[0]!.barrier.from);
    must(markOf(last) === markOf(undefined, barrier.lastRecord), `its last record is ${markOf(last)}`);
    const by = (seal: ExpectedSeal | undefined) => watermarksBy(link, before, seal?.latest ?? null);
    const watermarks = [by(seals[i - 1]), by(seals[i - 2])];
    const found = [barrier.eventWatermark, barrier.watermark];
    // Right after a partition came to its owner not all shards may have told what they have seen.
    const fits = moves || links[i - 1]?.writer !== link.writer
      ? found.every((watermark, k) => (watermark ?? -Infinity) <= (watermarks[0]![k] ?? -Infinity))
      : watermarks.some((both) => String(both) === String(found));
    must(fits, `its watermarks ${found} fit ${watermarks.join(" or ")}`);
    must((barrier.watermark ?? 0) >= (before?.watermark ?? 0), "its watermark does not go back");
    must((barrier.eventWatermark ?? 0) >= (before?.eventWatermark ?? 0), "nor does that by event times");
    must(
      barrier.forgetBefore ===
        (barrier.watermark === null ? null : barrier.watermark - link.semantics.allowedLatenessMs),
      "it forgets by its watermark",
    );
    must(
      [null, barrier.clock, before?.idleSince].includes(barrier.idleSince),
      "it is idle since now, or since it was",
    );
  });
  const pending = seals.at(-1)!.pending;
  if (pending > 0) failures.push(`Partition ${partition}: ${pending} sessions still wait for a revision.`);
  return failures.slice(0, SHOWN_MAX);
}

function markOf(record: SimRecord | undefined, mark: ChainLink["barrier"]["lastRecord"] = null): string {
  if (record === undefined) return mark === null ? "none" : `${mark.offset}/${mark.crc32}`;
  const nothing = new Uint8Array();
  return `${record.offset}/${crc32(record.value ?? nothing, crc32(record.key ?? nothing))}`;
}

/** The two watermarks of a barrier for which `latest` was the latest event time known. */
function watermarksBy(
  { barrier, semantics }: ChainLink,
  before: ChainLink["barrier"] | null,
  latest: number | null,
) {
  const most = (...times: (number | null | undefined)[]) => {
    const known = times.filter((time) => time !== null && time !== undefined);
    return known.length === 0 ? null : Math.max(...known);
  };
  const { sessionTimeoutMs, watermarkDelayMs } = semantics;
  const eventWatermark = most(before?.eventWatermark, latest === null ? null : latest - watermarkDelayMs);
  const idle = latest === null || barrier.idleSince === null ? null : Math.min(
    latest + sessionTimeoutMs + 1,
    latest - watermarkDelayMs + barrier.clock - barrier.idleSince,
  );
  return [eventWatermark, most(before?.watermark, eventWatermark, idle)];
}

function lakeOf({ bucket }: Pick<World, "bucket">) {
  return openDeltaLake({
    store: localStore(bucket),
    pipeline: "sessionary",
    topic: "web_clicks",
    now: () => 0,
    uuid: () => "",
  });
}

type Row = Record<string, Cell>;

function rowsIn(batch: ColumnBatch, columns: readonly { readonly name: string }[]): Row[] {
  return Array.from(
    { length: batch.rows },
    (_, row) => Object.fromEntries(columns.map(({ name }, i) => [name, cellAt(batch.columns[i]!, row)])),
  );
}

async function lakeRows(world: World): Promise<Row[]> {
  return rowsIn(await lakeOf(world).readSessions(), SESSION_COLUMNS);
}

/** The rows after all commits, by partition and first offset: a restore brings back those of then. */
function expectedRows(world: World, seals: ReadonlyMap<number, readonly ExpectedSeal[]>): ExpectedRow[] {
  const byVersion = new Map<number, ExpectedRow[]>();
  for (const [partition, links] of world.chains) {
    links.forEach(({ version }, i) =>
      byVersion.getOrInsert(version, []).push(...seals.get(partition)![i]!.rows)
    );
  }
  const newest = Math.max(0, ...byVersion.keys(), ...world.restores.keys());
  const tables: ReadonlyMap<string, ExpectedRow>[] = [];
  for (let version = 0; version <= newest; version++) {
    const restored = world.restores.get(version);
    const rows = byVersion.get(version) ?? [];
    const before = tables[restored ?? version - 1] ?? new Map<string, ExpectedRow>();
    const places = rows.map((row) => [`${row.source_partition}-${row.first_offset}`, row] as const);
    tables.push(rows.length === 0 ? before : new Map([...before, ...places]));
  }
  return [...tables.at(-1)!.values()];
}

/** What is in the ledger and in no row must be on record. */
async function judgeRetired({ chains, bucket }: World, rows: readonly Row[]): Promise<string[]> {
  const retired = await lakeOf({ bucket }).retiredEvents();
  return [...chains].flatMap(([partition, links]) => {
    const inSessions = links.at(-1)!.ledger.inSessions;
    const own = rows.filter(({ source_partition }) => source_partition === partition);
    const inRows = own.reduce((sum, { total_events }) => sum + Number(total_events), 0);
    const gone = retired.get(partition) ?? 0;
    if (inRows + gone === inSessions) return [];
    return [
      `Partition ${partition}: ${inRows} events are in rows, ${gone} retired, ${inSessions} in the ledger.`,
    ];
  });
}

async function judgeLake(
  world: World,
  seals: ReadonlyMap<number, readonly ExpectedSeal[]>,
): Promise<string[]> {
  const expected = expectedRows(world, seals);
  const names = Object.keys(expected[0] ?? {}) as (keyof ExpectedRow)[];
  const shown = (row: Row | ExpectedRow) => JSON.stringify(names.map((name) => (row as Row)[name]));
  const failures = difference(
    "the lake",
    expected.map(shown),
    (await lakeRows(world)).map(shown),
  );
  const letters: string[] = [];
  const lake = lakeOf(world);
  for (const { record } of await lake.epochsAfter(-1)) {
    if (record.deadLetterFile === null) continue;
    const batch = await lake.readDeadLetterFile(record.deadLetterFile);
    letters.push(...rowsIn(batch, DEAD_LETTER_COLUMNS).map(letterOf));
  }
  const expectedLetters = [...world.chains.keys()].sort((a, b) => a - b).flatMap((partition) => {
    const { history } = world.topic.partitions[partition]!;
    return expectSeals(history, world.chains.get(partition)!).flatMap(({ deadLetters }) =>
      [...deadLetters].map(([offset, reason]) => letterOf({ partition, offset, reason }))
    );
  });
  failures.push(...difference("the dead letters", expectedLetters, letters));
  const ids = letters.map((letter) => `web_clicks-${letter.split(" ")[0]}`);
  failures.push(...difference("the topic of dead letters", ids, [...world.deadLetterIds]));
  return failures;
}

function letterOf({ partition, offset, reason }: Row): string {
  return `${partition}-${offset} ${reason}`;
}

function judgeWarehouse(world: World, lake: readonly Row[]): string[] {
  const { clickhouse } = world;
  const rows = clickhouse.rows;
  const shown = (row: Row) => JSON.stringify(SESSION_COLUMNS.map(({ name }) => row[name]));
  const went = rows.filter(({ sign }) => sign < 0).map(({ cells }) => shown(cells));
  const came = rows.filter(({ sign }) => sign > 0).map(({ cells }) => shown(cells));
  const failures = difference("ClickHouse", [...lake.map(shown), ...went], came);
  const views = viewsOf(lake.map((cells) => ({ cells, sign: 1 })));
  for (const [name, sums] of views) {
    failures.push(...difference(`the view ${name}`, linesOf(sums), linesOf(clickhouse.views.get(name)!)));
  }
  const lacking = lackingVersions(world);
  if (lacking.length > 0) failures.push(`ClickHouse lacks the versions ${lacking}.`);
  return failures;
}

function linesOf(sums: Sums): string[] {
  return [...sums].filter(([, { sessions }]) => sessions !== 0).map((entry) => JSON.stringify(entry));
}

/** What two multisets do not share. */
function difference(where: string, expected: readonly string[], found: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of expected) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of found) counts.set(line, (counts.get(line) ?? 0) - 1);
  const off = [...counts].filter(([, count]) => count !== 0);
  return off.slice(0, SHOWN_MAX).map(([line, count]) =>
    count > 0 ? `${where} lacks ${line}` : `${where} has ${-count} too many of ${line}`
  );
}
