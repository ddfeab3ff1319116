"""Merges into TABLE for SECONDS: a row that is there is changed, one that is not is added. Prints merges and conflicts."""
import json
import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import lit

table_path, seconds = sys.argv[1], float(sys.argv[2])
builder = SparkSession.builder
for name, value in json.loads(os.environ["SPARK_CONF"]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
until = time.monotonic() + seconds
merged, conflicts = 0, 0
while time.monotonic() < until:
    row = spark.read.format("delta").load(table_path).where("session_id = 'foreign-0'").limit(1)
    changed = row.withColumn("browser", lit(f"spark {merged}"))
    new = changed.withColumn("session_id", lit(f"spark-{merged}"))
    changed.union(new).createOrReplaceTempView("source")
    try:
        spark.sql(f"""MERGE INTO delta.`{table_path}` t USING source s
            ON t.session_id = s.session_id AND t.session_date = DATE'2024-03-01'
            WHEN MATCHED THEN UPDATE SET t.browser = s.browser WHEN NOT MATCHED THEN INSERT *""")
        merged += 1
    except Exception as error:
        if "Concurrent" not in str(error) and "DELTA_CONCURRENT" not in str(error):
            raise
        conflicts += 1
spark.stop()
print(merged, conflicts)
