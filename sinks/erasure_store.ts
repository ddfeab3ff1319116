/**
 * Requests to erase, beside the table: `erasures/<pipeline>/<topic>/<uuid>.json` while one is open, and under `erased/` what
 * was done. Neither holds an id.
 */
import { type Erasure, type ErasureKind, erasureOf } from "../schema/erasure.ts";
import { SinkError } from "../schema/errors.ts";
import type { ObjectStore } from "./sink.ts";

/** A request that is open. */
export interface ErasureRequest {
  readonly erasure: Erasure;
  readonly requestedAtMs: number;
  /** The table's version then: barriers with the erasure are in later ones. */
  readonly version: number;
}

export interface ErasureStoreOptions {
  readonly store: ObjectStore;
  readonly pipeline: string;
  readonly topic: string;
  /** A random UUID. */
  readonly uuid: () => string;
}

/** The requests of one pipeline and topic. */
export class ErasureStore {
  constructor(private readonly options: ErasureStoreOptions) {}

  /** The requests that are open. */
  async open(): Promise<ErasureRequest[]> {
    const { store } = this.options;
    const requests: ErasureRequest[] = [];
    for (const { key } of await store.list(this.#key("erasures", ""))) {
      const bytes = await store.get(key);
      // One may be finished meanwhile.
      if (bytes !== null) requests.push(parse(bytes, `${store.location}/${key}`));
    }
    return requests;
  }

  /** A new erasure of what `value` names, with a key of its own. */
  draft(kind: ErasureKind, value: string): Erasure {
    const { uuid } = this.options;
    return erasureOf({ id: uuid(), kind, salt: uuid() + uuid() }, value);
  }

  /** Files a request. */
  async request(request: ErasureRequest): Promise<void> {
    await this.options.store.put(this.#key("erasures", `${request.erasure.id}.json`), encode(request));
  }

  /** Closes a request, and leaves `report` of it. */
  async finish(
    { erasure: { id } }: ErasureRequest,
    report: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.options.store.put(this.#key("erased", `${id}.json`), encode(report));
    await this.options.store.delete(this.#key("erasures", `${id}.json`));
  }

  #key(folder: string, name: string): string {
    const { pipeline, topic } = this.options;
    return `${folder}/${pipeline}/${topic}/${name}`;
  }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value, null, 1));
}

function parse(bytes: Uint8Array, origin: string): ErasureRequest {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as ErasureRequest;
  } catch (error) {
    throw new SinkError(
      `Cannot read '${origin}' as a request to erase: it is not JSON. Delete it, and call \`sessionary erase\` again.`,
      false,
      { cause: error },
    );
  }
}
