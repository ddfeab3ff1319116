/** A fast share of the simulation; `deno task test:sim` runs the rest. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MUTATIONS } from "./mutations.ts";
import { edited } from "./program.ts";

const ROOT = new URL("../../", import.meta.url);

/** `deno task sim`: a program of its own, so that the copy it runs is not type-checked again. */
async function sim(...args: readonly string[]): Promise<{ code: number; lines: string[] }> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "-P=test", "tests/sim/main.ts", ...args],
    cwd: ROOT,
    stderr: "null",
  }).output();
  return { code, lines: new TextDecoder().decode(stdout).trimEnd().split("\n") };
}

Deno.test("simulated runs with crashes, lost answers and rebalances end with every session once in both sinks", async () => {
  const { code, lines } = await sim("--seed", "1", "--runs", "100");
  assertEquals(code, 0, lines.join("\n"));
  assertMatch(lines.at(-1)!, /^100 runs in .+ 0 failed\.$/);
});

Deno.test("a seed gives the same run each time, down to every message", async () => {
  const trace = async () => (await sim("--seed", "7", "--runs", "1", "--trace")).lines.slice(0, -1);
  const first = await trace();
  assert(first.length > 100, "a run has many messages");
  assertEquals(await trace(), first);
});

Deno.test("every mutation still fits the program's text", async () => {
  for (const { file, ...edit } of MUTATIONS.flatMap(({ edits }) => edits)) {
    await edited(file, [{ file, ...edit }]);
  }
});
