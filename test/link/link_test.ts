/** Links compared with the output of `ip -json link` for the same dump. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import {
  ARPHRD_ETHER,
  ARPHRD_IPGRE,
  ARPHRD_LOOPBACK,
  ARPHRD_NONE,
  ARPHRD_TUNNEL,
  ChangingLinkTable,
  decodeLink,
  encodeGetLink,
  encodeLinkDump,
  linksOf,
  LinkTable,
} from "../../src/link/link.ts";
import { linkTypeOf } from "../../src/link/link_type.ts";
import { AttrWriter } from "../../src/wire/attr_writer.ts";
import { encodeMessage, splitMessages } from "../../src/wire/message.ts";
import { toHex } from "../../src/wire/text.ts";
import { linkMessages, readSessions } from "../tc/sessions.ts";

interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  link_type: string;
  address?: string;
  ifalias?: string;
  altnames?: string[];
  link_index?: number;
  link_netnsid?: number;
  master?: string;
}

const TYPES: Readonly<Record<string, number>> = {
  ether: ARPHRD_ETHER,
  loopback: ARPHRD_LOOPBACK,
  gre: ARPHRD_IPGRE,
  ipip: ARPHRD_TUNNEL,
  netlink: 824,
};

test("decodeLink: agrees with ip", () => {
  const [session] = readSessions("links");
  const table = LinkTable.of(linkMessages());
  const real: IpLink[] = JSON.parse(session!.out);
  assertEquals(table.size, real.length);
  for (const link of real) {
    const ours = table.get(link.ifindex)!;
    assertEquals(ours.name, link.ifname);
    assertEquals(ours.mtu, link.mtu);
    assertEquals(ours.type, TYPES[link.link_type]);
    assertEquals(ours.up, link.flags.includes("UP"));
    assertEquals(ours.alias, link.ifalias);
    assertEquals([...ours.alternativeNames], link.altnames ?? []);
    assertEquals(ours.lowerIndex, link.link_index);
    assertEquals(ours.lowerNsid, link.link_netnsid);
    assertEquals(ours.masterIndex, link.master === undefined ? undefined : table.indexOf(link.master));
    const address = link.address?.includes(":")
      ? link.address.replaceAll(":", "")
      : link.address?.split(".").map((part) => Number(part).toString(16).padStart(2, "0")).join("");
    assertEquals(ours.address && toHex(ours.address), address);
  }
  assertEquals(table.byName("vx")!.kind, "vxlan");
  assertEquals(table.indexOf("enp-very-long-name-of-d0"), table.indexOf("d0"));
  assertEquals(table.nameOf(70001), "big");
  assertEquals(table.indexOf("nosuch"), undefined);
});

test("LinkTable: finds devices by the low half of their index", () => {
  const table = LinkTable.of(linkMessages());
  assertEquals(table.resolveIfindex(70001 & 0xffff)?.name, "big");
  // 3 and 65539 end in the same 16 bits.
  assertEquals(table.candidates(3).map((link) => link.index), [3, 65539]);
  assertEquals(table.resolveIfindex(3), undefined);
  assertEquals(table.resolveIfindex(3, (link) => link.index === 65539)?.index, 65539);
  assertEquals(table.resolveIfindex(3, () => true), undefined);
  assertEquals(table.resolveIfindex(999), undefined);
});

test("LinkTable: a device that is renamed, and one that is removed", () => {
  const table = new ChangingLinkTable(linksOf(linkMessages()));
  const d0 = table.byName("d0")!;
  table.set({ ...d0, name: "uplink" });
  assertEquals([table.indexOf("d0"), table.indexOf("uplink")], [undefined, d0.index]);
  assertEquals(table.resolveIfindex(d0.index & 0xffff)?.name, "uplink");
  table.delete(d0.index);
  table.delete(d0.index);
  assertEquals([table.indexOf("uplink"), table.indexOf("enp-very-long-name-of-d0"), table.get(d0.index)], [
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals(table.candidates(d0.index), []);
  // The remaining one of two with the same 16 bits is no longer ambiguous.
  table.delete(65539);
  assertEquals(table.resolveIfindex(3)?.index, 3);
});

test("LinkTable: looking a device up does not look at the others", () => {
  const [model] = LinkTable.of(linkMessages()).links();
  let looks = 0;
  const links = Array.from({ length: 5000 }, (_, i) => ({ ...model!, name: `d${i}`, alternativeNames: [] })).map((link, i) =>
    Object.defineProperty(link, "index", { get: () => (looks++, i + 1) })
  );
  const table = new LinkTable(links);
  looks = 0;
  for (let i = 0; i < 5000; i++) assertEquals(table.resolveIfindex(i + 1)?.name, `d${i}`);
  assertEquals(looks, 0);
});

test("encodeGetLink: by index, name and alternative name", () => {
  assertEquals(toHex(encodeLinkDump()), "28000000120001030000000000000000" + "00".repeat(16) + "08001d0008000000");
  assertEquals(toHex(encodeGetLink(7)).slice(40, 48), "07000000");
  assertEquals(toHex(encodeGetLink("d0")).endsWith("0700030064300000"), true);
  assertEquals(toHex(encodeGetLink("a-name-of-16-chr")).includes("15003500"), true);
});

const IPV4 = new Uint8Array(20).fill(0).fill(0x45, 0, 1);
const IPV6 = new Uint8Array(40).fill(0).fill(0x60, 0, 1);
const FRAME = new Uint8Array(34).fill(0x45, 0, 1).fill(0x08, 12, 13).fill(0x00, 13, 14);

test("linkTypeOf: the device decides, then the protocol, then the first half byte", () => {
  assertEquals(linkTypeOf(ARPHRD_ETHER, 0x0800, IPV4), "ethernet");
  assertEquals(linkTypeOf(ARPHRD_LOOPBACK, undefined, IPV4), "ethernet");
  for (const type of [ARPHRD_NONE, ARPHRD_TUNNEL, ARPHRD_IPGRE]) assertEquals(linkTypeOf(type, undefined, FRAME), "raw-ip");
  assertEquals(linkTypeOf(undefined, 0x0800, IPV4), "raw-ip");
  assertEquals(linkTypeOf(undefined, 0x86dd, IPV6), "raw-ip");
  assertEquals(linkTypeOf(undefined, 0x0800, FRAME), "ethernet");
  assertEquals(linkTypeOf(undefined, 0x0806, new Uint8Array(42)), "ethernet");
  assertEquals([1, 11, 12].map((code) => linkTypeOf(undefined, code, IPV4)), ["ethernet", "raw-ip", "raw-ip"]);
  assertEquals([IPV4, IPV6, new Uint8Array(14)].map((data) => linkTypeOf(undefined, undefined, data)), ["raw-ip", "raw-ip", "ethernet"]);
  // InfiniBand: a type that decides nothing.
  assertEquals(linkTypeOf(32, 0x0800, IPV4), "raw-ip");
  assertEquals(linkTypeOf(undefined, undefined, undefined), "ethernet");
});

test("decodeLink: XDP programs, by mode, and counters if requested", () => {
  const [message] = linkMessages() as [ReturnType<typeof linkMessages>[number]];
  const withAttributes = (write: (attr: AttrWriter) => void): ReturnType<typeof decodeLink> => {
    const writer = new AttrWriter();
    write(writer);
    const payload = new Uint8Array([...message.payload, ...writer.finish()]);
    return decodeLink(splitMessages(encodeMessage(message, payload))[0]!);
  };
  const IFLA_XDP = 43;
  const xdp = (mode: number, ...programs: [type: number, id: number][]): unknown =>
    withAttributes((attr) =>
      attr.nest(IFLA_XDP, (nest) => {
        nest.u8(2, mode);
        for (const [type, id] of programs) nest.u32(type, id);
      })
    ).xdp;
  assertEquals(withAttributes(() => {}).xdp, undefined);
  assertEquals(xdp(0), undefined);
  assertEquals(xdp(1, [4, 12], [5, 12]), { mode: "native", programs: [12] });
  assertEquals(xdp(2, [4, 13]), { mode: "generic", programs: [13] });
  assertEquals(xdp(3, [4, 14]), { mode: "hardware", programs: [14] });
  assertEquals(xdp(4, [5, 15], [6, 16]), { mode: "several", programs: [15, 16] });
  const counters = new BigUint64Array([7n, 9n, 700n, 900n]);
  assertEquals(withAttributes((attr) => attr.bytes(23, new Uint8Array(counters.buffer))).packets, { received: 7n, sent: 9n });
});
