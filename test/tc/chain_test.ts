import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { decodeChain, encodeChainDump } from "../../src/tc/chain.ts";
import { encodeTcHeader, RTM_GETCHAIN, RTM_NEWCHAIN } from "../../src/tc/tcmsg.ts";
import { encodeMessage, messageOf } from "../../src/wire/message.ts";

test("a chain is read with or without its template, and without its number it is chain 0", () => {
  const header = encodeTcHeader({ ifindex: 7, handle: 0, parent: 0xffff0000, info: 0 });
  const decode = (fill: NonNullable<Parameters<typeof encodeMessage>[2]>): unknown =>
    decodeChain(messageOf(encodeMessage({ type: RTM_NEWCHAIN, flags: 0 }, header, fill)));
  const common = { ifindex: 7, parent: 0xffff0000 };
  assertEquals(decode(() => {}), { ...common, index: 0, template: undefined });
  assertEquals(decode((attr) => attr.u32(11, 9)), { ...common, index: 9, template: undefined });
  assertEquals(decode((attr) => attr.u32(11, 9).string(1, "flower").u32(99, 1)), { ...common, index: 9, template: "flower" });
  assertThrows(() => decodeChain(messageOf(encodeMessage({ type: RTM_NEWCHAIN, flags: 0 }, header.subarray(0, 12)))), DecodeError);
});

test("a dump of chains is for a device and a parent", () => {
  const { type, flags, payload } = messageOf(encodeChainDump(7, 0xfffffff2));
  assertEquals([type, flags], [RTM_GETCHAIN, 0x301]);
  assertEquals(payload, encodeTcHeader({ ifindex: 7, handle: 0, parent: 0xfffffff2, info: 0 }));
});
