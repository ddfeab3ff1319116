/**
 * What kafkajs and a group's coordinator say to each other, overheard: the generation and the member id of each join, and
 * when the coordinator last heard of this member. kafkajs tells its users neither.
 */
import type { Cluster } from "kafkajs";
import { isKafkaError } from "./kafka_client.ts";

/** A member of one generation of a group. */
export interface JoinedGroup {
  readonly memberId: string;
  readonly generationId: number;
}

/** What is overheard. */
export interface CoordinatorWatcher {
  /** The id under which the group has this member, as far as is known; null for none. */
  known(): string | null;
  /** A join is about to be asked for. */
  joining(): void;
  /** The join is about to be asked for under this id, which the group keeps from now on. */
  named(memberId: string): void;
  joined(group: JoinedGroup): void;
  /** The coordinator has answered to what this member sent at `sentAt`, wall-clock milliseconds. */
  heard(sentAt: number): void;
  /** The member has left the group. */
  left(): void;
  /** The group does not have this member, or no longer. */
  forgotten(): void;
}

type Request = { readonly memberId?: string };

/** kafkajs's broker, as it is asked in the matters of a group. */
interface Coordinator {
  joinGroup(request: Request): Promise<JoinedGroup>;
  syncGroup(request: Request): Promise<unknown>;
  heartbeat(request: Request): Promise<unknown>;
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
  lookupRequest(apiKey: number, definition: unknown): (request: Request) => unknown;
}

const JOIN_GROUP = 11;

/**
 * The coordinator with the watcher at its side. What it does stays the same, but for one thing: after an outage kafkajs's
 * consumer joins as a new member, and the group would wait for the one that it was until its session has ended. Here it
 * stays the member that it was.
 */
function watched(broker: Coordinator, watcher: CoordinatorWatcher, now: () => number): Coordinator {
  const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask();
    } catch (error) {
      if (isKafkaError(error, "UNKNOWN_MEMBER_ID")) watcher.forgotten();
      throw error;
    }
  };
  const heard = async <T>(ask: () => Promise<T>): Promise<T> => {
    const sentAt = now();
    const answer = await asked(ask);
    watcher.heard(sentAt);
    return answer;
  };
  const coordinator = Object.create(broker) as Coordinator;
  return Object.assign(coordinator, {
    async joinGroup(request: Request) {
      watcher.joining();
      const memberId = request.memberId || watcher.known() || "";
      const group = await asked(() => broker.joinGroup.call(coordinator, { ...request, memberId }));
      watcher.joined(group);
      return group;
    },
    syncGroup: (request: Request) => heard(() => broker.syncGroup(request)),
    heartbeat: (request: Request) => heard(() => broker.heartbeat(request)),
    async leaveGroup(request: { readonly groupId: string; readonly memberId: string }) {
      const answer = await broker.leaveGroup(request);
      watcher.left();
      return answer;
    },
    // A first join is asked for twice: the first answer is the id, which is known to nobody outside this call.
    lookupRequest(apiKey: number, definition: unknown) {
      const make = broker.lookupRequest(apiKey, definition);
      if (apiKey !== JOIN_GROUP) return make;
      return (request: Request) => {
        if (request.memberId) watcher.named(request.memberId);
        return make(request);
      };
    },
  });
}

/**
 * From now on the watcher hears what the cluster's user and the coordinators of its groups say to each other, and a join
 * without an id is asked for under the one that the watcher knows.
 */
export function watchCoordinator(cluster: Cluster, watcher: CoordinatorWatcher, now: () => number): void {
  const find = cluster.findGroupCoordinator.bind(cluster);
  cluster.findGroupCoordinator = async (group) => {
    const broker = await find(group) as unknown as Coordinator;
    return watched(broker, watcher, now) as unknown as Awaited<ReturnType<typeof find>>;
  };
}

/**
 * Takes a member out of its group.
 *
 * @throws {Error} kafkajs's, where the coordinator can't be asked or does not know the member
 */
export async function leaveGroup(
  cluster: Cluster,
  member: { readonly groupId: string; readonly memberId: string },
): Promise<void> {
  const coordinator = await cluster.findGroupCoordinator({ groupId: member.groupId });
  await (coordinator as unknown as Coordinator).leaveGroup(member);
}
