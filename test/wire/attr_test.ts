import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { DecodeError } from "../../src/errors.ts";
import { AttrReader } from "../../src/wire/attr_reader.ts";
import { AttrWriter, NLA_F_NESTED } from "../../src/wire/attr_writer.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { bytes, number } from "../psample/build.ts";

const skip = LITTLE ? false : "the bytes are of a little-endian machine";

test("AttrReader steps by padded lengths and masks the flag bits", () => {
  const attr = AttrReader.of(bytes("0500 0100 aa000000 0400 0280 0600 0340 bbcc"), true);
  const seen: unknown[] = [];
  while (attr.next()) seen.push([attr.type, attr.size, attr.offset, attr.bytes()]);
  assertEquals(seen, [[1, 1, 4, bytes("aa")], [2, 0, 12, bytes("")], [3, 2, 16, bytes("bbcc")]]);
  assertEquals(attr.next(), false);
});

test("AttrReader reads every width in the given byte order", () => {
  const of = (value: Uint8Array, little: boolean): AttrReader => {
    const attr = AttrReader.of(Uint8Array.from([...number(2, value.length + 4, little), ...number(2, 1, little), ...value]), little);
    attr.next();
    return attr;
  };
  for (const little of [true, false]) {
    assertEquals(of(bytes("fe"), little).u8(), 0xfe);
    assertEquals(of(number(2, 0xfedc, little), little).u16(), 0xfedc);
    assertEquals(of(number(4, 0xfedcba98, little), little).u32(), 0xfedcba98);
    assertEquals(of(number(4, 0xfffffffe, little), little).i32(), -2);
    assertEquals(of(number(8, 0xfedcba9876543210n, little), little).u64(), 0xfedcba9876543210n);
    assertEquals(of(bytes("0102"), little).be16(), 0x0102);
    assertEquals(of(bytes("81020304"), little).be32(), 0x81020304);
    assertEquals(of(bytes("8102030405060708"), little).be64(), 0x8102030405060708n);
  }
});

test("AttrReader reads text up to its NUL, and addresses", () => {
  const one = (hex: string): AttrReader => {
    const value = bytes(hex);
    const attr = AttrReader.of(Uint8Array.from([value.length + 4, 0, 1, 0, ...value]), true);
    attr.next();
    return attr;
  };
  assertEquals(one("6574683000").string(), "eth0");
  assertEquals(one("65746830").string(), "eth0");
  assertEquals(one("65000000").string(), "e");
  assertEquals(one("").string(), "");
  assertEquals(one("7f000001").ipv4(), "127.0.0.1");
  assertEquals(one("00000000000000000000ffffc0000201").ipv6(), "::ffff:192.0.2.1");
});

test("AttrReader requires exact widths", () => {
  for (let size = 0; size <= 17; size++) {
    const attr = AttrReader.of(Uint8Array.from([size + 4, 0, 9, 0, ...new Uint8Array(size)]), true);
    attr.next();
    const reads: [number, () => unknown][] = [
      [1, () => attr.u8()],
      [2, () => attr.u16()],
      [2, () => attr.be16()],
      [4, () => attr.u32()],
      [4, () => attr.i32()],
      [4, () => attr.be32()],
      [8, () => attr.u64()],
      [8, () => attr.be64()],
      [4, () => attr.ipv4()],
      [16, () => attr.ipv6()],
    ];
    for (const [width, read] of reads) {
      if (width === size) read();
      else assertThrows(read, DecodeError, `Cannot decode attribute 9 at byte 4: ${size} bytes, not ${width}`);
    }
  }
});

test("AttrReader.atLeast accepts longer structs, but no shorter ones", () => {
  const attr = AttrReader.of(bytes("0c00 0100 0102030405060708"), true);
  attr.next();
  assertEquals(attr.atLeast(4).getUint32(0, true), 0x04030201);
  assertEquals(attr.atLeast(8).byteLength, 8);
  assertThrows(() => attr.atLeast(9), DecodeError, "8 bytes, not at least 9");
});

test("AttrReader.nested stays within its attribute", () => {
  const attr = AttrReader.of(bytes("0c00 0180 0800 0200 01000000 0800 0300 02000000"), true);
  attr.next();
  const nested = attr.nested();
  assertEquals([nested.next(), nested.type, nested.u32(), nested.next()], [true, 2, 1, false]);
  assertEquals([attr.next(), attr.type, attr.u32()], [true, 3, 2]);
});

test("AttrReader refuses wrong lengths", () => {
  for (const hex of ["0300 0100", "0000 0100", "0900 0100 00000000", "080001", "00"]) {
    const attr = AttrReader.of(bytes(hex), true);
    assertThrows(() => attr.next(), DecodeError, "at byte 0");
  }
});

test("AttrWriter writes these bytes", { skip }, () => {
  const writer = new AttrWriter()
    .raw(bytes("0102"))
    .u8(1, 0xff)
    .u16(2, 0x0102)
    .be16(3, 0x0102)
    .u32(4, 0x01020304)
    .be32(5, 0x01020304)
    .u32(6, -1)
    .u64(7, 0x0102030405060708n)
    .bytes(8, bytes("aabbcc"))
    .string(9, "eth0")
    .flag(10, true)
    .nest(11 | NLA_F_NESTED, (nest) => nest.u8(1, 2));
  assertEquals(
    writer.finish(),
    bytes(
      "01020000 0500 0100 ff000000 0600 0200 02010000 0600 0300 01020000 0800 0400 04030201 0800 0500 01020304 0800 0600 ffffffff" +
        "0c00 0700 0807060504030201 0700 0800 aabbcc00 0900 0900 6574683000000000 0400 0a00 0c00 0b80 0500 0100 02000000",
    ),
  );
});

test("AttrWriter writes nothing for undefined", () => {
  const writer = new AttrWriter().u8(1, undefined).u16(1, undefined).be16(1, undefined).u32(1, undefined).be32(1, undefined)
    .u64(1, undefined).bytes(1, undefined).string(1, undefined).flag(1, undefined).flag(1, false);
  assertEquals(writer.finish(), new Uint8Array(0));
});

test("AttrWriter grows, within an attribute too, and leaves no old bytes in the padding", () => {
  const value = new Uint8Array(1001).fill(7);
  const writer = new AttrWriter().nest(1, (nest) => {
    for (let i = 0; i < 20; i++) nest.bytes(2, value);
  });
  const attr = AttrReader.of(writer.finish());
  assertEquals([attr.next(), attr.type, attr.size], [true, 1, 20 * 1008]);
  const nested = attr.nested();
  for (let i = 0; i < 20; i++) assertEquals([nested.next(), nested.bytes()], [true, value]);
  assertEquals(nested.next(), false);
});

test("AttrWriter refuses what does not fit into an attribute", () => {
  assertEquals(new AttrWriter().bytes(1, new Uint8Array(65531)).length, 65536);
  assertThrows(() => new AttrWriter().bytes(1, new Uint8Array(65532)), ArgumentError, "65532 bytes");
  assertThrows(
    () => new AttrWriter().nest(1, (nest) => nest.bytes(1, new Uint8Array(65000)).bytes(1, new Uint8Array(1000))),
    ArgumentError,
    "an attribute holds",
  );
});
