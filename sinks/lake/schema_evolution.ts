/**
 * The table's schema and the program's table of columns (`schema/session.ts`): a column that is new there is added to the
 * Delta table at start, and may be null, because the rows before it are. Every other difference is refused. What the table
 * has besides is someone else's: carried along by rewrites, null in what is appended.
 */
import { SinkError } from "../../schema/errors.ts";
import { VERSION } from "../../schema/version.ts";
import type { MetaData } from "./delta_actions.ts";
import { type DeltaField, type DeltaSchema, isOwnField, OUR_SCHEMA } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import type { DeltaTable } from "./delta_table.ts";
import { assertAppendable } from "./lake_commit.ts";
import { decodeParquet } from "./parquet.ts";

/** A table's `metaData` with the columns that it lacked. */
interface Evolution {
  readonly metaData: MetaData;
  readonly added: readonly DeltaField[];
}

/** The columns of the program that the table lacks and can be given; null where it lacks none. */
function evolutionOf(metaData: MetaData): Evolution | null {
  const schema = JSON.parse(metaData.schemaString) as DeltaSchema;
  const present = new Set(schema.fields.map(({ name }) => name));
  const added = OUR_SCHEMA.fields.filter(({ name, nullable }) => nullable && !present.has(name));
  if (added.length === 0) return null;
  const evolved = { ...schema, fields: [...schema.fields, ...added] };
  return { metaData: { ...metaData, schemaString: JSON.stringify(evolved) }, added };
}

export interface EvolveOptions {
  /** Where the table is, for sentences. */
  readonly location: string;
  readonly engineInfo: string;
  /** The commit's own UUID. */
  readonly txnId: string;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Gives an open table the columns that it lacks, in a commit that changes nothing else.
 *
 * @param opened the table as it was opened
 * @throws {SinkError} where the program's columns differ from the table's in another way
 */
export async function evolveTable(
  table: DeltaTable,
  opened: Snapshot,
  { location, engineInfo, txnId, now }: EvolveOptions,
): Promise<Snapshot> {
  const checked = ({ metaData }: Snapshot): Evolution | null => {
    const evolution = evolutionOf(metaData);
    assertAppendable(evolution?.metaData ?? metaData, location);
    return evolution;
  };
  if (checked(opened) === null) return opened;
  // Asked again after every conflict: another instance may have added them meanwhile.
  await table.commit<null>(txnId, (snapshot) => {
    const evolution = checked(snapshot);
    if (evolution === null) return Promise.resolve({ refused: null });
    const columns = JSON.stringify(evolution.added.map((column) => ({ column })));
    const commitInfo = {
      timestamp: Math.floor(now()),
      operation: "ADD COLUMNS",
      operationParameters: { columns },
      engineInfo,
      isBlindAppend: false,
      txnId,
    };
    return Promise.resolve({ actions: [{ commitInfo }, { metaData: evolution.metaData }] });
  });
  return await table.refresh();
}

/** The columns that a newer version of this program has given the table, and that this one does not know. */
export function newerColumns({ schemaString }: MetaData): ReadonlySet<string> {
  const known = new Set(OUR_SCHEMA.fields.map(({ name }) => name));
  const { fields } = JSON.parse(schemaString) as DeltaSchema;
  return new Set(
    fields.filter((field) => isOwnField(field) && !known.has(field.name)).map(({ name }) => name),
  );
}

/**
 * Throws where a file has values in columns that only a newer version of this program knows: that one has given them to
 * ClickHouse too, and rows without them would be others than the table's.
 *
 * @param newer of {@linkcode newerColumns}
 */
export function assertKnown(parquet: Uint8Array, path: string, newer: ReadonlySet<string>): void {
  const found = decodeParquet(parquet, path).schema.fields.map(({ name }) => name).filter((name) =>
    newer.has(name)
  );
  if (found.length === 0) return;
  const message =
    `Cannot insert the rows of '${path}' into ClickHouse: a newer version of Sessionary has added ` +
    `the columns ${
      found.join(", ")
    } to the Delta table, and this one, ${VERSION}, does not know them. Start the ` +
    "newer version in its place, which inserts them.";
  throw new SinkError(message, false);
}
