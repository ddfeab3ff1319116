"""Appends rows to TABLE as fast as it goes for SECONDS, each with an id of its own; prints how many were committed."""
import datetime
import sys
import time

import deltalake
import pyarrow

table_path, seconds, pause = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
until = time.monotonic() + seconds
table = deltalake.DeltaTable(table_path)
row = table.to_pyarrow_table().slice(0, 1)
appended, failed = 0, 0
while time.monotonic() < until:
    columns = {
        "session_id": pyarrow.array([f"foreign-{appended}"]),
        "source_partition": pyarrow.array([99], pyarrow.int32()),
        # A date of its own, which no epoch writes to.
        "session_date": pyarrow.array([datetime.date(2024, 3, 1)]),
        "first_offset": pyarrow.array([appended], pyarrow.int64()),
    }
    batch = row
    for name, values in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)
    try:
        deltalake.write_deltalake(table_path, batch, mode="append")
        appended += 1
    except deltalake.exceptions.CommitFailedError:
        failed += 1
    time.sleep(pause)
print(appended, failed)
