"""Prints, for each filter of FILTERS (JSON), the offsets of the rows that Spark finds in TABLE and the files it looks into."""
import json
import os
import sys
from datetime import datetime

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, lit

table_path, filters = sys.argv[1:]
builder = SparkSession.builder
for name, value in json.loads(os.environ["SPARK_CONF"]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
compare = {
    "=": lambda field, value: field == value,
    "<": lambda field, value: field < value,
    ">": lambda field, value: field > value,
    "<=": lambda field, value: field <= value,
    ">=": lambda field, value: field >= value,
    "is null": lambda field, _: field.isNull(),
    "is not null": lambda field, _: field.isNotNull(),
}
answers = []
for column, operator, value in json.loads(filters):
    if column == "session_start" and value is not None:
        value = datetime.fromisoformat(value)
    found = spark.read.format("delta").load(table_path).where(compare[operator](col(column), lit(value)))
    rows = [row.first_offset for row in found.select("first_offset").collect()]
    answers.append({"rows": sorted(rows), "files": len(found.inputFiles())})
print(json.dumps(answers))
spark.stop()
