/** Seeded randomness for simulations: the same seed gives the same stream on every machine. Not for secrets. */

/** The generator sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, 32 bits). */
export class Random {
  #a: number;
  #b: number;
  #c = 0x9e3779b9;
  #counter = 1;

  /** @param seed a safe integer */
  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    for (let i = 0; i < 15; i++) this.uint32(); // until every bit of the seed has reached every bit of the state
  }

  /** An integer, 0 ≤ n < 2³². */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21 | this.#c >>> 11) + sum | 0;
    return sum >>> 0;
  }

  /** 0 ≤ x < 1. */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer, 0 ≤ n < `bound`. */
  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A version 4 UUID's text (RFC 9562, section 5.4). */
  uuid(): string {
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    const [a, b, c, d] = [hex(this.uint32()), hex(this.uint32()), hex(this.uint32()), hex(this.uint32())];
    const variant = "89ab"[this.below(4)];
    return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-${variant}${c.slice(1, 4)}-${c.slice(4)}${d}`;
  }
}

/** Draws items in proportion to their weights. */
export class Weighted<T> {
  readonly #items: readonly T[];
  readonly #sums: Float64Array;

  constructor(weights: Iterable<readonly [item: T, weight: number]>) {
    const entries = [...weights];
    this.#items = entries.map(([item]) => item);
    this.#sums = new Float64Array(entries.length);
    entries.reduce((sum, [, weight], i) => this.#sums[i] = sum + weight, 0);
  }

  draw(random: Random): T {
    const target = random.float() * this.#sums[this.#sums.length - 1]!;
    let [low, high] = [0, this.#sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sums[middle]! > target) high = middle;
      else low = middle + 1;
    }
    return this.#items[low]!;
  }
}
