import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { classId, integer, qdiscHandle, strtoul, u32Handle, unsigned } from "../../../cli/tc/parse/values.ts";

test("tc words: numbers as strtoul reads them", () => {
  assertEquals(unsigned("4294967295", 10), 4294967295);
  assertEquals(unsigned("4294967296", 10), undefined);
  assertEquals(unsigned(" +5", 10), 5);
  assertEquals(unsigned("-1", 10), undefined);
  assertEquals(unsigned("-18446744073709551611", 10), 5);
  assertEquals(unsigned("99999999999999999999999", 10), undefined);
  assertEquals(unsigned("010", 0), 8);
  assertEquals(unsigned("0x10", 0), 16);
  assertEquals(unsigned("0x10", 10), undefined);
  assertEquals(unsigned("08", 0), undefined);
  assertEquals(unsigned("", 10), undefined);
  assertEquals(unsigned("5 ", 10), undefined);
  assertEquals(strtoul("12xyz", 0), { value: 12n, rest: "xyz" });
  assertEquals([integer("-4"), integer("0x7fffffff"), integer("2147483648"), integer("x")], [-4, 0x7fffffff, undefined, undefined]);
});

test("tc words: handles", () => {
  assertEquals([qdiscHandle("ffff:"), qdiscHandle("1"), qdiscHandle("10000:"), qdiscHandle("x")], [
    0xffff0000,
    0x10000,
    undefined,
    undefined,
  ]);
  assertEquals([classId("ffff:fff2"), classId("1:"), classId(":5"), classId("root"), classId("none"), classId("1:x")], [
    0xfffffff2,
    0x10000,
    5,
    0xffffffff,
    0,
    undefined,
  ]);
  assertEquals(
    [u32Handle("800::800"), u32Handle("800:"), u32Handle("::7"), u32Handle("0x80000800"), u32Handle("zz"), u32Handle("1000::")],
    [
      0x80000800,
      0x80000000,
      7,
      0x80000800,
      undefined,
      undefined,
    ],
  );
});
