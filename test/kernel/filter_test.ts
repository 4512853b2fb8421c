/** Filters in front of a listener's socket, run by the kernel: they deliver what the predicate selects, and nothing else is queued. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Sample } from "../../mod.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { cutPackets } from "../filter/packets.ts";
import { frameIn, packetIn } from "./frames.ts";
import { asSamples, type Ear, hear, IFINDEX, ip, pause, sample, scene, secondWire, send, soon, tc, until, wire } from "./scene.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { main } from "../../cli/main.ts";
import { addTun } from "./tun.ts";

const EXPRESSIONS = [
  "tcp port 443 and net 10.0.0.0/8",
  "udp port 53 or icmp",
  "not tcp and not arp",
  "ip6 or portrange 50-80",
  "tcp[13] & 2 != 0",
  "ip[(ip[0] & 0xf) + 20:2] = 0 or arp",
  "len > 70 and len < 100 or len % 7 = 3",
  "vlan 5 or mpls 5 and tcp",
  "ether[0] & 1 = 1 or ether host 02:00:00:00:00:02 and udp",
  "1 << ip[8] = 32 and len / ip[0] < 2",
  "udp dst port 443 or udp dst port 5120 or tcp port 443",
];

/** The size of the last packet, which is longer than all others. */
const LAST_BYTES = 1400;

/** The predicate judges what a listener without a filter receives; the others, each with an expression, must receive the same. */
async function compareAll(first: "ethernet" | "raw-ip", groups: number, play: () => void): Promise<void> {
  const ears: [expression: string, ear: Ear][] = [];
  try {
    for (const expression of EXPRESSIONS) ears.push([expression, await hear({ filter: expression, events: false })]);
    await using all = await hear({ events: false });
    play();
    // Their number is not known: the kernel drops some that are cut within a tag.
    const samples: Sample[] = [];
    const isLast = ({ group, originalBytes }: Sample): boolean => group === groups && originalBytes! >= LAST_BYTES;
    while (samples.length === 0 || !isLast(samples.at(-1)!)) samples.push(...asSamples(await all.take(1)));
    await all.hearsNoMore();
    const count = samples.length;
    assert(count > 50, `only ${count} samples`);
    let matches = 0;
    for (const [expression, ear] of ears) {
      const matching = packetFilter(expression);
      const wanted = samples.filter(({ data, originalBytes }) => matching(data ?? new Uint8Array(), first, originalBytes));
      const got = asSamples(await ear.rest());
      assertEquals(got.map(({ group, sequence }) => [group, sequence]), wanted.map(({ group, sequence }) => [group, sequence]), expression);
      const { received, lost, filtered } = ear.listener.stats();
      // Nothing else reached the queue.
      assertEquals({ received, lost, filtered }, { received: wanted.length, lost: 0, filtered: true }, expression);
      matches += wanted.length;
    }
    assert(matches > EXPRESSIONS.length && matches < EXPRESSIONS.length * count, `${matches} of ${count}`);
  } finally {
    for (const [, ear] of ears) await ear.listener.close();
  }
}

scene("on Ethernet the kernel delivers what the predicate selects, whole and cut", async () => {
  wire();
  // The cookie follows the packet in the message: reading beyond the cut would find its header and its bytes.
  sample("a ingress", "rate 1 group 1 action sample rate 1 group 2 trunc 34 cookie 01bb01bb01bb01bb01bb01bb01bb01bb");
  const frames = cutPackets().filter(({ first, data }) => first === "ethernet" && data.length >= 14 && data.length < LAST_BYTES)
    .map(({ data }) => data).filter((_, i) => i % 3 === 0);
  assert(frames.length > 100);
  await compareAll("ethernet", 2, () => send("b", ...frames, frameIn({ size: LAST_BYTES })));
});

scene("on a device without frames the kernel looks at the packet from its first byte", "module:tun", async () => {
  using tun = addTun("tun0", IFINDEX.tun0);
  ip("link set dev tun0 up");
  tc("qdisc add dev tun0 clsact");
  sample("tun0 ingress", "rate 1 group 1");
  const packets = cutPackets().filter(({ first, data }) => first === "raw-ip" && data.length >= 20 && data.length < LAST_BYTES).map((
    { data },
  ) => data);
  assert(packets.length > 20);
  await compareAll("raw-ip", 1, () => {
    for (const packet of [...packets, packetIn({ size: LAST_BYTES })]) tun.write(packet);
  });
});

scene("conditions about samples rather than packets are decided in the kernel", async () => {
  wire();
  secondWire();
  sample("a ingress", "rate 1 group 1");
  sample("a egress", "rate 1 group 2");
  sample("c ingress", "rate 1 group 3");
  // To another host: our own stack does not answer it.
  const unanswered = frameIn({ to: "192.0.2.77" });
  const expected: Record<string, number[]> = {
    "ingress": [1, 3],
    "egress": [2],
    "in a": [1],
    "not in a": [2, 3],
    "out a or in c": [2, 3],
    "device a": [1, 2],
    "group 1 or group 3": [1, 3],
    "rate >= 2": [],
    "rate 1 and not device c": [1, 2],
    "latency > 1ms or queue 3": [],
  };
  for (const [expression, groups] of Object.entries(expected)) {
    await using ear = await hear({ filter: expression, events: false });
    send("b", unanswered);
    send("a", unanswered);
    send("d", unanswered);
    const samples = asSamples(await ear.rest());
    assertEquals(samples.map(({ group }) => group), groups, expression);
    assertEquals(ear.listener.stats().received, groups.length, expression);
  }
});

scene("a device created while a filter names it is heard, and so is one that takes over the name", async () => {
  wire();
  sample("a ingress", "rate 1 group 1");
  await using ear = await hear({ filter: "in c", events: false });
  secondWire();
  sample("c ingress", "rate 1 group 3");
  send("b", frameIn());
  send("d", frameIn());
  const [sampled] = asSamples(await ear.take(1));
  assertEquals([sampled!.group, sampled!.inIfindex], [3, IFINDEX.c]);
  // The names change hands.
  ip("link set dev c down", "link set dev c name e", "link set dev a down", "link set dev a name c", "link set dev c up");
  const next = ear.take(1);
  let isHeard = false;
  const heard = next.then((entries) => {
    isHeard = true;
    return asSamples(entries)[0]!;
  });
  await until("the kernel is told of it", async () => {
    send("b", frameIn());
    await pause(50);
    return isHeard;
  });
  assertEquals((await heard).inIfindex, IFINDEX.a);
});

scene("losses are what the socket dropped of what passed the filter, and nothing else", async () => {
  wire();
  sample("a ingress", "rate 1 group 1");
  const options = { events: false, receiveBufferBytes: 32 * 1024 } as const;
  await using udp = await hear({ ...options, filter: "udp port 5000" });
  await using tcp = await hear({ ...options, filter: "tcp" });
  const frames = Array.from({ length: 3000 }, (_, i) => frameIn({ id: i + 1 }));
  send("b", ...frames);
  const got = await udp.rest();
  const { received, dropped, lost, gaps, filtered } = udp.listener.stats();
  assertEquals(got.length, received);
  assert(dropped > 0);
  assertEquals([received + dropped, lost, gaps, filtered], [3000, dropped, 0, true]);
  assertEquals(await tcp.rest(), []);
  const nothing = tcp.listener.stats();
  assertEquals([nothing.received, nothing.dropped, nothing.lost], [0, 0, 0]);
});

scene("the commands filter in the kernel, say so at the end, and explain it before", async () => {
  wire();
  sample("a ingress", "rate 1 group 7");
  const frames = [frameIn({ port: 5001 }), frameIn({ port: 5000 }), frameIn({ port: 5001 }), frameIn({ port: 5001 })];
  for (const words of [["--no-config"], ["capture", "a", "--rate", "1", "--direction", "ingress"]]) {
    const io = fakeIo();
    const status = main([...words, "--filter", "udp port 5001", "--filter", "in a", "--count", "3", "--json"], io);
    await until(() => `it prints: ${io.errors()}`, () => {
      if (io.text() === "") send("b", ...frames);
      return io.text() !== "";
    });
    send("b", ...frames);
    assertEquals(await soon(status, "the end"), 0);
    const lines = io.text().trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.map(({ data }) => parseInt(data.slice(72, 76), 16)), [5001, 5001, 5001]);
    assertStringIncludes(io.errors(), "lost 0; filtered in the kernel: losses show only as drops\n");
  }
  const io = fakeIo();
  assertEquals(await main(["--filter", "udp port 5001 and in a and vni 5", "--explain"], io), 0);
  assertMatch(io.text(), /^In the kernel, .*\n {2}udp port 5001\n {2}in a\nHere, sample by sample:\n {2}vni 5\n/);
});
