"""What delta-rs makes of TABLE: the sorted ids of its newest version, and of each version from FROM on the changes by type, as JSON."""
import collections
import json
import sys

import deltalake
import pyarrow

table_path, first = sys.argv[1], int(sys.argv[2])
table = deltalake.DeltaTable(table_path)
ids = sorted(table.to_pyarrow_table(columns=["session_id"]).column("session_id").to_pylist())
changes = pyarrow.table(table.load_cdf(starting_version=first))
pairs = zip(changes["_commit_version"].to_pylist(), changes["_change_type"].to_pylist())
counted = collections.Counter(f"{version} {kind}" for version, kind in pairs)
columns = [field.name for field in table.schema().fields]
print(json.dumps({"version": table.version(), "ids": ids, "changes": dict(sorted(counted.items())), "columns": columns}))
