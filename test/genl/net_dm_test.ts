import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import {
  decodeDropMonitorConfig,
  decodeDropMonitorLosses,
  decodeDroppedPacket,
  dropMonitorRequests,
  isDroppedPacket,
} from "../../src/genl/net_dm.ts";
import { messageOf } from "../../src/wire/message.ts";
import { fromHex, toHex } from "../../src/wire/text.ts";

const ask = dropMonitorRequests({ id: 0x20, version: 2 });

/** The genetlink header and the attributes of a request on a machine of little-endian order. */
function body(request: Uint8Array): string {
  return toHex(request.subarray(16));
}

test("requests are what include/uapi/linux/net_dropmon.h says", () => {
  assertEquals(body(ask.getConfig()), "06020000");
  assertEquals(body(ask.getLosses()), "08020000");
  assertEquals(body(ask.config()), "02020000");
  assertEquals(
    body(ask.config({ alertMode: 1, truncateBytes: 128, queueLength: 1000 })),
    "02020000" + "0500010001000000" + "0800090080000000" + "08000b00e8030000",
  );
  assertEquals([body(ask.start(true)), body(ask.start(false))], ["03020000" + "04001400" + "04001500", "03020000" + "04001400"]);
  assertEquals([body(ask.stop(true)), body(ask.stop(false))], ["04020000" + "04001400" + "04001500", "04020000" + "04001400"]);
  assertEquals(toHex(ask.getConfig().subarray(0, 8)), "14000000" + "2000" + "0100");
});

/** What Linux 6.1 sent for a packet of IPv6 that nobody had joined the group of. */
const REPORT = "c80000002000000000000000000000000502000006000e00000000000c000200f49bf1abffffffff120017004e4f545f535045434946494544" +
  "0000001d0003006970365f6d635f696e7075742b30783161342f3078326330000000000c00048008000000650000000c000500dd99f30105eaeb18" +
  "08000a004600000006000600dd860000440007003333000000023ec2510afd0a86dd6000000000103afffe800000000000003cc251fffe0afd0aff" +
  "0200000000000000000000000000028500657f000000000101";

test("a report of a kernel is read", () => {
  const message = messageOf(fromHex(REPORT)!, true);
  assertEquals(isDroppedPacket(message), true);
  assertEquals(decodeDroppedPacket(message), {
    inIfindex: 101,
    data: fromHex(REPORT.slice(-128))!,
    originalBytes: 70,
    protocol: 0x86dd,
    symbol: "ip6_mc_input+0x1a4/0x2c0",
    reason: "NOT_SPECIFIED",
    trap: undefined,
  });
});

test("a report of a device has a trap, and may lack everything else", () => {
  const hex = "2c00000020000000" + "0000000000000000" + "05020000" + "06000e0001000000" + "0d001000" +
    toHex(new TextEncoder().encode("non_ip\0\0")) +
    "00000000";
  const bytes = fromHex(hex)!.subarray(0, 16 + 4 + 8 + 4 + 8);
  bytes[28] = 11;
  assertEquals(decodeDroppedPacket(messageOf(bytes, true)), {
    inIfindex: undefined,
    data: undefined,
    originalBytes: 0,
    protocol: undefined,
    symbol: undefined,
    reason: undefined,
    trap: { group: "", name: "non_ip" },
  });
});

test("answers are read, and other commands are none", () => {
  const header = "0000000020000000" + "0000000000000000";
  const config = messageOf(fromHex(`${header}07020000` + "0500010001000000" + "0800090080000000" + "08000b00e8030000")!, true);
  assertEquals(decodeDropMonitorConfig(config), { alertMode: 1, truncateBytes: 128, queueLength: 1000 });
  assertThrows(() => decodeDropMonitorConfig(messageOf(fromHex(`${header}07020000`)!, true)), DecodeError, "incomplete");
  const losses = `${header}09020000` + "10000c80" + "0c0000000500000000000000" + "10000d80" + "0c0000000700000001000000";
  assertEquals(decodeDropMonitorLosses(messageOf(fromHex(losses)!, true)), { software: 5n, hardware: 0x1_0000_0007n });
  assertEquals([isDroppedPacket(config), decodeDroppedPacket(config)], [false, undefined]);
});
