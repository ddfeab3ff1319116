/** An object store in memory, whose objects a test may damage. */
import type { ObjectInfo, ObjectStore } from "../../sinks/sink.ts";

export class MemoryStore implements ObjectStore {
  readonly location = "memory";
  readonly objects = new Map<string, Uint8Array>();
  /** When each object was written, by `now`. */
  readonly times = new Map<string, number>();

  /** @param now the store's clock, epoch milliseconds */
  constructor(private readonly now: () => number = () => 0) {}

  put(key: string, bytes: Uint8Array): Promise<void> {
    this.objects.set(key, bytes.slice());
    this.times.set(key, this.now());
    return Promise.resolve();
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    if (this.objects.has(key)) return Promise.resolve("exists");
    this.objects.set(key, bytes.slice());
    this.times.set(key, this.now());
    return Promise.resolve("created");
  }

  get(key: string): Promise<Uint8Array | null> {
    return Promise.resolve(this.objects.get(key)?.slice() ?? null);
  }

  list(prefix: string, startAfter = ""): Promise<readonly ObjectInfo[]> {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > startAfter).sort();
    return Promise.resolve(
      keys.map((key) => ({
        key,
        size: this.objects.get(key)!.length,
        modifiedAtMs: this.times.get(key) ?? 0,
      })),
    );
  }

  delete(key: string): Promise<void> {
    this.objects.delete(key);
    return Promise.resolve();
  }
}
