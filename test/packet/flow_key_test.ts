import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import * as header from "../../src/packet/header.ts";
import { PACKET_KEYS, packetKey, PacketView } from "../../src/packet/mod.ts";

const ETHERNET = "020000000002 020000000001";
const TCP = "01bb c93a 00000001 00000002 5012 ffff 0000 0000";
const UDP = (source: string, destination: string): string => `${source} ${destination} 0000 0000`;
const IPV4 = (protocol: string): string => `45b8 0000 0000 4000 40${protocol} 0000 c0000207 0a000001`;
const IPV6 = (next: string): string => `6b800000 0000 ${next}40 20010db8000000000000000000000001 20010db8000000000000000000000002`;

function view(hex: string): PacketView {
  const bytes = Uint8Array.from(hex.replace(/\s/g, "").match(/../g)!, (byte) => parseInt(byte, 16));
  return new PacketView().decode(bytes, 0, bytes.length, "ethernet");
}

/** The texts of the keys that the packet has. */
function texts(packet: PacketView, names: readonly string[]): Record<string, string> {
  const into = new Uint8Array(40).fill(0xee);
  const result: Record<string, string> = {};
  for (const name of names) {
    const key = packetKey(name)!;
    const size = key.write(packet, into, 3);
    assert(size <= key.size, name);
    if (size >= 0) result[name] = key.text(into.subarray(3, 3 + size));
  }
  return result;
}

test("keys of Ethernet, VLAN, IPv4 and TCP", () => {
  assertEquals(texts(view(`${ETHERNET} 8100 6005 0800 ${IPV4("06")} ${TCP}`), PACKET_KEYS), {
    macsource: "02:00:00:00:00:01",
    macdestination: "02:00:00:00:00:02",
    ethernetprotocol: "0x0800",
    vlan: "5",
    priority: "3",
    ipsource: "192.0.2.7",
    ipdestination: "10.0.0.1",
    ip4source: "192.0.2.7",
    ip4destination: "10.0.0.1",
    ipprotocol: "tcp",
    iptos: "184",
    ipdscp: "46",
    ipttl: "64",
    sourceport: "443",
    destinationport: "51514",
    tcpsourceport: "443",
    tcpdestinationport: "51514",
    tcpflags: "S.",
    stack: "eth.vlan.ip.tcp",
  });
});

test("keys of IPv6 with an extension, and UDP", () => {
  assertEquals(texts(view(`${ETHERNET} 86dd ${IPV6("00")} 1100 0000 00000000 ${UDP("0035", "1000")}`), PACKET_KEYS), {
    macsource: "02:00:00:00:00:01",
    macdestination: "02:00:00:00:00:02",
    ethernetprotocol: "0x86dd",
    ipsource: "2001:db8::1",
    ipdestination: "2001:db8::2",
    ip6source: "2001:db8::1",
    ip6destination: "2001:db8::2",
    ipprotocol: "udp",
    ip6nexthdr: "udp",
    iptos: "184",
    ip6tos: "184",
    ipdscp: "46",
    ipttl: "64",
    sourceport: "53",
    destinationport: "4096",
    udpsourceport: "53",
    udpdestinationport: "4096",
    stack: "eth.ip6.ip6ext.udp",
  });
});

test("keys with .1 are those of the packet in the tunnel", () => {
  const packet = view(
    `${ETHERNET} 0800 ${IPV4("11")} ${UDP("3039", "12b5")} 0800000000002a00 ${ETHERNET} 86dd ${IPV6("3a")} 8000 0000 0000 0000`,
  );
  const names = [
    "ipsource",
    "ipsource.1",
    "ipsource.2",
    "vni",
    "vni.1",
    "udpdestinationport",
    "icmptype.1",
    "ipprotocol.1",
    "stack",
    "stack.1",
  ];
  assertEquals(texts(packet, names), {
    "ipsource": "192.0.2.7",
    "ipsource.1": "2001:db8::1",
    "vni": "42",
    "udpdestinationport": "4789",
    "icmptype.1": "128",
    "ipprotocol.1": "ipv6-icmp",
    "stack": "eth.ip.udp.vxlan.eth.ip6.icmp6",
    "stack.1": "eth.ip6.icmp6",
  });
});

test("keys of ARP, MPLS and GTP, and networks", () => {
  assertEquals(
    texts(view(`${ETHERNET} 0806 0001 0800 0604 0001 020000000001 c0000207 000000000000 c0000209`), [
      "ipsource",
      "ipdestination",
      "ipprotocol",
    ]),
    { ipsource: "192.0.2.7", ipdestination: "192.0.2.9" },
  );
  assertEquals(texts(view(`${ETHERNET} 8847 00064140 ${IPV4("06")} ${TCP}`), ["mplslabel", "subnet:/24", "subnet:/8"]), {
    "mplslabel": "100",
    "subnet:/24": "192.0.2.0/24 > 10.0.0.0/24",
    "subnet:/8": "192.0.0.0/8 > 10.0.0.0/8",
  });
  assertEquals(texts(view(`${ETHERNET} 86dd ${IPV6("06")} ${TCP}`), ["subnet:/12"]), { "subnet:/12": "2001:db8::/48 > 2001:db8::/48" });
  assertEquals(texts(view(`${ETHERNET} 0800 ${IPV4("11")} ${UDP("0868", "0868")} 30ff0000 00000007`), ["gtpteid"]), { gtpteid: "7" });
});

test("an MPLS label is the same key, whatever its traffic class and position in the stack", () => {
  const key = packetKey("mplslabel")!;
  for (const entry of ["00064140", "00064340", "00064040", "00064e01"]) {
    const into = new Uint8Array(5).fill(0xee);
    assertEquals(key.write(view(`${ETHERNET} 8847 ${entry} 0006 4140 ${IPV4("06")} ${TCP}`), into, 1), 3, entry);
    assertEquals([...into], [0xee, 0x00, 0x06, 0x40, 0xee], entry);
    assertEquals(key.text(into.subarray(1, 4)), "100");
  }
  // Cut off within the label: nothing is written.
  const into = new Uint8Array(3).fill(0xee);
  assertEquals(key.write(view(`${ETHERNET} 8847 0006`), into, 0), -1);
  assertEquals([...into], [0xee, 0xee, 0xee]);
});

test("an ARP for anything but IPv4 on Ethernet has no addresses", () => {
  const arp = (hardware: string, protocol: string): PacketView =>
    view(`${ETHERNET} 0806 0001 0800 ${hardware}${protocol} 0001 020000000001 c0000207 000000000000 c0000209 0000000000000000`);
  const names = ["ipsource", "ipdestination", "subnet:/24"];
  assertEquals(texts(arp("08", "04"), names), {});
  assertEquals(texts(arp("06", "06"), names), {});
  assertEquals(texts(arp("06", "04"), names), {
    ipsource: "192.0.2.7",
    ipdestination: "192.0.2.9",
    "subnet:/24": "192.0.2.0/24 > 192.0.2.0/24",
  });
});

test("what was cut off has no key, and nothing is written beyond the value", () => {
  const packet = view(`${ETHERNET} 0800 ${IPV4("06")} 01bb`);
  assertEquals(texts(packet, ["sourceport", "destinationport", "ipdestination"]), { sourceport: "443", ipdestination: "10.0.0.1" });
  const into = new Uint8Array(8).fill(0xee);
  assertEquals(packetKey("ipsource")!.write(packet, into, 2), 4);
  assertEquals([...into], [0xee, 0xee, 192, 0, 2, 7, 0xee, 0xee]);
});

test("unknown names are not keys", () => {
  for (const name of ["", "ip", "ipsource.", "ipsource.10", "subnet:/33", "subnet:", "toString", "constructor"]) {
    assertEquals(packetKey(name), undefined, name);
  }
});

test("a place says where a key is in every packet with the same headers", () => {
  const packets = [
    `${ETHERNET} 0800 ${IPV4("06")} ${TCP}`,
    `${ETHERNET} 8100 6005 0800 ${IPV4("11")} ${UDP("0035", "1000")}`,
    `${ETHERNET} 86dd ${IPV6("06")} ${TCP}`,
    `${ETHERNET} 0806 0001 0800 0604 0001 020000000001 c0000207 000000000000 0a000001`,
    `${ETHERNET} 0800 ${IPV4("2f")} 0000 0800 ${IPV4("06")} ${TCP}`,
    `${ETHERNET} 0800 ${IPV4("29")} ${IPV6("11")} ${UDP("0035", "1000")}`,
    `${ETHERNET} 88cc 0000`,
  ].map(view);
  const [wrote, copied] = [new Uint8Array(40), new Uint8Array(40)];
  let placed = 0;
  for (const name of [...PACKET_KEYS, "ipsource.1", "destinationport.1", "ipsource.2", "subnet:/24"]) {
    const key = packetKey(name)!;
    for (const packet of packets) {
      const place = key.place(packet);
      if (place === undefined) continue;
      placed++;
      const size = key.write(packet, wrote, 0);
      const start = packet.offsets[place.header]! + place.offset;
      const expected = place.size >= 0 && start + place.size > packet.end ? -1 : place.size;
      assertEquals(size, expected, `${name} of ${packet.stack}`);
      if (size < 0) continue;
      copied.set(packet.bytes.subarray(start, start + size));
      assertEquals(copied.subarray(0, size), wrote.subarray(0, size), `${name} of ${packet.stack}`);
    }
  }
  assert(placed > 100, `${placed}`);
  // The kinds of headers do not show whether ARP is about IPv4, and a bit field has to be extracted.
  assertEquals(packetKey("ipsource")!.place(packets[3]!), undefined);
  assertEquals(packetKey("vlan")!.place(packets[1]!), undefined);
});

test("a kind of header fits into five bits, as stacks of headers are stored", () => {
  for (const [name, kind] of Object.entries(header)) if (typeof kind === "number") assert(kind < 32, name);
});
