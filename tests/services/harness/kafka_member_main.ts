/** The process of a member of a group: brokers, topic and the file for the member id are its arguments. */
import { runRemoteMember } from "./kafka_members.ts";

const [brokers, topic, memberPath] = Deno.args as [string, string, string];
await runRemoteMember(brokers, topic, memberPath);
