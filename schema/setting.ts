/** What a setting is: one declaration from which come its flag, its environment variable, its check and its help. */
import Type, { type TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { assertNever } from "./errors.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

export type SettingValue = string | number | boolean | null;

/** How a value is written: durations are numbers of milliseconds, sizes numbers of bytes. */
export type SettingForm =
  | "text"
  | "path"
  | "choice"
  | "url"
  | "integer"
  | "number"
  | "rate"
  | "duration"
  | "size"
  | "switch";

/** One setting, declared once. `null` as default means: not set. */
export interface Setting<T extends SettingValue = SettingValue> {
  /** The environment variable; the flag is derived from it ({@linkcode flagOf}). */
  readonly env: string;
  readonly form: SettingForm;
  /** The legal values, as a JSON Schema. Its `description`, where it has one, ends "must be …". */
  readonly schema: TSchema;
  readonly default: T;
  readonly doc: string;
  /** The heading it is listed under in `--help`. */
  readonly group: string;
  /** Never shown; set by variable or file only, because other processes can read a command line. */
  readonly secret: boolean;
}

export type SettingTable = Readonly<Record<string, Setting>>;
type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** The typed values of a table of settings. */
export type SettingValues<T extends SettingTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

/** Bounds of a number: inclusive. */
export interface Bounds {
  readonly minimum: number;
  readonly maximum: number;
}

/** What the reader of `--help` sees, and where. */
interface Common {
  readonly env: string;
  readonly group: string;
  readonly doc: string;
}

/** A text that matches `pattern`; `constraint` completes the sentence "… must be". */
export function text<D extends string | null>(
  common: Common,
  fallback: D,
  pattern: RegExp,
  constraint: string,
): Setting<string | D> {
  const schema = Type.String({ pattern: pattern.source, description: constraint });
  return { ...common, form: "text", schema, default: fallback, secret: false };
}

/** A path of a file or folder; `constraint` completes the sentence "… must be". */
export function path<D extends string | null>(
  common: Common,
  fallback: D,
  constraint = "a path",
): Setting<string | D> {
  const schema = Type.String({ pattern: "^[^\\0]+$", description: constraint });
  return { ...common, form: "path", schema, default: fallback, secret: false };
}

/** A text that is never shown; `constraint` completes the sentence "… must be". */
export function secret(
  common: Common,
  pattern = /^[^]+$/,
  constraint = "a text that is not empty",
): Setting<string | null> {
  const schema = Type.String({ pattern: pattern.source, description: constraint });
  return { ...common, form: "text", schema, default: null, secret: true };
}

/** An http or https URL; a password inside it is masked wherever it is shown. */
export function httpUrl(common: Common): Setting<string | null> {
  const schema = Type.String({
    pattern: "^https?://[^\\s/?#]+[^\\s?#]*$",
    description: "a URL that begins with http:// or https:// and has no query",
  });
  return { ...common, form: "url", schema, default: null, secret: false };
}

/** An http or https URL of a host and a port only. */
export function httpOrigin(common: Common): Setting<string | null> {
  const schema = Type.String({
    pattern: "^https?://[^\\s/?#@]+/?$",
    description: "http:// or https://, a host and, where it is not the scheme's own, a port",
  });
  return { ...common, form: "url", schema, default: null, secret: false };
}

/** One of a few words. */
export function choice<const C extends string>(
  common: Common,
  fallback: C,
  choices: readonly C[],
): Setting<C> {
  return { ...common, form: "choice", schema: Type.Enum([...choices]), default: fallback, secret: false };
}

/** A whole number. */
export function integer<D extends number | null>(
  common: Common,
  fallback: D,
  bounds: Bounds,
): Setting<number | D> {
  return {
    ...common,
    form: "integer",
    schema: Type.Integer({ ...bounds }),
    default: fallback,
    secret: false,
  };
}

/** A number. */
export function decimal<D extends number | null>(
  common: Common,
  fallback: D,
  bounds: Bounds,
): Setting<number | D> {
  return { ...common, form: "number", schema: Type.Number({ ...bounds }), default: fallback, secret: false };
}

/** A rate per second, or "max": as fast as it goes. */
export function rate(common: Common, bounds: Bounds): Setting<number | "max"> {
  const schema = Type.Union([Type.Number({ ...bounds }), Type.Literal("max")], {
    description: `a number from ${bounds.minimum} to ${bounds.maximum}, or max`,
  });
  return { ...common, form: "rate", schema, default: "max", secret: false };
}

/** A duration; default and bounds are written with their units. */
export function duration(
  common: Common,
  fallback: string,
  minimum: string,
  maximum: string,
): Setting<number> {
  const schema = Type.Integer({ minimum: parseDuration(minimum)!, maximum: parseDuration(maximum)! });
  return { ...common, form: "duration", schema, default: parseDuration(fallback)!, secret: false };
}

/** A duration that need not be set. */
export function optionalDuration(common: Common, minimum: string, maximum: string): Setting<number | null> {
  return { ...duration(common, minimum, minimum, maximum), default: null };
}

/** A size in bytes; default and bounds are written with their units. */
export function size(common: Common, fallback: string, minimum: string, maximum: string): Setting<number> {
  const schema = Type.Integer({ minimum: parseSize(minimum)!, maximum: parseSize(maximum)! });
  return { ...common, form: "size", schema, default: parseSize(fallback)!, secret: false };
}

/** On or off; as a flag it takes no value. */
export function toggle(common: Common): Setting<boolean> {
  return { ...common, form: "switch", schema: Type.Boolean(), default: false, secret: false };
}

/** The long flag: `SESSION_TIMEOUT` → `--session-timeout`; a command's own prefix (`PRODUCE_`) is cut off. */
export function flagOf({ env }: Setting, prefix = ""): string {
  const name = env.startsWith(prefix) ? env.slice(prefix.length) : env;
  return `--${name.toLowerCase().replaceAll("_", "-")}`;
}

const SWITCH_WORDS: Readonly<Record<string, boolean>> = { true: true, "1": true, false: false, "0": false };

/** Reads a value as written. Null where it is not a legal value of the setting. */
export function parseSetting(setting: Setting, written: string): SettingValue {
  const value = parseForm(setting.form, written);
  return value !== null && Compile(setting.schema).Check(value) ? value : null;
}

function parseForm(form: SettingForm, written: string): SettingValue {
  switch (form) {
    case "text":
    case "path":
    case "choice":
      return written;
    case "url":
      return URL.canParse(written) ? written : null;
    case "rate":
      if (written === "max") return written;
      return parseForm("number", written);
    case "integer":
    case "number":
      return /^-?\d+(\.\d+)?$/.test(written.trim()) ? Number(written) : null;
    case "duration":
      return parseDuration(written);
    case "size":
      return parseSize(written);
    case "switch":
      return Object.hasOwn(SWITCH_WORDS, written) ? SWITCH_WORDS[written]! : null;
    default:
      return assertNever(form);
  }
}

/** The value as a person would write it, passwords masked; `(not set)` for null. */
export function formatSetting(setting: Setting, value: SettingValue): string {
  if (value === null) return "(not set)";
  if (setting.secret) return "***";
  switch (setting.form) {
    case "duration":
      return formatDuration(value as number);
    case "size":
      return formatSize(value as number);
    case "url":
      return maskUrl(String(value));
    case "text":
    case "path":
    case "choice":
    case "integer":
    case "number":
    case "rate":
    case "switch":
      return String(value);
    default:
      return assertNever(setting.form);
  }
}

/** A URL with what may be a password or a token (before an `@`, after a `?`) replaced by `***`. */
export function maskUrl(url: string): string {
  // Not through `URL`: a malformed URL, shown in the sentence that refuses it, may hold a password too.
  return url.replace(/^([a-z]+:\/\/[^:@/?#]*):.*@/i, "$1:***@").replace(/\?.*$/, "?***");
}

/** Completes "must be …": the constraint on a setting's value. */
export function constraintOf({ form, schema }: Setting): string {
  const { description, minimum, maximum, enum: choices } = schema as {
    description?: string;
    minimum?: number;
    maximum?: number;
    enum?: readonly string[];
  };
  const range = (format: (value: number) => string) => `from ${format(minimum!)} to ${format(maximum!)}`;
  switch (form) {
    case "text":
    case "path":
    case "url":
    case "rate":
      return description ?? "a text that is not empty";
    case "choice":
      return `one of ${choices!.join(", ")}`;
    case "integer":
      return `a whole number ${range(String)}`;
    case "number":
      return `a number ${range(String)}`;
    case "duration":
      return `a duration ${range(formatDuration)} (such as 500ms, 10s, 30m, 24h)`;
    case "size":
      return `a size ${range(formatSize)} (such as 512KiB, 64MiB)`;
    case "switch":
      return "true or false";
    default:
      return assertNever(form);
  }
}
