import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { TcWatch } from "../../src/control/tc_watch.ts";
import { encodeTcHeader } from "../../src/tc/tcmsg.ts";
import { encodeMessage } from "../../src/wire/message.ts";
import { FakeSys } from "../fake_sys.ts";

const [RTM_NEWLINK, RTM_NEWQDISC, RTM_DELTFILTER, RTM_NEWCHAIN, RTM_DELCHAIN, RTM_NEWACTION] = [16, 36, 45, 100, 101, 48] as const;
const RTNLGRP_TC = 4;

function change(type: number, ifindex: number, portId: number): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type, flags: 0, portId }, encodeTcHeader({ ifindex, handle: 1, parent: 2, info: 3 }));
}

test("a watch reports the changes of its device in order, and who requested them", () => {
  const sys = new FakeSys();
  const watch = TcWatch.open(sys, 5)!;
  assertEquals(watch.events(), []);
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 5, 7));
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 6, 7));
  sys.multicast(RTNLGRP_TC, change(RTM_NEWACTION, 5, 7));
  sys.multicast(RTNLGRP_TC, change(RTM_NEWLINK, 5, 7));
  sys.multicast(RTNLGRP_TC, change(RTM_DELTFILTER, 5, 8));
  // A chain has no owner. Its deletion, and messages of other processes, are no changes.
  sys.multicast(RTNLGRP_TC, change(RTM_NEWCHAIN, 5, 0));
  sys.multicast(RTNLGRP_TC, change(RTM_DELCHAIN, 5, 0));
  const [socket] = [...sys.fds.values()];
  sys.reply(socket!, change(RTM_NEWQDISC, 5, 9), 4711);
  assertEquals(watch.events(), [
    { type: RTM_NEWQDISC, by: 7, parent: 2 },
    { type: RTM_DELTFILTER, by: 8, parent: 2 },
    { type: RTM_NEWCHAIN, by: 0, parent: 2 },
  ]);
  assertEquals(watch.events(), []);
  watch.close();
  sys.assertClean();
});

test("a watch that missed changes says so, once", () => {
  const sys = new FakeSys();
  const watch = TcWatch.open(sys, 5)!;
  const [socket] = [...sys.fds.values()];
  socket!.room = 1;
  for (let i = 0; i < 2; i++) sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 5, 7));
  assertEquals(watch.events(), undefined);
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 5, 7));
  assertEquals(watch.events()?.length, 1);
  watch.close();
  sys.assertClean();
});

test("without a descriptor there is no watch", () => {
  const sys = new FakeSys();
  sys.fail("socket", 24);
  assertEquals(TcWatch.open(sys, 5), undefined);
  sys.fail("setsockopt", 1);
  assertEquals(TcWatch.open(sys, 5), undefined);
  sys.assertClean();
});

test("between its end and its next start a watch receives nothing, and reports nothing from before", () => {
  const sys = new FakeSys();
  const watch = TcWatch.open(sys, 5)!;
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 5, 7));
  watch.end();
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 5, 8));
  assertEquals(watch.begin(6), true);
  assertEquals(watch.events(), []);
  sys.multicast(RTNLGRP_TC, change(RTM_NEWQDISC, 6, 9));
  assertEquals(watch.events()?.map(({ by }) => by), [9]);
  watch.close();
  sys.assertClean();
});
