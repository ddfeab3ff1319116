/** What a command may touch of the process: `main.ts` hands it in, tests hand in their own. */
import type { Clock } from "../actors/clock.ts";

export interface CommandContext {
  /** One line, or several, to standard output. */
  print(text: string): void;
  /** One line to standard error. */
  warn(text: string): void;
  /** Whether standard output is a terminal: only then are progress bars drawn. */
  readonly isTerminal: boolean;
  readonly clock: Clock;
  /** Aborts at the first Ctrl-C or SIGTERM: stop in order. */
  readonly stop: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly secretFiles: Readonly<Record<string, { readonly path: string; readonly content: string }>>;
  readonly pid: number;
}
