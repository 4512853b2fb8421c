import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../mod.ts";
import { dropPrivilegesWith } from "../../src/control/privileges.ts";
import { FakeSys } from "../fake_sys.ts";

test("dropPrivileges drops groups, group, user, capabilities and the way back, in this order", () => {
  const sys = new FakeSys();
  dropPrivilegesWith(sys, "nobody");
  assertEquals(sys.privileges, [
    "initgroups nobody 65534",
    "setresgid 65534 65534 65534",
    "setresuid 65534 65534 65534",
    "capset 20080522 0 0 0 0 0 0 0",
    "prctl 38 1",
  ]);
});

test("dropPrivileges keeps CAP_NET_ADMIN on request: capabilities survive the change of user, and all but one are dropped", () => {
  const sys = new FakeSys();
  dropPrivilegesWith(sys, "nobody", { keepNetAdmin: true });
  assertEquals(sys.privileges.slice(2), ["prctl 8 1", "setresuid 65534 65534 65534", "capset 20080522 0 1000 1000 0 0 0 0", "prctl 38 1"]);
});

test("dropPrivileges refuses an unknown user before it changes anything", () => {
  const sys = new FakeSys();
  const error = assertThrows(() => dropPrivilegesWith(sys, "nosuchuser"), SystemError);
  assertEquals([error.code, sys.privileges.length], ["ENOENT", 0]);
});

test("dropPrivileges stops at the first refusal", () => {
  const sys = new FakeSys();
  sys.privilegeResult = -1;
  const error = assertThrows(() => dropPrivilegesWith(sys, "nobody"), SystemError);
  assertEquals([error.code, sys.privileges], ["EPERM", ["initgroups nobody 65534"]]);
});

test("dropPrivileges changes nothing unless root runs it: capabilities given otherwise would stay on other threads", () => {
  const sys = new FakeSys({ unprivileged: true });
  const error = assertThrows(() => dropPrivilegesWith(sys, "nobody"), SystemError);
  assertEquals([error.code, error.hint, sys.privileges], ["EPERM", "Only root can become another user", []]);
});
