"""Merges into TABLE for SECONDS: a row that is there is changed, one that is not is added. Prints merges and conflicts."""
import datetime
import json
import os
import sys
import time

from pyspark.sql import SparkSession

table_path, seconds = sys.argv[1], float(sys.argv[2])
builder = SparkSession.builder
for name, value in json.loads(os.environ["SPARK_CONF"]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
# A date of its own: delta-rs does not mark its appends as blind, so to Spark each of them in the date that a MERGE reads is
# a conflict.
DATE = datetime.date(2024, 3, 2)
found = spark.read.format("delta").load(table_path).limit(1)
pattern, schema = found.collect()[0].asDict(), found.schema


def row(n, browser):
    return {**pattern, "session_id": f"spark-{n}", "session_date": DATE, "browser": browser}


until = time.monotonic() + seconds
merged, conflicts = 0, 0
while time.monotonic() < until:
    # The row of the last MERGE is there and is changed, the other is not and is added.
    rows = [row(n, f"spark {merged}") for n in (merged - 1, merged) if n >= 0]
    spark.createDataFrame(rows, schema).createOrReplaceTempView("source")
    try:
        spark.sql(f"""MERGE INTO delta.`{table_path}` t USING source s
            ON t.session_id = s.session_id AND t.session_date = DATE'{DATE}'
            WHEN MATCHED THEN UPDATE SET t.browser = s.browser WHEN NOT MATCHED THEN INSERT *""")
        merged += 1
    except Exception as error:
        if "Concurrent" not in str(error) and "DELTA_CONCURRENT" not in str(error):
            raise
        conflicts += 1
spark.stop()
print(merged, conflicts)
