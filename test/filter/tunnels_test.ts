/** Conditions about tunnels: for the packet inside, libpcap's result for that packet alone. */
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { compileBpf } from "../../src/filter/classic_bpf.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { filter, packetFilter } from "../../src/filter/stage.ts";
import { bytes, join, number } from "../psample/build.ts";
import { pcapFile } from "../support/capture_files.ts";
import { inDirectory } from "../support/directory.ts";
import { programs } from "../support/programs.ts";
import { picked } from "./libpcap.ts";
import { type CutPacket, cutPackets } from "./packets.ts";

const MACS = "0200000000aa 0200000000bb";

function frame(payload: Uint8Array): Uint8Array {
  return join(bytes(`${MACS} ${payload[0]! >> 4 === 6 ? "86dd" : "0800"}`), payload);
}

function ipv4(protocol: number, payload: Uint8Array): Uint8Array {
  const length = number(2, 20 + payload.length, false);
  return join(bytes("4500"), length, bytes("0001 0000 40"), Uint8Array.of(protocol), bytes("0000 c6336401 c6336402"), payload);
}

function ipv6(next: number, payload: Uint8Array): Uint8Array {
  const length = number(2, payload.length, false);
  return join(
    bytes("60000000"),
    length,
    Uint8Array.of(next, 64),
    bytes(`${"20010db8".padEnd(32, "0")} ${"20010db9".padEnd(32, "0")}`),
    payload,
  );
}

function udp(port: number, payload: Uint8Array): Uint8Array {
  return join(number(2, 50000, false), number(2, port, false), number(2, 8 + payload.length, false), bytes("0000"), payload);
}

/** Ways to carry a frame, with the number 42. */
const AROUND_FRAMES: Record<string, (inside: Uint8Array) => Uint8Array> = {
  "VXLAN": (inside) => frame(ipv4(17, udp(4789, join(bytes("08000000 00002a00"), inside)))),
  "VXLAN on Linux's old port, over IPv6": (inside) => frame(ipv6(17, udp(8472, join(bytes("08000000 00002a00"), inside)))),
  "VXLAN-GPE": (inside) => frame(ipv4(17, udp(4790, join(bytes("0c000003 00002a00"), inside)))),
  "Geneve": (inside) => frame(ipv4(17, udp(6081, join(bytes("00006558 00002a00"), inside)))),
  "Geneve with options": (inside) => frame(ipv6(17, udp(6081, join(bytes("02406558 00002a00 0102030100000001"), inside)))),
  "NVGRE": (inside) => frame(ipv4(47, join(bytes("20006558 00002a07"), inside))),
  "NVGRE without a frame around it": (inside) => ipv4(47, join(bytes("20006558 00002a07"), inside)),
};

/** Ways to carry a packet that begins with IPv4, without a number of a network. */
const AROUND_IPV4: Record<string, (inside: Uint8Array) => Uint8Array> = {
  "GRE": (inside) => frame(ipv4(47, join(bytes("00000800"), inside))),
  "GRE with a key": (inside) => frame(ipv6(47, join(bytes("20000800 0000002a"), inside))),
  "IP in IP": (inside) => frame(ipv4(4, inside)),
  "IPv4 in IPv6, without a frame": (inside) => ipv6(4, inside),
};

const EXPRESSIONS = [
  "tcp port 443 and net 10.0.0.0/8",
  "ip",
  "ip6 or arp",
  "not tcp",
  "udp port 53",
  "len > 70",
  "ip[8] < 6",
  "tcp[13] & 2 != 0",
  "icmp or icmp6",
  "host 10.0.0.1 and not udp",
];

function firstOf(packet: Uint8Array): "ethernet" | "raw-ip" {
  return packet[0] === 0x02 ? "ethernet" : "raw-ip";
}

function matches(expression: string, packet: Uint8Array, originalBytes = packet.length): boolean {
  return packetFilter(expression)(packet, firstOf(packet), originalBytes);
}

/** Whole packets whose headers are whole: what they are padded with is another matter. */
function insides(first: CutPacket["first"]): Uint8Array[] {
  return cutPackets().filter((packet) =>
    packet.first === first && packet.data.length === packet.originalBytes && packet.data.length >= (first === "ethernet" ? 48 : 34)
  )
    .map(({ data }) => data);
}

test(
  "of the packet inside a tunnel matches what libpcap says of it alone",
  programs("tcpdump"),
  inDirectory(async (path) => {
    for (const [first, linkType, around] of [["ethernet", 1, AROUND_FRAMES], ["raw-ip", 101, AROUND_IPV4]] as const) {
      const packets = insides(first).filter((packet) => first === "ethernet" || packet[0]! >> 4 === 4);
      assert(packets.length > 10, `${packets.length} begin with ${first}`);
      const file = path(`${first}.pcap`);
      writeFileSync(file, pcapFile(packets.map((bytes, i) => ({ bytes, originalBytes: bytes.length, seconds: i })), { linkType }));
      for (const expression of EXPRESSIONS) {
        const theirs = await picked(file, expression, true);
        for (const [name, wrap] of Object.entries(around)) {
          const matching = packetFilter(`inner (${expression})`);
          const ours = packets.flatMap((packet, i) => {
            const wrapped = wrap(packet);
            return matching(wrapped, firstOf(wrapped)) ? [i] : [];
          });
          assertEquals(ours, theirs, `${name}: ${expression}`);
        }
      }
    }
  }),
);

test(
  "the number of a network matches what libpcap says of Geneve",
  programs("tcpdump"),
  inDirectory(async (path) => {
    const [inside] = insides("ethernet");
    const geneve = AROUND_FRAMES["Geneve"]!(inside!);
    const other = geneve.map((byte, i) => i === 14 + 20 + 8 + 6 ? 0x2b : byte);
    const packets = [inside!, geneve, other, AROUND_FRAMES["Geneve with options"]!(inside!)];
    const file = path("geneve.pcap");
    writeFileSync(file, pcapFile(packets.map((bytes, i) => ({ bytes, originalBytes: bytes.length, seconds: i })), { linkType: 1 }));
    assertEquals(await picked(file, "geneve 42", true), [1, 3]);
    assertEquals(packets.flatMap((packet, i) => matches("vni 42", packet) ? [i] : []), [1, 3]);
  }),
);

test("each kind of tunnel is found by its number, and no other", () => {
  const inside = insides("ethernet")[0]!;
  for (const [name, wrap] of Object.entries(AROUND_FRAMES)) {
    const wrapped = wrap(inside);
    assert(matches("vni 42", wrapped), name);
    assert(!matches("vni 43", wrapped), name);
    assert(matches("not vni 43 and udp or proto 47", wrapped), name);
  }
  const ip = insides("raw-ip").find((packet) => packet[0]! >> 4 === 4)!;
  for (const [name, wrap] of Object.entries(AROUND_IPV4)) assert(!matches("vni 42", wrap(ip)), name);
});

test("a tunnel in a tunnel is inside, and what is outside is not", () => {
  const vxlan = AROUND_FRAMES["VXLAN"]!;
  const geneve = AROUND_FRAMES["Geneve"]!;
  const web = insides("ethernet").find((packet) => matches("tcp port 443 and not vlan", packet))!;
  const twice = vxlan(geneve(web));
  assert(matches("udp port 4789 and inner (udp port 6081 and vni 42 and inner (tcp port 443))", twice));
  assert(!matches("tcp port 443", twice));
  assert(!matches("inner (tcp port 443)", twice));
  assert(!matches("inner (tcp)", web));
  assert(matches("not inner (tcp)", web));
  assert(matches("vlan or inner (tcp port 443)", vxlan(web)));
  // The pseudowire of RFC 4385: a frame behind a control word.
  assert(matches("mpls 5 and inner (tcp port 443)", join(bytes(`${MACS} 8847 00005140 00000000`), web)));
});

test("a packet cut before the tunnel matches no condition about it", () => {
  const web = insides("ethernet").find((packet) => matches("tcp port 443 and not vlan", packet))!;
  const wrapped = AROUND_FRAMES["VXLAN"]!(web);
  const cut = (size: number): Uint8Array => wrapped.subarray(0, size);
  // In the outer UDP header, and in the inner Ethernet header.
  for (const size of [38, 45]) {
    for (const expression of ["inner (tcp)", "not inner (tcp)", "not vni 42", "vni 43"]) {
      assert(!matches(expression, cut(size), wrapped.length), `${expression} in ${size} bytes`);
    }
  }
  assert(matches("vni 42 and not tcp", cut(50), wrapped.length));
  assert(!matches("not inner (tcp)", cut(50), wrapped.length));
  // After TCP there is no tunnel, even if the packet is cut.
  assert(matches("not inner (tcp)", web.subarray(0, 40), web.length));
});

test("mistakes about tunnels are refused at the right place", () => {
  const refusals: Record<string, [position: number, says: string]> = {
    "vni": [3, "the number of a network from 0 to 16777215 after this"],
    "vni 16777216": [4, "from 0 to 16777215"],
    "udp and inner tcp": [14, "expected an opening bracket, as in inner (tcp port 443)"],
    "inner (tcp port)": [15, "expected a port"],
    "inner ()": [7, "expected a filter"],
    "inner (tcp": [6, "not closed"],
    "inner (udp and group 5)": [15, "use it outside inner (...)"],
    "port 80 and inner (443)": [19, "a word before this"],
    "inner (port 80) and 443": [20, "a word before this"],
    "geneve 42": [0, "use udp port 6081, vni N or inner"],
  };
  for (const [expression, [position, says]] of Object.entries(refusals)) {
    const error = assertThrows(() => filter(expression), FilterError);
    assert(error.message.includes(says), `${expression}: ${error.message}`);
    assertEquals(error.position, position, error.message);
  }
  const error = assertThrows(() => compileBpf("udp and not (tcp or vni 5)", "ethernet"), FilterError, "cannot look for a tunnel");
  assertEquals(error.position, 20);
});
