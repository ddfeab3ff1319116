/** delta-rs, the Delta reader that shares no code with ours. */
import { cached, runTool } from "./cache.ts";
import type { S3Credentials } from "./minio.ts";

const DELTALAKE_VERSION = "1.6.6";
const PYARROW_VERSION = "26.0.1";
/** Runs a script, and leaves before pyarrow's threads can abort it: see there. */
const RUN = new URL("delta_rs_run.py", import.meta.url).pathname;
const OTHERWISE = "install Python 3.10 or newer, with pip.";

/** The folder with the packages, which the first call installs. */
export async function deltaRsPackages(): Promise<string> {
  return await cached(`deltalake-${DELTALAKE_VERSION}-pyarrow-${PYARROW_VERSION}`, async (folder) => {
    const names = [`deltalake==${DELTALAKE_VERSION}`, `pyarrow==${PYARROW_VERSION}`];
    const args = ["-m", "pip", "install", "--quiet", "--target", folder, ...names];
    await runTool("python3", { args, otherwise: OTHERWISE });
  });
}

/** Runs a Python script that imports `deltalake`, on a table in a folder or in `s3`; returns what it printed. */
export async function runDeltaRs(
  script: string,
  args: readonly string[],
  s3: S3Credentials | null,
): Promise<string> {
  const store = s3 && {
    AWS_ENDPOINT_URL: s3.endpoint,
    AWS_ALLOW_HTTP: "true",
    AWS_ACCESS_KEY_ID: s3.accessKey,
    AWS_SECRET_ACCESS_KEY: s3.secretKey,
    AWS_REGION: s3.region,
  };
  return await runTool("python3", {
    args: [RUN, script, ...args],
    env: { PYTHONPATH: await deltaRsPackages(), ...store },
    otherwise: OTHERWISE,
  });
}
