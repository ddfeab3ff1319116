/**
 * How the members of a group share a topic: evenly, within one partition, and each partition stays where it is as far as
 * that allows, because one that moves is restored from the log. kafkajs has no assigner that looks at what was before.
 */
import { Buffer } from "node:buffer";
import { type Assigner, AssignerProtocol, type Cluster } from "kafkajs";

/** What a member says that it had, and of which of the group's generations that was. */
export interface Claim {
  readonly generation: number;
  readonly partitions: readonly number[];
}

/** A member of the group with what it had. */
export interface ClaimingMember extends Claim {
  readonly memberId: string;
}

const NO_CLAIM: Claim = { generation: -1, partitions: [] };
const NAME = "sessionary-sticky";
const VERSION = 0;
const { MemberAssignment, MemberMetadata } = AssignerProtocol;

/**
 * Shares `partitions` among the members: each member has as many as any other one or one less, and as few partitions move
 * as that allows. Of several claims on a partition the one of the newest generation counts. The same members give the
 * same result, in whatever order they are named.
 */
export function assignSticky(
  partitions: readonly number[],
  members: readonly ClaimingMember[],
): Map<string, number[]> {
  const claimed = claimedPartitions(partitions, members);
  const ids = members.map(({ memberId }) => memberId).sort();
  // Those who have most may have one more: fewest moves.
  const byClaims = ids.toSorted((a, b) => claimed.get(b)!.length - claimed.get(a)!.length);
  const least = Math.floor(partitions.length / ids.length);
  const oneMore = partitions.length % ids.length;
  const quotas = new Map(byClaims.map((id, i) => [id, least + (i < oneMore ? 1 : 0)]));
  const assigned = new Map(ids.map((id) => [id, claimed.get(id)!.slice(0, quotas.get(id)!)]));
  const taken = new Set([...assigned.values()].flat());
  const free = partitions.filter((partition) => !taken.has(partition)).sort((a, b) => b - a);
  for (const [id, own] of assigned) {
    while (own.length < quotas.get(id)!) own.push(free.pop()!);
    own.sort((a, b) => a - b);
  }
  return assigned;
}

/** Each member's partitions, ascending, after disputes. */
function claimedPartitions(
  partitions: readonly number[],
  members: readonly ClaimingMember[],
): Map<string, number[]> {
  const existing = new Set(partitions);
  const winners = new Map<number, ClaimingMember>();
  for (const member of members) {
    for (const partition of member.partitions) {
      const rival = winners.get(partition);
      const wins = rival === undefined || member.generation > rival.generation ||
        member.generation === rival.generation && member.memberId < rival.memberId;
      if (existing.has(partition) && wins) winners.set(partition, member);
    }
  }
  const claimed = new Map(members.map(({ memberId }): [string, number[]] => [memberId, []]));
  for (const [partition, { memberId }] of winners) claimed.get(memberId)!.push(partition);
  for (const own of claimed.values()) own.sort((a, b) => a - b);
  return claimed;
}

/** A claim as the bytes that a member's metadata carries. */
export function encodeClaim({ generation, partitions }: Claim): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ generation, partitions }));
}

/** The claim of a member's metadata; one that can't be read claims nothing. */
export function decodeClaim(bytes: Uint8Array): Claim {
  try {
    const { generation, partitions } = JSON.parse(new TextDecoder().decode(bytes)) as Claim;
    return Number.isSafeInteger(generation) && partitions.every(Number.isSafeInteger)
      ? { generation, partitions: [...new Set(partitions)] }
      : NO_CLAIM;
  } catch {
    return NO_CLAIM;
  }
}

/**
 * kafkajs's face of {@linkcode assignSticky}, for one topic.
 *
 * @param claim what this member has at present
 */
export function stickyAssigner(topic: string, cluster: Cluster, claim: () => Claim): Assigner {
  return {
    name: NAME,
    version: VERSION,
    protocol: ({ topics }) => ({
      name: NAME,
      metadata: MemberMetadata.encode({
        version: VERSION,
        topics,
        userData: Buffer.from(encodeClaim(claim())),
      }),
    }),
    assign({ members }) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId);
      const claiming = members.map(({ memberId, memberMetadata }) => {
        const userData = MemberMetadata.decode(memberMetadata)?.userData;
        return { memberId, ...(userData ? decodeClaim(userData) : NO_CLAIM) };
      });
      const assigned = [...assignSticky(partitions.sort((a, b) => a - b), claiming)];
      return Promise.resolve(assigned.map(([memberId, own]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: VERSION,
          assignment: { [topic]: own },
          userData: Buffer.alloc(0),
        }),
      })));
    },
  };
}
