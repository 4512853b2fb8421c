import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { decodeFamily, encodeFamilyDump, encodeGetFamily, GENL_ID_CTRL, genlCommand, genlHeader } from "../../src/genl/ctrl.ts";
import { encodeMessage, type Message, messageOf, splitMessages } from "../../src/wire/message.ts";
import { fromHex, toHex } from "../../src/wire/text.ts";

/** The first message of a datagram. */
function first(datagram: Uint8Array): Message {
  return splitMessages(datagram)[0]!;
}

// What `genl ctrl get name psample` of a kernel answers with, attribute by attribute: the name, the number 32, version 1,
// no header, 7 attributes at most, one operation, and the groups packets (number 12) and config (number 11).
const REPLY = "9c000000" + "1000" + "0000" + "01000000" + "d2040000" + // 156 bytes, nlctrl, answer to 1, for port 1234
  "01020000" + // CTRL_CMD_NEWFAMILY, version 2
  "0c000200" + "7073616d706c6500" + // FAMILY_NAME "psample"
  "06000100" + "20000000" + // FAMILY_ID, padded
  "08000300" + "01000000" + // VERSION
  "08000400" + "00000000" + // HDRSIZE
  "08000500" + "07000000" + // MAXATTR
  "18000600" + "14000100" + "08000100" + "01000000" + "08000200" + "0e000000" + // OPS: get-group, dump allowed
  "38000700" + // MCAST_GROUPS
  "18000100" + "08000200" + "0b000000" + "0b000100" + "636f6e6669670000" + // config
  "1c000200" + "08000200" + "0c000000" + "0c000100" + "7061636b65747300" + "04000000" + // packets, and an attribute of type 0
  "0c00ff00" + "0102030405060708"; // an attribute of tomorrow

test("decodeFamily reads the controller's answer", () => {
  const bytes = fromHex(REPLY)!;
  assertEquals(bytes.length, 0x9c);
  const message = first(bytes);
  assertEquals([message.type, genlCommand(message)], [GENL_ID_CTRL, 1]);
  assertEquals(decodeFamily(message), {
    id: 32,
    name: "psample",
    version: 1,
    maxAttribute: 7,
    groups: new Map([["config", 11], ["packets", 12]]),
  });
});

test("decodeFamily reads another machine's byte order", () => {
  const bytes = fromHex(
    "00000024" + "0010" + "0000" + "00000000" + "00000000" + "01020000" + "00060001" + "00200000" + "00070002" + "61620000",
  )!;
  const [message] = splitMessages(bytes, false);
  assertEquals(decodeFamily(message!), { id: 32, name: "ab", version: undefined, maxAttribute: undefined, groups: new Map() });
});

test("decodeFamily refuses a message without a number or a name", () => {
  for (const [type, fill] of [[1, 32], [2, 0x61]] as const) {
    const message = first(encodeMessage({ type: 16, flags: 0 }, genlHeader(1), (attr) => attr.u16(type, fill)));
    assertThrows(() => decodeFamily(message), DecodeError, "missing number or name");
  }
  assertThrows(
    () => decodeFamily(first(encodeMessage({ type: 16, flags: 0 }, new Uint8Array(0)))),
    DecodeError,
    "0 bytes, expected at least 4",
  );
});

test("decodeFamily reads a value or refuses, wherever the message is cut", () => {
  const bytes = fromHex(REPLY)!;
  for (let size = 16; size < bytes.length; size++) {
    try {
      assertEquals(decodeFamily(messageOf(bytes.subarray(0, size))).name, "psample");
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
});

test("decodeFamily leaves out a group without a name or without a number", () => {
  const message = first(encodeMessage({ type: 16, flags: 0 }, genlHeader(1), (attr) => {
    attr.u16(1, 30).string(2, "x").nest(7, (list) => {
      list.nest(1, (group) => group.string(1, "nameless")).nest(2, (group) => group.u32(2, 5));
      list.nest(3, (group) => group.string(1, "whole").u32(2, 6));
    });
  }));
  assertEquals([...decodeFamily(message).groups], [["whole", 6]]);
});

test("encodeGetFamily asks as the kernel's header says", () => {
  assertEquals(
    toHex(encodeGetFamily("psample", 0x01020304)),
    "20000000" + "1000" + "0100" + "04030201" + "00000000" + "03010000" + "0c000200" + "7073616d706c6500",
  );
});

test("encodeFamilyDump requests all families, without a name, which would make the kernel load a module", () => {
  const message = first(encodeFamilyDump());
  assertEquals([message.type, message.flags, toHex(message.payload)], [GENL_ID_CTRL, 0x301, "03010000"]);
});
