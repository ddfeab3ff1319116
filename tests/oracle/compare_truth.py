#!/usr/bin/env python3
"""Compares a Delta table's sessions with what they must be, row by row and column by column.

    python3 compare_truth.py TABLE TRUTH.json …     (needs: pip install deltalake pyarrow)

TRUTH.json is what `produce --truth` or access_log.py wrote; several are taken together. Rows are matched by their identity (session_id,
source_partition, first_offset) where the truth has it, else by session_id and start. Not compared: batch_id,
created_at and what the truth does not say; in close_reason `timeout`, `idle` and
`drain` count as equal, because they depend on when the pipeline ran. Of each row a digest is kept and no more, so
that millions can be compared. Exit code 0 where all is equal, 1 where not, 2 where there is nothing to compare.
"""
import datetime
import hashlib
import json
import sys

import deltalake

NOT_COMPARED = {"batch_id", "created_at"}
SHOWN_MAX = 20
BATCH_ROWS = 10_000


def plain(value):
    """A value as JSON has it: times as RFC 3339 in UTC to the millisecond, finer digits kept where there are any."""
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def comparable(row, columns):
    row = {name: plain(row.get(name, "(no such column)")) for name in columns}
    if row.get("close_reason") in ("idle", "drain"):
        row["close_reason"] = "timeout"
    return row


def digest(row):
    return hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=16).digest()


def true_sessions(paths):
    """The truth's sessions; `produce --truth` writes one a line, which spares reading all of them at once."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            if not file.readline().rstrip().endswith('"sessions":['):
                file.seek(0)
                yield from json.load(file)["sessions"]
                continue
            for line in file:
                line = line.strip().rstrip(",")
                if line.startswith("{"):
                    yield json.loads(line)


def table_rows(table):
    for batch in table.to_pyarrow_dataset().to_batches(batch_size=BATCH_ROWS):
        yield from batch.to_pylist()


def differing_cells(rows_of_truth, table, columns, identify, identities):
    """The cells of rows that differ, as lines."""
    expected = {}
    for row in rows_of_truth:
        if identify(row) in identities:
            expected[identify(row)] = comparable(row, columns)
    for found in table_rows(table):
        row = comparable(found, columns)
        for name in columns if identify(row) in expected else ():
            if row[name] != expected[identify(row)][name]:
                yield f"{identify(row)} {name}: {row[name]!r} instead of {expected[identify(row)][name]!r}"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    table = deltalake.DeltaTable(sys.argv[1])
    truth_paths = sys.argv[2:]
    columns, key, expected = [], [], {}

    def identify(row):
        return tuple(row[name] for name in key)

    for row in true_sessions(truth_paths):
        if not columns:
            columns = list(row)
            key = ["session_id", "source_partition", "first_offset"]
            if "first_offset" not in columns:
                key = ["session_id", "session_start"]
        row = comparable(row, columns)
        expected[identify(row)] = digest(row)
    if not expected:
        print("The truth has no sessions: nothing was compared.")
        sys.exit(2)
    count, extra, found_rows, revised = len(expected), [], 0, 0
    seen, repeated, unknown, differing = set(), [], [], []
    for found in table_rows(table):
        if found_rows == 0:
            extra = sorted(set(found) - set(columns) - NOT_COMPARED)
        found_rows += 1
        revised += found.get("revision", 0) > 0
        row = comparable(found, columns)
        identity = identify(row)
        if identity in seen:
            repeated.append(identity)
            continue
        if identity not in expected:
            unknown.append(identity)
            continue
        seen.add(identity)
        if expected.pop(identity) != digest(row):
            differing.append(identity)
    lost = sorted(expected)
    problems = [f"twice in the table: {identity}" for identity in repeated]
    problems += [f"missing in the table: {identity}" for identity in lost]
    problems += [f"not in the truth: {identity}" for identity in unknown]
    for problem in problems[:SHOWN_MAX]:
        print(problem)
    if differing:
        shown = set(differing[:SHOWN_MAX])
        for line in differing_cells(true_sessions(truth_paths), table, columns, identify, shown):
            print(line)
    print(f"lost {len(lost)}, repeated {len(repeated)}, unknown {len(unknown)}, differing {len(differing)}; "
          f"{revised} revised by late events")
    problems += differing
    print(f"{found_rows} rows in the table (version {table.version()}), {count} in the truth; {len(columns)} "
          f"columns, {len(seen) * len(columns)} cells compared; {len(problems)} differences." +
          (f" The truth does not say: {', '.join(extra)}." if extra else ""))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
