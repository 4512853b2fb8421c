import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError, decodeGroup, decodeMessage, type Group, messageOf } from "../../src/psample/mod.ts";
import { encodeGetGroups } from "../../src/psample/group.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { type Attribute, bytes, message, number } from "./build.ts";
import { recordings } from "./recordings.ts";

test("decodeGroup reads an entry of the list, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const entry = message([[3, number(4, 0xffffffff, littleEndian)], [7, number(4, 2, littleEndian)], [4, number(4, 9, littleEndian)]], {
      command: 2,
      little: littleEndian,
    });
    assertEquals(decodeGroup(messageOf(entry, littleEndian)), { group: 0xffffffff, refcount: 2, sequence: 9 });
  }
});

test("decodeGroup reads 8 as the reference count too: kernels 5.8 to 5.11", () => {
  const list: Attribute[] = [[3, number(4, 1)], [8, number(4, 2)], [4, number(4, 9)]];
  assertEquals(decodeGroup(messageOf(message(list, { command: 2 }), true)), { group: 1, refcount: 2, sequence: 9 });
});

test("decodeGroup requires a group, and nothing else", () => {
  const decode = (bytes: Uint8Array): Group => decodeGroup(messageOf(bytes, true));
  assertEquals(decode(message([[3, number(4, 0)]])), { group: 0, refcount: undefined, sequence: undefined });
  assertThrows(() => decode(message([[4, number(4, 0)]])), DecodeError, "missing group number");
  assertThrows(() => decode(message([[3, number(2, 0)]])), DecodeError, "missing group number");
  assertThrows(() => decode(new Uint8Array(19)), DecodeError, "19 bytes");
});

test("decodeMessage distinguishes samples and events by the command", () => {
  const list: Attribute[] = [[3, number(4, 5)], [4, number(4, 6)], [7, number(4, 0)]];
  const event = { group: 5, refcount: 0, sequence: 6, nsid: 3, portId: 8 };
  const decode = (bytes: Uint8Array): ReturnType<typeof decodeMessage> => decodeMessage(messageOf(bytes, true), 3);
  assertEquals(decode(message(list, { command: 2, portId: 8 })), { type: "group-created", ...event });
  assertEquals(decode(message(list, { command: 3, portId: 8 })), { type: "group-deleted", ...event });
  assertEquals(decode(message([[3, number(4, 5)]]))?.type, "sample");
  assertEquals(decode(message(list, { command: 1 })), undefined);
  assertEquals(decode(message(list, { command: 4 })), undefined);
  assertThrows(() => decode(new Uint8Array(19)), DecodeError);
});

test("decodeMessage reads the events that kernels sent", () => {
  const recorded = recordings().filter(({ name }) => name.startsWith("groups."));
  assertEquals(recorded.length > 0, true);
  for (const { items } of recorded) {
    const events = items.flatMap((item) => item.type === "sample" ? [] : [`${item.type} ${item.group} ${item.refcount} ${item.portId}`]);
    assertEquals(events.slice(0, 3), ["group-created 101 0 0", "group-created 102 0 0", "group-created 4294967295 0 0"]);
    assertEquals(events.filter((event) => event.startsWith("group-deleted")).length, 3);
  }
});

test("encodeGetGroups asks for a dump", { skip: LITTLE ? false : "the bytes are of a little-endian machine" }, () => {
  assertEquals(encodeGetGroups(30, 7), bytes("14000000 1e00 0103 07000000 00000000 01010000"));
});
