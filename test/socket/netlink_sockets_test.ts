import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { SocketLister } from "../../src/socket/netlink_sockets.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_ADD_MEMBERSHIP, NETLINK_ROUTE, NETLINK_USERSOCK, SOL_NETLINK, type Sys } from "../../src/sys/sys.ts";
import { encodeMessage } from "../../src/wire/message.ts";
import { memory } from "../../src/wire/native.ts";
import { FakeSys } from "../fake_sys.ts";

/** Two sockets, one of which has joined groups, and the kernel's list of them. */
async function listsTwo(sys: Sys): Promise<void> {
  const [one, two] = [new NetlinkSocket(sys, NETLINK_USERSOCK), new NetlinkSocket(sys, NETLINK_USERSOCK)];
  const other = new NetlinkSocket(sys, NETLINK_ROUTE);
  const lister = SocketLister.open(sys);
  try {
    const joined = [1, 9, 32].filter((group) => one.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group));
    const sockets = await lister?.list(NETLINK_USERSOCK);
    // Without netlink_diag the kernel may only give no answer.
    if (!sockets) return;
    const ours = sockets.filter(({ portId }) => portId === one.portId || portId === two.portId);
    assertEquals(
      ours.map(({ portId, groups }) => ({ portId, groups })).sort((a, b) => a.portId - b.portId),
      [{ portId: one.portId, groups: joined }, { portId: two.portId, groups: [] }].sort((a, b) => a.portId - b.portId),
    );
    assertEquals(new Set(ours.map(({ inode }) => inode)).size, 2);
  } finally {
    for (const socket of [one, two, other, lister]) socket?.close();
  }
}

test("the lister names each socket of a protocol once, with the groups that it has joined", async () => {
  const sys = new FakeSys();
  await listsTwo(sys);
  const lister = SocketLister.open(sys)!;
  assertEquals(await lister.list(NETLINK_USERSOCK), []);
  lister.close();
  sys.assertClean();
});

test("the lister tells what waits in a socket, how much may, and what was dropped", async () => {
  const sys = await loadSys();
  const [from, to] = [new NetlinkSocket(sys, NETLINK_USERSOCK), new NetlinkSocket(sys, NETLINK_USERSOCK)];
  const lister = SocketLister.open(sys);
  try {
    const queueOf = async () => (await lister?.list(NETLINK_USERSOCK))?.find(({ portId }) => portId === to.portId)?.queue;
    const before = await queueOf();
    // A kernel without netlink_diag does not say; that is all it may do.
    if (!before) return;
    assertEquals([before.bytes, before.drops], [0, to.drops()]);
    assertEquals(before.limitBytes, 2 * to.setReceiveBuffer(before.limitBytes / 2));
    from.send(encodeMessage({ type: 20, flags: 0 }, memory(1000)), "test", to.portId);
    const { bytes } = (await queueOf())!;
    assert(bytes >= 1000 && bytes < before.limitBytes, `${bytes} bytes`);
  } finally {
    for (const socket of [from, to, lister]) socket?.close();
  }
});

test("the lister does so on this machine's kernel", async () => await listsTwo(await loadSys()));

test("the lister is not sure of anything if the kernel cannot be asked", async () => {
  const sys = new FakeSys({ noSocketDiag: true });
  const lister = SocketLister.open(sys)!;
  assertEquals(await lister.list(NETLINK_USERSOCK), undefined);
  lister.close();
  sys.fail("socket", 93);
  assertEquals(SocketLister.open(sys), undefined);
  sys.assertClean();
});
