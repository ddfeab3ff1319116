/** Reads Prometheus's text format with parsers that are not prom-client's. */
import parse from "parse-prometheus-text-format";

interface Family {
  readonly name: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
  }[];
}

/** A histogram's cumulative counts, by upper bound. */
export interface ParsedHistogram {
  readonly buckets: ReadonlyMap<number, number>;
  readonly count: number;
  readonly sum: number;
}

/** An exposition, taken apart. */
export class Exposition {
  readonly #families: ReadonlyMap<string, Family>;

  constructor(private readonly text: string) {
    const families = parse(text) as Family[];
    this.#families = new Map(families.map((family) => [family.name, family]));
  }

  get names(): string[] {
    return [...this.#families.keys()];
  }

  typeOf(name: string): string | undefined {
    return this.#families.get(name)?.type;
  }

  /** The sum of the samples that have these labels; null where there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | null {
    const matching = this.#matching(name, labels);
    return matching.length === 0 ? null : matching.reduce((sum, { value }) => sum + Number(value), 0);
  }

  /** The series of a histogram that has these labels; null where there is none. The library merges all of them. */
  histogram(name: string, labels: Readonly<Record<string, string>> = {}): ParsedHistogram | null {
    const buckets = new Map<number, number>();
    const rest = new Map<string, number>();
    const samples = this.text.matchAll(
      new RegExp(`^${name}_(bucket|sum|count)(?:\\{(.*)\\})? (\\S+)$`, "gm"),
    );
    for (const [, part, written = "", value] of samples) {
      const found = Object.fromEntries(
        [...written.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]),
      );
      if (Object.entries(labels).some(([label, wanted]) => found[label] !== wanted)) continue;
      if (part !== "bucket") rest.set(part!, Number(value));
      else buckets.set(found.le === "+Inf" ? Infinity : Number(found.le), Number(value));
    }
    const [count, sum] = [rest.get("count"), rest.get("sum")];
    return count === undefined || sum === undefined ? null : { buckets, count, sum };
  }

  #matching(name: string, labels: Readonly<Record<string, string>>): Family["metrics"] {
    return (this.#families.get(name)?.metrics ?? []).filter((metric) =>
      Object.entries(labels).every(([label, value]) => metric.labels?.[label] === value)
    );
  }
}
