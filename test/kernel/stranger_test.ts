/** Another process with CAP_NET_ADMIN multicasts false notifications about the psample family. */
import { assertEquals } from "@std/assert";
import { loadSys } from "../../src/sys/load.ts";
import { AF_NETLINK, MSG_DONTWAIT, NETLINK_GENERIC, SOCK_CLOEXEC, SOCK_RAW } from "../../src/sys/sys.ts";
import { CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY, GENL_GROUP_NOTIFY } from "../../src/genl/ctrl.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { familyMessage } from "../support/messages.ts";
import { frameOut, inOrder } from "./frames.ts";
import { hear, IFINDEX, sample, sampledInOrder, scene, send, wire } from "./scene.ts";

const sys = await loadSys();

/** Multicasts to a group of generic netlink, as any process with CAP_NET_ADMIN may. */
function multicast(group: number, message: Uint8Array<ArrayBuffer>): void {
  const fd = sys.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  const address = memory(12);
  viewOf(address).setUint16(0, AF_NETLINK, LITTLE);
  viewOf(address).setUint32(8, 1 << (group - 1), LITTLE);
  try {
    assertEquals(sys.sendto(fd, message, MSG_DONTWAIT, address), message.length);
  } finally {
    sys.close(fd);
  }
}

scene("false notifications about the family from another process neither end nor deafen a listener", async () => {
  wire();
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  for (const wait of [false, true]) {
    await using ear = await hear({ wait, events: false });
    const { family } = ear.listener;
    const packets = inOrder(3, frameOut);
    let sequence: number | undefined;
    for (
      const [command, id] of [
        [CTRL_CMD_DELFAMILY, family],
        [CTRL_CMD_NEWFAMILY, family],
        [CTRL_CMD_NEWFAMILY, family + 1],
        [CTRL_CMD_DELFAMILY, family + 1],
      ] as const
    ) {
      multicast(GENL_GROUP_NOTIFY, familyMessage(command, { id, name: "psample", groups: { config: 30, packets: 31 } }));
      send("a", ...packets);
      const heard = await ear.take(3);
      sequence ??= (heard[0] as { sequence: number }).sequence;
      const expected = sampledInOrder(packets, { group: 1, outIfindex: IFINDEX.a });
      assertEquals(
        heard.map((entry) => ({ ...entry, timestampNs: undefined })),
        expected.map((one, i) => ({ ...one, sequence: sequence! + i })),
      );
      sequence += 3;
    }
    assertEquals([ear.listener.family, ear.listener.stats().lost], [family, 0]);
  }
});
