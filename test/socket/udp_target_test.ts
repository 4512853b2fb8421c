import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError, LookupError, SystemError } from "../../src/errors.ts";
import { UdpTarget, type UdpTargetOptions } from "../../src/socket/udp_target.ts";
import { firstAddresses } from "../../src/socket/socket_address.ts";
import type { Target } from "../../src/socket/target.ts";
import { openWith } from "../../src/socket/open.ts";
import {
  EACCES,
  EAFNOSUPPORT,
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  EPERM,
  IP_RECVERR,
  IPPROTO_IP,
} from "../../src/sys/sys.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";
import { skippingWaits } from "../support/fake_time.ts";
import { until } from "../support/waiting.ts";

/** The steady clock. */
const clock = { ms: 0 };

/** Time passes: more than between attempts. */
function later(ms = 100_000): void {
  clock.ms += ms;
}

/** What was reported. */
interface Told {
  readonly problems: string[];
  recovered: number;
  reconnected: number;
}

async function opened(
  sys: FakeSys,
  text = "192.0.2.9",
  options: Partial<UdpTargetOptions> = {},
): Promise<{ target: UdpTarget; told: Told }> {
  const told: Told = { problems: [], recovered: 0, reconnected: 0 };
  const target = await UdpTarget.open(sys, text, {
    defaultPort: 6343,
    blockBytes: 4096,
    most: 8,
    onProblem: (error) => void told.problems.push(error.message),
    onRecovery: () => void told.recovered++,
    onReconnect: () => void told.reconnected++,
    random: () => 0.5,
    nowMs: () => clock.ms,
    ...options,
  });
  return { target, told };
}

/** Sends datagrams of these sizes, each filled with its number; returns the numbers of those that were dropped. */
function send(target: UdpTarget, ...sizes: number[]): number[] {
  const ends = new Uint32Array(8);
  let end = 0;
  sizes.forEach((size, i) => {
    target.block.fill(i, end, end + size);
    ends[i] = end += size;
  });
  const dropped: number[] = [];
  target.send(ends, sizes.length, (i) => void dropped.push(i));
  return dropped;
}

const what = (sys: FakeSys): [string, number, number][] => sys.arrived.map(({ to, bytes }) => [to, bytes[0]!, bytes.length]);
const plain = ({ counts: { sent, dropped, droppedBy, returned, returnedBy } }: UdpTarget): unknown => {
  return { sent, dropped, droppedBy: Object.fromEntries(droppedBy), returned, returnedBy };
};

test("a target gets each datagram of the block, in one call, from one port", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  assertEquals([target.name, target.address], ["192.0.2.9:6343", "192.0.2.9:6343"]);
  assertEquals(send(target, 5, 1, 700), []);
  assertEquals(send(target), []);
  assertEquals(send(target, 3), []);
  assertEquals(what(sys), [["192.0.2.9:6343", 0, 5], ["192.0.2.9:6343", 1, 1], ["192.0.2.9:6343", 2, 700], ["192.0.2.9:6343", 0, 3]]);
  assertEquals(new Set(sys.arrived.map(({ from }) => from)), new Set([target.localPort]));
  assertEquals(plain(target), { sent: 4, dropped: 0, droppedBy: {}, returned: 0, returnedBy: 0 });
  // Errors come back, and drops by the device are told.
  assertEquals([...sys.udp.values()][0]!.options.get(`${IPPROTO_IP}/${IP_RECVERR}`), 1);
  assertEquals(told, { problems: [], recovered: 0, reconnected: 0 });
  target.close();
  target.close();
  sys.assertClean();
});

test("an IPv6 target is reached by its own socket; a link-local one by the index of its interface", async () => {
  const sys = new FakeSys();
  for (
    const [text, expected] of [["[2001:db8::9]:7", "[2001:db8::9]:7"], ["[fe80::9%eth0]", "[fe80::9%7]:6343"], [
      "[fe80::9%12]",
      "[fe80::9%12]:6343",
    ]]
  ) {
    const { target } = await opened(sys, text);
    send(target, 1);
    assertEquals(sys.arrived.at(-1)!.to, expected);
    target.close();
  }
  const error = await assertRejects(() => opened(sys, "[fe80::9%nothing]"), SystemError, "There is no such interface: ip link lists them");
  assertEquals(error.code, "ENODEV");
  sys.assertClean();
});

test("the socket is opened in another network namespace", async () => {
  const sys = new FakeSys();
  sys.files.set("/run/netns/blue", new FakeFile(undefined, "file", "blue"));
  const target = await UdpTarget.open(openWith(sys, { netns: "blue" }), "192.0.2.9", { defaultPort: 1, blockBytes: 100, most: 1 });
  assertEquals([...sys.udp.values()].map(({ netns }) => netns), ["blue"]);
  target.close();
  sys.assertClean();
});

test("mistakes are refused at the start, and leave nothing open", async () => {
  const sys = new FakeSys();
  await assertRejects(() => opened(sys, "nonsense:"), ArgumentError);
  sys.fail("socket", EPERM);
  await assertRejects(
    () => opened(sys),
    SystemError,
    "Cannot open a UDP socket for IPv4: operation not permitted (EPERM). A sandbox forbids it",
  );
  sys.fail("socket", EAFNOSUPPORT);
  await assertRejects(() => opened(sys, "[2001:db8::9]"), SystemError, "for IPv6: address family not supported (EAFNOSUPPORT)");
  sys.fail("connect", EACCES);
  await assertRejects(() => opened(sys, "192.0.2.255"), SystemError, "It is a broadcast address");
  const lookup = (name: string): Promise<never> => Promise.reject(new LookupError(name, "ENOTFOUND", "Look closer"));
  await assertRejects(
    () => opened(sys, "no.such", { lookup }),
    LookupError,
    "Cannot look up the host name no.such: ENOTFOUND. Look closer",
  );
  await assertRejects(() => opened(sys, "local", { lookup: () => Promise.resolve(["fe80::1"]) }), LookupError, "another host on each link");
  sys.assertClean();
});

test(
  "without a route at first it is a problem that is told, and tried again until there is one",
  skippingWaits(async () => {
    const sys = new FakeSys();
    sys.unreachable.set("192.0.2.9:6343", ENETUNREACH);
    const { target, told } = await opened(sys);
    const why =
      "Cannot send to 192.0.2.9:6343: network is unreachable (ENETUNREACH). There is no route to it: ip route get shows what the " +
      "kernel would do";
    assertEquals(told.problems, [why]);
    assertEquals(send(target, 1, 2), [0, 1]);
    sys.unreachable.clear();
    await until("it is connected", () => told.reconnected > 0);
    later();
    for (let i = 0; i < 3; i++) assertEquals(send(target, 1), []);
    assertEquals([told.problems, told.recovered], [[why], 1]);
    assertEquals(plain(target), { sent: 3, dropped: 2, droppedBy: { [ENETUNREACH]: 2 }, returned: 0, returnedBy: 0 });
    target.close();
    sys.assertClean();
  }),
);

test("a route that is prohibited or a blackhole, or a firewall, holds up no start, and is tried again until it lets through", async () => {
  for (
    const [errno, code, why] of [
      [EACCES, "EACCES", "the route to it is prohibited (ip route)"],
      [EINVAL, "EINVAL", "The route to it is a blackhole (ip route)"],
      [EPERM, "EPERM", "A local firewall rule"],
    ] as const
  ) {
    for (const text of ["192.0.2.9", "[2001:db8::9]"]) {
      const sys = new FakeSys();
      sys.unreachable.set(`${text}:6343`, errno);
      const { target, told } = await opened(sys, text);
      assert(told.problems.length === 1 && told.problems[0]!.includes(`(${code})`) && told.problems[0]!.includes(why), `${told.problems}`);
      assertEquals(send(target, 1), [0]);
      assertEquals([...target.counts.droppedBy], [[errno, 1]]);
      sys.unreachable.clear();
      await target.renew();
      assertEquals([send(target, 1), told.reconnected], [[], 1]);
      target.close();
      sys.assertClean();
    }
  }
});

test("a route that goes costs what is sent meanwhile, counted and told once; taken again it is used from the same port", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  const port = target.localPort;
  send(target, 1);
  sys.unreachable.set("192.0.2.9:6343", ENETUNREACH);
  assertEquals(send(target, 1, 2, 3), [0, 1, 2]);
  assertEquals(send(target, 1), [0]);
  assertEquals(told.problems.length, 1);
  sys.unreachable.clear();
  later();
  for (let i = 0; i < 3; i++) assertEquals(send(target, 1), []);
  assertEquals(told.recovered, 1);
  await target.renew();
  send(target, 1);
  assertEquals([target.localPort, new Set(sys.arrived.map(({ from }) => from))], [port, new Set([port])]);
  assertEquals(plain(target), { sent: 5, dropped: 4, droppedBy: { [ENETUNREACH]: 4 }, returned: 0, returnedBy: 0 });
  target.close();
  sys.assertClean();
});

test("a collector that is gone refuses, which is counted, and nothing else is held back; back again all is well", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  sys.refusing.add("192.0.2.9:6343");
  for (let i = 0; i < 3; i++) assertEquals(send(target, 1, 1, 1), []);
  assertEquals(told.problems, [
    "Cannot send to 192.0.2.9:6343: connection refused (ECONNREFUSED). The host is there, but nothing listens on that port",
  ]);
  assertEquals(plain(target), { sent: 9, dropped: 0, droppedBy: {}, returned: 9, returnedBy: ECONNREFUSED });
  sys.refusing.clear();
  for (let i = 0; i < 5; i++) assertEquals(send(target, 1), []);
  assertEquals(told.recovered, 0, "errors may still be on their way");
  later();
  send(target, 1);
  assertEquals([told.recovered, what(sys).length], [1, 6]);
  // Then it is a new problem.
  sys.refusing.add("192.0.2.9:6343");
  for (let i = 0; i < 2; i++) send(target, 1);
  assertEquals(told.problems.length, 2);
  target.close();
  sys.assertClean();
});

test("errors that come back now and then are one problem, not one each time", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  for (let i = 0; i < 400; i++) {
    // One in ten seconds, as a router that limits its errors reports them, while something is sent each second.
    if (i % 10 === 0) [...sys.udp.values()][0]!.error = ECONNREFUSED;
    send(target, 1);
    later(1000);
  }
  assert(told.problems.length < 6 && told.problems.length - told.recovered <= 1, JSON.stringify(told));
  // Much later it is new, and soon tried again.
  later(1_000_000);
  for (let i = 0; i < 3; i++) send(target, 1);
  const { recovered } = told;
  [...sys.udp.values()][0]!.error = ECONNREFUSED;
  send(target, 1);
  later(3000);
  for (let i = 0; i < 3; i++) send(target, 1);
  assertEquals(told.recovered, recovered + 1);
  target.close();
  sys.assertClean();
});

test("an error that cuts a call short is never taken for a recovery, and is named by the next one at the latest", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  for (let i = 0; i < 4; i++) send(target, 1, 1, 1);
  // A router that refuses, of each burst, the first one only: when the second is sent, the error is there.
  const socket = [...sys.udp.values()][0]!;
  let refuses = true;
  const sendmmsg = sys.sendmmsg.bind(sys);
  let left = 0;
  sys.sendmmsg = (fd, headers, count, flags) => {
    if (!refuses || left === 0) return sendmmsg(fd, headers, count, flags);
    left = 0;
    const sent = sendmmsg(fd, headers, 1, flags);
    // The kernel does not say which error it was, if the same call has sent something.
    if (count === 1) socket.error = ECONNREFUSED;
    return sent;
  };
  for (let i = 0; i < 20; i++) {
    left = 1;
    send(target, 1, 1, 1);
    later(5000);
  }
  assertEquals([told.problems.length, told.recovered, target.counts.returned, target.counts.returnedBy], [1, 0, 20, ECONNREFUSED]);
  refuses = false;
  later();
  for (let i = 0; i < 3; i++) send(target, 1, 1, 1);
  assertEquals(told.recovered, 1);
  target.close();
  sys.assertClean();
});

test("a target that refuses from the start is told with the first datagrams, however few errors come back", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  const socket = [...sys.udp.values()][0]!;
  const sendmmsg = sys.sendmmsg.bind(sys);
  let isFirst = true;
  sys.sendmmsg = (fd, headers, count, flags) => {
    if (!isFirst) return sendmmsg(fd, headers, count, flags);
    isFirst = false;
    const sent = sendmmsg(fd, headers, 1, flags);
    if (count === 1) socket.error = ECONNREFUSED;
    return sent;
  };
  send(target, 1, 1, 1);
  assertEquals([told.problems.length, target.counts.returned, target.counts.returnedBy], [1, 1, ECONNREFUSED]);
  target.close();
  sys.assertClean();
});

test("while the kernel asks for the address of a silent host there are no errors, which is no recovery", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  // Every four seconds: three attempts, and the next datagram.
  for (let i = 0; i < 60; i++) {
    if (i % 4 === 3) [...sys.udp.values()][0]!.error = EHOSTUNREACH;
    send(target, 1);
    later(1000);
  }
  assertEquals([told.problems.length, told.recovered], [1, 0]);
  later();
  for (let i = 0; i < 3; i++) send(target, 1);
  assertEquals(told.recovered, 1);
  target.close();
  sys.assertClean();
});

test("what a device refuses for a moment has not come back", async () => {
  const sys = new FakeSys();
  const { target } = await opened(sys);
  sys.fail("sendmmsg", ENOBUFS);
  assertEquals(send(target, 1), []);
  assertEquals(plain(target), { sent: 1, dropped: 0, droppedBy: {}, returned: 0, returnedBy: 0 });
  target.close();
  sys.assertClean();
});

test("an error that came back after the last datagram is found by looking", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  assertEquals(target.checkReturned(), false);
  [...sys.udp.values()][0]!.error = ECONNREFUSED;
  assertEquals([target.checkReturned(), target.checkReturned()], [true, false]);
  assertEquals([told.problems.length, target.counts.returned, target.counts.returnedBy], [1, 1, ECONNREFUSED]);
  target.close();
  sys.assertClean();
});

test("a full send buffer costs the rest, a full queue of the device the datagram, and neither is a reason for another way", async () => {
  const sys = new FakeSys();
  const { target, told } = await opened(sys);
  sys.sendRoom = 2;
  assertEquals([target.isWritable, send(target, 1, 1, 1, 1), target.isWritable], [true, [2, 3], false]);
  sys.sendRoom = Infinity;
  sys.fail("sendmmsg", 0, ENOBUFS, ENOBUFS, ENOBUFS);
  assertEquals(send(target, 1, 1, 1), [1]);
  sys.fail("sendmmsg", EINTR, EINTR);
  assertEquals(send(target, 1), []);
  assertEquals(plain(target), { sent: 5, dropped: 3, droppedBy: { [EAGAIN]: 2, [ENOBUFS]: 1 }, returned: 0, returnedBy: 0 });
  assertEquals(told.problems.map((text) => / \((E\w+)\)/.exec(text)![1]), ["EAGAIN", "ENOBUFS"]);
  assertEquals(told.reconnected, 0);
  target.close();
  sys.assertClean();
});

test("datagrams larger than the path takes are sent in fragments, which is told with the size that fits", async () => {
  const sys = new FakeSys();
  sys.mtu = 1280;
  const { target, told } = await opened(sys);
  assertEquals(send(target, 1252, 1253, 1400), []);
  assertEquals(send(target, 1400), []);
  assertEquals(told, {
    problems: [
      "Cannot send datagrams of 1253 bytes to 192.0.2.9:6343 in one piece: message too long (EMSGSIZE). The path's MTU is smaller, so they are " +
      "fragmented, and one lost fragment loses the whole datagram; those of at most 1252 bytes are not fragmented",
    ],
    recovered: 0,
    reconnected: 0,
  });
  assertEquals(plain(target), { sent: 4, dropped: 0, droppedBy: {}, returned: 0, returnedBy: 0 });
  // Nor in fragments.
  sys.fail("sendmmsg", EMSGSIZE, EMSGSIZE);
  assertEquals(send(target, 1400, 1), [0]);
  assertEquals(target.counts.droppedBy.get(EMSGSIZE), 1);
  target.close();
  sys.assertClean();
});

test(
  "a name is looked up at the start, and again when sending fails: the next of its addresses has its turn",
  skippingWaits(async () => {
    const sys = new FakeSys();
    let addresses = ["192.0.2.9", "2001:db8::9"];
    const asked: string[] = [];
    const lookup = (name: string): Promise<readonly string[]> => {
      asked.push(name);
      return Promise.resolve(addresses);
    };
    sys.unreachable.set("192.0.2.9:6343", ENETUNREACH);
    const { target, told } = await opened(sys, "collector.example", { lookup });
    // The first that can be reached.
    assertEquals([target.name, target.address, told.problems], ["collector.example:6343", "[2001:db8::9]:6343", []]);
    sys.unreachable.clear();
    await target.renew();
    assertEquals(target.address, "192.0.2.9:6343");
    sys.refusing.add("192.0.2.9:6343");
    send(target, 1);
    send(target, 1);
    assertEquals(told.problems.map((text) => text.slice(0, 62)), ["Cannot send to collector.example:6343 (192.0.2.9): connection "]);
    await until("it is looked up again", () => told.reconnected === 2);
    assertEquals(target.address, "[2001:db8::9]:6343");
    addresses = ["192.0.2.10"];
    await target.renew();
    send(target, 1);
    assertEquals([sys.arrived.at(-1)!.to, asked.length], ["192.0.2.10:6343", 4]);
    target.close();
    sys.assertClean();
  }),
);

test(
  "a name that stops resolving is reported, and its last address stays in use",
  skippingWaits(async () => {
    const sys = new FakeSys();
    let fails = false;
    const lookup = (name: string): Promise<readonly string[]> =>
      fails ? Promise.reject(new LookupError(name, "ENOTFOUND")) : Promise.resolve(["192.0.2.9"]);
    const { target, told } = await opened(sys, "collector", { lookup });
    fails = true;
    await target.renew();
    await target.renew();
    assertEquals(told.problems, ["Cannot look up the host name collector: ENOTFOUND"]);
    assertEquals(send(target, 1), []);
    fails = false;
    await until("it is looked up again", () => told.reconnected > 0);
    later();
    for (let i = 0; i < 3; i++) send(target, 1);
    assertEquals([told.recovered, what(sys).length], [1, 4]);
    target.close();
    sys.assertClean();
  }),
);

test(
  "a name that no name server answers for at the start is told, tried again, and sent to as soon as it has an address",
  skippingWaits(async () => {
    const sys = new FakeSys();
    let answers = false;
    const lookup = (name: string): Promise<readonly string[]> =>
      answers ? Promise.resolve(["2001:db8::9"]) : Promise.reject(new LookupError(name, "EAI_AGAIN"));
    const { target, told } = await opened(sys, "collector", { lookup });
    assertEquals([target.name, target.address, told.problems], ["collector:6343", undefined, [
      "Cannot look up the host name collector: EAI_AGAIN",
    ]]);
    // What is meant for it meanwhile is dropped and counted; that it has no address is told once.
    assertEquals([send(target, 1, 2), send(target, 3), target.checkReturned()], [[0, 1], [0], false]);
    assertEquals([...target.counts.droppedBy].map(([errno, count]) => [target.dropName(errno), count]), [["EAI_AGAIN", 3]]);
    await target.renew();
    assertEquals([told.problems.length, told.reconnected], [1, 0]);
    answers = true;
    await until("it is looked up again without a request", () => told.reconnected === 1);
    later();
    assertEquals([target.address, ...Array.from({ length: 3 }, () => send(target, 5))], ["[2001:db8::9]:6343", [], [], []]);
    assertEquals([what(sys).length, target.counts.sent, target.counts.dropped, told.recovered], [3, 3, 3, 1]);
    target.close();
    sys.assertClean();
  }),
);

test("a name without an answer on a machine without IPv6 may get an IPv4 address; without both there is nothing to send with", async () => {
  const sys = new FakeSys();
  let answers = false;
  const lookup = (name: string): Promise<readonly string[]> =>
    answers ? Promise.resolve(["192.0.2.9"]) : Promise.reject(new LookupError(name, "EAI_FAIL"));
  sys.fail("socket", 0, EAFNOSUPPORT);
  const { target } = await opened(sys, "collector", { lookup });
  answers = true;
  await target.renew();
  assertEquals(target.address, "192.0.2.9:6343");
  target.close();
  answers = false;
  sys.fail("socket", EAFNOSUPPORT, EAFNOSUPPORT);
  await assertRejects(() => opened(sys, "collector", { lookup }), SystemError, "EAFNOSUPPORT");
  sys.assertClean();
});

test("a name that is not found out in time holds nothing up at the start; only what may pass is waited for", async () => {
  const target: Target = { host: "collector", scope: undefined, port: 1 };
  const { addresses, failure } = await firstAddresses(target, () => new Promise(() => {}), 1);
  assertEquals([addresses, failure?.message], [
    [],
    "Cannot look up the host name collector: ETIMEDOUT. The name server takes long to answer; an address needs none",
  ]);
  for (const code of ["ENOTFOUND", "ENODATA", "EAI_NONAME", "EAI_NODATA", "EPERM"]) {
    await assertRejects(() => firstAddresses(target, () => Promise.reject(new LookupError("collector", code))), LookupError, code);
  }
  for (const code of ["EAI_AGAIN", "EAI_FAIL", "EAI_SYSTEM", "EMFILE"]) {
    assertEquals((await firstAddresses(target, () => Promise.reject(new LookupError("collector", code)))).failure?.code, code);
  }
});

test("a lookup that takes for ever holds nothing up, and is not asked for twice", async () => {
  const sys = new FakeSys();
  let asked = 0;
  const lookup = (): Promise<readonly string[]> => asked++ === 0 ? Promise.resolve(["192.0.2.9"]) : new Promise(() => {});
  const { target } = await opened(sys, "collector", { lookup });
  void target.renew();
  void target.renew();
  assertEquals(send(target, 1), []);
  assert(asked === 2);
  target.close();
  sys.assertClean();
});

test("a name on a machine without IPv6 uses IPv4", async () => {
  const sys = new FakeSys();
  sys.fail("socket", 0, EAFNOSUPPORT);
  const { target } = await opened(sys, "collector", { lookup: () => Promise.resolve(["2001:db8::9", "192.0.2.9"]) });
  assertEquals(target.address, "192.0.2.9:6343");
  target.close();
  sys.assertClean();
});
