/** We read the same as tshark and tcpdump in packets, whole and cut at every length. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { nextLevel } from "../../src/packet/fields.ts";
import { GRE, GTPU, headerName, IPV4, IPV6, MPLS, NONE } from "../../src/packet/header.ts";
import { type PacketFields, packetFields, PacketView, parsePacket, type VlanTag } from "../../src/packet/mod.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { pcapFile } from "../support/capture_files.ts";
import { output, programs } from "../support/programs.ts";
import { toHex } from "../../src/wire/text.ts";
import { MADE } from "./made.ts";

interface Packet {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly originalBytes: number;
}

/** The packets of all recordings, each once. Those of devices without Ethernet begin with an IP header. */
const recorded: Packet[] = [
  ...new Map(
    recordedSamples().map(({ data, originalBytes }) => {
      const bytes = (data ?? new Uint8Array(0)).slice();
      return [toHex(bytes), {
        name: `recorded ${toHex(bytes)}`,
        bytes,
        originalBytes: Math.max(originalBytes ?? 0, bytes.length),
      }] as const;
    }),
  ).values(),
].filter(({ bytes }) => bytes.length > 0 && bytes[0]! >> 4 !== 4);
const made: Packet[] = Object.entries(MADE).map(([name, bytes]) => ({ name, bytes, originalBytes: bytes.length }));
/** Everything after that is payload. */
const LONGEST = 200;
/** Every packet whole, and cut at every length; the recorded ones at those lengths where the kernels of the recordings cut. */
const packets: Packet[] = [
  ...recorded,
  ...made.flatMap((packet) =>
    Array.from({ length: Math.min(packet.bytes.length, LONGEST) }, (_, i): Packet => ({
      ...packet,
      name: `${packet.name}, ${i + 1} bytes of ${packet.bytes.length}`,
      bytes: packet.bytes.subarray(0, i + 1),
    }))
  ),
];

function isWhole({ bytes, originalBytes }: Packet): boolean {
  return bytes.length === originalBytes;
}

/** All packets as a file; the time of each is its number. */
function withFile<T>(use: (path: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const path = join(directory, "packets.pcap");
    const records = packets.map(({ bytes, originalBytes }, i) => ({ seconds: i, bytes, originalBytes }));
    writeFileSync(path, pcapFile(records, { linkType: 1 }));
    return use(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Our fields of one level of a packet, and its IP version. */
interface Level {
  readonly fields: PacketFields;
  readonly version: 4 | 6 | undefined;
}

/** A packet's levels, outermost first. */
function levelsOf({ bytes, originalBytes }: Packet): Level[] {
  const view = new PacketView().decode(bytes, 0, bytes.length, "ethernet", originalBytes);
  const levels: Level[] = [];
  let fields: PacketFields | undefined = packetFields(view);
  for (let from = 0; fields !== undefined; fields = fields.inner) {
    const end = nextLevel(view, from);
    const has = (kind: number): boolean => view.kinds.subarray(from, end).includes(kind);
    levels.push({ fields, version: has(IPV4) ? 4 : has(IPV6) ? 6 : undefined });
    from = end;
  }
  return levels;
}

type Read = (level: Level) => unknown;
const ipv4 = (value: (fields: PacketFields) => unknown): Read => ({ fields, version }) => version === 4 ? value(fields) : undefined;
const ipv6 = (value: (fields: PacketFields) => unknown): Read => ({ fields, version }) => version === 6 ? value(fields) : undefined;
const arp = (value: (fields: PacketFields) => unknown): Read => ({ fields }) => fields.etherType === 0x0806 ? value(fields) : undefined;
const of = (protocols: readonly string[], value: (fields: PacketFields) => unknown): Read => ({ fields }) =>
  protocols.includes(fields.protocolName ?? "") ? value(fields) : undefined;
const vlans = (tpid: number, key: keyof VlanTag): Read => ({ fields }) =>
  fields.vlans?.filter((tag) => tag.tpid === tpid).map((tag) => tag[key]);

/** TCP flags as tshark prints them. */
function flagBits(letters: string): string {
  const bits = letters === "none" ? 0 : [...letters].reduce((sum, letter) => sum | 1 << "FSRP.UEWe".indexOf(letter), 0);
  return `0x${bits.toString(16).padStart(4, "0")}`;
}

/** tshark's fields, and ours for each level. */
const FIELDS: Readonly<Record<string, Read>> = {
  "eth.src": ({ fields }) => fields.etherSource,
  "eth.dst": ({ fields }) => fields.etherDestination,
  "vlan.id": vlans(0x8100, "id"),
  "vlan.priority": vlans(0x8100, "priority"),
  "ieee8021ad.id": vlans(0x88a8, "id"),
  "ieee8021ad.priority": vlans(0x88a8, "priority"),
  "mpls.label": ({ fields }) => fields.mplsLabels,
  "arp.src.proto_ipv4": arp(({ source }) => source),
  "arp.dst.proto_ipv4": arp(({ destination }) => destination),
  "ip.src": ipv4(({ source }) => source),
  "ip.dst": ipv4(({ destination }) => destination),
  "ip.ttl": ipv4(({ ttl }) => ttl),
  "ip.dsfield.dscp": ipv4(({ dscp }) => dscp),
  "ip.len": ipv4(({ ipLength }) => ipLength),
  "ip.frag_offset": ipv4(({ fragmentOffset }) => fragmentOffset && fragmentOffset / 8),
  "ipv6.src": ipv6(({ source }) => source),
  "ipv6.dst": ipv6(({ destination }) => destination),
  "ipv6.hlim": ipv6(({ ttl }) => ttl),
  "ipv6.tclass.dscp": ipv6(({ dscp }) => dscp),
  "ipv6.plen": ipv6(({ ipLength }) => ipLength === undefined ? undefined : ipLength - 40),
  "ipv6.fraghdr.offset": ipv6(({ fragmentOffset }) => fragmentOffset && fragmentOffset / 8),
  "tcp.srcport": of(["tcp"], ({ sourcePort }) => sourcePort),
  "tcp.dstport": of(["tcp"], ({ destinationPort }) => destinationPort),
  "tcp.flags": of(["tcp"], ({ tcpFlags }) => tcpFlags && flagBits(tcpFlags)),
  "udp.srcport": of(["udp", "udplite"], ({ sourcePort }) => sourcePort),
  "udp.dstport": of(["udp", "udplite"], ({ destinationPort }) => destinationPort),
  "sctp.srcport": of(["sctp"], ({ sourcePort }) => sourcePort),
  "sctp.dstport": of(["sctp"], ({ destinationPort }) => destinationPort),
  "icmp.type": of(["icmp"], ({ icmpType }) => icmpType),
  "icmp.code": of(["icmp"], ({ icmpCode }) => icmpCode),
  "icmpv6.type": of(["ipv6-icmp"], ({ icmpType }) => icmpType),
  "icmpv6.code": of(["ipv6-icmp"], ({ icmpCode }) => icmpCode),
};

/** Packets that tshark reads differently, by name, with the reason. */
const DIFFERENCES: Readonly<Record<string, RegExp>> = {
  // It guesses whether a pseudowire has a control word; RFC 4385 says that a first half byte of 0 is one.
  "mpls pseudowire": /^eth|^ip|^tcp/,
  // Its length is that of the data; ours is the header's, where 0 means unknown.
  "tcp4, length 0": /^ip.len/,
  "ip6 no next header": /^ipv6.plen/,
};

/** Of a packet whose ICMP error quotes another one, that of the error alone is ours: tshark has the quoted one too. */
const QUOTES = /^icmp6? error/;

test("tshark reads the same in packets whole and cut", programs("tshark"), () => {
  const names = Object.keys(FIELDS);
  const { out, err } = withFile((path) => {
    const settings = ["ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"].flatMap((name) => ["-o", `${name}:FALSE`]);
    const fields = names.flatMap((name) => ["-e", name]);
    // tshark does not know Linux's own port for VXLAN.
    return output("tshark", "-n", "-r", path, "-d", "udp.port==8472,vxlan", ...settings, "-T", "fields", "-E", "aggregator=;", ...fields);
  });
  const rows = out.split("\n").slice(0, -1).map((line) => line.split("\t"));
  assertEquals(rows.length, packets.length, err);
  packets.forEach((packet, i) => {
    const levels = levelsOf(packet);
    names.forEach((name, column) => {
      if (DIFFERENCES[packet.name.replace(/, \d+ bytes of \d+$/, "")]?.test(name)) return;
      const cell = rows[i]![column]!;
      const theirs = cell === "" ? [] : cell.split(";").filter((value) => !/frag_offset|fraghdr/.test(name) || value !== "0");
      const ours = levels.flatMap(FIELDS[name]!).filter((value) =>
        value !== undefined && value !== 0 || !name.includes("frag") && value === 0
      )
        .map(String);
      // tshark shows only part of what is there of a header that is cut.
      const expected = QUOTES.test(packet.name) ? theirs.slice(0, ours.length) : theirs;
      assertEquals(isWhole(packet) ? ours : ours.slice(0, expected.length), expected, `${packet.name}: ${name}`);
    });
  });
});

/** The addresses and ports of each level in a line of tcpdump: `IP 192.0.2.7.443 > 10.0.0.1.51514: `. */
function ends(line: string): string[] {
  return [...line.matchAll(/\bIP6? (\S+) > (\S+?):(?: |$)/g)].map(([, source, destination]) => `${source} > ${destination}`);
}

test("tcpdump prints the same addresses and ports", programs("tcpdump"), () => {
  const { out, err } = withFile((path) => output("tcpdump", "-nn", "-tt", "-r", path));
  // The packet in a VXLAN has its own line.
  const lines = out.split(/\n(?=\d+\.000000 )/).map((line) => line.replace(/^\d+\.000000 /, "").replaceAll("\n", " "));
  assertEquals(lines.length, packets.length, err);
  let compared = 0;
  packets.forEach((packet, i) => {
    const ours = levelsOf(packet).filter(({ version }) => version !== undefined).map(({ fields }) => {
      // tcpdump knows ports of TCP, UDP and SCTP, and prints both or none; behind an extension of IPv6 and behind AH they stand apart.
      const { sourcePort, destinationPort } = fields;
      const hasPorts = destinationPort !== undefined && fields.protocolName !== "udplite" && !/\b(AH\(|HBH |frag \()/.test(lines[i]!);
      return hasPorts
        ? `${fields.source}.${sourcePort} > ${fields.destination}.${destinationPort}`
        : `${fields.source} > ${fields.destination}`;
    });
    const theirs = ends(lines[i]!);
    compared += theirs.length;
    // It prints nothing from a header that is cut.
    assertEquals(ours.slice(0, theirs.length), theirs, `${packet.name}: ${lines[i]}`);
  });
  assert(compared > packets.length / 2, `${compared}`);
});

test("a cut packet has the same headers as the whole one, up to the cut, and names the header that is cut", () => {
  for (const { name, bytes } of made) {
    const whole = new PacketView().decode(bytes, 0, bytes.length, "ethernet");
    assertEquals([whole.broken, whole.cut, whole.deeper], [NONE, NONE, false], name);
    for (let size = 0; size < bytes.length; size++) {
      // Nothing after the cut is read, and the packet may begin at any offset.
      const memory = new Uint8Array(size + 40).fill(0xff);
      memory.set(bytes.subarray(0, size), 7);
      const cut = new PacketView().decode(memory, 7, 7 + size, "ethernet", bytes.length);
      const at = `${name}, ${size} bytes`;
      assertEquals([...cut.kinds.subarray(0, cut.count)], [...whole.kinds.subarray(0, cut.count)], at);
      assertEquals(Array.from(cut.offsets.subarray(0, cut.count), (offset) => offset - 7), [...whole.offsets.subarray(0, cut.count)], at);
      assertEquals(cut.broken, NONE, at);
      // The first header that does not end before the cut.
      let first = 0;
      while (first < whole.count && end(whole, first) <= size) first++;
      const next = first < whole.count ? headerName(whole.kinds[first]!) : "";
      // What follows an MPLS stack, GTP, or PPP in GRE is recognised by its first byte.
      const isUntold = first > 0 && end(whole, first - 1) === size && [MPLS, GTPU, GRE].includes(whole.kinds[first - 1]!);
      assertEquals(headerName(cut.cut), isUntold && cut.cut === NONE ? "" : next, at);
    }
  }
});

/** Where header `i` ends. */
function end(packet: PacketView, i: number): number {
  return i + 1 < packet.count ? packet.offsets[i + 1]! : packet.payload;
}

test("a packet that begins with an IP header is read as after an Ethernet header", () => {
  for (const { name, bytes } of made) {
    const framed = parsePacket(bytes);
    if (framed.vlans ?? framed.mplsLabels ?? (framed.etherType !== 0x0800 && framed.etherType !== 0x86dd)) continue;
    const bare = { ...framed, etherSource: undefined, etherDestination: undefined, etherType: undefined };
    assertEquals(parsePacket(bytes.subarray(14), "raw-ip"), bare, name);
  }
});
