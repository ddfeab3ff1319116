/** What the web server and `sessionary query` know of the queries that users can run, all of them by name. */

/** One query: no SQL comes from outside. */
export interface NamedQuery {
  readonly name: string;
  readonly description: string;
}

export interface QueryParams {
  /** Most rows that come back. */
  readonly limit: number;
}

/** A result, row by row, with a cell of JSON per column. */
export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

export interface QueryService {
  readonly queries: readonly NamedQuery[];
  /** Runs the query `name`, which must be one of {@linkcode queries}. */
  run(name: string, params: QueryParams): Promise<QueryResult>;
}

/** The rows as objects, keys in the columns' order. */
export function rowObjects({ columns, rows }: QueryResult): Record<string, unknown>[] {
  return rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])));
}

/** The sentence for a name that is not among `queries`. */
export function unknownQuery(name: string, queries: readonly NamedQuery[]): string {
  const names = queries.map((query) => query.name).join(", ");
  return `A query must be one of ${names}: found ${JSON.stringify(name)}.`;
}
