"""Prints, for each filter of FILTERS (JSON), the offsets of the rows that delta-rs finds in TABLE and the files it looks into."""
import json
import sys
from datetime import datetime

import deltalake
import pyarrow.compute as pc
from urllib.parse import unquote

table_path, filters = sys.argv[1:]
dataset = deltalake.DeltaTable(table_path).to_pyarrow_dataset()
compare = {
    "=": lambda field, value: field == value,
    "<": lambda field, value: field < value,
    ">": lambda field, value: field > value,
    "<=": lambda field, value: field <= value,
    ">=": lambda field, value: field >= value,
    "is null": lambda field, _: field.is_null(),
    "is not null": lambda field, _: field.is_valid(),
}
answers = []
for column, operator, value in json.loads(filters):
    if column == "session_start" and value is not None:
        value = datetime.fromisoformat(value)
    expression = compare[operator](pc.field(column), value)
    rows = dataset.to_table(columns=["first_offset"], filter=expression)["first_offset"].to_pylist()
    files = [unquote(fragment.path.rsplit("/", 1)[-1]) for fragment in dataset.get_fragments(expression)]
    answers.append({"rows": sorted(rows), "files": len(files)})
print(json.dumps(answers))
