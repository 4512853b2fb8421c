/** Listening with a filter: the program on the socket, what passes it, and what is reported about losses. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ArgumentError, NetlinkError } from "../../src/errors.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { type ListenOptions, listenWith } from "../../src/receive/listen.ts";
import type { Listener } from "../../src/receive/listener.ts";
import { ENOMEM, EPERM } from "../../src/sys/sys.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { type FakeOptions, type FakeSys, settle } from "../fake_sys.ts";
import { type Attribute, bytes, message, number } from "../psample/build.ts";
import { groupMessage } from "../support/messages.ts";
import { Machine } from "./machine.ts";

const skip = LITTLE ? false : "the messages are of a little-endian machine";

/** A test on a fake Deno and a fake Bun, with devices; it leaves no descriptor open. */
function both(name: string, run: (machine: Machine, sys: FakeSys) => Promise<void>, options: FakeOptions = {}): void {
  for (const readsFirst of [false, true]) {
    test(`${name} (the runtime ${readsFirst ? "reads first" : "only tells"})`, { skip }, async () => {
      const machine = new Machine({ ...options, readsFirst });
      machine.names.set(4, "eth1");
      await run(machine, machine.sys);
      await settle();
      machine.sys.assertClean();
    });
  }
}

const TCP = bytes(
  "020000000001 020000000002 0800 45000028000000004006 0000 c0000207 0a000001 01bb01bc 00000000 00000000 50120000 0000 0000",
);
const UDP = bytes("020000000001 020000000002 0800 4500001c000000004011 0000 c0000207 0a000001 01bb01bc 0008 0000");

function sample(sequence: number, data: Uint8Array, { group = 5, device = 3 } = {}): Uint8Array<ArrayBuffer> {
  const list: Attribute[] = [[0, number(2, device)], [5, number(4, 100)], [2, number(4, 1500)], [3, number(4, group)], [
    4,
    number(4, sequence),
  ]];
  return message([...list, [14, number(2, 0x0800)], [6, data]]);
}

/** The sequence numbers of all samples until the end, and the names of group events. */
async function rest(listener: Listener): Promise<(number | string | undefined)[]> {
  listener.end();
  const entries: (number | string | undefined)[] = [];
  for await (const entry of listener) entries.push(entry.type === "sample" ? entry.sequence : entry.type);
  return entries;
}

async function queued(sys: FakeSys, options: ListenOptions, ...messages: Uint8Array[]): Promise<[queued: number, rest: unknown[]]> {
  const listener = await listenWith(sys, options);
  sys.sample(...messages);
  const count = sys.listener.queue.length;
  return [count, await rest(listener)];
}

both("the kernel filters what it can, before samples are queued; the rest is filtered here", async (_, sys) => {
  const messages = [sample(0, TCP), sample(1, UDP), sample(2, TCP, { group: 6 }), sample(3, TCP, { device: 4 })];
  const cases: [ListenOptions, number, unknown[]][] = [
    [{ filter: "tcp" }, 3, [0, 2, 3]],
    [{ filter: "tcp", groups: [5] }, 2, [0, 3]],
    [{ filter: ["tcp", "in eth0"] }, 2, [0, 2]],
    [{ filter: "not tcp" }, 1, [1]],
    [{ filter: "tcp and not inner (ip)" }, 3, [0, 2, 3]],
    [{ filter: "not inner (ip)" }, 4, [0, 1, 2, 3]],
    [{ filter: "inner (ip)" }, 4, []],
    [{ filter: "inner (ip)", groups: [5] }, 3, []],
    [{ filter: "" }, 4, [0, 1, 2, 3]],
    [{ filter: [] }, 4, [0, 1, 2, 3]],
  ];
  for (const [options, inQueue, chosen] of cases) {
    assertEquals(await queued(sys, options, ...messages), [inQueue, chosen], JSON.stringify(options));
  }
});

both("the filter is attached before the groups are joined, and is closed with the listener", async (_, sys) => {
  const listener = await listenWith(sys, { filter: "tcp" });
  const log = sys.log.filter((line) => /filter|join (41|40)/.test(line));
  assertStringIncludes(log[0]!, "filter");
  assertEquals(log.filter((line) => line.includes("filter")).length, 1);
  await listener.close();
});

both("lent batches contain what matches; missing numbers are no losses, drops are", async (_, sys) => {
  const listener = await listenWith(sys, { filter: "tcp", events: false });
  sys.sample(sample(0, TCP), sample(1, UDP), sample(9, TCP));
  const batch = (await listener.lentBatches().next()).value!;
  assertEquals([batch.count, batch.samples, batch.lost, batch.lostBefore(0), batch.lostBefore(1)], [2, 2, 0, undefined, undefined]);
  sys.listener.drops = 4;
  const { received, lost, gaps, dropped, filtered, groups } = listener.stats();
  assertEquals({ received, lost, gaps, dropped, filtered }, { received: 2, lost: 4, gaps: 0, dropped: 4, filtered: true });
  assertEquals(groups.map(({ group, numbered, lost }) => [group, numbered, lost]), [[5, false, 0]]);
  await listener.close();
});

both("numbers keep their meaning if filtering happens only here, or only by group", async (_, sys) => {
  for (const filter of ["not inner (ip) and group 5", "group 5"]) {
    const listener = await listenWith(sys, { filter });
    sys.sample(sample(0, TCP), sample(0, TCP, { group: 6 }), sample(3, TCP));
    // Events of a group that is left out reveal no losses.
    sys.event(groupMessage("deleted", 6));
    assertEquals(await rest(listener), [0, 3, "group-deleted"], filter);
    const { lost, gaps, filtered } = listener.stats();
    assertEquals({ lost, gaps, filtered }, { lost: 2, gaps: 2, filtered: false }, filter);
  }
});

both("a loss revealed by a sample that is left out here is reported with the next one", async (_, sys) => {
  const listener = await listenWith(sys, { filter: "vni 5 or len < 1500", events: false });
  const small = (sequence: number): Uint8Array<ArrayBuffer> =>
    message([[2, number(4, 60)], [3, number(4, 5)], [4, number(4, sequence)], [6, UDP]]);
  sys.sample(small(0), sample(5, TCP), small(6));
  const batch = (await listener.lentBatches().next()).value!;
  assertEquals([batch.count, batch.lost, batch.lostBefore(0), batch.lostBefore(1)], [2, 4, 0, 4]);
  await listener.close();
});

both("samples of a new device are decided here; soon the kernel knows it, and renames too", async (machine, sys) => {
  const listener = await listenWith(sys, { filter: "in eth0", events: false });
  const filters = (): number => sys.log.filter((line) => line.includes("filter")).length;
  assertEquals(filters(), 1);
  const iterator = listener[Symbol.asyncIterator]();
  machine.set(7, "veth7");
  sys.sample(sample(0, TCP, { device: 4 }), sample(1, TCP, { device: 7 }), sample(2, TCP, { device: 3 }));
  assertEquals(sys.listener.queue.length, 2);
  assertEquals((await iterator.next()).value?.type, "sample");
  assertEquals(listener.stats().received, 2);
  // While the iteration waits, the program is updated.
  const next = iterator.next();
  machine.set(3, "old0");
  machine.set(4, "eth0");
  while (filters() < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  sys.sample(sample(3, TCP, { device: 3 }), sample(4, TCP, { device: 4 }), sample(5, TCP, { device: 7 }));
  const { value } = await next;
  assertEquals([value?.sequence, listener.stats().received], [4, 3]);
  await listener.close();
});

both("if samples come from other namespaces, the kernel does not decide about devices", async (_, sys) => {
  const listener = await listenWith(sys, { filter: "in eth0", allNamespaces: true });
  assertEquals(sys.log.filter((line) => line.includes("filter")), []);
  await listener.close();
});

both("a kernel without room for the program passes everything, to be filtered here", async (_, sys) => {
  const setsockopt = sys.setsockopt.bind(sys);
  let refusals = 0;
  sys.setsockopt = (fd, level, name, value) => {
    const isLong = `${level}/${name}` === "1/26" && new DataView(value.buffer).getUint16(0, true) > 16;
    if (!isLong) return setsockopt(fd, level, name, value);
    refusals++;
    return -ENOMEM;
  };
  for (const groups of [undefined, [5]]) {
    const listener = await listenWith(sys, { filter: "tcp and in eth0", groups, events: false });
    sys.sample(sample(0, TCP), sample(1, UDP), sample(0, TCP, { group: 6 }), sample(4, TCP));
    assertEquals(sys.listener.queue.length, groups ? 3 : 4);
    assertEquals(await rest(listener), groups ? [0, 4] : [0, 0, 4]);
    const { filtered, lost } = listener.stats();
    assertEquals({ filtered, lost }, { filtered: false, lost: 2 });
  }
  assert(refusals >= 2);
});

both("a program that cannot be attached is an error with its reason, and nothing stays open", async (_, sys) => {
  const setsockopt = sys.setsockopt.bind(sys);
  sys.setsockopt = (fd, level, name, value) => `${level}/${name}` === "1/26" ? -EPERM : setsockopt(fd, level, name, value);
  const error = await assertRejects(() => listenWith(sys, { filter: "tcp" }), NetlinkError);
  assertEquals([error.op, error.code], ["attach a socket filter", "EPERM"]);
  assertStringIncludes(error.message, "SO_LOCK_FILTER");
});

both("an invalid filter is refused before anything is opened", async (_, sys) => {
  const error = await assertRejects(() => listenWith(sys, { filter: ["tcp", "udp port foo"] }), FilterError);
  assertEquals([error.expression, error.position], ["udp port foo", 9]);
  await assertRejects(() => listenWith(sys, { filter: "tcp", samples: false }), ArgumentError, "selects among samples");
  assertEquals(sys.log, []);
});
