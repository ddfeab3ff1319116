/**
 * The three shapes of failure. Bad data is a value (`Rejected` in `user_event.ts`) and becomes a dead letter.
 * An operating failure is one of the errors below, whose message is a sentence for a person: what was being done,
 * the constraint, the value found, what to do. A programmer's error is an `AssertionError`: the process stops.
 */

/** What the operator can mend by changing a setting, an argument or the machine; the process exits with `exitCode`. */
export class UserError extends Error {
  override readonly name: string = "UserError";
  constructor(message: string, readonly exitCode: number = EXIT.usage, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A source that cannot go on without losing data or inventing it. */
export class SourceError extends UserError {
  override readonly name = "SourceError";
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.source, options);
  }
}

/** A sink that failed. `retryable` says whether the same call may succeed later without anyone doing anything. */
export class SinkError extends UserError {
  override readonly name = "SinkError";
  constructor(message: string, readonly retryable: boolean, options?: ErrorOptions) {
    super(message, EXIT.sink, options);
  }
}

/** The process exit codes: part of the interface, listed in the README. */
export const EXIT = {
  ok: 0,
  /** A bug: an assertion failed or a worker died. */
  internal: 1,
  /** `verify` found that something does not agree. */
  different: 1,
  /** A wrong argument, option or setting. */
  usage: 2,
  /** The source (event log or Kafka) cannot be used. */
  source: 3,
  /** A sink (lake or warehouse) cannot be used. */
  sink: 4,
  /** Another process holds the data directory. */
  busy: 5,
  /** Stopped at once by a second Ctrl-C. */
  interrupted: 130,
} as const;

/** A broken invariant of the program itself. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws an {@linkcode AssertionError} with `message` unless `condition` holds. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(`Invariant broken: ${message}`);
}

/** Ends every switch over a union: the compiler proves that it is never reached. */
export function assertNever(value: never): never {
  throw new AssertionError(`Unexpected value: ${JSON.stringify(value)}`);
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
