/** Parameters of the API: declared as a schema, checked before anything runs, refused with a sentence. PURE. */
import Type, { type Static, type TObject, type TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { PAGE_ROWS_MAX } from "../schema/exploration.ts";
import { parseRfc3339 } from "../schema/rfc3339.ts";

/** A whole number; `description` completes "must be …", as for all parameters. */
export function whole(minimum: number, maximum: number): ReturnType<typeof Type.Integer> {
  return Type.Integer({ minimum, maximum, description: `a whole number from ${minimum} to ${maximum}` });
}

/** A text of an id; any characters are allowed in one. */
export function text(minLength: number, maxLength: number): ReturnType<typeof Type.String> {
  return Type.String({
    minLength,
    maxLength,
    description: `a text of ${minLength} to ${maxLength} characters`,
  });
}

const LIMIT_DEFAULT = 50;

/** Rows of one page. */
export const limitParam = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: PAGE_ROWS_MAX,
    default: LIMIT_DEFAULT,
    description: `a whole number from 1 to ${PAGE_ROWS_MAX}`,
  }),
);

const TIME = "a time in RFC 3339 with its offset, such as 2026-01-31T00:00:00Z";

/** A moment; checked further by {@linkcode timeOf}. */
export const timeParam = Type.Optional(Type.String({ maxLength: 40, description: TIME }));

/** A parameter that can't be used: a sentence. */
export class ParamError extends Error {}

/** Checks the parameters of one route. */
export class Params<T extends TObject> {
  readonly #validator;

  constructor(readonly schema: T) {
    this.#validator = Compile(schema);
  }

  /**
   * The values, with defaults.
   *
   * @param query each parameter with all the values that it was given
   * @throws {ParamError} for the first one that is unknown, repeated, missing or not legal
   */
  read(query: Readonly<Record<string, readonly string[]>>): Static<T> {
    const properties = this.schema.properties as Record<string, TSchema & Declared>;
    const values: Record<string, unknown> = {};
    for (const [name, written] of Object.entries(query)) {
      const property = properties[name];
      if (property === undefined) throw new ParamError(unknownSentence(Object.keys(properties), name));
      if (written.length !== 1) {
        throw new ParamError(`${name} must be given once: found it ${written.length} times.`);
      }
      values[name] = property.type === "integer" ? integerOf(written[0]!) : written[0];
    }
    for (const [name, { default: fallback }] of Object.entries(properties)) {
      if (values[name] === undefined && fallback !== undefined) values[name] = fallback;
    }
    for (const name of this.schema.required ?? []) {
      if (values[name] === undefined) {
        throw new ParamError(`${name} must be given, and be ${properties[name]!.description}.`);
      }
    }
    if (this.#validator.Check(values)) return values as Static<T>;
    const bad = this.#validator.Errors(values)[0]?.instancePath.split("/")[1] ?? "";
    const found = JSON.stringify(query[bad]?.[0] ?? null);
    throw new ParamError(`${bad} must be ${properties[bad]?.description ?? "legal"}: found ${found}.`);
  }
}

interface Declared {
  readonly type?: string;
  readonly default?: unknown;
  readonly description?: string;
}

function unknownSentence(known: readonly string[], found: string): string {
  const shown = JSON.stringify(found);
  if (known.length === 0) return `There are no parameters: found ${shown}.`;
  const are = known.length === 1 ? "The only parameter is" : "The parameters are";
  return `${are} ${known.join(", ")}: found ${shown}.`;
}

/** Anything but plain digits stays a text, which the schema refuses. */
function integerOf(written: string): number | string {
  return /^-?\d{1,16}$/.test(written) ? Number(written) : written;
}

/**
 * A time parameter in epoch milliseconds; null where it was not given.
 *
 * @throws {ParamError}
 */
export function timeOf(name: string, written: string | undefined): number | null {
  if (written === undefined) return null;
  const time = parseRfc3339(written);
  if (time !== null) return time;
  throw new ParamError(`${name} must be ${TIME}: found ${JSON.stringify(written)}.`);
}
