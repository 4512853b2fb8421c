/** What a sample says about its packet, field by field. */
import { writeFileSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import type { Sample } from "../../mod.ts";
import { addTun } from "./tun.ts";
import {
  counting,
  ETH_EXPERIMENT,
  ETH_IPV4,
  ETH_IPV6,
  ETH_QINQ,
  ETH_VLAN,
  ethernet,
  frameIn,
  frameOut,
  hex,
  inOrder,
  ipip,
  join,
  OURS,
  packetIn,
  PEER,
  SEGMENT_BYTES,
  superFrame,
  udp,
  words,
} from "./frames.ts";
import { startOpenVswitch } from "./openvswitch.ts";
import {
  asSamples,
  hear,
  IFINDEX,
  ip,
  sample,
  sampled,
  sampledInOrder,
  scene,
  secondWire,
  send,
  sendToBeCut,
  tc,
  timeless,
  wire,
} from "./scene.ts";

scene("ingress: the samples are the packets that arrived, numbered from 0", async () => {
  wire();
  sample("a ingress", "rate 1 group 1");
  await using ear = await hear({ events: false });
  const packets = [...inOrder(20, frameIn), frameIn({ id: 21, size: 18 }), frameIn({ id: 22, size: 1472 })];
  send("b", ...packets);
  await ear.hears(...sampledInOrder(packets, { group: 1, inIfindex: IFINDEX.a }));
  await ear.hearsNoMore();
});

scene("egress: a packet of our own has only the output interface", async () => {
  wire();
  sample("a egress", "rate 1 group 2");
  await using ear = await hear({ events: false });
  const packets = inOrder(3, frameOut);
  send("a", ...packets);
  await ear.hears(...sampledInOrder(packets, { group: 2, outIfindex: IFINDEX.a }));
  await ear.hearsNoMore();
});

scene("egress: a forwarded packet has both interfaces, and its header as sent", async () => {
  wire();
  secondWire();
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  sample("c egress", "rate 1 group 3");
  await using ear = await hear({ events: false });
  const to = "198.51.100.2";
  send("b", ...[1, 2, 3].map((id) => frameIn({ id, to })));
  const forwarded = [1, 2, 3].map((id) =>
    ethernet(hex("020000000004"), hex("020000000003"), ETH_IPV4, udp({ from: "192.0.2.2", to, id, ttl: 63 }, 4000, 5000, counting(100)))
  );
  await ear.hears(...sampledInOrder(forwarded, { group: 3, inIfindex: IFINDEX.a, outIfindex: IFINDEX.c }));
  await ear.hearsNoMore();
});

for (const size of [0, 1, 13, 64, 142, 1000]) {
  scene(`trunc ${size}: a packet of 142 bytes has ${size === 0 ? "no data" : `${Math.min(size, 142)} bytes of data`}`, async () => {
    wire();
    sample("a ingress", `rate 1 group 4 trunc ${size}`);
    await using ear = await hear({ events: false });
    const packets = inOrder(2, frameIn);
    send("b", ...packets);
    const data = packets.map((packet) => size === 0 ? undefined : packet.subarray(0, size));
    await ear.hears(...data.map((data, sequence) => sampled({ group: 4, inIfindex: IFINDEX.a, sequence, originalBytes: 142, data })));
    await ear.hearsNoMore();
  });
}

scene("rate 100: about 1 in 100 packets, in order, numbered without a gap", async () => {
  wire();
  sample("a egress", "rate 100 group 5");
  await using ear = await hear({ events: false });
  const packets = inOrder(10_000, frameOut, 18);
  send("a", ...packets);
  const samples = asSamples(await ear.rest());
  // 100 are expected; fewer than 50 or more than 160 happen once in a million runs.
  assert(samples.length > 50 && samples.length < 160, `${samples.length} samples of 10000 packets`);
  const ids = samples.map((sample) => sample.data![18]! << 8 | sample.data![19]!);
  assertEquals(ids, [...ids].sort((a, b) => a - b), "the packets are out of order");
  const expected = ids.map((id) => packets[id - 1]!);
  assertEquals(samples.map(timeless), sampledInOrder(expected, { group: 5, outIfindex: IFINDEX.a, rate: 100 }));
  assertEquals(ear.listener.stats().lost, 0);
});

scene("two groups sample the same packet, each with its own numbers", async () => {
  wire();
  sample("a ingress", "rate 1 group 11 action sample rate 1 group 4000000000 trunc 32");
  await using ear = await hear({ events: false });
  const packets = inOrder(3, frameIn);
  send("b", ...packets);
  const inIfindex = IFINDEX.a;
  await ear.hears(...packets.flatMap((data, sequence) => [
    sampled({ group: 11, inIfindex, sequence, data }),
    sampled({ group: 4000000000, inIfindex, sequence, originalBytes: 142, data: data.subarray(0, 32) }),
  ]));
  await ear.hearsNoMore();
});

for (const group of [11, 4000000000]) {
  scene(`a listener to group ${group} hears nothing from the other`, async () => {
    wire();
    await using ear = await hear({ groups: [group] });
    await using all = await hear();
    sample("a ingress", "rate 1 group 11 action sample rate 1 group 4000000000");
    const packets = inOrder(3, frameIn);
    send("b", ...packets);
    await all.hearsEvents({ type: "group-created", group: 11 }, { type: "group-created", group: 4000000000 });
    await all.take(6);
    await ear.hearsEvents({ type: "group-created", group });
    await ear.hears(...sampledInOrder(packets, { group, inIfindex: IFINDEX.a }));
    await ear.hearsNoMore();
  });
}

scene("a packet of 64 KiB that a card is to segment is one complete sample", async () => {
  wire();
  sample("a ingress", "rate 1 group 6");
  await using ear = await hear({ events: false });
  const frame = superFrame(45);
  assertEquals(frame.length, 65214);
  sendToBeCut("b", frame, SEGMENT_BYTES);
  await ear.hears(sampled({ group: 6, inIfindex: IFINDEX.a, data: frame }));
  await ear.hearsNoMore();
});

scene("64 packets of 64 KiB are in one batch, followed by two hundred small ones", async () => {
  wire();
  sample("a egress", "rate 1 group 6");
  await using ear = await hear({ events: false });
  const large = superFrame(45);
  const packets = [...new Array<Uint8Array>(64).fill(large), ...inOrder(200, frameOut)];
  for (let i = 0; i < 64; i++) sendToBeCut("a", large, SEGMENT_BYTES);
  send("a", ...packets.slice(64));
  await ear.hears(...sampledInOrder(packets, { group: 6, outIfindex: IFINDEX.a }));
  await ear.hearsNoMore();
});

scene("the outermost VLAN tag is not in the data; the one below it is", async () => {
  wire();
  sample("a ingress", "rate 1 group 7");
  await using ear = await hear({ events: false });
  const packet = packetIn();
  send("b", ethernet(OURS, PEER, ETH_VLAN, join(words(3 << 13 | 42, ETH_IPV4), packet)));
  send("b", ethernet(OURS, PEER, ETH_QINQ, join(words(100, ETH_VLAN, 42, ETH_IPV4), packet)));
  const inIfindex = IFINDEX.a;
  await ear.hears(
    sampled({ group: 7, inIfindex, data: ethernet(OURS, PEER, ETH_IPV4, packet) }),
    sampled({
      group: 7,
      inIfindex,
      sequence: 1,
      protocol: ETH_VLAN,
      data: ethernet(OURS, PEER, ETH_VLAN, join(words(42, ETH_IPV4), packet)),
    }),
  );
  await ear.hearsNoMore();
});

scene("on a tun device the data begins with the IP header", "module:tun", async () => {
  using tun = addTun("tun0", IFINDEX.tun0);
  ip("link set dev tun0 up");
  tc("qdisc add dev tun0 clsact");
  sample("tun0 ingress", "rate 1 group 9");
  await using ear = await hear({ events: false });
  const packets = [packetIn(), udp({ from: "2001:db8::2", to: "2001:db8::1" }, 4000, 5000, counting(100))];
  for (const packet of packets) tun.write(packet);
  await ear.hears(
    sampled({ group: 9, inIfindex: IFINDEX.tun0, data: packets[0]! }),
    sampled({ group: 9, inIfindex: IFINDEX.tun0, sequence: 1, protocol: ETH_IPV6, data: packets[1]! }),
  );
  await ear.hearsNoMore();
});

scene("on an ipip tunnel the data begins with the inner IP header", "module:ipip", async () => {
  wire();
  ip("link add name tunnel0 index 120 type ipip local 192.0.2.1 remote 192.0.2.2", "link set dev tunnel0 up");
  tc("qdisc add dev tunnel0 clsact");
  sample("tunnel0 ingress", "rate 1 group 10");
  await using ear = await hear({ events: false });
  const inner = udp({ from: "10.0.0.2", to: "10.0.0.1" }, 4000, 5000, counting(100));
  send("b", ethernet(OURS, PEER, ETH_IPV4, ipip({ from: "192.0.2.2", to: "192.0.2.1" }, inner)));
  await ear.hears(sampled({ group: 10, inIfindex: IFINDEX.tunnel0, data: inner }));
  await ear.hearsNoMore();
});

scene("an interface number above 65535 arrives as its lower 16 bits", async () => {
  await using ear = await hear({ events: false });
  const data = frameOut();
  for (const [ifindex, group] of [[70001, 14], [65536, 15]] as const) {
    ip(`link add name x${group} index ${ifindex} type dummy`, `link set dev x${group} up`);
    tc(`qdisc add dev x${group} clsact`);
    sample(`x${group} egress`, `rate 1 group ${group}`);
    send(ifindex, data);
    // For 65536 it is not absent: the attribute exists, and is 0.
    await ear.hears(sampled({ group, outIfindex: ifindex % 65536, data }));
  }
  await ear.hearsNoMore();
});

scene("egress: the input interface of a packet that tc mirrored is the device it was mirrored from", async () => {
  wire();
  secondWire();
  tc("filter add dev b egress matchall action mirred egress mirror dev c");
  sample("c egress", "rate 1 group 16");
  await using ear = await hear({ events: false });
  const data = frameIn();
  send("b", data);
  await ear.hears(sampled({ group: 16, inIfindex: IFINDEX.b, outIfindex: IFINDEX.c, data }));
  await ear.hearsNoMore();
});

scene("the cookie of a tc action, of 16 bytes and of one", "linux>=6.11", async () => {
  wire();
  const udpTo = (pref: number, port: number): string => `protocol ip pref ${pref} flower ip_proto udp dst_port ${port}`;
  sample("a ingress", "rate 1 group 13 index 1 cookie 000102030405060708090a0b0c0d0e0f", udpTo(1, 5000));
  sample("a ingress", "rate 1 group 13 index 2 cookie ff", udpTo(2, 5001));
  await using ear = await hear({ events: false });
  const packets = [frameIn(), frameIn({ port: 5001 })];
  send("b", ...packets);
  const inIfindex = IFINDEX.a;
  await ear.hears(
    sampled({ group: 13, inIfindex, data: packets[0], cookie: counting(16) }),
    sampled({ group: 13, inIfindex, sequence: 1, data: packets[1], cookie: hex("ff") }),
  );
  await ear.hearsNoMore();
});

scene("Open vSwitch: a probability, a cookie, no numbers", "linux>=6.11", "module:openvswitch", async () => {
  wire();
  const QUARTER = 0x40000000;
  const EACH = 0xffffffff;
  const cookie = hex("010000070000002a");
  await startOpenVswitch("a", [
    { etherType: ETH_IPV4, probability: QUARTER, group: 30, cookie },
    { etherType: ETH_EXPERIMENT, trunc: 64, group: 31 },
  ]);
  await using ear = await hear();
  const packets = inOrder(400, frameIn, 18);
  send("b", ...packets);
  const experiment = ethernet(OURS, PEER, ETH_EXPERIMENT, counting(100));
  send("b", experiment, experiment);
  const samples: Sample[] = [];
  do samples.push(...asSamples(await ear.take(1))); while (samples.filter((sample) => sample.group === 31).length < 2);
  const [thirty, thirtyOne] = [30, 31].map((group) => samples.filter((sample) => sample.group === group));
  // 100 are expected.
  assert(thirty!.length > 50 && thirty!.length < 160, `${thirty!.length} samples of 400 packets`);
  const ids = thirty!.map((sample) => sample.data![18]! << 8 | sample.data![19]!);
  assertEquals(ids, [...new Set(ids)].sort((a, b) => a - b), "the packets are out of order");
  const common = { sequence: 0, rateIsProbability: true, inIfindex: IFINDEX.a };
  assertEquals(
    thirty!.map(timeless),
    ids.map((id) => sampled({ ...common, group: 30, rate: QUARTER, oneIn: EACH / QUARTER, cookie, data: packets[id - 1] })),
  );
  const whole = { ...common, group: 31, rate: EACH, oneIn: 1, protocol: ETH_EXPERIMENT, originalBytes: 114 };
  assertEquals(thirtyOne!.map(timeless), [1, 2].map(() => sampled({ ...whole, data: experiment.subarray(0, 64) })));
  // No numbers, no events, no group in the list: none of that counts as a loss.
  await ear.hearsNoMore();
  assertEquals(ear.listener.stats().groups.map(({ group, numbered, lost }) => ({ group, numbered, lost })), [
    { group: 30, numbered: false, lost: 0 },
    { group: 31, numbered: false, lost: 0 },
  ]);
});
