/** The live table of devices on a scripted kernel; on real ones it is tested in test/kernel. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { RTM_NEWLINK } from "../../src/link/link.ts";
import { listenWith } from "../../src/receive/listen.ts";
import { LiveLinks, watchLinksWith } from "../../src/receive/live_links.ts";
import { settle } from "../fake_sys.ts";
import { sampleMessage } from "../support/messages.ts";
import { linkMessage, Machine } from "./machine.ts";

const EMFILE = 24;

test("LiveLinks opens nothing before the first question, and then lists the devices once", () => {
  const machine = new Machine();
  const links = new LiveLinks(machine.sys);
  assertEquals([machine.sys.fds.size, machine.lists], [0, 0]);
  assertEquals(links.find(3, undefined)?.name, "eth0");
  for (let i = 0; i < 10; i++) {
    links.begin();
    assertEquals([links.find(3, undefined)?.name, links.find(4, undefined), links.find(3, 7)], ["eth0", undefined, undefined]);
  }
  assertEquals([machine.sys.fds.size, machine.lists], [1, 1]);
  links.close();
  links.close();
  assertEquals(links.find(3, undefined)?.name, "eth0");
  machine.sys.assertClean();
});

test("LiveLinks knows everything that happened before a batch begins, and new devices at once", () => {
  const machine = new Machine();
  using links = watchLinksWith(machine.sys) as LiveLinks;
  machine.set(3, "uplink0");
  links.begin();
  assertEquals(links.find(3, undefined)?.name, "uplink0");
  machine.set(9, "new0");
  assertEquals(links.find(9, undefined)?.name, "new0");
  machine.delete(9);
  links.begin();
  assertEquals(links.find(9, undefined), undefined);
  // Messages from other processes are ignored.
  machine.sys.reply(machine.watcher!, linkMessage(RTM_NEWLINK, 3, "lie0"), 4711);
  links.begin();
  assertEquals([links.find(3, undefined)?.name, machine.lists], ["uplink0", 1]);
});

test("LiveLinks knows which names there are, and takes every name for one while it knows none", () => {
  const machine = new Machine();
  using links = watchLinksWith(machine.sys) as LiveLinks;
  assertEquals([links.has("eth0"), links.has("new0")], [true, false]);
  machine.set(9, "new0");
  machine.delete(3);
  links.begin();
  assertEquals([links.has("eth0"), links.has("new0")], [false, true]);
  const { reads } = machine.watcher!;
  for (let i = 0; i < 100; i++) links.has("eth0");
  assertEquals(machine.watcher!.reads, reads);
  links.close();
  const broken = new Machine();
  broken.sys.fail("socket", EMFILE);
  using unknown = watchLinksWith(broken.sys);
  assertEquals(unknown.has("eth0"), true);
});

test("LiveLinks updates once per batch, however often it is asked", () => {
  const machine = new Machine();
  using links = watchLinksWith(machine.sys) as LiveLinks;
  links.find(3, undefined);
  const { reads } = machine.watcher!;
  for (let i = 0; i < 100; i++) links.find(3, undefined);
  assertEquals(machine.watcher!.reads, reads);
});

test("LiveLinks lists the devices again if notifications were lost", () => {
  const machine = new Machine();
  using links = watchLinksWith(machine.sys) as LiveLinks;
  machine.watcher!.room = 1;
  machine.set(3, "one0");
  machine.set(3, "two0");
  machine.set(4, "more0");
  links.begin();
  assertEquals([links.find(3, undefined)?.name, links.find(4, undefined)?.name, machine.lists], ["two0", "more0", 2]);
});

test("LiveLinks requests a list again if it changed while it was made, but not endlessly", () => {
  const machine = new Machine();
  machine.interrupted = 1;
  using links = watchLinksWith(machine.sys);
  assertEquals([links.find(3, undefined)?.name, machine.lists], ["eth0", 2]);
  const restless = new Machine();
  restless.interrupted = Infinity;
  using others = watchLinksWith(restless.sys);
  assertEquals([others.find(3, undefined)?.name, restless.lists], ["eth0", 4]);
});

test("LiveLinks: whatever fails, the device is not known for now, and it is tried again", async () => {
  // At once, because each waits a second for that.
  await Promise.all((["socket", "bind", "getsockname", "sendto", "recvmmsg"] as const).map(async (call) => {
    const machine = new Machine();
    machine.sys.fail(call, EMFILE);
    using links = new LiveLinks(machine.sys);
    assertEquals(links.find(3, undefined), undefined, call);
    for (let i = 0; links.find(3, undefined)?.name !== "eth0"; i++) {
      if (i > 500) throw new Error(`${call} was not tried again`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    links.close();
    machine.sys.assertClean();
  }));
});

test("a listener knows the devices of its batches as they are, and opens nothing if nobody asks", async () => {
  const machine = new Machine();
  const { sys } = machine;
  const listener = await listenWith(sys);
  sys.sample(sampleMessage({ sequence: 0 }));
  const first = (await listener.read())!;
  assertEquals(machine.watcher, undefined);
  machine.names.set(2, "eth2");
  assertEquals(first.device(0)?.name, "eth2");
  machine.set(2, "renamed2");
  sys.sample(sampleMessage({ sequence: 1 }));
  assertEquals((await listener.read())!.device(0)?.name, "renamed2");
  await listener.close();
  await settle();
  sys.assertClean();
});
