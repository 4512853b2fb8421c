import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Clock } from "../../src/stream/clock.ts";
import { ascii, Output } from "../../src/format/output.ts";

test("Output writes decimals of every length", () => {
  const values = [
    0,
    9,
    10,
    99,
    100,
    999,
    1000,
    9999,
    10000,
    99999,
    100000,
    999999,
    1e6,
    9999999,
    1e7,
    99999999,
    1e8,
    999999999,
    1e9,
    0xffffffff,
  ];
  const output = new Output(1024);
  for (const value of values) {
    output.u32(value);
    output.byte(0x20);
  }
  output.digits(42, 9);
  assertEquals(output.takeText(), `${values.join(" ")} 000000042`);
});

test("Output grows and keeps what is written", () => {
  const output = new Output(1);
  output.append(ascii("abc"));
  output.text("é€😀");
  output.reserve(6);
  output.put(ascii("x"));
  output.hex(Uint8Array.of(0, 0xff));
  output.hexByte(0x0a);
  assertEquals(output.takeText(), "abcé€😀x00ff0a");
  output.append(new Uint8Array(100_000).fill(0x61));
  assertEquals([output.written.length, output.takeText().length, output.length], [100_000, 100_000, 0]);
});

test("Clock splits every u64, in any order", () => {
  const clock = new Clock();
  const times = [0n, 1n, 999_999_999n, 1_000_000_000n, 4_294_967_295n, 4_294_967_296n, 1784000000_999999999n, 1784000001_000000000n];
  for (const time of [...times, 0xffff_ffff_ffff_ffffn, ...times.reverse()]) {
    clock.split(time);
    assertEquals([BigInt(clock.seconds), BigInt(clock.nanoseconds)], [time / 1_000_000_000n, time % 1_000_000_000n]);
  }
});
