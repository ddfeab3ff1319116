"""Writes what Spark reads of TABLE at each VERSION to OUT; the version `newest` names none."""
import json
import os
import sys

from pyspark.sql import SparkSession
from row_text import write_rows

table_path, out, *versions = sys.argv[1:]
builder = SparkSession.builder
for name, value in json.loads(os.environ["SPARK_CONF"]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
for version in versions:
    reader = spark.read.format("delta")
    if version != "newest":
        reader = reader.option("versionAsOf", int(version))
    rows = [row.asDict(recursive=True) for row in reader.load(table_path).collect()]
    print(version, write_rows(f"{out}/spark-{version}.jsonl", rows))
spark.stop()
