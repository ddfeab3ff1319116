/**
 * DDL for a ClickHouse cluster: each statement runs on all its nodes, and each table replicates by the server's own
 * `default_replica_path` and `default_replica_name`. Our statements have a known shape, so this is a rewriting.
 */
import { sqlName } from "./ddl.ts";

const TARGET =
  /^(CREATE (?:TABLE|MATERIALIZED VIEW|DATABASE) IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE|DROP TABLE IF EXISTS) (`(?:[^`\\]|\\.)*`|\S+)/;

/** The statement for every node of `cluster`; as it is where that is null. */
export function clustered(statement: string, cluster: string | null): string {
  if (cluster === null) return statement;
  return statement
    .replace(TARGET, (found) => `${found} ON CLUSTER ${sqlName(cluster)}`)
    .replace(/^\) ENGINE = (\w*MergeTree)/m, ") ENGINE = Replicated$1");
}
