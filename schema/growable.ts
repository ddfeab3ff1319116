/** Arrays of numbers that grow. */

type Numbers = Uint8Array | Int32Array | Uint32Array | Float64Array;

/** The array itself where it holds `length` elements, else a copy by at least half as long again. */
export function grown<T extends Numbers>(array: T, length: number): T {
  if (length <= array.length) return array;
  const larger = Math.max(length, array.length + (array.length >> 1), 16);
  const copy = new (array.constructor as new (length: number) => T)(larger);
  copy.set(array);
  return copy;
}
