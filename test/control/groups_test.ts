import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { NetlinkError } from "../../src/errors.ts";
import { listGroupsWith } from "../../src/control/groups.ts";
import { NLM_F_DUMP } from "../../src/wire/message.ts";
import { type FakeOptions, FakeSys } from "../fake_sys.ts";
import { familyMessage } from "../support/messages.ts";

function fake(name: string, options: FakeOptions, run: (sys: FakeSys) => Promise<void>): void {
  test(name, async () => {
    const sys = new FakeSys(options);
    await run(sys);
    sys.assertClean();
  });
}

fake("listGroups is empty where there are no groups", {}, async (sys) => {
  assertEquals(await listGroupsWith(sys), []);
});

fake("listGroups lists all groups in the kernel's order, from however many datagrams", {}, async (sys) => {
  sys.groups = Array.from({ length: 201 }, (_, i) => ({ group: 4294967295 - i, refcount: i, sequence: 4000000000 + i }));
  assertEquals(await listGroupsWith(sys), sys.groups);
  sys.groupsPerDatagram = 100;
  assertEquals(await listGroupsWith(sys), sys.groups);
});

fake("listGroups reads the reference count of kernels 5.8 to 5.11, which had another number", {}, async (sys) => {
  sys.refcountType = 8;
  sys.groups = [{ group: 1, refcount: 2, sequence: 3 }];
  assertEquals(await listGroupsWith(sys), sys.groups);
});

fake("listGroups takes no privilege", { unprivileged: true }, async (sys) => {
  sys.groups = [{ group: 1, refcount: 1, sequence: 0 }];
  assertEquals(await listGroupsWith(sys), sys.groups);
});

fake("listGroups without the family says how to load it", { noFamily: true }, async (sys) => {
  const error = await assertRejects(() => listGroupsWith(sys), NetlinkError);
  assertEquals(
    error.message,
    "Cannot list psample groups: no such file or directory (ENOENT). Load the kernel module: modprobe psample (adding a tc sample action loads it too)",
  );
});

fake("listGroups without the family blames nobody where the module goes in between", {}, async (sys) => {
  const { answer } = sys;
  sys.answer = (request, socket) => {
    if (request.flags & NLM_F_DUMP) sys.family = undefined;
    answer(request, socket);
  };
  const error = await assertRejects(() => listGroupsWith(sys), NetlinkError);
  assertEquals([error.code, error.op], ["ENOENT", "list psample groups"]);
});

fake("listGroups asks for psample and for nothing else", {}, async (sys) => {
  const { answer } = sys;
  sys.answer = (request, socket) => {
    // A notification about another family arrives in between, without the request's number.
    sys.reply(socket, familyMessage(1, { id: 99, name: "other", groups: {} }));
    answer(request, socket);
  };
  sys.groups = [{ group: 5, refcount: 1, sequence: 9 }];
  assertEquals(await listGroupsWith(sys), sys.groups);
});

fake("listGroups fails where there is no socket to be had", {}, async (sys) => {
  sys.fail("socket", 24);
  assertEquals((await assertRejects(() => listGroupsWith(sys), NetlinkError)).code, "EMFILE");
});
