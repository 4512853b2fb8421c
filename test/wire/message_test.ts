import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError, NetlinkError } from "../../src/errors.ts";
import { CTRL_CMD_GETFAMILY, decodeFamily, encodeGetFamily, genlCommand } from "../../src/genl/ctrl.ts";
import {
  ackError,
  addFlags,
  decodeAck,
  encodeMessage,
  type Message,
  messageFlags,
  messageOf,
  messageType,
  setSequence,
  splitMessages,
} from "../../src/wire/message.ts";
import { htonl, htons, LITTLE } from "../../src/wire/native.ts";
import { type Attribute, attributes, bytes, join, message, number } from "../psample/build.ts";

const skip = LITTLE ? false : "the bytes are of a little-endian machine";

test("splitMessages reads the headers, in both byte orders, and the last message may lack its padding", () => {
  for (const little of [true, false]) {
    const header = { type: 0x1234, flags: 0x0302, sequence: 0xffffffff, portId: 0x80000000 };
    const one = message([[1, bytes("aa")]], { ...header, command: 9, little });
    const two = message([[1, bytes("bb")]], { little }, false);
    const [first, second] = splitMessages(join(one, two), little);
    assertEquals(first, { ...header, littleEndian: little, bytes: one, payload: one.subarray(16) });
    assertEquals(second, { type: 30, flags: 0, sequence: 0, portId: 0, littleEndian: little, bytes: two, payload: two.subarray(16) });
  }
  assertEquals(splitMessages(new Uint8Array(0)), []);
});

test("splitMessages refuses wrong lengths", () => {
  const one = message([]);
  for (const length of [0, 15, one.length + 1, 0xffffffff]) {
    const bad = one.slice();
    bad.set(number(4, length));
    assertThrows(() => splitMessages(bad, true), DecodeError, `Cannot decode netlink message at byte 0: length ${length}`);
  }
  assertThrows(() => splitMessages(join(one, bytes("14000000")), true), DecodeError, "at byte 20: 4 bytes left");
});

test("encodeMessage writes these bytes", { skip }, () => {
  const fixed = bytes("0102030405");
  assertEquals(
    encodeMessage({ type: 0x10, flags: 0x301, sequence: 7, portId: 9 }, fixed, (attr) => attr.u16(1, 2)),
    bytes("20000000 1000 0103 07000000 09000000 0102030405000000 0600 0100 02000000"),
  );
  assertEquals(encodeMessage({ type: 3, flags: 2 }, new Uint8Array(0)), bytes("10000000 0300 0200 00000000 00000000"));
});

test("encodeGetFamily writes these bytes", { skip }, () => {
  assertEquals(encodeGetFamily("psample", 5), bytes("20000000 1000 0100 05000000 00000000 03010000 0c00 0200 7073616d706c6500"));
  assertEquals(genlCommand(splitMessages(encodeGetFamily("psample"))[0]!), CTRL_CMD_GETFAMILY);
});

test("messageOf uses the given bytes, whatever their length field says", () => {
  const one = message([[1, bytes("aa")]], { type: 7, flags: 2, sequence: 3, portId: 4 });
  one.set(number(4, 5));
  const rest = { type: 7, flags: 2, sequence: 3, portId: 4, littleEndian: true };
  assertEquals(messageOf(one, true), { ...rest, bytes: one, payload: one.subarray(16) });
  const header = one.subarray(0, 16);
  assertEquals(messageOf(header, true), { ...rest, bytes: header, payload: new Uint8Array(0) });
  assertThrows(() => messageOf(one.subarray(0, 15)), DecodeError, "15 bytes, expected at least 16");
});

test("the header of a request is read and changed in place, the rest stays unchanged", { skip }, () => {
  const request = bytes("14000000 2c00 0104 00000000 09000000 deadbeef");
  assertEquals([messageType(request), messageFlags(request)], [0x2c, 0x0401]);
  addFlags(request, 0x0c);
  addFlags(request, 0x01);
  setSequence(request, 0xfffffffe);
  assertEquals(request, bytes("14000000 2c00 0d04 feffffff 09000000 deadbeef"));
});

function ack(payload: Uint8Array, flags = 0, type = 2): Message {
  return messageOf(join(number(4, 16 + payload.length), number(2, type), number(2, flags), number(4, 1), number(4, 2), payload), true);
}

const REQUEST = bytes("14000000 1000 0500 01000000 00000000 03010000");
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("decodeAck reads success, refusals and the kernel's message", { skip }, () => {
  const nothing = { extack: undefined, extackOffset: undefined };
  assertEquals(decodeAck(ack(join(number(4, 0), REQUEST))), { errno: 0, ...nothing });
  assertEquals(decodeAck(ack(join(number(4, -22 >>> 0), REQUEST))), { errno: 22, ...nothing });
  const tlvs: Attribute[] = [[1, text("bad rate\0")], [2, number(4, 24)], [99, bytes("00")]];
  const said = { extack: "bad rate", extackOffset: 24 };
  const errno = number(4, -22 >>> 0);
  assertEquals(decodeAck(ack(join(errno, REQUEST, attributes(tlvs)), 0x200)), { errno: 22, ...said });
  assertEquals(decodeAck(ack(join(errno, REQUEST.subarray(0, 16), attributes(tlvs)), 0x300)), { errno: 22, ...said });
  // A warning with a success, and a dump that ends with an error.
  assertEquals(decodeAck(ack(join(number(4, 0), REQUEST.subarray(0, 16), attributes(tlvs)), 0x300)), { errno: 0, ...said });
  assertEquals(decodeAck(ack(join(errno, attributes(tlvs)), 0x202, 3)), { errno: 22, ...said });
});

test("decodeAck returns the error number despite damaged attributes", { skip }, () => {
  const errno = number(4, -1 >>> 0);
  const nothing = { errno: 1, extack: undefined, extackOffset: undefined };
  for (const rest of ["", "ff", "ffffffff", "00000000", "14000000", "10000000 ffff 0100"]) {
    for (const flags of [0x200, 0x300]) assertEquals(decodeAck(ack(join(errno, bytes(rest)), flags)), nothing);
  }
  const wide = join(errno, REQUEST, attributes([[1, text("told\0")], [2, bytes("00")]]));
  assertEquals(decodeAck(ack(wide, 0x200)), { ...nothing, extack: "told" });
});

test("decodeAck takes a DONE without a status, and refuses an ERROR without one", () => {
  assertEquals(decodeAck(ack(new Uint8Array(0), 2, 3)).errno, 0);
  assertThrows(() => decodeAck(ack(new Uint8Array(3))), DecodeError);
});

test("ackError says what was attempted, what the kernel answered and the cure", () => {
  assertEquals(ackError("add a filter", { errno: 0, extack: "a warning", extackOffset: undefined }), undefined);
  const error = ackError("add a filter", { errno: 22, extack: "bad rate", extackOffset: 24 }, "Give a rate")!;
  assertEquals(error instanceof NetlinkError, true);
  assertEquals(error.message, "Cannot add a filter: invalid argument (EINVAL): bad rate. Give a rate");
  assertEquals([error.code, error.errno, error.extack, error.extackOffset, error.hint], ["EINVAL", 22, "bad rate", 24, "Give a rate"]);
});

test("decodeFamily reads the controller's answer, in both byte orders", () => {
  for (const little of [true, false]) {
    const group = (name: string, id: number): Uint8Array<ArrayBuffer> =>
      attributes([[1, text(`${name}\0`)], [2, number(4, id, little)]], little);
    const reply = message([
      [2, text("psample\0")],
      [1, number(2, 0x1e, little)],
      [3, number(4, 1, little)],
      [4, number(4, 0, little)],
      [5, number(4, 16, little)],
      [6, bytes("")],
      [7, attributes([[1, group("config", 8)], [2, group("packets", 900)], [3, attributes([[1, text("x\0")]], little)]], little)],
      [99, bytes("00")],
    ], { type: 0x10, command: 1, little });
    assertEquals(decodeFamily(splitMessages(reply, little)[0]!), {
      id: 0x1e,
      name: "psample",
      version: 1,
      maxAttribute: 16,
      groups: new Map([["config", 8], ["packets", 900]]),
    });
  }
});

test("decodeFamily requires a number and a name", () => {
  for (const list of [[[1, number(2, 30)]], [[2, text("psample\0")]], []] as Attribute[][]) {
    assertThrows(() => decodeFamily(splitMessages(message(list), true)[0]!), DecodeError, "missing number or name");
  }
  assertThrows(() => decodeFamily(ack(new Uint8Array(3), 0, 0x10)), DecodeError, "3 bytes, expected at least 4");
});

test("htons and htonl swap on a little-endian machine", { skip }, () => {
  assertEquals([htons(0x1234), htons(0xff00), htonl(0x12345678), htonl(0xff)], [0x3412, 0x00ff, 0x78563412, 0xff000000]);
});
