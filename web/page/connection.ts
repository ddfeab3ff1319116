/** Requests to the API, with the token where one is needed, and the live stream that comes back when it breaks. */
/// <reference lib="dom" />
import type { Status } from "../api_schema.ts";
import { now, sleep } from "./browser.ts";

/** The server's refusal or failure, as a sentence. */
export class ApiError extends Error {
  /** HTTP's. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

const TOKEN_KEY = "sessionary-token";
const RECONNECT_MS = 1_000;

/** What the page shows of its line to the server. */
export interface LineState {
  readonly state: "connecting" | "live" | "lost" | "token";
  /** Since when, epoch milliseconds. */
  readonly sinceMs: number;
}

/** The line to the server. */
export class Connection {
  #line: LineState = { state: "connecting", sinceMs: now() };
  #token: string | null = sessionStorage.getItem(TOKEN_KEY);
  #wake: () => void = () => {};

  readonly #changed: (line: LineState, status: Status | null) => void;

  /** @param changed told when the line's state changes, and of each status that comes in */
  constructor(changed: (line: LineState, status: Status | null) => void) {
    this.#changed = changed;
  }

  get line(): LineState {
    return this.#line;
  }

  /** Whether the token that was given last was refused. */
  get wasRefused(): boolean {
    return this.#token !== null;
  }

  /** Takes the token that the reader gave; it is forgotten when the tab is closed. */
  setToken(token: string): void {
    this.#token = token;
    sessionStorage.setItem(TOKEN_KEY, token);
    this.#wake();
  }

  /**
   * GET of a path of the API.
   *
   * @throws {ApiError}
   */
  async get<T>(path: string, params: Readonly<Record<string, string | number | null>> = {}): Promise<T> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) if (value !== null) query.set(name, String(value));
    const response = await this.#request(query.size === 0 ? path : `${path}?${query}`);
    return await response.json() as T;
  }

  /** Follows the status for ever. */
  async follow(): Promise<void> {
    for (;;) {
      try {
        await this.#followOnce();
        this.#turn("lost");
      } catch (error) {
        const refused = error instanceof ApiError && error.status === 401;
        this.#turn(refused ? "token" : "lost");
        if (refused) {
          await new Promise<void>((resolve) => this.#wake = resolve);
          continue;
        }
      }
      await sleep(RECONNECT_MS);
    }
  }

  async #followOnce(): Promise<void> {
    const response = await this.#request("/api/live");
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const events = text.split("\n\n");
      text = events.pop()!;
      const newest = events.at(-1)?.split("\n").find((line) => line.startsWith("data: "));
      if (newest === undefined) continue;
      this.#turn("live");
      this.#changed(this.#line, JSON.parse(newest.slice("data: ".length)) as Status);
    }
  }

  #turn(state: LineState["state"]): void {
    if (this.#line.state === state) return;
    this.#line = { state, sinceMs: now() };
    this.#changed(this.#line, null);
  }

  async #request(path: string): Promise<Response> {
    const headers: Record<string, string> = this.#token === null
      ? {}
      : { authorization: `Bearer ${this.#token}` };
    const response = await fetch(path, { headers, cache: "no-store" });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({
      error: `The server answered ${response.status}.`,
    }));
    throw new ApiError(String(error), response.status);
  }
}
