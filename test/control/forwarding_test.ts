import { test } from "node:test";
import { readFileSync } from "node:fs";
import { assertEquals } from "@std/assert";
import { forwardsPackets } from "../../src/control/forwarding.ts";
import { loadSys } from "../../src/sys/load.ts";
import { EOPNOTSUPP } from "../../src/sys/sys.ts";
import { type Attribute, attributes, join, number } from "../psample/build.ts";
import { FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage } from "../support/messages.ts";

function reply(type: number, sequence: number, header: Uint8Array, list: readonly Attribute[]): Uint8Array {
  const body = join(header, attributes(list));
  return join(number(4, 16 + body.length), number(2, type), number(2, 2), number(4, sequence), number(4, 0), body);
}

/** What is set: [family, ifindex (-1 all, -2 default), forwarding]. And the index of a bridge that a device is a port of. */
async function asked(settings: readonly (readonly [number, number, number])[], master?: number): Promise<boolean> {
  const sys = new FakeSys();
  sys.answer = ({ type, payload, sequence }, socket) => {
    if (type === 82) {
      // A kernel without IPv6.
      if (payload[0] === 10 && !settings.some(([family]) => family === 10)) return sys.reply(socket, ackMessage(sequence, EOPNOTSUPP));
      for (const [family, ifindex, forwarding] of settings.filter(([family]) => family === payload[0])) {
        sys.reply(
          socket,
          reply(80, sequence, Uint8Array.of(family, 0, 0, 0), [[1, number(4, ifindex >>> 0)], [2, number(4, forwarding)]]),
        );
      }
    } else {
      const ifinfo = join(Uint8Array.of(0, 0, 1, 0), number(4, 5), number(4, 1), number(4, 0));
      const name = new TextEncoder().encode("eth0\0");
      sys.reply(socket, reply(16, sequence, ifinfo, [[3, name], ...master === undefined ? [] : [[10, number(4, master)] as const]]));
    }
    sys.reply(socket, doneMessage(sequence));
  };
  const result = await forwardsPackets(sys);
  sys.assertClean();
  return result;
}

test("a machine forwards if any device does, by either family, or if one is a port of a bridge", async () => {
  assertEquals(await asked([[2, -1, 0], [2, 5, 0], [10, -1, 0]]), false);
  assertEquals(await asked([[2, -1, 0], [2, 5, 1]]), true);
  assertEquals(await asked([[2, -1, 0], [10, -1, 1]]), true);
  assertEquals(await asked([[2, -1, 0]], 7), true);
  // That is only for devices that do not exist yet.
  assertEquals(await asked([[2, -2, 1], [2, -1, 0]]), false);
});

test("it is so on this machine if its settings say so", async () => {
  const forwards = await forwardsPackets(await loadSys());
  const isOn = (path: string): boolean => {
    try {
      return readFileSync(path, "utf8").trim() !== "0";
    } catch {
      return false;
    }
  };
  if (isOn("/proc/sys/net/ipv4/conf/all/forwarding")) assertEquals(forwards, true);
});
