/** Packets made header by header, at least one for each header that src/packet knows, with correct lengths. */
import { join } from "../psample/build.ts";

type Bytes = Uint8Array<ArrayBuffer>;
/** Puts a header before its payload. */
type Layer = (payload: Bytes) => Bytes;

/** Bytes of hexadecimal digits. */
export function hex(digits: string): Bytes {
  return Uint8Array.from(digits.replace(/\s/g, "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function u16(value: number): string {
  return value.toString(16).padStart(4, "0");
}

const before = (digits: string): Layer => (payload) => join(hex(digits), payload);

/** Layers around bytes, outermost first. */
function packet(...parts: [...Layer[], Bytes]): Bytes {
  const layers = parts.slice(0, -1) as Layer[];
  return layers.reduceRight((payload, layer) => layer(payload), parts.at(-1) as Bytes);
}

const MACS = "020000000002 020000000001";
const eth = (type: number): Layer => before(`${MACS} ${u16(type)}`);
const eth8023: Layer = (payload) => join(hex(`${MACS} ${u16(payload.length)}`), payload);
const vlan = (control: number, type: number): Layer => before(u16(control) + u16(type));
const mpls = (label: number, bottom: boolean): Layer => before((label << 12 | (bottom ? 0x100 : 0) | 64).toString(16).padStart(8, "0"));

/** How an IPv4 header is made. */
interface Ipv4 {
  options?: string;
  fragment?: number;
  tos?: number;
  length?: number;
}

function ip4(protocol: number, { options = "", fragment = 0x4000, tos = 0xb8, length }: Ipv4 = {}): Layer {
  const more = hex(options);
  return (payload) => {
    const size = 20 + more.length;
    const header = hex(
      `4${(size / 4).toString(16)}${u16(tos).slice(2)} ${u16(length ?? size + payload.length)} 1234 ${u16(fragment)} ` +
        `3f${u16(protocol).slice(2)} 0000 c0000207 0a000001`,
    );
    return join(header, more, payload);
  };
}

const ip6 = (next: number, length?: number): Layer => (payload) =>
  join(
    hex(
      `6b812345 ${u16(length ?? payload.length)} ${u16(next).slice(2)}40 20010db8000000000000000000000001 20010db8000000000000000000000002`,
    ),
    payload,
  );

const udp = (destination: number, source = 12345): Layer => (payload) =>
  join(hex(`${u16(source)}${u16(destination)}${u16(8 + payload.length)}0000`), payload);
const tcp = (flags: number, options = ""): Layer =>
  before(
    `01bbc93a 00000001 00000002 ${(5 + options.replace(/\s/g, "").length / 8).toString(16)}${
      u16(flags).slice(1)
    } ffff 0000 0000 ${options}`,
  );

const DATA = hex("0102030405060708");
const NOTHING = hex("");
/** MSS 1460, SACK permitted, time stamps, no operation, window scale 7. */
const TCP_OPTIONS = "020405b4 0402 080a 00000001 00000002 01 030307";
const IP4 = 0x0800;
const IP6 = 0x86dd;
const ARP = "0001 0800 0604 0001 020000000001 c0000207 000000000000 c0000209";
const SCTP = hex("01bbc93a 00000001 00000000 0600 0004");

const tcp4 = packet(ip4(6), tcp(0x18), DATA);
const udp6 = packet(ip6(17), udp(9999), DATA);
const frame4 = join(hex(`${MACS}0800`), tcp4);

const gtp = (flags: string, type: string, payload: Bytes): Bytes => {
  // Length counts what follows the first eight bytes.
  return join(hex(`${flags}${type}${u16(payload.length)}00000007`), payload);
};

/** Packets that begin with an Ethernet header, named by their contents. */
export const MADE: Readonly<Record<string, Bytes>> = {
  tcp4: packet(eth(IP4), tcp4),
  "tcp4 with options": packet(eth(IP4), ip4(6), tcp(0x12, TCP_OPTIONS), NOTHING),
  "tcp4 with nine flags": packet(eth(IP4), ip4(6), tcp(0x1ff), DATA),
  "tcp4 without flags": packet(eth(IP4), ip4(6), tcp(0), NOTHING),
  "tcp4 behind IP options": packet(eth(IP4), ip4(6, { options: "94040000 01010100" }), tcp(0x02), NOTHING),
  "tcp4 padded": packet(eth(IP4), join(packet(ip4(6), tcp(0x10), NOTHING), new Uint8Array(6))),
  "tcp4, length 0": packet(eth(IP4), ip4(6, { length: 0 }), tcp(0x18), DATA),
  tcp6: packet(eth(IP6), ip6(6), tcp(0x02, TCP_OPTIONS), NOTHING),
  udp4: packet(eth(IP4), ip4(17), udp(9999), DATA),
  udp6: packet(eth(IP6), udp6),
  "first fragment": packet(eth(IP4), ip4(17, { fragment: 0x2000 }), udp(9999), DATA),
  "later fragment": packet(eth(IP4), ip4(17, { fragment: 0x00b9 }), DATA),
  udplite4: packet(eth(IP4), ip4(136), before("3039270f00080000"), DATA),
  sctp4: packet(eth(IP4), ip4(132), SCTP),
  sctp6: packet(eth(IP6), ip6(132), SCTP),
  icmp: packet(eth(IP4), ip4(1), before("0800 0000 1234 0001"), DATA),
  "icmp error": packet(eth(IP4), ip4(1), before("0303 0000 0000 0000"), packet(ip4(17), udp(9999), DATA)),
  icmp6: packet(eth(IP6), ip6(58), before("8000 0000 1234 0001"), DATA),
  "icmp6 error": packet(eth(IP6), ip6(58), before("0104 0000 0000 0000"), udp6),
  "icmp6 neighbour": packet(eth(IP6), ip6(58), before("8700 0000 0000 0000"), hex("20010db8000000000000000000000002 0101020000000001")),
  igmp: packet(eth(IP4), ip4(2, { options: "94040000" }), before("1600 0000 e00000fb"), NOTHING),
  esp4: packet(eth(IP4), ip4(50), before("00001000 00000001"), DATA),
  ah4: packet(eth(IP4), ip4(51), before("0604 0000 00001000 00000001 000102030405060708090a0b"), tcp(0x10), NOTHING),
  ah6: packet(eth(IP6), ip6(51), before("1104 0000 00001000 00000001 000102030405060708090a0b"), udp(9999), DATA),
  ospf: packet(eth(IP4), ip4(89), hex("02010018 01010101 00000000 00000000 00000000 00000000")),
  "ip6 options": packet(
    eth(IP6),
    ip6(0),
    before("2b00 0502 0000 0100"),
    before("3c02 0401 00000000 20010db8000000000000000000000009"),
    before("0600 0104 00000000"),
    tcp(0x10),
    NOTHING,
  ),
  "ip6 first fragment": packet(eth(IP6), ip6(44), before("1100 0001 00000007"), udp(9999), DATA),
  "ip6 later fragment": packet(eth(IP6), ip6(44), before("1100 00b9 00000007"), DATA),
  "ip6 no next header": packet(eth(IP6), ip6(59), NOTHING),
  arp: packet(eth(0x0806), hex(ARP)),
  "arp reply padded": packet(eth(0x0806), join(hex(ARP.replace("0604 0001", "0604 0002")), new Uint8Array(18))),
  vlan: packet(eth(0x8100), vlan(0x6005, IP4), tcp4),
  qinq: packet(eth(0x88a8), vlan(0x2064, 0x8100), vlan(0x0fff, IP6), udp6),
  "vlan of priority": packet(eth(0x8100), vlan(0xe000, 0x0806), hex(ARP)),
  stp: packet(eth8023, hex("424203 0000000000 8000020000000001 00000000 8000020000000001 8001 0000 1400 0200 0f00")),
  snap: packet(eth8023, before("aaaa03 000000 0800"), tcp4),
  mpls: packet(eth(0x8847), mpls(100, false), mpls(200, true), tcp4),
  "mpls ip6": packet(eth(0x8847), mpls(100, true), udp6),
  "mpls pseudowire": packet(eth(0x8847), mpls(100, true), before("00000000"), frame4),
  pppoe: packet(eth(0x8864), (payload) => join(hex(`11000007${u16(payload.length)}`), payload), before("0021"), tcp4),
  "pppoe ip6": packet(eth(0x8864), (payload) => join(hex(`11000007${u16(payload.length)}`), payload), before("0057"), udp6),
  "pppoe discovery": packet(eth(0x8863), hex("11090000000401010000")),
  ipip: packet(eth(IP4), ip4(4), tcp4),
  sit: packet(eth(IP4), ip4(41), udp6),
  ip4ip6: packet(eth(IP6), ip6(4), tcp4),
  ip6ip6: packet(eth(IP6), ip6(41), udp6),
  gre: packet(eth(IP4), ip4(47), before("00000800"), tcp4),
  "gre with all": packet(eth(IP4), ip4(47), before("b00086dd 00000000 0000002a 00000001"), udp6),
  gretap: packet(eth(IP4), ip4(47), before("20006558 00002a05"), frame4),
  "gre ip6": packet(eth(IP6), ip6(47), before("20000800 0000002a"), tcp4),
  pptp: packet(
    eth(IP4),
    ip4(47),
    (payload) => join(hex(`3081880b ${u16(payload.length)}0007 00000001 00000002`), payload),
    before("ff030021"),
    tcp4,
  ),
  "erspan 1": packet(eth(IP4), ip4(47), before("000088be"), frame4),
  "erspan 2": packet(eth(IP4), ip4(47), before("100088be 00000001 10050001 00000002"), frame4),
  "erspan 3": packet(eth(IP4), ip4(47), before("100022eb 00000001 20050001 00000000 00000000"), frame4),
  vxlan: packet(eth(IP4), ip4(17), udp(4789), before("0800000000002a00"), frame4),
  "vxlan of Linux": packet(eth(IP4), ip4(17), udp(8472), before("0800000000002a00"), frame4),
  vxlan6: packet(eth(IP6), ip6(17), udp(4789), before("0800000000002a00"), join(hex(`${MACS}86dd`), udp6)),
  "vxlan-gpe": packet(eth(IP4), ip4(17), udp(4790), before("0c00000100002a00"), tcp4),
  geneve: packet(eth(IP4), ip4(17), udp(6081), before("0240655800002a00 0102030100000001"), frame4),
  "geneve ip": packet(eth(IP4), ip4(17), udp(6081), before("0000080000002a00"), tcp4),
  "geneve ip6": packet(eth(IP4), ip4(17), udp(6081), before("000086dd00002a00"), udp6),
  gtp: packet(eth(IP4), ip4(17), udp(2152, 2152), gtp("30", "ff", tcp4)),
  "gtp with extension": packet(eth(IP4), ip4(17), udp(2152, 2152), gtp("34", "ff", join(hex("00000085 01000900"), tcp4))),
  "gtp echo": packet(eth(IP4), ip4(17), udp(2152, 2152), gtp("32", "01", hex("00010000"))),
  "vlan in vxlan in vlan": packet(
    eth(0x8100),
    vlan(0x0005, IP4),
    ip4(17),
    udp(4789),
    before("0800000000002a00"),
    eth(0x8100),
    vlan(0x2006, IP6),
    udp6,
  ),
  "unknown type": packet(eth(0x88b5), DATA),
};
