/** Requests that tc does not make, and values out of range. */
import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { encodeActionDump, encodeActions, encodeActionsByIndex } from "../../src/tc/action.ts";
import { prefixLength, prefixMask } from "../../src/tc/address.ts";
import { type Control, decodeControl, encodeControl } from "../../src/tc/control.ts";
import { decodeFilter, encodeFilter } from "../../src/tc/filter.ts";
import type { FlowerKeys } from "../../src/tc/flower.ts";
import { withKey } from "../../src/tc/u32.ts";
import { splitMessages } from "../../src/wire/message.ts";
import { ipv4Bytes, ipv6Bytes, toHex } from "../../src/wire/text.ts";

test("encodeControl: every control, encoded and decoded", () => {
  const controls: Control[] = [
    "continue",
    "pass",
    "reclassify",
    "drop",
    "pipe",
    "stolen",
    "queued",
    "repeat",
    "redirect",
    "trap",
    { jump: 0 },
    { jump: 0x0fffffff },
    { gotoChain: 0 },
    { gotoChain: 7 },
    { value: 77 },
  ];
  for (const control of controls) assertEquals(decodeControl(encodeControl(control)), control);
  assertThrows(() => encodeControl({ jump: 0x10000000 }), ArgumentError);
  assertThrows(() => encodeControl({ gotoChain: -1 }), ArgumentError);
  assertThrows(() => encodeControl("constructor" as Control), ArgumentError);
});

test("encodeActions: a number out of range is an error, never another number", () => {
  for (const sample of [{ rate: 4294967296 }, { group: -1 }, { truncateBytes: 1.5 }, { index: NaN }]) {
    assertThrows(() => encodeActions("add", [{ sample }]), ArgumentError);
  }
  assertThrows(() => encodeActions("add", [{ sample: { rate: 1 }, cookie: new Uint8Array(17) }]), ArgumentError);
  assertThrows(() => encodeActions("add", Array(33).fill({ sample: { rate: 1, group: 1 } })), ArgumentError);
});

test("encodeActions: no truncation sends no attribute, 0 sends one", () => {
  const without = toHex(encodeActions("add", [{ sample: { rate: 1, group: 1 } }]));
  const zero = toHex(encodeActions("add", [{ sample: { rate: 1, group: 1, truncateBytes: 0 } }]));
  assertEquals(without.includes("08000400"), false);
  assertEquals(zero.includes("0800040000000000"), true);
});

test("encodeActionsByIndex: several in one request", () => {
  const text = toHex(encodeActionsByIndex("delete", [5, 6]));
  assertEquals([text.includes("0800030005000000"), text.includes("0800030006000000")], [true, true]);
});

test("encodeActionDump: asks for more than 32", () => {
  assertEquals(toHex(encodeActionDump()).endsWith("0c0002000100000001000000"), true);
});

test("encodeFilter: all flower keys, encoded and decoded", () => {
  const mac = { address: new Uint8Array([2, 0, 0, 0, 0, 1]), mask: new Uint8Array(6).fill(255) };
  const common: FlowerKeys = {
    inputDevice: "v0",
    vlanCount: 2,
    vlanId: 5,
    vlanPriority: 3,
    vlanEtherType: 0x8100,
    cvlanId: 6,
    cvlanPriority: 4,
    cvlanEtherType: 0x0800,
    destinationMac: mac,
    sourceMac: mac,
    etherType: 0x88a8,
    tos: { value: 4, mask: 0xfc },
    ttl: { value: 64, mask: 0xff },
    ipFlags: { value: 1, mask: 3 },
  };
  const four = (text: string): NonNullable<FlowerKeys["source"]> => ({ address: ipv4Bytes(text)!, mask: prefixMask(8, 4) });
  const six = (text: string): NonNullable<FlowerKeys["source"]> => ({ address: ipv6Bytes(text)!, mask: prefixMask(33, 16) });
  const all: FlowerKeys[] = [
    { ...common, ipProtocol: 6, source: four("10.0.0.1"), destination: four("10.0.0.2"), tcpFlags: { value: 2, mask: 0xfff } },
    { ipProtocol: 17, source: six("2001:db8::1"), sourcePort: { value: 53, mask: undefined }, destinationPorts: { from: 1, to: 65535 } },
    { ipProtocol: 132, destination: six("::1"), destinationPort: { value: 80, mask: 0xfff0 }, sourcePorts: { from: 7, to: 9 } },
    { ipProtocol: 1, icmpType: { value: 8, mask: 0xff }, icmpCode: { value: 0, mask: 0xff } },
    { ipProtocol: 58, icmpType: { value: 128, mask: 240 } },
    {
      arpSource: four("10.0.0.1"),
      arpTarget: four("10.0.0.2"),
      arpOperation: { value: 1, mask: 255 },
      arpSourceMac: mac,
      arpTargetMac: mac,
    },
  ];
  for (const keys of all) {
    const [message] = splitMessages(encodeFilter("add", { ifindex: 1, parent: 1 }, { kind: "flower", keys }));
    const { classifier } = decodeFilter(message!);
    assertEquals(classifier?.kind === "flower" && classifier.keys, keys);
    assertEquals(classifier?.kind === "flower" && classifier.unknown, []);
  }
});

test("encodeFilter: a flower key that needs another is refused", () => {
  const encode = (keys: FlowerKeys) => () => encodeFilter("add", { ifindex: 1, parent: 1 }, { kind: "flower", keys });
  assertThrows(encode({ destinationPort: { value: 80, mask: undefined } }), ArgumentError, "destinationPort");
  assertThrows(encode({ ipProtocol: 6, icmpType: { value: 8, mask: undefined } }), ArgumentError, "icmpType");
  assertThrows(encode({ source: { address: new Uint8Array(5), mask: new Uint8Array(5) } }), ArgumentError, "source");
});

test("withKey: bits of one word are joined, contradictions refused", () => {
  const key = { value: 0x00060000, mask: 0x00ff0000, offset: 8, offsetMask: 0 };
  const keys = withKey([], key)!;
  assertEquals(withKey(keys, { ...key, value: 0x40000000, mask: 0xff000000 })![0], { ...key, value: 0x40060000, mask: 0xffff0000 });
  assertEquals(withKey(keys, { ...key, value: 0x00110000 }), undefined);
  assertEquals(withKey(keys, { ...key, offset: 3 }), undefined);
  assertEquals(withKey(keys, { ...key, offsetMask: -1 })!.length, 2);
});

test("prefixMask and prefixLength: inverse of each other", () => {
  for (let bits = 1; bits <= 128; bits++) assertEquals(prefixLength(prefixMask(bits, 16)), bits);
  assertEquals(prefixLength(new Uint8Array(4)), undefined);
  assertEquals(prefixLength(new Uint8Array([255, 0, 255, 0])), undefined);
});
