import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { ascii, Output, Word } from "../../src/format/output.ts";

/** Every power of ten, and its neighbours. */
const NUMBERS = [0, ...Array(10).keys().flatMap((power) => [10 ** power - 1, 10 ** power, 10 ** power + 1]), 0xffff_fffe, 0xffff_ffff];

test("Output writes decimals of every length", () => {
  const output = new Output(1024);
  for (const value of NUMBERS) {
    output.u32(value);
    output.byte(0x20);
  }
  assertEquals(output.takeText(), NUMBERS.map((value) => `${value} `).join(""));
  for (const [value, digits] of [[42, 9], [0, 1], [7, 1], [7, 2], [123_456_789, 9], [99, 2], [100, 3]] as const) {
    output.digits(value, digits);
    output.byte(0x20);
  }
  assertEquals(output.takeText(), "000000042 0 7 07 123456789 99 100 ");
});

test("Output writes numbers with leading zeros, of every length, and IPv4 addresses, and no more than it has reserved", () => {
  for (const value of NUMBERS) {
    for (let digits = String(value).length; digits <= 10; digits++) {
      const output = new Output(1);
      output.reserve(digits);
      output.digits(value, digits);
      assertEquals(output.takeText(), String(value).padStart(digits, "0"));
    }
  }
  for (let octet = 0; octet < 256; octet++) {
    const bytes = Uint8Array.of(1, octet, 255 - octet, 0, octet);
    const output = new Output(1);
    output.reserve(15);
    output.ipv4(bytes, 1);
    assertEquals(output.takeText(), bytes.subarray(1).join("."));
  }
});

test("Output writes hardware addresses", () => {
  const bytes = Uint8Array.of(0, 0x02, 0xff, 0x0a, 0xa0, 0, 0x99);
  const output = new Output(1);
  output.reserve(17);
  output.mac(bytes, 1);
  assertEquals(output.takeText(), "02:ff:0a:a0:00:99");
});

test("Output writes hexadecimal numbers without leading zeros", () => {
  const numbers = [0, 1, 9, 10, 15, 16, 255, 256, 0x0800, 0x86dd, 0xffff, 0x10000, 0xffff_ffff];
  const output = new Output(1024);
  for (const value of numbers) {
    output.hexNumber(value);
    output.byte(0x20);
  }
  assertEquals(output.takeText(), numbers.map((value) => `${value.toString(16)} `).join(""));
});

test("Output writes other numbers as JavaScript does", () => {
  const output = new Output(1024);
  for (const value of [0xffff_ffff_ffff_ffffn, 0n, -1, 4294967295 / 3, 1e21, 18446744073]) {
    output.number(value);
    output.byte(0x20);
  }
  assertEquals(output.takeText(), "18446744073709551615 0 -1 1431655765 1e+21 18446744073 ");
});

test("Output writes words of every length, and what follows them", () => {
  for (let length = 0; length < 30; length++) {
    const text = "the quick brown fox jumps over".slice(0, length);
    const output = new Output(1);
    output.reserve(length + 1);
    output.word(new Word(text));
    output.byte(0x2e);
    assertEquals(output.takeText(), `${text}.`);
  }
});

test("Output grows and keeps what is written", () => {
  const output = new Output(1);
  output.append(ascii("abc"));
  output.text("é€😀");
  output.reserve(7);
  output.put(ascii("x"));
  output.hex(Uint8Array.of(0, 0xff));
  output.hexByte(0x0a);
  assertEquals(output.takeText(), "abcé€😀x00ff0a");
  output.append(new Uint8Array(100_000).fill(0x61));
  assertEquals([output.written.length, output.takeText().length, output.length], [100_000, 100_000, 0]);
});

test("Output writes text of every length as UTF-8", () => {
  for (const unit of ["a", "é", "€", "😀", "aé"]) {
    for (const count of [0, 1, 31, 32, 33, 64, 65, 1000]) {
      const output = new Output(1);
      output.text(unit.repeat(count));
      output.text("z");
      assertEquals(output.takeText(), `${unit.repeat(count)}z`);
    }
  }
});
