/** Where a piece of work spends its time, by V8's sampling profiler. */
import { type Profiler, Session } from "node:inspector";

/** A function's own share of a profile. */
export interface ProfileEntry {
  /** Name and file. */
  readonly where: string;
  /** Of all samples, 0 to 1. */
  readonly share: number;
}

/** Runs `work` under the profiler; returns its functions, the costliest first. */
export async function profile(work: () => void): Promise<ProfileEntry[]> {
  const session = new Session();
  session.connect();
  await call(session, "Profiler.enable");
  await call(session, "Profiler.setSamplingInterval", { interval: 250 });
  await call(session, "Profiler.start");
  work();
  const { profile } = await call(session, "Profiler.stop") as Profiler.StopReturnType;
  session.disconnect();
  return shares(profile);
}

function call(session: Session, method: string, params?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.post(method, params, (error, result) => error ? reject(error) : resolve(result));
  });
}

function shares({ nodes, samples = [] }: Profiler.Profile): ProfileEntry[] {
  const names = new Map(nodes.map(({ id, callFrame: { functionName, url } }) => {
    const file = url.slice(url.lastIndexOf("/") + 1);
    return [id, `${functionName || "(anonymous)"} ${file}`.trimEnd()] as const;
  }));
  const counts = new Map<string, number>();
  for (const id of samples) {
    const name = names.get(id) ?? "(unknown)";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([where, count]) => ({
    where,
    share: count / samples.length,
  }));
}
