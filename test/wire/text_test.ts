import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import {
  addressAndPort,
  addressBytes,
  addressText,
  commandsIn,
  fromHex,
  hexByte,
  ipv4Text,
  ipv6Bytes,
  ipv6Text,
  printable,
  printableText,
  shellWord,
  toHex,
} from "../../src/wire/text.ts";
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

test("addresses of both families, and with a port", () => {
  for (const text of ["192.0.2.9", "2001:db8::9"]) assertEquals(addressText(addressBytes(text)!), text);
  assertEquals(addressBytes("collector.example.net"), undefined);
  assertEquals([addressAndPort("192.0.2.9", 6343), addressAndPort("2001:db8::9", 6343)], ["192.0.2.9:6343", "[2001:db8::9]:6343"]);
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

test("ipv6Bytes: reads the same as inet_pton", () => {
  for (const text of ["::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "ff02::1:ff00:0", "::ffff:10.0.0.1"]) {
    assertEquals(ipv6Text(ipv6Bytes(text)!), text);
  }
  for (
    const text of [
      "",
      ":",
      "1",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::8:9",
      "12345::",
      "g::",
      "::10.0.0",
      "10.0.0.1::",
      "1.2.3.4",
      "::1%lo",
    ]
  ) {
    assertEquals(ipv6Bytes(text), undefined, text);
  }
});

/** Names that a device may have, and similar ones. */
const NAMES = [
  "eth0",
  "eth0.5",
  "veth-1@if2",
  "ü",
  "a;reboot",
  "$(reboot)",
  "`x`",
  "a'b",
  'a"b',
  "a\\x41",
  "*",
  "~",
  "#",
  "e\u001b[2J",
  "e\u009b2J",
  "e\u202ef",
  "a b\u00a0c",
  "\u200b",
];

test("printable: characters that control, hide or reorder are escaped, and so is the backslash", () => {
  const rows: [string, string][] = [
    ["eth0", "eth0"],
    ["ü日本", "ü日本"],
    ["a'b\"c;$", "a'b\"c;$"],
    ["a\\x41", "a\\x5cx41"],
    ["e\u001b\u009b\u202e", "e\\x1b\\xc2\\x9b\\xe2\\x80\\xae"],
    ["a b", "a\\x20b"],
  ];
  for (const [name, expected] of rows) assertEquals(printable(name), expected);
  // In a text of several words the blanks between them stay, and only those.
  assertEquals(printableText("standard input"), "standard input");
  assertEquals(printableText(" a  b\u00a0c\nd\\"), " a  b\\xc2\\xa0c\\x0ad\\x5c");
});

test("shellWord: a shell reads the same name, and nothing in it controls a terminal", () => {
  assertEquals(["eth0", "eth0.5", "a;b", "a'b"].map(shellWord), ["eth0", "eth0.5", "'a;b'", "$'a\\x27b'"]);
  for (const name of NAMES) assertEquals(/[\p{C}\u00a0]/u.test(shellWord(name)), false, name);
});

const { error } = spawnSync("bash", ["--version"]);
test("shellWord, read by bash", { skip: error ? "the program bash is missing" : false }, () => {
  const { stdout } = spawnSync("bash", ["-c", `printf '%s\\n' ${NAMES.map(shellWord).join(" ")}`], {
    encoding: "utf8",
    env: { LC_ALL: "C.UTF-8" },
  });
  assertEquals(stdout.split("\n").slice(0, -1), NAMES);
});

test("commandsIn: commands for another network namespace, given by its name or a path", () => {
  const text = "tc qdisc add dev v0 clsact; tc filter add dev v0 ingress matchall (or ip link set dev v0 up), with tc itself";
  assertEquals(commandsIn(undefined, text), text);
  assertEquals(commandsIn("blue", undefined), undefined);
  const named =
    "tc -n blue qdisc add dev v0 clsact; tc -n blue filter add dev v0 ingress matchall (or ip -n blue link set dev v0 up), with tc itself";
  assertEquals(commandsIn("blue", text), named);
  assertEquals(commandsIn("blue", named), named);
  const there = commandsIn("/proc/17/ns/net", text);
  assertEquals(
    there,
    "nsenter -n/proc/17/ns/net tc qdisc add dev v0 clsact; nsenter -n/proc/17/ns/net tc filter add dev v0 ingress matchall " +
      "(or nsenter -n/proc/17/ns/net ip link set dev v0 up), with tc itself",
  );
  assertEquals(commandsIn("/proc/17/ns/net", there), there);
  assertEquals(commandsIn("a;b", "ip link"), "ip -n 'a;b' link");
});
