import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { encodeGroupFilter } from "../../src/filter/group_filter.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { bytes, message, number } from "../psample/build.ts";

const skip = LITTLE ? false : "the bytes are of a little-endian machine";

/** Runs a program as the kernel does (net/core/filter.c), as far as the filter needs it. */
function run(program: Uint8Array<ArrayBuffer>, packet: Uint8Array<ArrayBuffer>): number {
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  const data = new DataView(packet.buffer, packet.byteOffset, packet.length);
  let a = 0;
  let x = 0;
  for (let pc = 0;; pc++) {
    const k = code.getUint32(8 * pc + 4, true);
    switch (code.getUint16(8 * pc, true)) {
      case 0x00:
        a = k;
        break;
      case 0x01:
        x = k;
        break;
      case 0x07:
        x = a;
        break;
      case 0x06:
        return k;
      case 0x15:
        pc += code.getUint8(8 * pc + (a === k ? 2 : 3));
        break;
      case 0x28:
        a = data.getUint16(k);
        break;
      case 0x40:
        a = data.getUint32(x + k);
        break;
      case 0x20: {
        assertEquals(k | 0, -0x1000 + 12);
        let at = a;
        a = 0;
        while (at + 4 <= data.byteLength) {
          const size = data.getUint16(at, true);
          if (size < 4 || at + size > data.byteLength) break;
          if ((data.getUint16(at + 2, true) & 0x3fff) === x) {
            a = at;
            break;
          }
          at += (size + 3) & ~3;
        }
        break;
      }
      default:
        throw new Error(`instruction ${code.getUint16(8 * pc, true).toString(16)}`);
    }
  }
}

test("encodeGroupFilter is this program", { skip }, () => {
  assertEquals(
    encodeGroupFilter([7]),
    bytes(
      "2800000004000000 1500000100100000 06000000ffffffff 0100000003000000 0000000014000000 200000000cf0ffff" +
        "1500000100000000 06000000ffffffff 0700000000000000 4000000004000000" +
        "1500000100000007 06000000ffffffff 0600000000000000",
    ),
  );
});

test("encodeGroupFilter passes its groups and everything without a group", { skip }, () => {
  const filter = encodeGroupFilter([7, 0xfffffffe, 0]);
  const sample = (group: number): Uint8Array<ArrayBuffer> => message([[0, number(2, 3)], [6, bytes("010203")], [3, number(4, group)]]);
  for (const group of [7, 0xfffffffe, 0]) assertEquals(run(filter, sample(group)), 0xffffffff);
  for (const group of [1, 8, 0x07000000, 0xffffffff]) assertEquals(run(filter, sample(group)), 0);
  assertEquals(run(filter, message([[0, number(2, 3)]])), 0xffffffff);
  assertEquals(run(filter, message([])), 0xffffffff);
  // The controller's attribute 3 is a version.
  assertEquals(run(filter, message([[3, number(4, 1)]], { type: 0x10 })), 0xffffffff);
  assertEquals(run(encodeGroupFilter([7], 100), sample(7)), 100);
  assertEquals(run(encodeGroupFilter([]), sample(7)), 0);
});

test("encodeGroupFilter refuses invalid groups", () => {
  for (const group of [-1, 1.5, 0x100000000, NaN]) assertThrows(() => encodeGroupFilter([group]), ArgumentError, "group");
  assertThrows(() => encodeGroupFilter(new Array(2041).fill(1)), ArgumentError, "2041 groups");
  assertEquals(encodeGroupFilter(new Array(2040).fill(1)).length <= 8 * 4096, true);
});
