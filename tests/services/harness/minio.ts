/** A MinIO server of the tests' own, or the S3 that the environment names. */
import { S3Store } from "../../../sinks/lake/s3_store.ts";
import { cached, runTool } from "./cache.ts";
import { freePort } from "./ports.ts";

/** The last state of MinIO's community edition that the Go module proxies have. */
const MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c";
const OTHERWISE = "install Go, or name an S3 by S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY.";
const START_TRIES_MAX = 3;
const ANSWER_TRIES_MAX = 150;
const ANSWER_INTERVAL_MS = 200;

/** How to reach an S3. */
export interface S3Credentials {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** The S3 that the environment names, or null. */
export function s3FromEnvironment(): S3Credentials | null {
  const [endpoint, accessKey, secretKey] = ["S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY"].map((name) =>
    Deno.env.get(name)
  );
  if (!endpoint) return null;
  if (accessKey && secretKey) {
    return { endpoint, accessKey, secretKey, region: Deno.env.get("S3_REGION") || "us-east-1" };
  }
  throw new Error(
    "S3_ENDPOINT is set, so the service tests need S3_ACCESS_KEY and S3_SECRET_KEY too: set them.",
  );
}

/** The folder with the server's program; built by Go the first time, which takes minutes. */
export async function minioProgram(): Promise<string> {
  return await cached(`minio-${MINIO_VERSION}`, async (folder) => {
    const args = ["install", `github.com/minio/minio@${MINIO_VERSION}`];
    await runTool("go", { args, env: { GOBIN: folder }, otherwise: OTHERWISE });
  });
}

/** A MinIO on a loopback port, with its data in a temporary folder; both are gone when it is disposed of. */
export class Minio implements AsyncDisposable {
  readonly port: number;
  readonly credentials: S3Credentials;
  #process: Deno.ChildProcess | null = null;

  private constructor(
    private readonly binary: string,
    private readonly folder: string,
    port: number,
  ) {
    this.port = port;
    this.credentials = {
      endpoint: `http://127.0.0.1:${port}`,
      accessKey: "sessionary",
      secretKey: crypto.randomUUID(),
      region: "us-east-1",
    };
  }

  /** Builds the server where the cache lacks it (minutes), and starts it. */
  static async start(): Promise<Minio> {
    const built = await minioProgram();
    for (let tries = 1;; tries++) {
      const minio = new Minio(`${built}/minio`, await Deno.makeTempDir(), freePort());
      try {
        await minio.startAgain();
        return minio;
      } catch (error) {
        await minio[Symbol.asyncDispose]();
        if (tries === START_TRIES_MAX) throw error;
      }
    }
  }

  /** Starts the server that was stopped, on the same port and data, and waits until it answers. */
  async startAgain(): Promise<void> {
    const { accessKey, secretKey } = this.credentials;
    this.#process = new Deno.Command(this.binary, {
      args: ["server", "--quiet", "--address", `127.0.0.1:${this.port}`, this.folder],
      env: {
        MINIO_ROOT_USER: accessKey,
        MINIO_ROOT_PASSWORD: secretKey,
        MINIO_BROWSER: "off",
        // It must look for nothing outside this machine.
        MINIO_UPDATE: "off",
        MINIO_CI_CD: "1",
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let exited = false;
    this.#process.status.then(() => exited = true);
    for (let tries = 0; tries < ANSWER_TRIES_MAX && !exited; tries++) {
      if (await answers(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, ANSWER_INTERVAL_MS));
    }
    throw new Error(
      exited ? `MinIO stopped at once: port ${this.port} may be taken.` : "MinIO did not start within 30 s.",
    );
  }

  /** Stops the server as a crash would. Its data stays. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = null;
    try {
      process?.kill("SIGKILL");
    } catch {
      // It has stopped by itself.
    }
    await process?.status;
  }

  /** Makes the server stand still: its connections stay open and nothing answers. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Whether the server takes requests: its readiness answers before its store does. */
async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/minio/health/cluster`);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

let shared: Promise<Minio> | null = null;

/** The S3 of a test file: the environment's, or one MinIO for all its tests, which {@linkcode stopMinio} stops. */
export async function s3(): Promise<S3Credentials> {
  const named = s3FromEnvironment();
  if (named !== null) return named;
  shared ??= Minio.start();
  return (await shared).credentials;
}

/** Stops the server that {@linkcode s3} started. */
export async function stopMinio(): Promise<void> {
  const started = shared;
  shared = null;
  // One that never started has failed the test that asked for it.
  await (await started?.catch(() => null))?.[Symbol.asyncDispose]();
}

/** What a test changes of a {@linkcode testStore}. */
export interface TestStoreOptions {
  readonly endpoint?: string;
  readonly timeoutMs?: number;
  readonly bucket?: string;
  readonly accessKey?: string;
  readonly secretKey?: string;
  readonly prefix?: string;
}

/** A store below a prefix of its own, in a bucket that {@linkcode S3Store.prepare} makes. */
export function testStore(credentials: S3Credentials, options: TestStoreOptions = {}): S3Store {
  return new S3Store({
    bucket: "sessionary-tests",
    prefix: crypto.randomUUID(),
    timeoutMs: 10_000,
    uuid: () => crypto.randomUUID(),
    ...credentials,
    ...options,
  });
}
