/** The object store that all instances share, as each reaches it over the network. */
import { SinkError } from "../../schema/errors.ts";
import type { ObjectInfo, ObjectStore } from "../../sinks/sink.ts";
import type { Network, Service } from "./network.ts";
import type { Party } from "./scheduler.ts";

/** The bucket: what is in it, whoever looks. */
export class Bucket {
  readonly objects = new Map<string, Uint8Array>();
  /** Told of every object that is made or made again. */
  onPut: (key: string, bytes: Uint8Array, writer: string) => void = () => {};

  put(key: string, bytes: Uint8Array, writer: string): void {
    this.objects.set(key, bytes.slice());
    this.onPut(key, bytes, writer);
  }

  list(prefix: string, startAfter = ""): ObjectInfo[] {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > startAfter).sort();
    return keys.map((key) => ({ key, size: this.objects.get(key)!.length, modifiedAtMs: 0 }));
  }
}

/** An instance's way to the bucket. */
export class RemoteStore implements ObjectStore {
  readonly location = "bucket";

  constructor(
    private readonly bucket: Bucket,
    private readonly network: Network,
    private readonly party: Party,
    private readonly service: Service,
  ) {}

  put(key: string, bytes: Uint8Array): Promise<void> {
    return this.#ask(`put ${key}`, () => this.bucket.put(key, bytes, this.party.name));
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    return this.#ask(`put if absent ${key}`, () => {
      if (this.bucket.objects.has(key)) return "exists";
      this.bucket.put(key, bytes, this.party.name);
      return "created";
    });
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#ask(`get ${key}`, () => this.bucket.objects.get(key) ?? null);
  }

  list(prefix: string, startAfter?: string): Promise<readonly ObjectInfo[]> {
    return this.#ask(`list ${prefix}`, () => this.bucket.list(prefix, startAfter));
  }

  delete(key: string): Promise<void> {
    return this.#ask(`delete ${key}`, () => void this.bucket.objects.delete(key));
  }

  #ask<T>(name: string, apply: () => T): Promise<T> {
    const { network, party, service } = this;
    const failure = (why: string) => new SinkError(`Cannot ${name}: ${why}.`, true);
    return network.call({ party, service, name, apply, failure });
  }
}

/** The bucket without a network: for whoever looks at the end. */
export function localStore(bucket: Bucket): ObjectStore {
  return {
    location: "bucket",
    put: () => Promise.reject(new Error("whoever looks writes nothing")),
    putIfAbsent: () => Promise.reject(new Error("whoever looks writes nothing")),
    get: (key) => Promise.resolve(bucket.objects.get(key) ?? null),
    list: (prefix, startAfter) => Promise.resolve(bucket.list(prefix, startAfter)),
    delete: () => Promise.reject(new Error("whoever looks deletes nothing")),
  };
}
