/** Spark with Delta's own library: the reference implementation of the table format. */
import { cached, runTool } from "./cache.ts";

const PYSPARK_VERSION = "4.2.0";
const DELTA_VERSION = "4.4.0";
/** Delta's artifacts name the Spark and the Scala that they were built for. */
const DELTA_ARTIFACT = "delta-spark_4.2_2.13";

const MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const MAVEN = "install Java (17 or later) and Maven.";
const PYTHON = "install Python 3.10 or newer, with pip, and Java 17 or later.";

/** What Delta needs and PySpark does not bring. */
const artifacts = [DELTA_ARTIFACT, "delta-storage"];

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sessionary</groupId><artifactId>delta-for-tests</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>${
  artifacts.map((artifact) => `
    <dependency>
      <groupId>io.delta</groupId><artifactId>${artifact}</artifactId><version>${DELTA_VERSION}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>`).join("")
}
  </dependencies>
</project>
`;

/** The folders with PySpark and with Delta's jars, which the first call fetches. */
export async function sparkPackages(): Promise<{ readonly python: string; readonly jars: string }> {
  const folder = await cached(`pyspark-${PYSPARK_VERSION}-delta-${DELTA_VERSION}`, async (folder) => {
    await Deno.writeTextFile(`${folder}/pom.xml`, pom);
    const copy = ["-B", "-q", "-f", `${folder}/pom.xml`, MAVEN_PLUGIN, `-DoutputDirectory=${folder}/jars`];
    const install = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--target", `${folder}/python`];
    await Promise.all([
      runTool("mvn", { args: copy, otherwise: MAVEN }),
      runTool("python3", { args: [...install, `pyspark==${PYSPARK_VERSION}`], otherwise: PYTHON }),
    ]);
  });
  return { python: `${folder}/python`, jars: `${folder}/jars` };
}

/**
 * Runs a Python script that imports `pyspark`, with Delta on its class path; returns what it printed.
 *
 * @param scratch a folder for what Java and Spark put aside
 */
export async function runSpark(script: string, args: readonly string[], scratch: string): Promise<string> {
  const { python, jars } = await sparkPackages();
  const conf = {
    "spark.master": "local[1]",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraClassPath": `${jars}/*`,
    // What Java unpacks or notes elsewhere would outlive it.
    "spark.driver.extraJavaOptions": `-Djava.io.tmpdir=${scratch} -XX:-UsePerfData -XX:TieredStopAtLevel=1`,
    "spark.local.dir": scratch,
    "spark.sql.warehouse.dir": `${scratch}/warehouse`,
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.enabled": "false",
  };
  return await runTool("python3", {
    args: [script, ...args],
    env: {
      PYTHONPATH: python,
      SPARK_HOME: `${python}/pyspark`,
      SPARK_LOCAL_IP: "127.0.0.1",
      SPARK_CONF: JSON.stringify(conf),
      TMPDIR: scratch,
      TZ: "UTC",
    },
    otherwise: PYTHON,
  });
}
