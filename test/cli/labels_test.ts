/** `--label` and `--labels`. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";

async function run(args: readonly string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(args, io) });
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const GOLDEN = new URL("../golden/", import.meta.url).pathname;

test("names from a file and from the command line are in every format; those of the command line take precedence", async () => {
  const names = bytes("# what our groups are\n\ngroup:9=tunnels # the first\n\tgroup:0x1=access\r\ngroup:3=old\ncookie:C0FFEE=coffee\n");
  const demo = async (...args: string[]): Promise<string> => {
    const io = await run(["demo", "-q", "--labels", "names", "--label", "group:3=core", ...args], { input: { names } });
    assertEquals([io.status, io.errors()], [0, ""]);
    return io.text();
  };
  const lines = await demo();
  for (const line of ["group 9 (tunnels): 1/1", "group 1 (access): 1/1", "group 3 (core): 1/1"]) assert(lines.includes(`${line}\n`), lines);
  assert(lines.includes("UDP, length 100 (tunnels)\n"), lines);
  assert((await demo("--text")).includes("group-label core \n"));
  assert((await demo("--json")).includes('"groupLabel":"core"'));
  assertEquals((await demo("--csv")).split("\r\n")[0]!.split(",").slice(-2), ["groupLabel", "cookieLabel"]);
});

test("VLANs have names in a recording of them, with or without details", async () => {
  for (const [args, what] of [[[], "vlan 42 (dmz) "], [["--json"], '"vlanLabels":["dmz"]'], [["--text"], "vlan-label dmz \n"]] as const) {
    const io = await run(["read", "-q", "--label", "vlan:42=dmz", ...args, `${GOLDEN}vlan.new.pcap`]);
    assert(io.text().includes(what), io.text());
  }
});

test("an invalid label is a usage error, with a mark below the word", async () => {
  const wrong: readonly (readonly [string, string, number, number])[] = [
    ["foo:1=x", "expected cookie:, group: or vlan:, as in group:5=edge", 0, 3],
    ["=x", "expected cookie:, group: or vlan:, as in group:5=edge", 0, 1],
    ["group", "expected cookie:, group: or vlan:, as in group:5=edge", 0, 5],
    ["group:5", "expected = and a name, as in group:5=edge", 7, 8],
    ["group:5=", "expected a name", 8, 9],
    ["group:x=y", "expected a whole number from 0 to 4294967295", 6, 7],
    ["group:-1=y", "expected a whole number from 0 to 4294967295", 6, 8],
    ["vlan:4096=a", "expected a whole number from 0 to 4095", 5, 9],
    ["cookie:123=a", "expected a cookie: hexadecimal digits, an even number of them", 7, 10],
    ["cookie:=a", "expected a cookie: hexadecimal digits, an even number of them", 7, 8],
    ["group:5=a b", "a name cannot contain blanks, backslashes or invisible characters", 9, 10],
  ];
  for (const [label, why, start, end] of wrong) {
    const mark = `  ${label}\n  ${" ".repeat(start)}^${"~".repeat(end - start - 1)}\n`;
    const given = await run(["demo", "--label", label]);
    assertEquals([given.status, given.text()], [2, ""], label);
    assertEquals(given.errors(), `psample: --label: ${why}\n${mark}Try: psample demo --help\n`);
    const read = await run(["demo", "--labels", "names"], { input: { names: bytes(`group:1=a\n\n${label}\ngroup:2=b\n`) } });
    assertEquals([read.status, read.text()], [2, ""], label);
    assertEquals(read.errors(), `psample: --labels names, line 3: ${why}\n${mark}Try: psample demo --help\n`);
  }
  const twice = await run(["demo", "--label", "group:5=a", "--label", "group:0x5=b"]);
  assertEquals(twice.errors(), "psample: --label: it is called a already\n  group:0x5=b\n        ^~~\nTry: psample demo --help\n");
});

test("a file of labels that does not exist, or is invalid, is an error, and destroys nothing", async () => {
  const io = fakeIo({ input: { big: new Uint8Array((1 << 20) + 1).fill(0x0a) } });
  io.files.set("old.pcapng", bytes("precious"));
  assertEquals(await main(["demo", "--labels", "/nonexistent/names", "-w", "old.pcapng", "--text"], io), 1);
  assertEquals(await main(["demo", "--labels", "big", "-w", "old.pcapng", "--text"], io), 2);
  assert(io.errors().includes("psample: --labels big is larger than 1 MiB"), io.errors());
  assertEquals(new TextDecoder().decode(io.files.get("old.pcapng")), "precious");
});
