/** Which session actor owns a session: a seeded hash of its id's bytes. */

/** Unrelated to the seed of Kafka's murmur2, or a partition's sessions would crowd on few shards. */
const SEED = 0x5e551047;

/**
 * MurmurHash3's 32-bit variant (Austin Appleby, public domain reference), over the bytes `start` ≤ i < `end`.
 *
 * @returns an unsigned 32-bit integer
 */
export function murmur3(bytes: Uint8Array, seed: number, start = 0, end = bytes.length): number {
  let hash = seed | 0;
  const blocksEnd = start + (end - start & ~3);
  for (let i = start; i < blocksEnd; i += 4) {
    const block = bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    hash ^= scramble(block);
    hash = Math.imul(hash << 13 | hash >>> 19, 5) + 0xe6546b64 | 0;
  }
  let tail = 0;
  for (let i = end - 1; i >= blocksEnd; i--) tail = tail << 8 | bytes[i]!;
  hash ^= scramble(tail);
  hash ^= end - start;
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51);
  return Math.imul(mixed << 15 | mixed >>> 17, 0x1b873593);
}

/** What decides the shard of the key in `key[start … end]` for every number of shards; checkpoints hold it. */
export function routingHash(key: Uint8Array, start = 0, end = key.length): number {
  return murmur3(key, SEED, start, end);
}

/** The shard of a record's key, 0 ≤ shard < `shards`; records without a key go to shard 0. */
export function shardOf(key: Uint8Array | null, shards: number): number {
  return key === null ? 0 : routingHash(key) % shards;
}
