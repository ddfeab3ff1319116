/**
 * Arrow tables as Parquet bytes and back, through WebAssembly. The module loads itself from its package's folder
 * (read access), also inside a worker. Objects on the WebAssembly side are freed on every path: its memory grows
 * to the largest batch and stays there.
 */
import { type Table, tableFromIPC, tableToIPC } from "apache-arrow";
import {
  Compression,
  readParquet,
  Table as WasmTable,
  writeParquet,
  type WriterProperties,
  WriterPropertiesBuilder,
} from "parquet-wasm";
import { messageOf, SinkError } from "../../schema/errors.ts";
import { ROWS_PER_INSERT_MAX } from "../../schema/limits.ts";
import { timesAsMicros } from "./arrow_timestamps.ts";

/** Rows of a record batch read at once: large, so that few of them have to be joined. */
const ROWS_PER_READ = 131_072;

function writerProperties(): WriterProperties {
  // A file of one INSERT has one row group: ClickHouse then makes one block of it (FINDINGS.md, tokens).
  return new WriterPropertiesBuilder()
    .setCompression(Compression.ZSTD)
    .setMaxRowGroupSize(ROWS_PER_INSERT_MAX)
    .setCreatedBy("Sessionary")
    .build();
}

/** The table as one Parquet file (zstd); up to {@linkcode ROWS_PER_INSERT_MAX} rows make one row group. */
export function encodeParquet(table: Table): Uint8Array {
  // Both arguments pass into the writer, which frees them.
  return writeParquet(WasmTable.fromIPCStream(tableToIPC(table, "stream")), writerProperties());
}

/**
 * A Parquet file's bytes as a table, with all times in microseconds.
 *
 * @param origin the file, for sentences
 * @throws {SinkError} where the bytes are not a Parquet file that can be read
 */
export function decodeParquet(bytes: Uint8Array, origin: string): Table {
  try {
    return timesAsMicros(tableFromIPC(readParquet(bytes, { batchSize: ROWS_PER_READ }).intoIPCStream()));
  } catch (error) {
    const message = `Cannot read '${origin}' as Parquet: ${
      messageOf(error)
    }. The file is damaged or incomplete.`;
    throw new SinkError(message, false, { cause: error });
  }
}
