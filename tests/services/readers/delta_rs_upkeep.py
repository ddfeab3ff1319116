"""What delta-rs makes of TABLE from version FROM on: opens each one, and prints the ids of the newest, sorted, as JSON."""
import json
import sys

import deltalake

table_path, first = sys.argv[1], int(sys.argv[2])
newest = deltalake.DeltaTable(table_path).version()
files = {v: len(deltalake.DeltaTable(table_path, version=v).file_uris()) for v in range(first, newest + 1)}
table = deltalake.DeltaTable(table_path)
ids = sorted(table.to_pyarrow_table(columns=["session_id"]).column("session_id").to_pylist())
# What delta-rs would vacuum tells that it knows the tombstones that our checkpoint holds.
vacuumable = table.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False)
print(json.dumps({"newest": newest, "files": files, "ids": ids, "vacuumable": len(vacuumable)}))
