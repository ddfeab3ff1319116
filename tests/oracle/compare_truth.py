#!/usr/bin/env python3
"""Compares a Delta table's sessions with what they must be, row by row and column by column.

    python3 compare_truth.py TABLE TRUTH.json     (needs: pip install deltalake pyarrow)

TRUTH.json is what `produce --truth` or access_log.py wrote. Rows are matched by their identity (session_id,
source_partition, first_offset) where the truth has it, else by session_id and start. Not compared: batch_id,
created_at and what the truth does not say; in close_reason `timeout`, `idle` and `drain` count as equal, because
they depend on when the pipeline ran. Exit code 0 where all is equal, 1 where not, 2 where there is nothing to compare.
"""
import datetime
import json
import sys

import deltalake

NOT_COMPARED = {"batch_id", "created_at"}
SHOWN_MAX = 20


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


def keyed(rows, key):
    by_key, twice = {}, []
    for row in rows:
        identity = tuple(row[name] for name in key)
        if identity in by_key:
            twice.append(identity)
        by_key[identity] = row
    return by_key, twice


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    table = deltalake.DeltaTable(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        truth = json.load(file)["sessions"]
    if not truth:
        print("The truth has no sessions: nothing was compared.")
        sys.exit(2)
    columns = list(truth[0])
    key = ["session_id", "source_partition", "first_offset"]
    if "first_offset" not in columns:
        key = ["session_id", "session_start"]
    found = table.to_pyarrow_table().to_pylist()
    extra = sorted(set(found[0]) - set(columns) - NOT_COMPARED) if found else []
    expected_by, _ = keyed((comparable(row, columns) for row in truth), key)
    found_by, twice = keyed((comparable(row, columns) for row in found), key)
    problems = [f"twice in the table: {identity}" for identity in twice]
    problems += [f"missing in the table: {identity}" for identity in expected_by.keys() - found_by.keys()]
    problems += [f"not in the truth: {identity}" for identity in found_by.keys() - expected_by.keys()]
    cells = 0
    for identity, expected in expected_by.items():
        row = found_by.get(identity)
        if row is None:
            continue
        cells += len(columns)
        for name in columns:
            if row[name] != expected[name]:
                problems.append(f"{identity} {name}: {row[name]!r} instead of {expected[name]!r}")
    for problem in problems[:SHOWN_MAX]:
        print(problem)
    print(f"{len(found)} rows in the table (version {table.version()}), {len(truth)} in the truth; {len(columns)} "
          f"columns, {cells} cells compared; {len(problems)} differences." +
          (f" The truth does not say: {', '.join(extra)}." if extra else ""))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
