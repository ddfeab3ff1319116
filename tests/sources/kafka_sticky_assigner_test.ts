import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import {
  assignSticky,
  type ClaimingMember,
  decodeClaim,
  encodeClaim,
} from "../../sources/kafka_sticky_assigner.ts";

const group = fc.record({
  count: fc.nat(12),
  members: fc.uniqueArray(
    fc.record({
      memberId: fc.stringMatching(/^[a-z]{1,3}$/),
      generation: fc.nat(3),
      partitions: fc.uniqueArray(fc.nat(14)),
    }),
    { minLength: 1, maxLength: 5, selector: ({ memberId }) => memberId },
  ),
});

const partitionsOf = (count: number) => Array.from({ length: count }, (_, partition) => partition);

/** Who had a partition last, by the newest generation; null where nobody did. */
function ownerOf(partition: number, members: readonly ClaimingMember[]): ClaimingMember | null {
  const claims = members.filter(({ partitions }) => partitions.includes(partition));
  const newest = Math.max(...claims.map(({ generation }) => generation));
  const owners = claims.filter(({ generation }) => generation === newest);
  return owners.toSorted((a, b) => a.memberId < b.memberId ? -1 : 1)[0] ?? null;
}

/** The most partitions that any even sharing can leave where they are. */
function mostKept(count: number, members: readonly ClaimingMember[]): number {
  const claims = members.map((member) =>
    partitionsOf(count).filter((partition) => ownerOf(partition, members) === member).length
  );
  const least = Math.floor(count / members.length);
  const oneMore = count % members.length;
  // Every choice of those that have one more.
  let best = 0;
  for (let choice = 0; choice < 2 ** members.length; choice++) {
    const quotas = members.map((_, i) => least + (choice >> i & 1));
    if (quotas.reduce((sum, quota) => sum + quota, 0) !== least * members.length + oneMore) continue;
    best = Math.max(best, claims.reduce((sum, claim, i) => sum + Math.min(claim, quotas[i]!), 0));
  }
  return best;
}

Deno.test("every partition goes to one member, evenly within one, and as many as possible stay where they were", () => {
  fc.assert(
    fc.property(group, ({ count, members }) => {
      const assigned = assignSticky(partitionsOf(count), members);
      assertEquals([...assigned.keys()].sort(), members.map(({ memberId }) => memberId).sort());
      assertEquals([...assigned.values()].flat().sort((a, b) => a - b), partitionsOf(count));
      const sizes = [...assigned.values()].map(({ length }) => length);
      assertLessOrEqual(Math.max(...sizes) - Math.min(...sizes), 1);
      const kept = partitionsOf(count).filter((partition) => {
        const owner = ownerOf(partition, members);
        return owner !== null && assigned.get(owner.memberId)!.includes(partition);
      });
      assertEquals(kept.length, mostKept(count, members));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("the same group is shared the same way, in whatever order its members and partitions are named", () => {
  fc.assert(fc.property(group, ({ count, members }) => {
    const backwards = members.toReversed().map((member) => ({
      ...member,
      partitions: member.partitions.toReversed(),
    }));
    const assigned = assignSticky(partitionsOf(count), members);
    assertEquals([...assignSticky(partitionsOf(count).reverse(), backwards)], [...assigned]);
    const again = members.map(({ memberId }) => ({
      memberId,
      generation: 9,
      partitions: assigned.get(memberId)!,
    }));
    assertEquals([...assignSticky(partitionsOf(count), again)], [...assigned]);
  }));
});

Deno.test("a claim of an older generation loses to a newer one", () => {
  const stale = { memberId: "a", generation: 4, partitions: [0, 1] };
  const current = { memberId: "b", generation: 5, partitions: [0, 1] };
  const assigned = assignSticky([0, 1, 2, 3], [stale, current]);
  assertEquals([...assigned], [["a", [2, 3]], ["b", [0, 1]]]);
});

Deno.test("a claim comes through its bytes, and bytes that are none claim nothing", () => {
  fc.assert(fc.property(fc.nat(), fc.uniqueArray(fc.nat(500)), (generation, partitions) => {
    assertEquals(decodeClaim(encodeClaim({ generation, partitions })), { generation, partitions });
  }));
  const encoder = new TextEncoder();
  for (
    const text of [
      "",
      "{}",
      "null",
      "[1]",
      '{"generation":"1","partitions":[]}',
      '{"generation":1,"partitions":["a"]}',
    ]
  ) {
    assertEquals(decodeClaim(encoder.encode(text)), { generation: -1, partitions: [] }, text);
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert(Array.isArray(decodeClaim(bytes).partitions))));
});
