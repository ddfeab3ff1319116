/** A command's context that records what is printed. */
import { systemClock } from "../../actors/clock.ts";
import type { CommandContext } from "../../commands/context.ts";

export interface RecordingContext extends CommandContext {
  readonly printed: string[];
  readonly warned: string[];
  /** What Ctrl-C does. */
  interrupt(): void;
}

/** No terminal, an empty environment but for `env`. */
export function recordingContext(env: Record<string, string> = {}): RecordingContext {
  const printed: string[] = [];
  const warned: string[] = [];
  const controller = new AbortController();
  return {
    printed,
    warned,
    print: (text) => printed.push(text),
    warn: (text) => warned.push(text),
    isTerminal: false,
    clock: systemClock,
    stop: controller.signal,
    interrupt: () => controller.abort(),
    env,
    secretFiles: {},
    pid: Deno.pid,
  };
}

/** Runs `work` with a folder of its own, which is removed afterwards. */
export async function withTempDir(work: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await work(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}
