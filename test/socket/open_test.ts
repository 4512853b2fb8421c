/** Sockets in another network namespace: the thread enters it for one call, and always returns. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { ArgumentError, StrandedError, SystemError } from "../../src/errors.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { netnsOf, openWith } from "../../src/socket/open.ts";
import { Requests } from "../../src/socket/requests.ts";
import { ENOENT, ENOMEM, EPERM, NETLINK_GENERIC, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { listenWith } from "../../src/receive/listen.ts";
import { listGroupsWith } from "../../src/control/groups.ts";
import { watchLinksWith } from "../../src/receive/live_links.ts";
import { memory } from "../../src/wire/native.ts";
import { FakeFile, HOME } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";
import { sampleMessage } from "../support/messages.ts";

const BLUE = "/run/netns/blue";

/** A kernel with the network namespaces blue and red, and a file that is not one. */
function kernel(): FakeSys {
  const sys = new FakeSys();
  for (const name of ["blue", "red"]) sys.files.set(`/run/netns/${name}`, new FakeFile(undefined, "file", name));
  sys.files.set("/proc/17/ns/net", new FakeFile(undefined, "file", "of 17"));
  sys.files.set("/run/netns/stale", new FakeFile());
  return sys;
}

function namespaces(sys: FakeSys): string[] {
  return [...sys.fds.values()].map(({ netns }) => netns);
}

test("without netns the seam is the thread's own", () => {
  const sys = kernel();
  assertEquals(openWith(sys, {}), sys);
  assertEquals(netnsOf(sys), undefined);
});

test("a socket is opened in the namespace given by name or path, and the thread returns", () => {
  const sys = kernel();
  for (const [netns, where] of [["blue", "blue"], [BLUE, "blue"], ["/proc/17/ns/net", "of 17"]] as const) {
    const there = openWith(sys, { netns });
    assertEquals([netnsOf(there), sys.netns], [netns, HOME]);
    const socket = new NetlinkSocket(there, NETLINK_GENERIC);
    assertEquals([namespaces(sys), sys.netns], [[where], HOME]);
    // Everything else is done where the thread is: the socket stays in its namespace.
    assertEquals(socket.setReceiveBuffer(1000), 1000);
    socket.close();
  }
  sys.assertClean();
});

test("two namespaces at once, and one's own between them", () => {
  const sys = kernel();
  const seams = [openWith(sys, { netns: "blue" }), sys, openWith(sys, { netns: "red" })];
  const sockets = seams.map((seam) => new Requests(seam, NETLINK_ROUTE));
  assertEquals(namespaces(sys), ["blue", HOME, "red"]);
  for (const socket of sockets) socket.close();
  sys.assertClean();
});

test("the thread returns also if the call in the other namespace fails", () => {
  const sys = kernel();
  const there = openWith(sys, { netns: "blue" });
  sys.fail("socket", 24);
  const error = assertThrows(() => new NetlinkSocket(there, NETLINK_GENERIC), SystemError);
  assertEquals([error.code, sys.netns], ["EMFILE", HOME]);
  sys.socket = () => {
    throw new RangeError("a call that throws");
  };
  assertThrows(() => new NetlinkSocket(there, NETLINK_GENERIC), RangeError);
  assertEquals(sys.netns, HOME);
  sys.assertClean();
});

test("if a namespace cannot be entered, the error says why and what helps, and nothing has changed", () => {
  const sys = kernel();
  const refused = (netns: string, ...errnos: number[]): [string, string] => {
    sys.fail("setns", ...errnos);
    const { code, message } = assertThrows(() => openWith(sys, { netns }), SystemError);
    assertEquals(sys.netns, HOME);
    sys.assertClean();
    return [code, message];
  };
  assertEquals(refused("nosuch"), [
    "ENOENT",
    "Cannot enter the network namespace nosuch: no such file or directory (ENOENT). There is no /run/netns/nosuch: ip netns lists " +
    "the names. A path such as /proc/PID/ns/net works too",
  ]);
  assertEquals(refused("/proc/18/ns/net"), [
    "ENOENT",
    "Cannot enter the network namespace /proc/18/ns/net: no such file or directory (ENOENT). There is no such file. That of a process " +
    "is /proc/PID/ns/net",
  ]);
  assertEquals(refused("stale"), [
    "EINVAL",
    "Cannot enter the network namespace stale: invalid argument (EINVAL). /run/netns/stale is not a network namespace (any more): ip netns " +
    "delete stale removes what is left of it",
  ]);
  assertEquals(
    refused("/run/netns/stale")[1],
    `Cannot enter the network namespace /run/netns/stale: invalid argument (EINVAL). /run/netns/stale is not a network namespace`,
  );
  // Without the right to return the thread does not enter.
  const [code, message] = refused("blue", EPERM);
  assertEquals(code, "EPERM");
  assertStringIncludes(message, "CAP_SYS_ADMIN");
  assertStringIncludes(message, "no way back");
  sys.setns = () => -EPERM;
  assertStringIncludes(assertThrows(() => openWith(sys, { netns: "blue" }), SystemError).message, "run as root");
});

test("no way back, or no descriptor for it, is reported before anything is tried", () => {
  const sys = kernel();
  sys.openNetns = () => -ENOENT;
  assertStringIncludes(assertThrows(() => openWith(sys, { netns: "blue" }), SystemError).message, "There would be no way back");
  sys.openNetns = () => -24;
  assertStringIncludes(assertThrows(() => openWith(sys, { netns: "blue" }), SystemError).message, "ulimit -n");
  sys.assertClean();
});

test("the right to return but not to enter is reported", () => {
  const sys = kernel();
  const setns = sys.setns.bind(sys);
  let calls = 0;
  sys.setns = (fd, type) => calls++ === 1 ? -EPERM : setns(fd, type);
  const { message } = assertThrows(() => openWith(sys, { netns: "blue" }), SystemError);
  assertStringIncludes(message, "CAP_SYS_ADMIN, in the user namespace of this process and in the one that owns that network namespace");
  assertEquals(sys.netns, HOME);
  sys.assertClean();
});

test("impossible names are errors of the caller", () => {
  for (const netns of ["", ".", "..", "a\0b"]) assertThrows(() => openWith(kernel(), { netns }), ArgumentError);
});

test("a name that belongs to another namespace by now is not entered", () => {
  const sys = kernel();
  const there = openWith(sys, { netns: "blue" });
  sys.files.delete(BLUE);
  assertEquals(assertThrows(() => new NetlinkSocket(there, NETLINK_GENERIC), SystemError).errno, ENOENT);
  sys.files.set(BLUE, new FakeFile(undefined, "file", "another blue"));
  const error = assertThrows(() => new NetlinkSocket(there, NETLINK_GENERIC), SystemError);
  assertStringIncludes(error.message, "That name belongs to another namespace now");
  assertEquals(sys.netns, HOME);
  sys.assertClean();
});

test("a thread that cannot return opens nothing more, anywhere", () => {
  const sys = kernel();
  const there = openWith(sys, { netns: "blue" });
  const red = openWith(sys, { netns: "red" });
  const setns = sys.setns.bind(sys);
  let calls = 0;
  sys.setns = (fd, type) => calls++ === 2 ? -ENOMEM : setns(fd, type);
  const error = assertThrows(() => new NetlinkSocket(there, NETLINK_GENERIC), StrandedError);
  assertEquals(error.netns, "blue");
  assertStringIncludes(error.message, "This thread is stuck in the network namespace blue");
  assertStringIncludes(error.message, "end the process");
  assert(error.cause instanceof SystemError && error.cause.code === "ENOMEM");
  const open = sys.fds.size;
  for (const seam of [sys, there, red]) {
    assertThrows(() => new NetlinkSocket(seam, NETLINK_GENERIC), StrandedError);
    assertEquals(sys.fds.size, open);
  }
});

test("queries do not fail: without the right, what is asked about programs and links is unknown", () => {
  const sys = kernel();
  const there = openWith(sys, { netns: "blue" });
  const seen: string[] = [];
  sys.bpf = () => {
    seen.push(sys.netns);
    return 0;
  };
  sys.readlink = () => {
    seen.push(sys.netns);
    return 7;
  };
  assertEquals([there.bpf(16, memory(8)), there.readlink(memory(8), memory(8))], [0, 7]);
  assertEquals(seen, ["blue", "blue"]);
  sys.setns = () => -EPERM;
  assertEquals([there.bpf(16, memory(8)), there.readlink(memory(8), memory(8))], [-EPERM, -EPERM]);
  assertEquals(seen.length, 2);
});

test("a listener queries, joins and names devices in its namespace, without entering it afterwards", async () => {
  const sys = kernel();
  const there = openWith(sys, { netns: "blue" });
  const listener = await listenWith(there, { netns: "blue", wait: true });
  assert(namespaces(sys).every((netns) => netns === "blue"), `${namespaces(sys)}`);
  sys.setns = () => -EPERM;
  sys.removeFamily();
  const read = listener[Symbol.asyncIterator]().next();
  sys.addFamily(31, { config: 50, packets: 51 });
  while (!sys.fds.values().some(({ groups }) => groups.has(51))) await new Promise((resolve) => setImmediate(resolve));
  sys.sample(sampleMessage({ sequence: 3, family: 31 }));
  assertEquals((await read).value?.type, "sample");
  await listener.close();
  while (sys.fds.size > 0) await new Promise((resolve) => setImmediate(resolve));
  sys.assertClean();
});

test("groups and devices are queried in the seam's namespace", async () => {
  const sys = kernel();
  const asked: string[] = [];
  const answer = sys.answer;
  sys.answer = (request, socket) => {
    asked.push(socket.netns);
    answer(request, socket);
  };
  const there = openWith(sys, { netns: "blue" });
  assertEquals(await listGroupsWith(there), []);
  watchLinksWith(there).close();
  assertEquals([...new Set(asked)], ["blue"]);
  sys.files.delete(BLUE);
  assertEquals((await assertRejects(() => listGroupsWith(there), SystemError)).code, "ENOENT");
  sys.assertClean();
});
