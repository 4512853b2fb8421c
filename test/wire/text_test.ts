import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { fromHex, hexByte, ipv4Text, ipv6Text, toHex } from "../../src/wire/text.ts";
import { bytes } from "../psample/build.ts";

test("toHex and fromHex", () => {
  assertEquals([toHex(bytes("00ff7f80")), toHex(bytes("")), hexByte(0x0a)], ["00ff7f80", "", "0a"]);
  assertEquals(fromHex("00fF7f"), bytes("00ff7f"));
  assertEquals(fromHex(""), bytes(""));
  for (const text of ["0", "0g", "0x00", " 00", "-1"]) assertEquals(fromHex(text), undefined);
});

test("ipv4Text", () => {
  assertEquals(ipv4Text(bytes("00ff0a01")), "0.255.10.1");
});

test("ipv6Text is canonical (RFC 5952)", () => {
  const rows: [string, string][] = [
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["00010000000000000000000000000000", "1::"],
    ["20010db8000000000000000000000001", "2001:db8::1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010000000000010000000000000001", "2001:0:0:1::1"],
    ["00000001000200030004000500060007", "0:1:2:3:4:5:6:7"],
    ["00010002000300040005000600070000", "1:2:3:4:5:6:7:0"],
    ["00010002000300040005000600000000", "1:2:3:4:5:6::"],
    ["fe80000000000000020000fffe00abcd", "fe80::200:ff:fe00:abcd"],
    ["00000000000000000000ffffc0000201", "::ffff:192.0.2.1"],
    ["00000000000000000000ffff00000000", "::ffff:0.0.0.0"],
    ["000000000000000000000001c0000201", "::1:c000:201"],
    ["00000000000000000000fffec0000201", "::fffe:c000:201"],
  ];
  for (const [hex, text] of rows) assertEquals(ipv6Text(bytes(hex)), text);
});
