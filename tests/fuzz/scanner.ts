/** `deno task test:fuzz [VALUES] [SEED]`: has the scanner and the validator read so many values, a million by default. */
import { Random } from "../../sources/random.ts";
import { Agreement, anyValue } from "../support/event_fuzz.ts";

const [count, seed] = [Number(Deno.args[0] ?? 1_000_000), Number(Deno.args[1] ?? 1)];
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) {
  throw new Error(`VALUES and SEED must be whole numbers: found '${Deno.args.join(" ")}'.`);
}
const random = new Random(seed);
const agreement = new Agreement();
for (let i = 0; i < count; i++) {
  const value = anyValue(random);
  const wrong = agreement.check(value);
  if (wrong !== null) {
    throw new Error(`Value ${i}: ${wrong}\n${JSON.stringify(new TextDecoder().decode(value))}`);
  }
}
const { scanned, parsed, rejected } = agreement.counts;
console.log(
  `${count} values: ${scanned} scanned, ${parsed} parsed, ${rejected} rejected; the two agree on all`,
);
