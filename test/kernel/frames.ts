/** Packets byte for byte: what a scene sends is what it expects in the samples. */

/** MAC addresses: ours is that of the device `a`, the peer's is at the other end of the wire. */
export const OURS: Uint8Array = hex("020000000001");
export const PEER: Uint8Array = hex("020000000002");

export const ETH_IPV4 = 0x0800;
export const ETH_IPV6 = 0x86dd;
export const ETH_VLAN = 0x8100;
export const ETH_QINQ = 0x88a8;
/** For experiments: no stack handles it. */
export const ETH_EXPERIMENT = 0x88b5;

const UDP = 17;
const TCP = 6;
const IPIP = 4;
const DONT_FRAGMENT = 0x4000;

/** Bytes written as hexadecimal digits. */
export function hex(digits: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** 00 01 02 ... ff 00 ...: a payload that shows missing bytes. */
export function counting(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i & 0xff);
}

/** One after the other. */
export function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Numbers in network byte order, two bytes each. */
export function words(...values: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(values.flatMap((value) => [value >> 8 & 0xff, value & 0xff]));
}

function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i]! << 8 | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

function address(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split("."), Number);
  const [head = "", tail = ""] = text.split("::");
  const numbers = (part: string): number[] => part === "" ? [] : part.split(":").map((word) => parseInt(word, 16));
  const before = numbers(head);
  const after = numbers(tail);
  return words(...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after);
}

/** Where an IP packet goes, and how. */
export interface Route {
  from: string;
  to: string;
  /** IP identification. Defaults to 1. */
  id?: number;
  tos?: number;
  ttl?: number;
  dontFragment?: boolean;
}

/** An IP packet; IPv6 if the addresses are. */
export function ip({ from, to, id = 1, tos = 0, ttl = 64, dontFragment = false }: Route, protocol: number, body: Uint8Array): Uint8Array {
  const [source, destination] = [address(from), address(to)];
  if (source.length === 16) return join(words(0x6000 | tos << 4, 0, body.length), Uint8Array.of(protocol, ttl), source, destination, body);
  const head = join(
    words(0x4500 | tos, 20 + body.length, id, dontFragment ? DONT_FRAGMENT : 0, ttl << 8 | protocol, 0),
    source,
    destination,
  );
  head.set(words(~sum(head)), 10);
  return join(head, body);
}

function pseudoHeader({ from, to }: Route, protocol: number, length: number): Uint8Array {
  return join(address(from), address(to), words(0, protocol, 0, length));
}

/** An IP packet with a UDP datagram in it. */
export function udp(route: Route, from: number, to: number, payload: Uint8Array, checksum = true): Uint8Array {
  const datagram = join(words(from, to, 8 + payload.length, 0), payload);
  if (checksum) datagram.set(words(~sum(join(pseudoHeader(route, UDP, datagram.length), datagram)) & 0xffff || 0xffff), 6);
  return ip(route, UDP, datagram);
}

/** An Ethernet frame. For a tagged one, `kind` and the first bytes of `body` are the tag. */
export function ethernet(to: Uint8Array, from: Uint8Array, kind: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(to, from, words(kind), body);
}

/** What the peer sends to us, from 192.0.2.2:4000 to 192.0.2.1:5000, with `bytes` bytes. */
export function packetIn({ id = 1, size = 100, port = 5000, to = "192.0.2.1" } = {}): Uint8Array {
  return udp({ from: "192.0.2.2", to, id }, 4000, port, counting(size));
}

/** The frame around {@linkcode packetIn}: 42 bytes more. */
export function frameIn(options: Parameters<typeof packetIn>[0] = {}): Uint8Array<ArrayBuffer> {
  return ethernet(OURS, PEER, ETH_IPV4, packetIn(options));
}

/** What we send to the peer, with the same ports. */
export function frameOut({ id = 1, size = 100 } = {}): Uint8Array<ArrayBuffer> {
  return ethernet(PEER, OURS, ETH_IPV4, udp({ from: "192.0.2.1", to: "192.0.2.2", id }, 4000, 5000, counting(size)));
}

/** Frames in the order of their IP identification, from 1. */
export function inOrder(count: number, frame: (options: { id: number; size: number }) => Uint8Array, size = 100): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => frame({ id: i + 1, size }));
}

/** An IPv4 packet in an IPv4 packet. */
export function ipip(route: Route, packet: Uint8Array): Uint8Array {
  return ip(route, IPIP, packet);
}

/** The number of bytes per segment on the wire. */
export const SEGMENT_BYTES = 1448;

/**
 * A TCP segment far larger than the wire takes, as the stack hands it to a card that cuts it. Its checksum is
 * the half that the card completes.
 */
export function superFrame(segments: number): Uint8Array<ArrayBuffer> {
  const route = { from: "192.0.2.2", to: "192.0.2.1", dontFragment: true };
  const payload = counting(segments * SEGMENT_BYTES);
  const PSH_ACK = 0x18;
  const half = sum(pseudoHeader(route, TCP, 20 + payload.length));
  const segment = join(words(4000, 5000, 0, 1, 0, 1, 0x5000 | PSH_ACK, 1024, half, 0), payload);
  return ethernet(OURS, PEER, ETH_IPV4, ip(route, TCP, segment));
}

// --- tunnels ----------------------------------------------------------------------------------------

const INNER_OURS = hex("020000000011");
const INNER_PEER = hex("020000000012");

/** The frame that leaves a tunnel. */
export const INNER: Uint8Array = ethernet(
  INNER_OURS,
  INNER_PEER,
  ETH_IPV4,
  udp({ from: "10.0.0.2", to: "10.0.0.1" }, 4000, 5000, counting(100)),
);

/** The frame that enters a tunnel. */
export const BACK: Uint8Array = ethernet(
  INNER_PEER,
  INNER_OURS,
  ETH_IPV4,
  udp({ from: "10.0.0.1", to: "10.0.0.2" }, 5000, 4000, counting(100)),
);

const VERSION_4 = { from: "192.0.2.2", to: "192.0.2.1" };
const VERSION_6 = { from: "2001:db8::2", to: "2001:db8::1" };

/** {@linkcode INNER} in VXLAN, VNI 42, TOS 0x10, from port 50000. */
export function vxlan(version: 4 | 6, checksum: boolean): Uint8Array {
  const vni = 42;
  const packet = join(words(0x0800, 0, vni >> 8, (vni & 0xff) << 8), INNER);
  const route = { ...(version === 4 ? VERSION_4 : VERSION_6), tos: 0x10 };
  return ethernet(OURS, PEER, version === 4 ? ETH_IPV4 : ETH_IPV6, udp(route, 50000, 4789, packet, checksum));
}

/** {@linkcode INNER} in Geneve, VNI 77, TOS 0x10, from port 50001, with two options. */
export function geneve(): Uint8Array {
  const vni = 77;
  const options = hex("0102800100800022" + "01030302" + "0011223344556677");
  const head = words(options.length / 4 << 8, 0x6558, vni >> 8, (vni & 0xff) << 8);
  const route = { ...VERSION_4, tos: 0x10, dontFragment: true };
  return ethernet(OURS, PEER, ETH_IPV4, udp(route, 50001, 6081, join(head, options, INNER), false));
}
