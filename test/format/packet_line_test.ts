import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Output, type PacketOptions, type PacketTimeForm, PacketWriter } from "../../src/format/mod.ts";
import { etherTypeWords } from "../../src/format/ethertype_words.ts";
import { writeIpv6 } from "../../src/format/packet_words.ts";
import type { Device } from "../../src/link/device.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { messageOf } from "../../src/wire/message.ts";
import { ipv6Text } from "../../src/wire/text.ts";
import { hex, MADE } from "../packet/made.ts";
import { type Attribute, message, number } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { pcapFile } from "../support/capture_files.ts";
import { output, programs } from "../support/programs.ts";

const NOW = 1784000000_000042999n;

/** Lines of samples that have these attributes. */
function lines(samples: readonly (readonly Attribute[])[], options?: PacketOptions, name = "eth3"): string[] {
  const batch = new BatchBuffer();
  batch.devices = { find: () => ({ name, type: 1, address: undefined }) };
  for (const list of samples) batch.add(viewSample(messageOf(message(list), true)));
  const output = new Output(1);
  const writer = new PacketWriter(options);
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  return output.takeText().split("\n").slice(0, -1);
}

/** The attributes of a sample of an arriving packet. */
function sample(data: Uint8Array, originalBytes = data.length): Attribute[] {
  return [[0, number(2, 3)], [2, number(4, originalBytes)], [13, number(8, NOW)], [6, data]];
}

/** The text about a packet after the size. */
function words(data: Uint8Array, originalBytes?: number, options?: PacketOptions): string {
  return lines([sample(data, originalBytes)], options)[0]!.slice(33);
}

test("a line has time, device, direction, size, addresses, ports and flags", () => {
  assertEquals(lines([sample(MADE["tcp4"]!, 1514), [...sample(MADE["udp6"]!).slice(1), [1, number(2, 4)]]], { columns: 80 }), [
    "03:33:20.000042 eth3     <  1514 192.0.2.7.443 > 10.0.0.1.51514: Flags [P.]",
    "03:33:20.000042 eth3     >    70 2001:db8::1.12345 > 2001:db8::2.9999: UDP",
  ]);
});

test("the rate is printed first, and again when it changes, for each group", () => {
  const of = (group: number, rate: number): Attribute[] => [...sample(MADE["tcp4"]!), [3, number(4, group)], [5, number(4, rate)]];
  const told = lines([of(1, 100), of(1, 100), of(2, 5), of(1, 100), of(1, 7)]).filter((line) => line.startsWith("group"));
  assertEquals(told, ["group 1: 1/100", "group 2: 1/5", "group 1: 1/7"]);
});

test("details are on the next line, with everything known, and the dump follows", () => {
  const of = [...sample(MADE["tcp4"]!.subarray(0, 16), 62), [3, number(4, 1)], [15, Uint8Array.of(1, 2)]] as Attribute[];
  const [line, details, dump] = lines([of], { details: true, verbose: true }, "eth3").filter((line) => !line.startsWith("group 1:"));
  assert(line!.endsWith("[|ip]"), line);
  assertEquals(
    details,
    "    group 1 in-ifindex 3 origsize 62 timestamp Tue Jul 14 03:33:20 2026 000042999 nsec in-name eth3 link-type ethernet cookie 0102 ",
  );
  assertEquals(dump, "data len 16");
});

test("local time, and a dump below", () => {
  const [line, ...dump] = lines([sample(MADE["unknown type"]!)], { utcOffset: () => -3600, verbose: true });
  assertEquals(line, "02:33:20.000042 eth3     <    22 eth");
  assertEquals(dump[0], "data len 22");
});

const LONGEST = hex(
  `020000000002 020000000001 0800 4500 05dc 0000 4000 4006 0000 ${"ff".repeat(8)} ffff ffff 00000001 00000002 5012 ffff 0000 0000`,
);

test("the longest line of IPv4 fits 80 columns: lengths, the device's end and the size are left out, addresses and flags are not", () => {
  for (const size of [1514, 65535]) {
    const [line] = lines([sample(LONGEST, size)], { columns: 80 }, "enp129s0f1np1") as [string];
    assert(line.length <= 80, line);
    assert(line.endsWith(" 255.255.255.255.65535 > 255.255.255.255.65535: Flags [S.]"), line);
  }
  // A long one is never cut where it must not be.
  const long = lines([sample(MADE["vlan in vxlan in vlan"]!)], { columns: 40 })[0]!;
  assert(long.endsWith("| vlan 6 2001:db8::1.12345 > 2001:db8::2.9999: UDP"), long);
});

test("parts are left out in a fixed order as the terminal gets narrower", () => {
  const at = (columns: number): string => lines([sample(MADE["tcp4"]!)], { columns })[0]!;
  const ends = "192.0.2.7.443 > 10.0.0.1.51514: Flags [P.]";
  assertEquals(at(125), `03:33:20.000042 eth3     <    62 ${ends}, seq 1:9, ack 2, win 65535, length 8`);
  assertEquals(at(119), `03:33:20.000042 eth3     <    62 ${ends}, length 8`);
  assertEquals(at(80), `03:33:20.000042 eth3     <    62 ${ends}`);
  assertEquals(at(70), `03:33:20.000042 eth3 <   62 ${ends}`);
  assertEquals(at(68), `03:33:20.000042 eth3 < 62 ${ends}`);
  assertEquals(at(67), `03:33:20.000042 eth3   < ${ends}`);
  assertEquals(at(63), `03:33:20.000042 et < ${ends}`);
  assertEquals(at(60), `03:33:20.000042 e < ${ends}`);
});

test("the blanks are left out before anything else, so that two devices with the same start do not look alike", () => {
  const at = (name: string, columns = 80): string => {
    const udp = lines([sample(MADE["udp6"]!, 98)], { columns, time: "none" }, name)[0]!;
    return udp.slice(0, udp.indexOf("2001:"));
  };
  const words = lines([sample(MADE["udp6"]!, 98)], { columns: 60, time: "none" })[0]!.split(" < ")[1]!.trimStart().length - 3;
  for (const name of ["v0", "eth0", "eth1", "enp0s31f"]) {
    // Whatever the width, either the whole name is there, or nothing else is left that could have been left out.
    for (let columns = words + 20; columns > words; columns--) {
      const start = at(name, columns);
      assert(start.startsWith(`${name} `) || /^\S+ < $/.test(start), start);
    }
  }
  assertEquals(at("v0", words + 9), "v0 <  98 ");
  assertEquals(at("v0", words + 8), "v0 < 98 ");
});

test("names that are cut differ as those of the devices do, from the first line on", () => {
  const names = ["enp129s0f0np0", "enp129s0f1np1", "enp129s0", "eth0"];
  const device = (name: string): Device => ({ name, type: 1, address: undefined });
  const printed = (all: (() => Iterable<Device>) | undefined, order: readonly number[]): string[] => {
    const devices = names.map(device);
    const batch = new BatchBuffer();
    batch.devices = { find: (ifindex) => devices[ifindex], ...all && { all } };
    for (const i of order) batch.add(viewSample(messageOf(message([[0, number(2, i)], ...sample(MADE["tcp4"]!).slice(1)]), true)));
    const output = new Output(1);
    const writer = new PacketWriter({ time: "none", columns: 80 });
    for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
    return output.takeText().trimEnd().split("\n").map((line) => line.slice(0, line.indexOf("<")));
  };
  assertEquals(printed(() => names.map(device), [0, 1, 2, 3]), ["enp129s0f0 ", "enp129s0f1 ", "enp129s0   ", "eth0       "]);
  // Without the list, as soon as it turns out.
  assertEquals(printed(undefined, [3, 0, 1, 0]), ["eth0     ", "enp129s0 ", "enp129s0f1 ", "enp129s0f0 "]);
  // No other device is so called: the column stays as it is.
  assertEquals(printed(() => [device(names[1]!), device("eth0")], [1, 3]), ["enp129s0 ", "eth0     "]);
});

test("the date is left out before the size, and what fits then is back", () => {
  const at = (columns: number): string => lines([sample(MADE["tcp4"]!)], { columns, time: "date" })[0]!;
  const ends = "192.0.2.7.443 > 10.0.0.1.51514: Flags [P.]";
  assertEquals(at(90), `2026-07-14 03:33:20.000042 eth3     <    62 ${ends}`);
  assertEquals(at(80), `2026-07-14 03:33:20.000042 eth3 <  62 ${ends}`);
  assertEquals(at(76), `03:33:20.000042 eth3     <    62 ${ends}`);
  assertEquals(at(60), `03:33:20.000042 e < ${ends}`);
});

test("times are formatted like tcpdump's", () => {
  const of = (ns: bigint): Attribute[] => [...sample(MADE["tcp4"]!).filter(([type]) => type !== 13), [13, number(8, ns)]];
  const times = (time: PacketTimeForm, utcOffset = () => 0): string[] =>
    lines([of(NOW), of(NOW + 1_500_000_000n), of(NOW + 1_000_000_000n), of(NOW + 3_601_000_000_000n)], { time, utcOffset })
      .map((line) => line.slice(0, line.indexOf("eth3")));
  assertEquals(times("none"), ["", "", "", ""]);
  assertEquals(times("epoch"), ["1784000000.000042 ", "1784000001.500042 ", "1784000001.000042 ", "1784003601.000042 "]);
  assertEquals(times("previous"), [" 00:00:00.000000 ", " 00:00:01.500000 ", "-00:00:00.500000 ", " 01:00:00.000000 "]);
  assertEquals(times("first"), [" 00:00:00.000000 ", " 00:00:01.500000 ", " 00:00:01.000000 ", " 01:00:01.000000 "]);
  assertEquals(times("date", () => -4 * 3600)[3], "2026-07-14 00:33:21.000042 ");
});

test("link-layer addresses come first, and then nothing is left out", () => {
  const [line] = lines([sample(MADE["tcp4"]!)], { columns: 80, linkLevel: true }) as [string];
  assert(line.endsWith("192.0.2.7.443 > 10.0.0.1.51514: Flags [P.], seq 1:9, ack 2, win 65535, length 8"), line);
  assertMatch(line, / 62 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 \(0x0800\): 192/);
  const [other] = lines([sample(MADE["unknown type"]!)], { linkLevel: true }) as [string];
  assertMatch(other, / > [\da-f:]{17}, ethertype Unknown \(0x[\da-f]{4}\): /);
});

test("with colours a line has the same text and width", () => {
  const packets = [sample(MADE["tcp4"]!), sample(MADE["vlan in vxlan in vlan"]!), sample(MADE["arp"] ?? MADE["tcp4"]!.subarray(0, 40), 62)];
  // deno-lint-ignore no-control-regex
  const plain = (line: string): string => line.replace(/\x1b\[\d*m/g, "");
  for (const columns of [60, 80, 130]) {
    const colored = lines([[...packets[0]!, [3, number(4, 1)], [5, number(4, 7)]], ...packets], { columns, color: true });
    assertEquals(colored.map(plain), lines([[...packets[0]!, [3, number(4, 1)], [5, number(4, 7)]], ...packets], { columns }));
    assert(colored.every((line) => line.includes("\x1b[")), colored.join("\n"));
  }
  const [line] = lines([packets[0]!], { columns: 80, color: true }) as [string];
  assert(line.includes("\x1b[1m192.0.2.7.443 > 10.0.0.1.51514\x1b[0m: Flags"), JSON.stringify(line));
});

test("the width may change while lines are written", () => {
  let columns = 130;
  const of = (): string[] => lines([sample(MADE["tcp4"]!), sample(MADE["tcp4"]!)], { columns: () => columns -= 50 });
  assertEquals(of().map((line) => line.includes("length")), [false, false]);
  columns = 170;
  assertEquals(of().map((line) => line.includes("win")), [true, false]);
});

test("tunnels, tags and labels precede what is inside them", () => {
  const tcp = "192.0.2.7.443 > 10.0.0.1.51514: Flags [P.], seq 1:9, ack 2, win 65535, length 8";
  const udp = "2001:db8::1.12345 > 2001:db8::2.9999: UDP, length 8";
  const outer = "192.0.2.7 > 10.0.0.1: ";
  assertEquals(words(MADE["vlan"]!), `vlan 5 ${tcp}`);
  assertEquals(words(MADE["qinq"]!), `vlan 100 vlan 4095 ${udp}`);
  assertEquals(words(MADE["mpls"]!), `mpls 100 mpls 200 ${tcp}`);
  assertEquals(words(MADE["mpls pseudowire"]!), `mpls 100 | ${tcp}`);
  assertEquals(words(MADE["vxlan"]!), `192.0.2.7.12345 > 10.0.0.1.4789: vxlan 42 | ${tcp}`);
  assertEquals(words(MADE["geneve ip6"]!), `192.0.2.7.12345 > 10.0.0.1.6081: geneve 42 | ${udp}`);
  assertEquals(words(MADE["gtp"]!), `192.0.2.7.2152 > 10.0.0.1.2152: gtp 7 | ${tcp}`);
  assertEquals(words(MADE["gre with all"]!), `${outer}gre 42 | ${udp}`);
  assertEquals(words(MADE["gretap"]!), `${outer}gre 42 | ${tcp}`);
  assertEquals(words(MADE["erspan 2"]!), `${outer}erspan | ${tcp}`);
  assertEquals(words(MADE["ipip"]!), `192.0.2.7 > 10.0.0.1 | ${tcp}`);
  assertEquals(words(MADE["sit"]!), `192.0.2.7 > 10.0.0.1 | ${udp}`);
});

test("cut headers are named, after everything before them", () => {
  const at = (size: number): string => words(MADE["tcp4"]!.subarray(0, size), 62);
  assertEquals([at(53), at(40), at(36), at(34)], [
    "192.0.2.7.443 > 10.0.0.1.51514: Flags [P.] [|tcp]",
    "192.0.2.7.443 > 10.0.0.1.51514: [|tcp]",
    "192.0.2.7 > 10.0.0.1: [|tcp]",
    "192.0.2.7 > 10.0.0.1: [|tcp]",
  ]);
  assertEquals([at(33), at(14), at(3)], ["[|ip]", "[|ip]", "[|eth]"]);
  assertEquals(words(MADE["vxlan"]!.subarray(0, 70), 112), "192.0.2.7.12345 > 10.0.0.1.4789: vxlan 42 | [|ip]");
  assertEquals(words(MADE["tcp4"]!.subarray(0, 53)), "192.0.2.7.443 > 10.0.0.1.51514: Flags [P.] [bad ip]");
  assertEquals(lines([[[2, number(4, 60)]]])[0], "00:00:00.000000 -        -    60 [|eth]");
});

test("a device's name that is too long is cut, but never within an escape", () => {
  const device = (name: string, columns?: number): string =>
    lines([sample(MADE["tcp4"]!)], { columns, time: "none" }, name)[0]!.split(" ")[0]!;
  assertEquals(
    ["abcdefghi", "abcdefg\x1b[31m", "abcdef\x1bx", "abcde\x1bx", "abcd\x1bxyz", "abc\x1b\x1b", "a\\x1b\\"].map((name) => device(name)),
    ["abcdefgh", "abcdefg", "abcdef", "abcde", "abcd\\x1b", "abc\\x1b", "a\\x5cx1b"],
  );
  assertEquals(["\x1b\x1b\x1b", "e\\"].map((name) => device(name, 20)), ["", "e"]);
});

test("nothing in a device's name controls the terminal, and the line of every packet is printable, at every cut", () => {
  assertEquals(lines([sample(MADE["tcp4"]!)], {}, "\x1b[2J\u202e")[0]!.slice(16, 24), "\\x1b[2J ");
  for (const [name, data] of Object.entries(MADE)) {
    for (let size = 0; size <= data.length; size++) {
      for (const columns of [80, 200]) {
        const [line, ...more] = lines([sample(data.subarray(0, size), data.length)], { columns }) as [string];
        assert(/^[\x20-\x7e]+$/.test(line) && !/undefined|NaN/.test(line), `${name}, ${size} bytes: ${line}`);
        assertEquals(more, [], name);
      }
    }
  }
});

test("addresses of IPv6 are written as ipv6Text() has them", () => {
  // Every pattern of zero words, and one in which an IPv4 address may lie.
  for (let pattern = 0; pattern < 256; pattern++) {
    for (const word of [0x0001, 0x0db8, 0xffff]) {
      const address = new Uint8Array(17);
      for (let i = 0; i < 8; i++) if (pattern & 1 << i) address.set([word >> 8, word & 0xff], 1 + 2 * i);
      const written = new Output(1);
      writeIpv6(written, address, 1);
      assertEquals(written.takeText(), ipv6Text(address.subarray(1)));
    }
  }
});

/** Where tcpdump prints more or something else, with the reason. */
const OTHER_WORDS: readonly RegExp[] = [
  // It does not print a length of 0, which segmentation offload leaves.
  /^tcp4, length 0/,
  // Up to version 4.99.3 it has no letter for the ninth flag.
  /^tcp4 with nine/,
  // For these protocols only the name is printed here.
  /^(udplite|sctp|igmp|ospf)/,
  // Ports are with the addresses here, even if other headers are between.
  /^(ah|ip6 options|ip6 first)/,
  /later fragment|no next header|error$/,
  // Tunnels, and packets other than IP, are worded differently here.
  /^(vxlan|geneve|gtp|gre|pptp|erspan|ipip|sit|ip4ip6|ip6ip6|vlan in|mpls|pppoe|stp|unknown)/,
];

test("the wording is tcpdump's", programs("tcpdump"), () => {
  const packets = [
    ...Object.entries(MADE).filter(([name]) => !OTHER_WORDS.some((other) => other.test(name))),
    ...recordedSamples().flatMap((sample) =>
      sample.data && sample.data.length === sample.originalBytes && sample.data[0]! >> 4 !== 4
        ? [["recorded", sample.data.slice()] as const]
        : []
    ).filter(([, bytes]) => !words(bytes).includes("[bad ")),
  ];
  assert(packets.length > 40, `${packets.length}`);
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const path = join(directory, "packets.pcap");
    writeFileSync(path, pcapFile(packets.map(([, bytes], i) => ({ seconds: i, bytes })), { linkType: 1 }));
    const { out } = output("tcpdump", "-nn", "-t", "-S", "-r", path);
    const theirs = out.trimEnd().split("\n").map((line) => line.replace(/^IP6? /, "").replace(/^(ARP.*), length \d+$/, "$1"));
    assertEquals(packets.map(([, bytes]) => words(bytes).replace(/^(vlan \d+ )+/, "")), theirs);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("EtherTypes have tcpdump's names", programs("tcpdump"), () => {
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const path = join(directory, "types.pcap");
    // All from the first one that is not a length.
    const types = Array.from({ length: 0x10000 - 0x600 }, (_, i) => 0x600 + i);
    const frame = (type: number): Uint8Array<ArrayBuffer> =>
      Uint8Array.from({ length: 60 }, (_, i) => [type >> 8, type & 0xff][i - 12] ?? 0);
    writeFileSync(path, pcapFile(types.map((type) => ({ seconds: 0, bytes: frame(type) })), { linkType: 1 }));
    const { out } = output("tcpdump", "-nn", "-t", "-e", "-r", path);
    const named = [...out.matchAll(/ethertype (.+?) \(0x([\da-f]{4})\), length/g)].filter(([, name]) => name !== "Unknown");
    assert(named.length > 30, `${named.length}`);
    for (const [, name, type] of named) assertEquals(etherTypeWords(parseInt(type!, 16)), `${name} (0x${type})`);
    assertEquals(etherTypeWords(0x88a4), "ethercat (0x88a4)");
    assertEquals(etherTypeWords(0x22f3), "Unknown (0x22f3)");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
