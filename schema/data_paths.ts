/** Where in `DATA_DIR` what is. Apart from the settings, whose validation no actor needs at its start. */

import type { Config } from "./config.ts";

/** Where each part of the pipeline's data lies below `dataDir`. */
export interface DataPaths {
  readonly events: string;
  readonly lake: string;
  /** What left the lake by its age, by ARCHIVE_PREFIX. */
  readonly archive: string;
  readonly warehouse: string;
  /** The member id in the Kafka group. */
  readonly kafkaMember: string;
}

/** The layout of `DATA_DIR`: part of the interface. */
export function dataPaths(dataDir: string): DataPaths {
  const root = dataDir.replace(/\/+$/, "") || "/";
  return {
    events: `${root}/events.db`,
    lake: `${root}/lake`,
    archive: `${root}/archive`,
    warehouse: `${root}/warehouse`,
    kafkaMember: `${root}/kafka_member.json`,
  };
}

/** Where the Delta table is, for people. */
export function tableLocation({ dataDir, s3Endpoint, s3Bucket, s3Prefix }: Config): string {
  if (s3Endpoint === null) return `${dataPaths(dataDir).lake}/sessions`;
  return `s3://${s3Bucket}${s3Prefix === null ? "" : `/${s3Prefix}`}/sessions at ${s3Endpoint}`;
}
