/** An {@linkcode ObjectStore} in a bucket of MinIO, or of any S3 that honours conditional puts. */
import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { Client } from "minio";
import { SinkError } from "../../schema/errors.ts";
import type { ObjectInfo, ObjectStore } from "../sink.ts";
import { assertObjectKey } from "./object_key.ts";
import { s3Code, s3Error, type S3Place } from "./s3_errors.ts";
import { S3AnswerCut, s3Transport } from "./s3_transport.ts";

/** S3's bound for one put. As part size it means: never in parts, whose conditions are not enforced everywhere. */
const SINGLE_PUT_BYTES_MAX = 5 * 1024 * 1024 * 1024;
/** Requests at once: uploads and reads run in parallel, and a log's replay must not flood the server. */
const CONNECTIONS_MAX = 16;
const LISTED_PER_REQUEST_MAX = 1_000;

export interface S3StoreOptions {
  /** `http://host:port` or `https://host`, without a path. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Where in the bucket the store's root is: empty, or a key without a slash at its ends. */
  readonly prefix: string;
  /** How long a request may go without a byte sent or received. */
  readonly timeoutMs: number;
  /** PEM of the authorities to trust; the well-known ones by default. */
  readonly tlsCa?: string | null;
  /** A unique name for the object that {@linkcode S3Store.prepare} tries the server with. */
  readonly uuid: () => string;
}

/**
 * A bucket, or a part of it, as an object store. Several processes may use one bucket.
 *
 * Needs network access to the endpoint. A request is sent once: whoever calls tries again.
 */
export class S3Store implements ObjectStore {
  readonly location: string;
  readonly #client: Client;
  readonly #place: S3Place;
  readonly #prefix: string;
  readonly #uuid: () => string;
  readonly #close: () => void;

  constructor(options: S3StoreOptions) {
    const { endpoint, bucket, region, accessKey, secretKey, prefix, timeoutMs, uuid } = options;
    const { protocol, hostname, port } = new URL(endpoint);
    const useSSL = protocol === "https:";
    const pool = { secure: useSSL, connectionsMax: CONNECTIONS_MAX, tlsCa: options.tlsCa };
    const { transport, agent } = s3Transport(timeoutMs, pool);
    this.#client = new Client({
      endPoint: hostname,
      useSSL,
      ...(port === "" ? {} : { port: Number(port) }),
      accessKey,
      secretKey,
      region,
      pathStyle: true,
      partSize: SINGLE_PUT_BYTES_MAX,
      // A commit that is sent twice would be refused by its own first try.
      retryOptions: { disableRetry: true },
      transport,
      transportAgent: agent,
    });
    this.#place = { endpoint, bucket, region };
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#uuid = uuid;
    this.#close = () => agent.destroy();
    this.location = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
  }

  /**
   * Creates the bucket where it is missing, and proves that the server keeps what commits rest on: of two conditional
   * puts of one key the second must be refused.
   *
   * @throws {SinkError} where one of it cannot be had
   */
  async prepare(): Promise<void> {
    await this.#requireBucket();
    const key = `${this.#prefix}probe-${this.#uuid()}`;
    try {
      const first = await this.#putIfAbsent(key, Buffer.from("first"));
      const second = first === "created" ? await this.#putIfAbsent(key, Buffer.from("second")) : first;
      if (first !== "created" || second !== "exists") {
        throw new SinkError(
          `Cannot commit to ${this.location}: the server at S3_ENDPOINT ${this.#place.endpoint} ignores the condition ` +
            `of a put (If-None-Match: *), so two writers could overwrite each other. Use MinIO or an S3 that honours it.`,
          false,
        );
      }
    } finally {
      // What kept the probe from its end is told, not what kept it from tidying up.
      await this.#client.removeObject(this.#place.bucket, key).catch(() => {});
    }
  }

  /** Closes the pooled connections. */
  close(): void {
    this.#close();
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    assertObjectKey(key);
    await this.#request(
      `write '${this.location}/${key}'`,
      () => this.#client.putObject(this.#place.bucket, this.#prefix + key, bufferOver(bytes)),
    );
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    assertObjectKey(key);
    return await this.#putIfAbsent(this.#prefix + key, bufferOver(bytes));
  }

  async get(key: string): Promise<Uint8Array | null> {
    assertObjectKey(key);
    return await this.#request(`read '${this.location}/${key}'`, async () => {
      try {
        return await readWhole(await this.#client.getObject(this.#place.bucket, this.#prefix + key));
      } catch (error) {
        if (s3Code(error) === "NoSuchKey") return null;
        throw error;
      }
    });
  }

  async list(prefix: string, startAfter?: string): Promise<readonly ObjectInfo[]> {
    const found: ObjectInfo[] = [];
    const after = startAfter === undefined ? "" : this.#prefix + startAfter;
    for (let token = "", more = true; more;) {
      const page = await this.#request(
        `list '${this.location}/${prefix}'`,
        () =>
          this.#client.listObjectsV2Query(
            this.#place.bucket,
            this.#prefix + prefix,
            token,
            "",
            LISTED_PER_REQUEST_MAX,
            token === "" ? after : "",
          ),
      );
      for (const { name, size, lastModified } of page.objects) {
        if (name === undefined) continue;
        const modifiedAtMs = lastModified?.getTime() ?? 0;
        found.push({ key: name.slice(this.#prefix.length), size, modifiedAtMs });
      }
      more = page.isTruncated;
      token = String(page.nextContinuationToken);
    }
    // S3 sorts by UTF-8 bytes.
    return found.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  async delete(key: string): Promise<void> {
    assertObjectKey(key);
    await this.#request(
      `delete '${this.location}/${key}'`,
      () => this.#client.removeObject(this.#place.bucket, this.#prefix + key),
    );
  }

  #putIfAbsent(key: string, bytes: Buffer): Promise<"created" | "exists"> {
    const { bucket } = this.#place;
    return this.#request(`create 's3://${bucket}/${key}'`, async () => {
      try {
        await this.#client.putObject(bucket, key, bytes, bytes.length, { "If-None-Match": "*" });
        return "created";
      } catch (error) {
        if (s3Code(error) === "PreconditionFailed") return "exists";
        throw error;
      }
    });
  }

  /** Listing, unlike asking for the bucket's head, is answered with the reason of a refusal. */
  async #requireBucket(): Promise<void> {
    const { bucket, region } = this.#place;
    await this.#request(`use S3_BUCKET ${bucket}`, async () => {
      try {
        await this.#client.listObjectsV2Query(bucket, this.#prefix, "", "", 1, "");
      } catch (error) {
        if (s3Code(error) !== "NoSuchBucket") throw error;
        await this.#client.makeBucket(bucket, region).catch((failure) => {
          // Another process was faster.
          if (s3Code(failure) !== "BucketAlreadyOwnedByYou") throw failure;
        });
      }
    });
  }

  async #request<T>(action: string, send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw s3Error(action, error, this.#place);
    }
  }
}

/** The same bytes, not a copy: the client takes Buffers only. */
function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads an answer whose length the server told; a shorter one is an error. */
async function readWhole(answer: AsyncIterable<Buffer>): Promise<Uint8Array> {
  const length = Number((answer as unknown as IncomingMessage).headers["content-length"]);
  if (!Number.isSafeInteger(length)) throw new Error("the answer does not tell its length");
  const bytes = new Uint8Array(length);
  let at = 0;
  for await (const chunk of answer) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  if (at !== length) throw new S3AnswerCut();
  return bytes;
}
