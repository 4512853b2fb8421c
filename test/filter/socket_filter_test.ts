/** Programs in front of the listener's socket: they never drop a match, and if everything is known they let nothing else through. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { KnownDevices } from "../../src/filter/known_devices.ts";
import type { SampleMatcher } from "../../src/filter/sample_matcher.ts";
import { type FilterPlan, SocketFilter } from "../../src/filter/socket_filter.ts";
import type { Device, Devices } from "../../src/link/device.ts";
import type { Link } from "../../src/link/link.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import { sampledIfindex } from "../../src/stream/batch.ts";
import { messageOf } from "../../src/wire/message.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { type Attribute, bytes, join, message, number } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { checkProgram, runFilter } from "../support/classic_bpf.ts";
import { link as anyLink } from "../support/filters.ts";
import { groupMessage } from "../support/messages.ts";
import { EXPRESSIONS } from "./expressions.ts";
import { type CutPacket, cutPackets } from "./packets.ts";

const ARPHRD_ETHER = 1;
const ARPHRD_PPP = 512;
const ARPHRD_NONE = 0xfffe;

function link(index: number, name: string, type = ARPHRD_ETHER): Link {
  return anyLink({ index, name, type });
}

const ETH0 = 2;
const TUN0 = 7;
const LINKS = [link(1, "lo", 772), link(ETH0, "eth0"), link(3, "eth1"), link(TUN0, "tun0", ARPHRD_NONE), link(9, "ppp0", ARPHRD_PPP)];
const KNOWN = new KnownDevices(LINKS);
const NONE = new KnownDevices();

function devicesOf(links: readonly Link[]): Devices {
  const known = new Map<number, Device>(links.map((link) => [link.index & 0xffff, link]));
  return { find: (ifindex) => known.get(ifindex & 0xffff) };
}

const DEVICES = devicesOf(LINKS);

/** The bytes after DATA, which a program finds if it reads too far. */
const COOKIE = bytes("01bb01bb01bb01bb01bb01bb01bb01bb");

function sampleOf({ first, data, originalBytes }: CutPacket): Uint8Array<ArrayBuffer> {
  const protocol = first === "ethernet" ? data[12]! << 8 | data[13]! : data[0]! >> 4 === 6 ? 0x86dd : 0x0800;
  return message([
    [0, number(2, first === "ethernet" ? ETH0 : TUN0)],
    [5, number(4, 100)],
    [2, number(4, originalBytes)],
    [3, number(4, 5)],
    [4, number(4, 1)],
    [14, number(2, data.length < 14 && first === "ethernet" ? 0x0800 : protocol)],
    [6, data],
    [15, COOKIE],
  ]);
}

function planOf(expression: string, devices: KnownDevices | "unknown" = KNOWN, groups?: readonly number[]): FilterPlan {
  const plan = new SocketFilter([expression]).plan(groups, devices === "unknown" ? undefined : devices);
  if (plan.program) checkProgram(plan.program);
  return plan;
}

function passes({ program }: FilterPlan, message: Uint8Array): boolean {
  return !program || runFilter(program, message) > 0;
}

/** Whether a message matches, as its receiver decides. */
function matches(matchers: readonly SampleMatcher[], message: Uint8Array<ArrayBuffer>): boolean {
  const sample = decodeSample(messageOf(message))!;
  const ifindex = sampledIfindex(sample);
  const device = ifindex === undefined ? undefined : DEVICES.find(ifindex, undefined);
  return matchers.every((matcher) => matcher.matches(sample, device, DEVICES));
}

const skip = LITTLE ? false : "the messages are of a little-endian machine";

/** The violations of what program and predicate must satisfy. */
function differences(
  expression: string,
  messages: readonly Uint8Array<ArrayBuffer>[],
  devices: KnownDevices | "unknown",
  exact: boolean,
): string[] {
  const plan = planOf(expression, devices);
  const matchers = new SocketFilter([expression]).matchers();
  const wrong = messages.findIndex((bytes) => {
    const wanted = matches(matchers, bytes);
    const passed = passes(plan, bytes);
    return exact ? passed !== wanted : wanted && !passed;
  });
  return wrong < 0 ? [] : [`${expression}: message ${wrong}`];
}

test("if devices are known, a program passes what the predicate selects, and nothing else", { skip, timeout: 120_000 }, () => {
  const messages = cutPackets().map(sampleOf);
  assert(messages.length > 1000);
  // Every expression sees every fifth message: five in a row see all.
  const found = EXPRESSIONS.flatMap((expression, i) => {
    const plan = planOf(expression);
    assertEquals([plan.here, plan.inKernel.length > 0], [[], true], expression);
    return differences(expression, messages.filter((_, j) => j % 5 === i % 5), KNOWN, true);
  });
  assertEquals(found, []);
});

test("otherwise it drops nothing that the predicate selects, whatever the device", { skip, timeout: 120_000 }, () => {
  const messages = cutPackets().map(sampleOf);
  const found = EXPRESSIONS.flatMap((expression, i) => {
    const some = messages.filter((_, j) => j % 5 === i % 5);
    return [...differences(expression, some, "unknown", false), ...differences(expression, some, NONE, false)];
  });
  assertEquals(found, []);
  // And not everything passes for that.
  const plan = planOf("tcp port 443 and net 10.0.0.0/8", "unknown");
  const passed = messages.filter((message) => passes(plan, message)).length;
  assert(passed > 0 && passed < messages.length / 10, `${passed} of ${messages.length}`);
});

test("everything recorded passes if the predicate selects it", { skip }, () => {
  const messages = recordedSamples().map(({ message }) => message.slice());
  const beside = [
    "egress",
    "ingress",
    "rate >= 2",
    "rate 1",
    "rate != 1",
    "group 1 or group 3",
    "queue >= 0",
    "latency > 0ns",
    "not cookie 01",
  ];
  for (const expression of [...EXPRESSIONS, ...beside]) {
    assertEquals(differences(expression, messages, KNOWN, false), []);
  }
});

test("a program does not read beyond the packet", { skip }, () => {
  const frame = bytes("020000000001 020000000002 0800 45000028000000004011 0000 c0000207 0a000001");
  assertEquals(frame.length, 34);
  // Behind these 34 bytes the cookie's header and its ports follow.
  const cut = sampleOf({ first: "ethernet", data: frame, originalBytes: 100 });
  for (
    const expression of [
      "udp dst port 443",
      "udp dst port 5120",
      "udp port 443 or port 20",
      "ether[36:2] > 0",
      "ip[(ip[0] & 0xf) + 20:4] >= 0",
      "tcp[0] >= 0",
    ]
  ) {
    assert(!passes(planOf(expression), cut), expression);
  }
  assert(passes(planOf("udp and len = 100 and ether[33] = 1"), cut));
  assert(!passes(planOf("ether[34] >= 0"), cut));
});

test("conditions about samples are decided by their attributes", { skip }, () => {
  const plain: Attribute[] = [[0, number(2, 3)], [5, number(4, 100)], [2, number(4, 1514)], [3, number(4, 70000)], [6, bytes("02")]];
  const messages = [
    plain,
    [...plain, [1, number(2, ETH0)]],
    [...plain, [1, number(2, TUN0)]],
    [[1, number(2, 9)], ...plain],
    [...plain, [1, number(4, ETH0)]],
    plain.slice(1),
    [...plain, [10, number(2, 3)], [12, number(8, 1_500_000)]],
    [...plain, [10, number(2, 259)], [12, number(8, 5_000_000_000)]],
    [...plain, [12, number(8, 0x1fffffffffffff)]],
    [...plain, [15, bytes("0102")]],
    [...plain, [15, bytes("0102030405")]],
    [...plain, [15, bytes("010203")]],
    [...plain, [5, number(4, 0x00ffffff)]].slice(2),
    [[3, number(4, 5)]],
  ].map((list) => message(list as Attribute[]));
  const WIDE = 4;
  const exact = [
    "in eth0",
    "in eth1",
    "not in eth1",
    "out eth0",
    "out tun0 or egress",
    "device eth1",
    "device eth0 or device ppp0",
    "not device tun0",
    "device missing",
    "ingress",
    "egress",
    "not egress and in eth1",
    "group 70000",
    "group != 70000",
    "group > 65535",
    "group <= 69999",
    "rate 100",
    "rate != 100",
    "rate > 99",
    "rate >= 16777215",
    "rate < 101",
    "queue 3",
    "queue >= 4",
    "queue != 259",
    "latency = 1.5ms",
    "latency != 1.5ms",
    "latency > 1.5ms",
    "latency >= 1500us",
    "latency < 5s",
    "latency <= 5s",
    "latency > 5s",
    "latency >= 4999999us",
    "latency = 705032704ns",
    "cookie 0102",
    "cookie 0102030405",
    "not cookie 010203",
    "cookie 00",
    "len >= 1514",
    "len < 1514",
    "less 1 or group 70000",
  ];
  for (const expression of exact) {
    const matchers = new SocketFilter([expression]).matchers();
    const plan = planOf(expression);
    assertEquals([plan.inKernel.join(" and "), plan.here], [expression, []]);
    // Of a device that a process in user space names, with 32 bits, it is not known which it is.
    const judged = messages.filter((_, i) => i !== WIDE || !/in |out |device /.test(expression));
    assertEquals(judged.map((message) => passes(plan, message)), judged.map((message) => matches(matchers, message)), expression);
  }
});

test("a program passes what it cannot know", { skip }, () => {
  const passing: [expression: string, list: Attribute[]][] = [
    // A device that was made later, one that a process in user space names, and none.
    ["in eth0", [[0, number(2, 77)], [3, number(4, 1)]]],
    ["not in eth0", [[0, number(2, 77)], [3, number(4, 1)]]],
    ["in eth0", [[0, number(4, 3)], [3, number(4, 1)]]],
    ["rate 100", [[5, number(4, 1 << 30)], [16, new Uint8Array()], [3, number(4, 1)]]],
    ["rate 100", [[5, number(2, 1)], [3, number(4, 1)]]],
    ["latency < 1s", [[12, number(8, 1n << 60n)], [3, number(4, 1)]]],
    ["len > 100", [[2, number(2, 5)], [3, number(4, 1)]]],
    // A sample of which nothing is found.
    ["tcp", [[6, bytes("02")]]],
  ];
  for (const [expression, list] of passing) assert(passes(planOf(expression), message(list)), expression);
  // Several messages in one datagram, of which the kernel sees the attributes of the first and of what follows as one; and one that is
  // longer than its datagram. Padding is part of a message.
  const one = message([[3, number(4, 1)], [6, bytes("02")]]);
  assert(passes(planOf("tcp"), join(one, one)) && passes(planOf("tcp"), one.subarray(0, one.length - 4)));
  assert(!passes(planOf("tcp"), one) && !passes(planOf("tcp"), join(one, new Uint8Array(3))));
  assert(!passes(planOf("in eth0"), message([[0, number(2, 3)], [3, number(4, 1)]])));
});

test("other messages pass, except events of other groups", { skip }, () => {
  const plan = planOf("tcp");
  const inGroup = planOf("tcp", KNOWN, [5]);
  const controller = message([[3, number(4, 1)]], { type: 0x10 });
  const error = message([], { type: 2 });
  for (
    const [sent, inAll, inOne] of [
      [controller, true, true],
      [error, true, true],
      [new Uint8Array(16), true, true],
      [groupMessage("created", 5), true, true],
      [groupMessage("created", 6), true, false],
      [groupMessage("deleted", 5), true, true],
      [message([[3, number(4, 5)], [6, bytes("02")]]), false, false],
    ] as const
  ) {
    assertEquals([passes(plan, sent), passes(inGroup, sent)], [inAll, inOne]);
  }
  const web = cutPackets().find(({ first, data }) =>
    first === "ethernet" && data.length > 60 && data[12] === 8 && data[13] === 0 && data[23] === 6
  )!;
  assert(passes(inGroup, sampleOf(web)));
  assert(!passes(planOf("tcp", KNOWN, [6]), sampleOf(web)));
});

test("the kernel gets what it can decide, and only that", { skip }, () => {
  const parts = (expression: string, devices: KnownDevices | "unknown" = KNOWN): [string[], string[]] => {
    const { inKernel, here } = planOf(expression, devices);
    return [[...inKernel], [...here]];
  };
  assertEquals(parts("tcp port 443 and inner (udp) and rate >= 100"), [["tcp port 443", "rate >= 100"], ["inner (udp)"]]);
  assertEquals(parts("(udp or vni 5) and net 10.0.0.0/8"), [["net 10.0.0.0/8"], ["(udp or vni 5)"]]);
  assertEquals(parts("vlan and port 80 and (vlan 5 or tcp)"), [["vlan", "port 80", "(vlan 5 or tcp)"], []]);
  assertEquals(parts("vni 5"), [[], ["vni 5"]]);
  assertEquals(parts("tcp and latency > 1.5ns"), [["tcp"], ["latency > 1.5ns"]]);
  assertEquals(parts("in eth0 and tcp", "unknown"), [["tcp"], ["in eth0"]]);
  assertEquals(parts("in eth0 and tcp"), [["in eth0", "tcp"], []]);
  const nested = `${"(ip[0] + ".repeat(20)}1${")".repeat(20)} = 1`;
  assertEquals(parts(`udp and ${nested}`), [["udp"], [nested]]);
  assertEquals(planOf("vni 5").program, undefined);
  assertEquals(new SocketFilter(["", " "]).plan(undefined, KNOWN).program, undefined);
  // Each of several expressions starts from the beginning.
  assertEquals(new SocketFilter(["vlan", "ip"]).plan(undefined, KNOWN).inKernel, ["vlan", "ip"]);
  const [vlan] = cutPackets().filter(({ data }) => data.length === 60 && data[12] === 0x81).map(sampleOf);
  if (vlan) assert(!passes(new SocketFilter(["vlan", "ip"]).plan(undefined, KNOWN), vlan));
});

test("missing numbers have a meaning if only groups are filtered", () => {
  const gaps = (...expressions: string[]): boolean => new SocketFilter(expressions).plan(undefined, KNOWN).leavesGaps;
  assertEquals([gaps("group 5"), gaps("group 5 or group 7 and not group 9"), gaps("vni 5"), gaps("")], [false, false, false, false]);
  assertEquals([gaps("group 5 and tcp"), gaps("ingress"), gaps("group 5", "tcp")], [true, true, true]);
});

test(
  "a long expression jumps as far as it has to; of one that is too long the longest condition is left",
  { skip, timeout: 60_000 },
  () => {
    const hosts = (count: number): string => Array.from({ length: count }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(" or ");
    const messages = cutPackets().filter((_, i) => i % 10 === 0).map(sampleOf);
    const long = `not ip src host (${hosts(150)}) and udp`;
    assert(planOf(long).program!.length / 8 > 300);
    assertEquals(differences(long, messages, KNOWN, true), []);
    const { inKernel, here, program } = planOf(`host (${hosts(1000)}) and udp and not host (${hosts(50)})`);
    assertEquals([inKernel.length, here.length], [2, 1]);
    assert(inKernel[0] === "udp" && here[0]!.startsWith("host (10.1.0.0"));
    assert(program!.length / 8 <= 4096);
  },
);

test("many devices are searched, not compared one by one", { skip }, () => {
  const links = Array.from({ length: 1000 }, (_, i) => link(10 + 2 * i, `veth${i}`, i % 100 === 50 ? ARPHRD_NONE : ARPHRD_ETHER));
  const close = Array.from({ length: 1000 }, (_, i) => link(10 + i, `veth${i}`, i % 100 === 50 ? ARPHRD_NONE : ARPHRD_ETHER));
  const tcp = cutPackets().find(({ first, data }) =>
    first === "ethernet" && data.length > 60 && data[12] === 8 && data[13] === 0 && data[23] === 6
  )!;
  const sampleAt = (index: number): Uint8Array<ArrayBuffer> =>
    message([[0, number(2, index)], [3, number(4, 1)], [14, number(2, 0x0800)], [6, tcp.data]]);
  const plan = new SocketFilter(["not tcp"]).plan(undefined, new KnownDevices(close));
  assert(plan.program!.length / 8 < 200, `${plan.program!.length / 8}`);
  assert(!passes(plan, sampleAt(10)) && !passes(plan, sampleAt(1009)));
  // Behind a device without frames it is no TCP; nor is that certain behind one that is not known.
  assert(passes(plan, sampleAt(60)) && passes(plan, sampleAt(9)) && passes(plan, sampleAt(1010)));
  // Too scattered: the number of instructions is limited.
  const scattered = new SocketFilter(["in veth7"]).plan(undefined, new KnownDevices(links));
  assertEquals([scattered.inKernel, scattered.here], [[], ["in veth7"]]);
  // Two that a sample cannot tell apart are not known.
  const twins = new KnownDevices([link(5, "a"), link(65541, "b")]);
  assert(passes(new SocketFilter(["in a"]).plan(undefined, twins), sampleAt(5)));
  assert(passes(new SocketFilter(["not in a"]).plan(undefined, twins), sampleAt(5)));
});
