"""Writes what delta-rs reads of TABLE to OUT: the rows at every version, and all changes with their versions."""
import sys

import deltalake
import pyarrow
from row_text import write_rows

table_path, out = sys.argv[1:]
newest = deltalake.DeltaTable(table_path).version()
for version in range(newest + 1):
    table = deltalake.DeltaTable(table_path, version=version)
    write_rows(f"{out}/delta-rs-{version}.jsonl", table.to_pyarrow_table().to_pylist())
changes = pyarrow.table(deltalake.DeltaTable(table_path).load_cdf(starting_version=0).read_all())
write_rows(f"{out}/changes.jsonl", changes.drop_columns(["_commit_timestamp"]).to_pylist())
print(newest)
