import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { writePacketJson } from "../../src/format/json_packet.ts";
import { Output } from "../../src/format/output.ts";
import { packetFields } from "../../src/packet/fields.ts";
import { PacketView } from "../../src/packet/packet_view.ts";
import { MADE } from "../packet/made.ts";
import { recordedSamples } from "../psample/recordings.ts";

const view = new PacketView();

function check(data: Uint8Array, first: "ethernet" | "raw-ip", originalBytes: number): void {
  view.decode(data, 0, data.length, first, originalBytes);
  const output = new Output(1);
  writePacketJson(output, view);
  assertEquals(output.takeText(), JSON.stringify(packetFields(view)));
}

test("the fast writer agrees with the fields, wherever a packet is cut", () => {
  const packets = [...Object.values(MADE), ...recordedSamples().flatMap(({ data }) => data ?? [])];
  assert(packets.length > 100);
  for (const data of packets) {
    for (let size = 0; size <= Math.min(data.length, 160); size++) {
      for (const first of ["ethernet", "raw-ip"] as const) check(data.subarray(0, size), first, data.length);
    }
    check(data, "ethernet", data.length + 1000);
  }
});

test("also for packets with any byte changed", () => {
  let seed = 5;
  const random = (limit: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * limit);
  };
  for (const data of Object.values(MADE)) {
    for (let i = 0; i < 200; i++) {
      const changed = data.slice();
      for (let changes = 1 + random(3); changes > 0; changes--) changed[random(changed.length)] = random(256);
      check(changed, "ethernet", data.length);
      check(changed.subarray(14), "raw-ip", data.length - 14);
    }
  }
});
