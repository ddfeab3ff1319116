import { assertEquals } from "@std/assert";
import { readMembership, removeMembership, writeMembership } from "../../sources/kafka_member_file.ts";
import { inTempDir } from "./log_support.ts";

Deno.test("a membership is read as it was written, replaced whole, and gone when it is removed, also twice", () =>
  inTempDir((directory) => {
    const path = `${directory}/kafka_member.json`;
    assertEquals(readMembership(path), null);
    writeMembership(path, { groupId: "group", memberId: "first" });
    writeMembership(path, { groupId: "group", memberId: "second" });
    assertEquals(readMembership(path), { groupId: "group", memberId: "second" });
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["kafka_member.json"]);
    removeMembership(path);
    removeMembership(path);
    assertEquals(readMembership(path), null);
  }));

Deno.test("a file that holds no membership names nobody", () =>
  inTempDir((directory) => {
    const path = `${directory}/kafka_member.json`;
    for (const text of ["", "null", "{}", '{"groupId":"group"}', '{"groupId":"group","memberId":7}', "[1"]) {
      Deno.writeTextFileSync(path, text);
      assertEquals(readMembership(path), null, text);
    }
  }));
