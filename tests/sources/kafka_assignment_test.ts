import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Assignment } from "../../sources/kafka_assignment.ts";

const partitions = fc.uniqueArray(fc.nat(6));
const step = fc.oneof(
  fc.record({ kind: fc.constant("joined" as const), partitions, kept: fc.boolean() }),
  fc.record({ kind: fc.constant("lost" as const) }),
  fc.record({ kind: fc.constant("look" as const) }),
);

Deno.test("a look says what the group has taken and given since the last one; what was away in between is in both lists", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
    const assignment = new Assignment();
    // The model: the stretch of possession that each partition is in, told and true.
    let stretches = 0;
    let owned = new Map<number, number>();
    let told = new Map<number, number>();
    for (const step of [...steps, { kind: "look" as const }]) {
      if (step.kind === "look") {
        const revoked = [...told].filter(([partition, stretch]) => owned.get(partition) !== stretch);
        const assigned = [...owned].filter(([partition, stretch]) => told.get(partition) !== stretch);
        const names = (entries: [number, number][]) => entries.map(([partition]) => partition).sort();
        assertEquals(assignment.isChanged, revoked.length + assigned.length > 0);
        assertEquals(assignment.look(), { revoked: names(revoked), assigned: names(assigned) });
        assertEquals(assignment.isChanged, false);
        told = new Map(owned);
        continue;
      }
      const given = step.kind === "joined" ? step.partitions : [];
      const kept = step.kind === "joined" && step.kept;
      const lost = step.kind === "joined" ? assignment.joined(given, kept) : assignment.lost();
      assertEquals(
        [...lost].sort(),
        [...owned.keys()].filter((partition) => !kept || !given.includes(partition)).sort(),
      );
      const before = owned;
      owned = new Map(given.map((partition) => {
        const stretch = kept ? before.get(partition) : undefined;
        return [partition, stretch ?? ++stretches];
      }));
      assertEquals([...assignment.owned].sort(), [...given].sort());
    }
  }));
});
