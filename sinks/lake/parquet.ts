/**
 * Arrow tables as Parquet bytes and back, through WebAssembly. The module loads itself from its package's folder
 * (read access), also inside a worker. Objects on the WebAssembly side are freed on every path: its memory grows
 * to the largest batch and stays there.
 */
import { type Table, tableFromIPC, tableToIPC } from "apache-arrow";
import {
  Compression,
  EnabledStatistics,
  ParquetFile,
  readParquet,
  type RecordBatch,
  Table as WasmTable,
  transformParquetStream,
  writeParquet,
  type WriterProperties,
  WriterPropertiesBuilder,
} from "parquet-wasm";
import { messageOf, SinkError } from "../../schema/errors.ts";
import { ROWS_PER_INSERT_MAX } from "../../schema/limits.ts";
import { timesAsMicros } from "./arrow_timestamps.ts";

/** Rows of a record batch read at once: large, so that few of them have to be joined. */
const ROWS_PER_READ = 131_072;

/** What is read of a file: by default all. */
export interface ReadPart {
  /** Rows to skip, and rows to read at most. */
  readonly offset?: number;
  readonly limit?: number;
  readonly columns?: string[];
}

/** How a file is written. */
export interface WriteOptions {
  /**
   * Rows of a row group; by default all that one INSERT takes, because ClickHouse makes one block of a row group, and a
   * retried INSERT must make the same blocks.
   */
  readonly rowsPerGroup?: number;
  /** Whether values are looked up in a dictionary first: a waste where hardly any comes twice. */
  readonly dictionary?: boolean;
}

function writerProperties({ rowsPerGroup, dictionary }: Required<WriteOptions>): WriterProperties {
  return new WriterPropertiesBuilder()
    .setCompression(Compression.ZSTD)
    .setDictionaryEnabled(dictionary)
    .setMaxRowGroupSize(rowsPerGroup)
    // Ids of people and sessions stand in rows alone, never in a footer.
    .setColumnStatisticsEnabled("session_id", EnabledStatistics.None)
    .setColumnStatisticsEnabled("user_id", EnabledStatistics.None)
    .setCreatedBy("Sessionary")
    .build();
}

/** The table as one Parquet file (zstd). */
export function encodeParquet(
  table: Table,
  { rowsPerGroup = ROWS_PER_INSERT_MAX, dictionary = true }: WriteOptions = {},
): Uint8Array {
  // Both arguments pass into the writer, which frees them.
  return writeParquet(
    WasmTable.fromIPCStream(tableToIPC(table, "stream")),
    writerProperties({ rowsPerGroup, dictionary }),
  );
}

/**
 * One Parquet file (zstd) of row groups that are made one after the other, so that one of them at a time is in memory.
 *
 * @param groups at least one, of `rowsPerGroup` rows each, the last of as many or fewer
 */
export async function encodeRowGroups(
  groups: Iterable<Table>,
  rowsPerGroup: number,
): Promise<Uint8Array> {
  const batches = ReadableStream.from(recordBatchesOf(groups));
  // Both arguments pass into the writer, which frees them, and every batch.
  const parquet = await transformParquetStream(
    batches,
    writerProperties({ rowsPerGroup, dictionary: true }),
  );
  return await new Response(parquet).bytes();
}

function* recordBatchesOf(groups: Iterable<Table>): Iterable<RecordBatch> {
  for (const group of groups) {
    const table = WasmTable.fromIPCStream(tableToIPC(group, "stream"));
    // The batches share the table's memory, and outlive it.
    const batches = table.recordBatches();
    table.free();
    yield* batches;
  }
}

/**
 * A Parquet file's bytes as a table, with all times in microseconds.
 *
 * @param origin the file, for sentences
 * @throws {SinkError} where the bytes are not a Parquet file that can be read
 */
export function decodeParquet(bytes: Uint8Array, origin: string, part: ReadPart = {}): Table {
  try {
    const options = { batchSize: ROWS_PER_READ, ...part };
    return timesAsMicros(tableFromIPC(readParquet(bytes, options).intoIPCStream()));
  } catch (error) {
    throw unreadable(origin, error);
  }
}

/**
 * {@linkcode decodeParquet} for a small part of a large file: the rest of its bytes does not pass into WebAssembly.
 *
 * @throws {SinkError} as there
 */
export async function decodePart(
  bytes: Uint8Array,
  origin: string,
  part: ReadPart,
): Promise<Table> {
  try {
    const file = await ParquetFile.fromFile(new Blob([bytes as BlobPart]));
    try {
      const table = await file.read({ batchSize: ROWS_PER_READ, ...part });
      return timesAsMicros(tableFromIPC(table.intoIPCStream()));
    } finally {
      file.free();
    }
  } catch (error) {
    throw unreadable(origin, error);
  }
}

function unreadable(origin: string, error: unknown): SinkError {
  const message = `Cannot read '${origin}' as Parquet: ${
    messageOf(error)
  }. The file is damaged or incomplete.`;
  return new SinkError(message, false, { cause: error });
}
