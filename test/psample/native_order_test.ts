import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { toNativeOrder } from "../../src/psample/native_order.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";
import { type Attribute, attributes, bytes, join, message, number } from "./build.ts";

/** A sample with everything, from a machine of this byte order. */
function sample(little: boolean): Uint8Array<ArrayBuffer> {
  const n = (size: 2 | 4 | 8, value: number | bigint): Uint8Array<ArrayBuffer> => number(size, value, little);
  const tunnel: Attribute[] = [
    [0, bytes("000000000000002a")],
    [1, bytes("c0000201")],
    [3, bytes("10")],
    [5, bytes("")],
    [9, bytes("12b5")],
    [11, n(4, 0x01020304)],
  ];
  const list: Attribute[] = [
    [0, n(2, 101)],
    [1, n(4, 70001)],
    [5, n(4, 1000)],
    [2, n(4, 1514)],
    [3, n(4, 5)],
    [4, n(4, 77)],
    [10, n(2, 3)],
    [11, n(8, 0x0102030405060708n)],
    [12, n(8, 1234567890123n)],
    [13, n(8, 1784000000000000001n)],
    [14, n(2, 0x0800)],
    [6, bytes("0200000001020304050607")],
    [8 | 0x8000, attributes(tunnel, little)],
    [15, bytes("0102030405060708")],
    [16, bytes("")],
    [99, bytes("0a0b0c0d")],
  ];
  return message(list, { type: 30, flags: 2, sequence: 0x01020304, portId: 0x0a0b0c0d, little });
}

test("a sample of the other byte order becomes what this machine would have sent", () => {
  const converted = sample(!LITTLE);
  toNativeOrder(viewOf(converted), 0, converted.length);
  assertEquals(converted, sample(LITTLE));
});

test("only the bytes between the offsets change", () => {
  const [before, after] = [bytes("0102030405060708"), bytes("1112131415161718")];
  const memory = join(before, sample(!LITTLE), after);
  toNativeOrder(viewOf(memory), 8, memory.length - 8);
  assertEquals(memory, join(before, sample(LITTLE), after));
});

test("lengths that contradict the message change nothing outside of it", () => {
  const whole = sample(!LITTLE);
  for (let size = 20; size < whole.length; size++) {
    const memory = join(whole.slice(0, size), new Uint8Array(16).fill(0xee));
    toNativeOrder(viewOf(memory), 0, size);
    assertEquals(memory.slice(size), new Uint8Array(16).fill(0xee), `cut to ${size} bytes`);
  }
});
