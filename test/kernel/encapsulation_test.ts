/**
 * Packets within packets, from a real kernel to what people read: MPLS, VLAN tags, a bridge, VXLAN. The packet lines show each, `top` counts
 * by what is inside, and filters that name it select it in the kernel.
 */
import { spawnSync } from "node:child_process";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ETH_IPV4, ETH_QINQ, ETH_VLAN, ethernet, frameIn, hex, join, OURS, packetIn, PEER, udp, vxlan, words } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, ip, scene, send } from "./scene.ts";

const ETH_MPLS = 0x8847;

/** The lines about the first `count` samples of `capture`, without the line that says the rate. */
async function linesOf(words: readonly string[], count: number, sending: () => void): Promise<string[]> {
  const capture = new Command(["capture", ...words, "--rate", "1", "-t", "--count", `${count}`]);
  await capture.samples();
  sending();
  assertEquals(await capture.status, 0, capture.io.errors());
  return capture.io.text().trimEnd().split("\n").slice(1).map((line) => line.replace(/ +/g, " "));
}

/** The rows of `top`: the keys of each, and its number of samples, in the order of the keys. */
async function rowsOf(words: readonly string[], by: string, sending: () => void): Promise<string[]> {
  const top = new Command(["top", ...words, "--rate", "1", "--once", "--interval", "1h", "--by", by, "--json"]);
  await top.samples();
  sending();
  await top.end();
  const rows = top.io.text().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return rows.map(({ by, samples }) => [...Object.values(by), samples].join(" ")).sort();
}

/** Entries of an MPLS stack, the last of which is its bottom. */
function labels(...all: readonly number[]): Uint8Array {
  const BOTTOM = 0x100;
  const TTL = 64;
  return join(...all.map((label, i) => words(label >> 4, (label & 0xf) << 12 | (i === all.length - 1 ? BOTTOM : 0) | TTL)));
}

/** A frame from the peer with an MPLS stack in front of its packet. */
function labelled(port: number, ...all: readonly number[]): Uint8Array {
  return ethernet(OURS, PEER, ETH_MPLS, join(labels(...all), packetIn({ port })));
}

const MPLS = [labelled(5001, 100, 200), labelled(5002, 100, 200), labelled(5001, 101), labelled(5001, 17, 100)];
const MPLS_WORDS = ["a", "--direction", "ingress", "--filter", "mpls"];
/** No kernel does anything with them unless it is told to: what it samples is what was sent. */
const sendMpls = (): void => send("b", ...MPLS, frameIn());

scene("MPLS: lines show the stack, top counts by its label and by the addresses under it, filters select by both", async () => {
  bareWire();
  assertEquals(await linesOf(MPLS_WORDS, 4, sendMpls), [
    "a < 150 mpls 100 mpls 200 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
    "a < 150 mpls 100 mpls 200 192.0.2.2.4000 > 192.0.2.1.5002: UDP, length 100",
    "a < 146 mpls 101 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
    "a < 150 mpls 17 mpls 100 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
  ]);
  // As in tcpdump, each mpls looks one label further down, and what follows at what is under the stack.
  const chosen = "mpls 100 and mpls 200 and udp dst port 5001";
  const line = "a < 150 mpls 100 mpls 200 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100";
  for (const option of ["--filter", "--match"]) {
    const words = ["a", "--direction", "ingress", option, chosen];
    assertEquals(await linesOf(words, 2, () => [sendMpls(), sendMpls()]), [line, line], option);
    const explained = new Command(["capture", ...words, "--explain"]);
    await explained.status;
    const { text } = explained.io;
    assertStringIncludes(text(), option === "--filter" ? "In the kernel, before a sample is queued" : "One filter of the classifier bpf");
    assert(!text().includes("Here, sample by sample"), text());
  }
  const by = "stack,mplslabel,ipsource,ipdestination,udpdestinationport";
  assertEquals(await rowsOf(MPLS_WORDS, by, sendMpls), [
    "eth.mpls.ip.udp 101 192.0.2.2 192.0.2.1 5001 1",
    "eth.mpls.mpls.ip.udp 100 192.0.2.2 192.0.2.1 5001 1",
    "eth.mpls.mpls.ip.udp 100 192.0.2.2 192.0.2.1 5002 1",
    "eth.mpls.mpls.ip.udp 17 192.0.2.2 192.0.2.1 5001 1",
  ]);
});

scene("MPLS that the kernel itself makes, by a route", "module:mpls_iptunnel", "program:bash", async () => {
  bareWire();
  ip("route add 203.0.113.0/24 encap mpls 100/200 via 192.0.2.2 dev a");
  const words = ["a", "--direction", "egress", "--match", "mpls 100 and mpls 200 and host 203.0.113.9"];
  const sending = (): void => void spawnSync("bash", ["-c", "echo hello >/dev/udp/203.0.113.9/9"]);
  const [line] = await linesOf(words, 1, sending);
  assertMatch(line!, /^a > 56 mpls 100 mpls 200 192\.0\.2\.1\.\d+ > 203\.0\.113\.9\.9: UDP, length 6$/);
  assertEquals(await rowsOf(words, "mplslabel,ipdestination,ipprotocol", sending), ["100 203.0.113.9 udp 1"]);
});

/** The payload of an Ethernet frame behind VLAN tags, the outermost first. */
function tagged(tags: readonly (readonly [kind: number, vlan: number])[], port: number): Uint8Array {
  const [[kind], ...more] = tags as [readonly [number, number], ...(readonly (readonly [number, number])[])];
  const kinds = [...more.map(([kind]) => kind), ETH_IPV4];
  return ethernet(OURS, PEER, kind, join(...tags.map(([, vlan], i) => words(vlan, kinds[i]!)), packetIn({ port })));
}

scene("VLANs: an inner tag is in the lines and keys; the outer one the kernel keeps beside the packet, where --match sees it", async () => {
  bareWire();
  ip("link add link a name a.5 type vlan id 5", "link set dev a.5 up");
  const sending = (): void => {
    send("b", tagged([[ETH_QINQ, 8], [ETH_VLAN, 7]], 5001), tagged([[ETH_QINQ, 8], [ETH_VLAN, 9]], 5002), tagged([[ETH_VLAN, 5]], 5003));
  };
  const words = ["a", "--direction", "ingress", "--filter", "udp or vlan"];
  assertEquals(await linesOf(words, 3, sending), [
    "a < 146 vlan 7 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
    "a < 146 vlan 9 192.0.2.2.4000 > 192.0.2.1.5002: UDP, length 100",
    "a < 142 192.0.2.2.4000 > 192.0.2.1.5003: UDP, length 100",
  ]);
  // The third has one of the keys.
  assertEquals(await rowsOf(words, "vlan,ipsource", sending), ["192.0.2.2 1", "7 192.0.2.2 1", "9 192.0.2.2 1"]);
  const outer = ["a", "--direction", "ingress", "--match", "vlan 8 and vlan 7"];
  assertEquals(await linesOf(outer, 1, sending), ["a < 146 vlan 7 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100"]);
  // The device of the VLAN gets what is its own, without the tag.
  const device = ["a.5", "--direction", "ingress", "--match", "udp dst port 5003"];
  assertEquals(await linesOf(device, 1, sending), ["a.5 < 142 192.0.2.2.4000 > 192.0.2.1.5003: UDP, length 100"]);
  assertEquals(await rowsOf(device, "device,udpdestinationport", sending), ["a.5 5003 1"]);
});

scene("a bridge: the same packet at the port where it comes in, at the bridge, and at the port where it goes out", async () => {
  ip(
    "link add name br0 index 205 address 02:00:00:00:00:05 type bridge",
    "link add name p1 index 201 type veth peer name q1 index 202",
    "link add name p2 index 203 type veth peer name q2 index 204",
    "link set dev p1 master br0",
    "link set dev p2 master br0",
    ...["br0", "p1", "q1", "p2", "q2"].map((name) => `link set dev ${name} up`),
  );
  const to = (address: string, port: number): Uint8Array =>
    ethernet(hex(address), PEER, ETH_IPV4, udp({ from: "192.0.2.2", to: "192.0.2.1" }, 4000, port, new Uint8Array(100)));
  const sending = (): void => send(202, to("020000000005", 5001), to("020000000099", 5002));
  const words = ["p1", "p2", "br0", "--filter", "udp dst portrange 5001-5002"];
  const lines = await linesOf(words, 4, sending);
  assertEquals(lines.sort(), [
    "br0 < 142 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
    "p1 < 142 192.0.2.2.4000 > 192.0.2.1.5001: UDP, length 100",
    "p1 < 142 192.0.2.2.4000 > 192.0.2.1.5002: UDP, length 100",
    "p2 > 142 192.0.2.2.4000 > 192.0.2.1.5002: UDP, length 100",
  ]);
  const by = "device,direction,udpdestinationport";
  assertEquals(await rowsOf(words, by, sending), ["br0 in 5001 1", "p1 in 5001 1", "p1 in 5002 1", "p2 out 5002 1"]);
});

scene("VXLAN: the underlay shows the tunnel and what is in it, the tunnel's device what comes out", "module:vxlan", async () => {
  bareWire();
  ip(
    "link add name tunnel0 index 120 address 02:00:00:00:00:11 type vxlan external dstport 4789",
    "link set dev tunnel0 up",
  );
  const sending = (): void => send("b", vxlan(4, false), frameIn());
  const inside = "10.0.0.2.4000 > 10.0.0.1.5000: UDP, length 100";
  assertEquals(await linesOf(["a", "--direction", "ingress", "--match", "udp dst port 4789"], 1, sending), [
    `a < 192 192.0.2.2.50000 > 192.0.2.1.4789: vxlan 42 | ${inside}`,
  ]);
  const words = ["a", "--direction", "ingress", "--filter", "vni 42 and inner (udp dst port 5000)"];
  assertEquals(await rowsOf(words, "vni,ipsource,ipsource.1,ipdestination.1", sending), ["42 192.0.2.2 10.0.0.2 10.0.0.1 1"]);
  const device = ["tunnel0", "--direction", "ingress", "--match", "udp dst port 5000"];
  assertEquals(await linesOf(device, 1, sending), [`tunnel0 < 142 ${inside}`]);
  assertEquals(await rowsOf(device, "device,ipsource", sending), ["tunnel0 10.0.0.2 1"]);
});
