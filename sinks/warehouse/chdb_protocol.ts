/** The messages between {@linkcode ChdbConnection} on any thread and the worker that owns chDB. */

/** Settings of one request. */
export type RequestSettings = Readonly<Record<string, string | number | boolean>>;

/** What a thread that created the worker may send it. */
export type ChdbControl =
  /** First message: opens the data folder. Answered by `opened` or `failed`. */
  | { readonly type: "open"; readonly folder: string }
  /** Serves requests that arrive on `port`, which is transferred. */
  | { readonly type: "serve"; readonly port: MessagePort }
  /** Finishes what runs, releases the folder and ends the worker. Answered by `closed`. */
  | { readonly type: "close" };

/** What the worker answers to a {@linkcode ChdbControl}. */
export type ChdbNotice =
  | { readonly type: "opened" }
  /** The folder can't be used; `message` is a sentence for a person. */
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "closed" };

/** Reads and writes run in sessions of their own, so that a long read does not hold up an insert. */
export type Lane = "read" | "write";

/** One statement. */
export interface ChdbRequest {
  /** Unique on its port. */
  readonly id: number;
  readonly lane: Lane;
  readonly database: string;
  readonly sql: string;
  /** Values of `{name:Type}` placeholders. */
  readonly params: Readonly<Record<string, unknown>>;
  /** In force for this statement only. */
  readonly settings: RequestSettings;
}

/** The answer to the request with the same id. */
export type ChdbResponse =
  | {
    readonly id: number;
    readonly ok: true;
    /** The formatted result; transferred. */
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly rowsRead: number;
    readonly bytesRead: number;
    readonly elapsedSeconds: number;
  }
  | { readonly id: number; readonly ok: false; /** As the engine wrote it. */ readonly message: string };
