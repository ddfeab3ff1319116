/**
 * The part of `jsr:@std/assert` that the tests use, over `node:assert/strict`: same names, same meaning. JSR is out
 * of reach where this project is built; elsewhere, map `@std/assert` in `deno.json` to `jsr:@std/assert@1` instead.
 */
import strict from "node:assert/strict";

// deno-lint-ignore no-explicit-any
type ErrorClass = abstract new (...args: any[]) => Error;

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function fail(message?: string): never {
  throw new AssertionError(`Failed assertion${message ? `: ${message}` : "."}`);
}

export function assert(condition: unknown, message = ""): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export function assertFalse(condition: unknown, message?: string): asserts condition is false {
  if (condition) throw new AssertionError(message ?? `Expected a falsy value: ${String(condition)}`);
}

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  strict.deepStrictEqual(actual, expected, message);
}

export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  strict.notDeepStrictEqual(actual, expected, message);
}

export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  strict.strictEqual(actual, expected, message);
}

export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw new AssertionError(message ?? `Expected a value: ${String(actual)}`);
  }
}

export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  if (!(actual > expected)) throw new AssertionError(message ?? `Expected ${actual} > ${expected}`);
}

export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual >= expected)) throw new AssertionError(message ?? `Expected ${actual} >= ${expected}`);
}

export function assertLess<T>(actual: T, expected: T, message?: string): void {
  if (!(actual < expected)) throw new AssertionError(message ?? `Expected ${actual} < ${expected}`);
}

export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual <= expected)) throw new AssertionError(message ?? `Expected ${actual} <= ${expected}`);
}

export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  strict.match(actual, expected, message);
}

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (!actual.includes(expected)) {
    throw new AssertionError(
      message ?? `Expected ${JSON.stringify(actual)} to contain ${JSON.stringify(expected)}`,
    );
  }
}

export function assertInstanceOf<T extends ErrorClass>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expected)) {
    throw new AssertionError(message ?? `Expected an instance of ${expected.name}: ${String(actual)}`);
  }
}

function checkError(error: unknown, errorClass: ErrorClass | undefined, includes: string | undefined): void {
  if (errorClass !== undefined) assertInstanceOf(error, errorClass);
  if (includes !== undefined) assertStringIncludes((error as Error).message, includes);
}

export function assertThrows(fn: () => unknown, errorClass?: ErrorClass, includes?: string): unknown {
  try {
    fn();
  } catch (error) {
    checkError(error, errorClass, includes);
    return error;
  }
  return fail("Expected the function to throw");
}

export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass,
  includes?: string,
): Promise<unknown> {
  try {
    await fn();
  } catch (error) {
    checkError(error, errorClass, includes);
    return error;
  }
  return fail("Expected the function to reject");
}
