import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { NetlinkError } from "../../src/errors.ts";
import { type ListenOptions, listenWith } from "../../src/receive/listen.ts";
import { type Entry, type Listener, SocketListener } from "../../src/receive/listener.ts";
import { Receiver } from "../../src/socket/receiver.ts";
import { pump } from "../../src/stream/pump.ts";
import { EBADF, EINTR, ENOBUFS, ENOMEM, NETLINK_USERSOCK } from "../../src/sys/sys.ts";
import type { Sample } from "../../src/psample/sample.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { encodeMessage, messageOf } from "../../src/wire/message.ts";
import { type FakeOptions, type FakeSocket, FakeSys, settle } from "../fake_sys.ts";
import { familyMessage, groupMessage, joined, sampleMessage, sampleMessages } from "../support/messages.ts";

const EMFILE = 24;
const ENETDOWN = 100;

/** A test on a fake Deno and a fake Bun, which leaves no descriptor open. */
function both(name: string, options: FakeOptions, run: (sys: FakeSys) => Promise<void>): void {
  for (const readsFirst of [false, true]) {
    test(`${name} (the runtime ${readsFirst ? "reads first" : "only tells"})`, async () => {
      const sys = new FakeSys({ ...options, readsFirst });
      await run(sys);
      await settle();
      sys.assertClean();
    });
  }
}

function brief(entry: Entry | EntryView | undefined): string {
  if (!entry) return "end";
  return entry.type === "sample" ? `${entry.group}:${entry.sequence}` : `${entry.type} ${entry.group}`;
}

/** Takes `count` entries without closing. */
async function take(listener: Listener, count: number): Promise<string[]> {
  const iterator = listener[Symbol.asyncIterator]();
  const taken: string[] = [];
  while (taken.length < count) taken.push(brief((await iterator.next()).value));
  return taken;
}

/** Everything until the end. */
async function all(listener: Listener): Promise<string[]> {
  const taken: string[] = [];
  for await (const entry of listener) taken.push(brief(entry));
  return taken;
}

async function refusal(promise: Promise<unknown>): Promise<NetlinkError> {
  return await assertRejects(() => promise, NetlinkError);
}

// ---- what was not read yet

both("a listener tells whether something waits that nobody has read", {}, async (sys) => {
  const listener = await listenWith(sys, { events: false });
  assertEquals(listener.unread, false);
  sys.listener.queue.push({ bytes: sampleMessage({ group: 5, sequence: 1 }), portId: 0, nsid: undefined });
  assertEquals(listener.unread, true);
  await take(listener, 1);
  assertEquals(listener.unread, false);
  await listener.close();
  assertEquals(listener.unread, false);
});

// ---- joining

both("listen attaches the filter before it joins, and listens to the controller before it queries it", {}, async (sys) => {
  const listener = await listenWith(sys, { groups: [5] });
  assertEquals(sys.log.filter((line) => /filter|join/.test(line)), ["3 filter", "3 join 16", "3 join 41", "3 join 40"]);
  await listener.close();
});

both("listen without groups attaches no filter", {}, async (sys) => {
  const listener = await listenWith(sys);
  assertEquals(sys.log.filter((line) => line.includes("filter")), []);
  await listener.close();
});

both("listen joins only what is enabled", {}, async (sys) => {
  const joins = async (options: ListenOptions): Promise<number[]> => {
    const listener = await listenWith(sys, options);
    const groups = [...sys.listener.groups];
    await listener.close();
    return groups;
  };
  assertEquals(await joins({}), [16, 41, 40]);
  assertEquals(await joins({ samples: false }), [16, 40]);
  assertEquals(await joins({ events: false }), [16, 41]);
});

both("listen lets in only samples and events of its groups", {}, async (sys) => {
  const listener = await listenWith(sys, { groups: [5, 4294967295] });
  sys.sample(sampleMessage({ group: 5, sequence: 1 }), sampleMessage({ group: 7, sequence: 1 }));
  sys.event(groupMessage("created", 7));
  sys.event(groupMessage("created", 5));
  sys.sample(sampleMessage({ group: 4294967295, sequence: 3 }), sampleMessage({ group: 83886080, sequence: 4 }));
  // The controller's attribute 3 is not a group: its notifications pass every filter.
  sys.multicast(16, familyMessage(1, { id: 99, name: "other", groups: {} }));
  assertEquals(sys.listener.queue.length, 4);
  assertEquals(await take(listener, 3), ["5:1", "group-created 5", "4294967295:3"]);
  await listener.close();
});

both("listen to no groups lets samples in that name none", {}, async (sys) => {
  const listener = await listenWith(sys, { groups: [] });
  sys.sample(sampleMessage({ group: 5 }), sampleMessage({ group: undefined, sequence: 1 }));
  sys.sample(encodeMessage({ type: 30, flags: 0 }, new Uint8Array([0, 1, 0, 0]), (attr) => attr.u32(4, 9)));
  assertEquals(await take(listener, 1), ["undefined:9"]);
  await listener.close();
});

both("listen refuses invalid options before it opens anything", {}, async (sys) => {
  await assertRejects(
    () => listenWith(sys, { samples: false, events: false }),
    ArgumentError,
    "Cannot listen: `samples` and `events` are both false",
  );
  for (const receiveBufferBytes of [0, -1, 1.5, NaN, 0x40000000]) {
    await assertRejects(() => listenWith(sys, { receiveBufferBytes }), ArgumentError, "receive buffer");
  }
  for (const group of [-1, 1.5, 4294967296, NaN]) {
    await assertRejects(() => listenWith(sys, { groups: [group] }), ArgumentError, `Cannot filter group ${group}`);
  }
  assertEquals(sys.log, []);
});

both("listen asks for 32 MiB", {}, async (sys) => {
  const listener = await listenWith(sys);
  assertEquals(listener.receiveBufferBytes, 32 * 1024 * 1024);
  assertEquals(listener.stats().receiveBufferBytes, 32 * 1024 * 1024);
  await listener.close();
});

both("listen reports the smaller buffer that an unprivileged user gets", { unprivileged: true }, async (sys) => {
  const listener = await listenWith(sys, { samples: false });
  assertEquals(listener.receiveBufferBytes, 212992);
  await listener.close();
});

both("listen without the privilege says what is required", { unprivileged: true }, async (sys) => {
  const error = await refusal(listenWith(sys));
  assertEquals([error.code, error.op], ["EPERM", "join the multicast group packets of psample"]);
  assertStringIncludes(error.message, "Cannot join the multicast group packets of psample: operation not permitted (EPERM). ");
  assertStringIncludes(error.message, "CAP_NET_ADMIN");
});

both("listen without the family says how to load it", { noFamily: true }, async (sys) => {
  const error = await refusal(listenWith(sys));
  assertEquals(error.code, "ENOENT");
  assertStringIncludes(
    error.message,
    "Cannot receive samples: no such file or directory (ENOENT). Load the kernel module: modprobe psample",
  );
});

both("listen says if this kernel's family lacks a group", {}, async (sys) => {
  sys.family!.groups = { config: 40 };
  const error = await refusal(listenWith(sys));
  assertStringIncludes(error.message, "Cannot join the multicast group packets of psample");
});

both("listen to all namespaces without the privilege says what is required", { unprivileged: true }, async (sys) => {
  const error = await refusal(listenWith(sys, { samples: false, allNamespaces: true }));
  assertStringIncludes(
    error.message,
    "Cannot listen to all network namespaces: operation not permitted (EPERM). Requires CAP_NET_BROADCAST",
  );
});

for (const [call, text] of [["socket", "open"], ["bind", "bind"], ["getsockname", "address"], ["watch", "watch"]] as const) {
  both(`listen closes what it opened when ${call} fails`, {}, async (sys) => {
    sys.fail(call, EMFILE);
    const error = await refusal(listenWith(sys));
    assertEquals(error.code, "EMFILE");
    assertStringIncludes(error.op, text);
  });
}

both("listen closes what it opened when the second socket cannot be opened", {}, async (sys) => {
  const socket = sys.socket.bind(sys);
  let count = 0;
  sys.socket = (...args) => ++count === 2 ? -EMFILE : socket(...args);
  assertEquals((await refusal(listenWith(sys))).code, "EMFILE");
  assertEquals(count, 2);
});

// ---- waiting for the family

both("listen with wait resolves when the family appears", { noFamily: true }, async (sys) => {
  let listener: Listener | undefined;
  const listening = listenWith(sys, { wait: true }).then((made) => listener = made);
  await settle();
  assertEquals(listener, undefined);
  // The request socket is gone while it waits.
  assertEquals(sys.fds.size, 1);
  sys.multicast(16, familyMessage(1, { id: 99, name: "other", groups: { packets: 77 } }));
  await settle();
  assertEquals(listener, undefined);
  sys.addFamily(31, { config: 50, packets: 51 });
  await listening;
  assertEquals([...sys.listener.groups], [16, 51, 50]);
  sys.sample(sampleMessage({ sequence: 7, family: 31 }));
  assertEquals(await take(listener!, 1), ["1:7"]);
  await listener!.close();
});

both("listen with wait survives that the family is removed and added again, and tells it", {}, async (sys) => {
  const told: boolean[] = [];
  const listener = await listenWith(sys, { wait: true, onFamily: (isThere) => void told.push(isThere) });
  sys.sample(sampleMessage({ sequence: 0 }));
  const iterator = listener[Symbol.asyncIterator]();
  assertEquals(brief((await iterator.next()).value), "1:0");
  const waiting = iterator.next();
  await settle();
  sys.removeFamily();
  await settle();
  assertEquals([[...sys.listener.groups], told], [[16], [false]]);
  sys.addFamily(31, { config: 50, packets: 51 });
  await settle();
  assertEquals([...sys.listener.groups], [16, 51, 50]);
  assertEquals(told, [false, true]);
  sys.sample(sampleMessage({ sequence: 0, family: 31 }));
  assertEquals(brief((await waiting).value), "1:0");
  await listener.close();
});

both("listen with wait continues if the notification of the removal was dropped", {}, async (sys) => {
  const listener = await listenWith(sys, { wait: true });
  sys.listener.room = 0;
  sys.removeFamily();
  sys.listener.room = Infinity;
  const waiting = take(listener, 1);
  sys.addFamily(31, { config: 50, packets: 51 });
  await settle();
  sys.sample(sampleMessage({ sequence: 3, family: 31 }));
  assertEquals(await waiting, ["1:3"]);
  await listener.close();
});

both("listen with wait ends with the refusal when it may not join", { noFamily: true, unprivileged: true }, async (sys) => {
  const listening = refusal(listenWith(sys, { wait: true }));
  await settle();
  sys.addFamily();
  assertEquals((await listening).code, "EPERM");
});

both("a listener without wait yields what arrived, and then fails because the family is gone", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(3));
  sys.removeFamily();
  const taken: string[] = [];
  const error = await refusal((async () => {
    for await (const entry of listener) taken.push(brief(entry));
  })());
  assertEquals(taken, ["1:0", "1:1", "1:2"]);
  assertEquals(error.code, "ENODEV");
  assertStringIncludes(error.message, "The psample module was unloaded. To resume when it returns: listen({ wait: true })");
  assertEquals(await all(listener), []);
});

both("a notification older than the lookup does not end a listener", {}, async (sys) => {
  const { answer } = sys;
  sys.answer = (request, socket) => {
    // Between joining and asking the module was unloaded and loaded again.
    const old = { id: 29, name: "psample", groups: { config: 38, packets: 39 } };
    sys.multicast(16, familyMessage(2, old));
    sys.multicast(16, familyMessage(1, sys.family!));
    sys.answer = answer;
    answer(request, socket);
  };
  const listener = await listenWith(sys);
  sys.sample(sampleMessage({ sequence: 5 }));
  assertEquals(await take(listener, 1), ["1:5"]);
  await listener.close();
});

both("another process's notification about the family is a hint: the controller is asked, and the listener continues", {}, async (sys) => {
  for (const wait of [false, true]) {
    const listener = await listenWith(sys, { wait });
    const iterator = listener[Symbol.asyncIterator]();
    const stranger = { id: 77, name: "psample", groups: { config: 60, packets: 61 } };
    for (const [i, news] of [familyMessage(2, sys.family!), familyMessage(1, stranger), familyMessage(2, stranger)].entries()) {
      sys.multicast(16, news);
      await settle();
      sys.sample(sampleMessage({ sequence: i }));
      assertEquals(brief((await iterator.next()).value), `1:${i}`);
      assertEquals([listener.family, ...sys.listener.groups], [30, 16, 41, 40]);
    }
    assertEquals(listener.stats().lost, 0);
    await listener.close();
  }
});

both("a family that was removed and added with its old number while nobody read is joined again", {}, async (sys) => {
  const listener = await listenWith(sys, { wait: true });
  sys.removeFamily();
  sys.addFamily(30, { config: 40, packets: 41 });
  assertEquals([...sys.listener.groups], [16]);
  const waiting = take(listener, 1);
  await settle();
  sys.sample(sampleMessage({ sequence: 5 }));
  assertEquals(await waiting, ["1:5"]);
  await listener.close();
});

both("a listener that cannot ask for lack of a descriptor asks again later", {}, async (sys) => {
  const listener = await listenWith(sys, { wait: true });
  const waiting = take(listener, 1);
  sys.removeFamily();
  await settle();
  sys.fail("socket", EMFILE, EMFILE);
  sys.addFamily(31, { config: 50, packets: 51 });
  while (!sys.listener.groups.has(51)) await settle();
  sys.sample(sampleMessage({ sequence: 3, family: 31 }));
  assertEquals(await waiting, ["1:3"]);
  await listener.close();
});

both("a listener that cannot join when it asks again later ends with the refusal", {}, async (sys) => {
  const listener = await listenWith(sys, { wait: true });
  const ended = refusal(take(listener, 1));
  sys.removeFamily();
  await settle();
  sys.fail("socket", EMFILE);
  sys.addFamily(31, { config: 50 });
  assertEquals((await ended).op, "join the multicast group packets of psample");
});

both("random changes of the family, and false notifications about it, neither end nor deafen a listener with wait", {}, async (sys) => {
  let state = 12345;
  const random = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
  const listener = await listenWith(sys, { wait: true });
  const iterator = listener[Symbol.asyncIterator]();
  let sequence = 0;
  for (let round = 0; round < 60; round++) {
    for (let i = random(4); i >= 0; i--) {
      const id = 30 + random(3);
      const packets = 41 + 2 * random(3);
      if (random(3) === 0) {
        sys.multicast(16, familyMessage(1 + random(2), { id, name: "psample", groups: { config: packets - 1, packets } }));
      } else if (sys.family) sys.removeFamily();
      else sys.addFamily(id, { config: packets - 1, packets });
      if (random(2)) await settle();
    }
    if (!sys.family) sys.addFamily(30 + random(3));
    const waiting = iterator.next();
    await settle();
    sys.sample(sampleMessage({ sequence: sequence++, family: sys.family!.id }));
    assertEquals(brief((await waiting).value), `1:${sequence - 1}`);
  }
  await listener.close();
});

both("a kernel without group events: they are left out, unless requested", {}, async (sys) => {
  sys.family!.groups = { packets: 41 };
  const listener = await listenWith(sys);
  assertEquals([...sys.listener.groups], [16, 41]);
  sys.sample(sampleMessage({ sequence: 1 }));
  assertEquals(await take(listener, 1), ["1:1"]);
  await listener.close();
  for (const options of [{ events: true }, { samples: false }]) {
    const error = await refusal(listenWith(sys, options));
    assertEquals(error.op, "join the multicast group config of psample");
    assertStringIncludes(error.message, "sends no group events: leave `events` out, or set it to false");
  }
});

// ---- ends

both("listen with a signal that has aborted throws its reason", {}, async (sys) => {
  const reason = new Error("no more");
  assertEquals(await assertRejects(() => listenWith(sys, { signal: AbortSignal.abort(reason) })), reason);
});

both("listen whose signal aborts while it opens throws its reason", {}, async (sys) => {
  const controller = new AbortController();
  const listening = listenWith(sys, { signal: controller.signal });
  controller.abort(new Error("no more"));
  await assertRejects(() => listening, Error, "no more");
});

both("listen whose signal aborts while it waits for the family throws its reason", { noFamily: true }, async (sys) => {
  const controller = new AbortController();
  const listening = listenWith(sys, { wait: true, signal: controller.signal });
  await settle();
  controller.abort(new Error("no more"));
  await assertRejects(() => listening, Error, "no more");
});

test("listen whose signal aborts while the kernel does not answer throws its reason at once", async () => {
  const sys = new FakeSys();
  sys.answer = () => {};
  const controller = new AbortController();
  const listening = listenWith(sys, { wait: true, signal: controller.signal });
  await settle();
  let isOver = false;
  const rejected = assertRejects(() => listening, Error, "no more").finally(() => isOver = true);
  controller.abort(new Error("no more"));
  // Without the signal it would take five seconds.
  for (let i = 0; i < 20 && !isOver; i++) await settle();
  assert(isOver, "it waits for an answer");
  await rejected;
  while (sys.fds.size > 0) await settle();
  sys.assertClean();
});

both("a signal that aborts while the iteration waits ends it", {}, async (sys) => {
  const controller = new AbortController();
  const listener = await listenWith(sys, { signal: controller.signal });
  const ended = all(listener);
  await settle();
  controller.abort();
  assertEquals(await ended, []);
  sys.assertClean();
});

both("a signal that aborts discards what was received already", {}, async (sys) => {
  const controller = new AbortController();
  const listener = await listenWith(sys, { signal: controller.signal });
  sys.sample(...sampleMessages(10));
  const taken: string[] = [];
  for await (const entry of listener) {
    taken.push(brief(entry));
    if (taken.length === 3) controller.abort();
  }
  assertEquals(taken, ["1:0", "1:1", "1:2"]);
  sys.assertClean();
});

both("a signal that aborts after the end does nothing", {}, async (sys) => {
  const controller = new AbortController();
  const listener = await listenWith(sys, { signal: controller.signal });
  await listener.close();
  controller.abort();
});

both("break closes the socket before the loop is left", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(5));
  for await (const _ of listener) break;
  sys.assertClean();
});

both("an error in the loop's body closes the socket", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(5));
  const body = async (): Promise<void> => {
    for await (const _ of listener) throw new Error("from the body");
  };
  await assertRejects(body, Error, "from the body");
  sys.assertClean();
});

both("leaving a loop over batches closes the socket", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(5));
  for await (const batch of listener.batches()) {
    assertEquals(batch.map(brief), ["1:0", "1:1", "1:2", "1:3", "1:4"]);
    break;
  }
  sys.assertClean();
});

both("await using closes the socket", {}, async (sys) => {
  {
    await using listener = await listenWith(sys);
    assertEquals(listener.stats().received, 0);
  }
  sys.assertClean();
});

both("close, return and dispose together close once", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  await Promise.all([
    listener.close(),
    listener[Symbol.asyncDispose](),
    iterator.return!(),
    listener.batches().return!(),
    listener.close(),
  ]);
  sys.assertClean();
  assertEquals((await iterator.next()).done, true);
  assertEquals((await listener.batches().next()).done, true);
});

both("close while several wait ends them all", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  const waiting = [iterator.next(), iterator.next(), listener.batches().next()];
  await settle();
  await listener.close();
  sys.assertClean();
  for (const result of await Promise.all(waiting)) assertEquals(result, { done: true, value: undefined });
});

both("close between two ticks of a busy receiver ends the iteration", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(sampleMessage({ sequence: 0 }));
  const iterator = listener[Symbol.asyncIterator]();
  await iterator.next();
  const waiting = iterator.next();
  await listener.close();
  assertEquals((await waiting).done, true);
});

both("end yields what is queued and then ends", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(3));
  listener.end();
  // The groups are left: nothing that arrives now gets in.
  assertEquals(sys.listeners, []);
  assertEquals(await all(listener), ["1:0", "1:1", "1:2"]);
  sys.assertClean();
});

both("end while the iteration waits ends it", {}, async (sys) => {
  const listener = await listenWith(sys);
  const ended = all(listener);
  await settle();
  listener.end();
  listener.end();
  assertEquals(await ended, []);
  sys.assertClean();
});

both("end loses nothing of a long queue, however it is woken", {}, async (sys) => {
  const listener = await listenWith(sys);
  const ended = all(listener);
  await settle();
  // More than one drain: the event loop runs in between.
  sys.sample(...sampleMessages(2500));
  listener.end();
  const taken = await ended;
  assertEquals(taken.length, 2500);
  assertEquals(taken, Array.from({ length: 2500 }, (_, i) => `1:${i}`));
  assertEquals(listener.stats().lost, 0);
});

both("end with a reason throws it after what is queued", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(2));
  listener.end(new Error("because"));
  const taken: string[] = [];
  await assertRejects(
    async () => {
      for await (const entry of listener) taken.push(brief(entry));
    },
    Error,
    "because",
  );
  assertEquals(taken, ["1:0", "1:1"]);
  assertEquals(await all(listener), []);
});

both("end after close does nothing", {}, async (sys) => {
  const listener = await listenWith(sys);
  await listener.close();
  listener.end(new Error("too late"));
  assertEquals(await all(listener), []);
});

// ---- iterating

both("samples and events are yielded in order, as entries distinguished by type", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.event(groupMessage("created", 9));
  sys.sample(sampleMessage({ group: 9, sequence: 0 }));
  sys.event(groupMessage("deleted", 9));
  assertEquals(await take(listener, 3), ["group-created 9", "9:0", "group-deleted 9"]);
  assertEquals([listener.stats().received, listener.stats().events], [1, 2]);
  await listener.close();
});

both("concurrent next calls get the entries in order, and none is lost", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  const asked = Array.from({ length: 6 }, () => iterator.next());
  sys.sample(...sampleMessages(3));
  await settle();
  sys.sample(...sampleMessages(5, 3));
  const got = (await Promise.all(asked)).map((result) => brief(result.value));
  assertEquals(got, ["1:0", "1:1", "1:2", "1:3", "1:4", "1:5"]);
  assertEquals(brief((await iterator.next()).value), "1:6");
  assertEquals(brief((await iterator.next()).value), "1:7");
  await listener.close();
});

both("two iterations share what arrives: each entry is seen once", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterations = Promise.all([all(listener), all(listener)]);
  for (let i = 0; i < 4; i++) {
    sys.sample(...sampleMessages(5, 5 * i));
    await settle();
  }
  listener.end();
  const seen = (await iterations).flat().sort((a, b) => Number(a.slice(2)) - Number(b.slice(2)));
  assertEquals(seen, Array.from({ length: 20 }, (_, i) => `1:${i}`));
});

both("samples own their bytes: they do not change with later ones", {}, async (sys) => {
  const listener = await listenWith(sys);
  const kept: Entry[] = [];
  const iterator = listener[Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) {
    sys.sample(sampleMessage({ sequence: i, dataBytes: 10 + i }));
    kept.push((await iterator.next()).value!);
    await settle();
  }
  kept.forEach((entry, i) => {
    if (entry.type !== "sample") throw new Error("an event");
    assertEquals(entry.data, new Uint8Array(10 + i).fill(0xab));
    assertEquals(entry, decodeSample(messageOf(sampleMessage({ sequence: i, dataBytes: 10 + i }))));
  });
  await listener.close();
});

both("nothing is read unless requested, and what the kernel drops is counted", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  sys.sample(sampleMessage({ sequence: 0 }));
  await iterator.next();
  await settle();
  const socket = sys.listener;
  const { reads } = socket;
  socket.room = 10;
  sys.sample(...sampleMessages(30, 1));
  await settle();
  assertEquals([socket.reads, socket.queue.length], [reads, 10]);
  assertEquals([listener.stats().dropped, listener.stats().lost, listener.stats().gaps], [20, 20, 0]);
  socket.room = Infinity;
  sys.sample(sampleMessage({ sequence: 31 }));
  for (let i = 0; i < 11; i++) await iterator.next();
  const { received, lost, gaps, dropped } = listener.stats();
  assertEquals({ received, lost, gaps, dropped }, { received: 12, lost: 20, gaps: 20, dropped: 20 });
  await listener.close();
});

both("a received batch is yielded before more is read", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  sys.sample(...sampleMessages(8));
  await iterator.next();
  const { reads } = sys.listener;
  for (let i = 0; i < 7; i++) await iterator.next();
  assertEquals(sys.listener.reads, reads);
  await listener.close();
});

both("batches are never empty, and as large as a drain", {}, async (sys) => {
  const listener = await listenWith(sys);
  const sizes: number[] = [];
  const batches = listener.batches();
  // The controller's notification is not an entry: it makes no batch.
  sys.multicast(16, familyMessage(1, { id: 99, name: "other", groups: {} }));
  const first = batches.next();
  await settle();
  sys.sample(...sampleMessages(2000));
  sizes.push((await first).value!.length);
  while (sizes.reduce((sum, size) => sum + size, 0) < 2000) sizes.push((await batches.next()).value!.length);
  assert(sizes.every((size) => size > 0 && size <= 1025), `${sizes}`);
  await listener.close();
});

both("a batch says whether more is queued after it", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(300));
  const more: boolean[] = [];
  for (let left = 300; left > 0;) {
    const batch = (await listener.read())!;
    left -= batch.count;
    more.push(batch.more);
  }
  assertEquals(more, [...new Array(more.length - 1).fill(true), false]);
  assert(more.length > 2, `${more}`);
  await listener.close();
});

both("the event loop runs even if the queue never empties", {}, async (sys) => {
  const listener = await listenWith(sys);
  let turned = false;
  sys.sample(...sampleMessages(500));
  let sequence = 500;
  let batches = 0;
  for await (const batch of listener.lentBatches()) {
    if (batches++ === 0) setTimeout(() => turned = true, 0);
    // Here, because closing waits too.
    if (turned) break;
    assert(batches < 1000, `no turn in ${batches} batches`);
    sys.sample(...sampleMessages(batch.count, sequence));
    sequence += batch.count;
  }
});

both("concurrent requests get each entry of a long queue once, in order", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(30_000));
  listener.end();
  const batches = listener.batches();
  const each = listener[Symbol.asyncIterator]();
  // Three that ask again as soon as they are answered: entries in the order of the requests.
  const takeAll = async (ask: () => Promise<Entry[]>): Promise<number[]> => {
    const answers: Promise<Entry[]>[] = [];
    const askAgain = async (): Promise<void> => {
      do answers.push(ask()); while ((await answers.at(-1)!).length > 0);
    };
    await Promise.all([askAgain(), askAgain(), askAgain()]);
    return (await Promise.all(answers)).flat().map((entry) => (entry as Sample).sequence!);
  };
  const numbers = await Promise.all([
    takeAll(async () => (await batches.next()).value ?? []),
    takeAll(async () => ((entry) => entry ? [entry] : [])((await each.next()).value)),
  ]);
  for (const list of numbers) assertEquals(list, list.toSorted((a, b) => a - b));
  assert(numbers.every((list) => list.length > 100), `${numbers.map((list) => list.length)}`);
  assertEquals(numbers.flat().sort((a, b) => a - b), Array.from({ length: 30_000 }, (_, i) => i));
});

both("lent batches contain what arrived, in samples that are reused", {}, async (sys) => {
  const listener = await listenWith(sys);
  const batches = listener.lentBatches();
  const seen = new Set<unknown>();
  const lines: string[] = [];
  let most = 0;
  // Sizes that change: larger than the slots, then smaller again, with events among them.
  for (const [round, dataBytes] of [6, 1000, 5000, 30_000, 6, 6].entries()) {
    sys.sample(...sampleMessages(300, 300 * round, { dataBytes }));
    sys.event(groupMessage("created", 50 + round));
    for (let left = 301; left > 0;) {
      const batch = (await batches.next()).value!;
      left -= batch.count;
      most = Math.max(most, batch.count);
      for (const entry of batch.entries) {
        lines.push(brief(entry));
        if (entry.type !== "sample") continue;
        seen.add(entry);
        assertEquals([entry.data!.length, entry.data!.every((byte) => byte === 0xab)], [dataBytes, true]);
      }
    }
  }
  const expected = [0, 1, 2, 3, 4, 5].flatMap((round) => [
    ...Array.from({ length: 300 }, (_, i) => `1:${300 * round + i}`),
    `group-created ${50 + round}`,
  ]);
  assertEquals(lines, expected);
  assert(seen.size <= most, `${seen.size} samples for batches of up to ${most}`);
  assertEquals(listener.stats().received, 1800);
  await listener.close();
});

both("small and large samples in turn arrive whole, lent and given away", {}, async (sys) => {
  const listener = await listenWith(sys);
  const given = listener.batches();
  const sizes = [6, 65_000, 128, 9000, 60, 1500, 4093, 40_000];
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 40; i++) sys.sample(sampleMessage({ sequence: i, dataBytes: sizes[(i + round) % sizes.length]! }));
    for (let i = 0; i < 40;) {
      const entries = round % 2 ? (await given.next()).value! : (await listener.read())!.entries;
      for (const entry of entries) {
        if (entry.type !== "sample") throw new Error("an event");
        assertEquals([entry.sequence, entry.dataBytes, entry.data!.every((byte) => byte === 0xab)], [
          i,
          sizes[(i + round) % sizes.length],
          true,
        ]);
        i++;
      }
    }
  }
  await listener.close();
});

both("given samples stay unchanged, whatever arrives later, lent or not", {}, async (sys) => {
  const listener = await listenWith(sys);
  const owned = listener.batches();
  const kept: Entry[] = [];
  for (let round = 0; round < 4; round++) {
    sys.sample(...sampleMessages(100, 100 * round, { dataBytes: 20 + round }));
    while (kept.length < 100 * (round + 1)) kept.push(...(await owned.next()).value!);
  }
  const lent = listener.lentBatches();
  sys.sample(...sampleMessages(100, 400, { dataBytes: 500 }));
  for (let left = 100; left > 0;) left -= (await lent.next()).value!.count;
  kept.forEach((entry, i) =>
    assertEquals(entry, decodeSample(messageOf(sampleMessage({ sequence: i, dataBytes: 20 + Math.floor(i / 100) }))))
  );
  await listener.close();
});

both("a batch says what was lost before each sample, what was dropped since the previous batch, and when it was read", {}, async (sys) => {
  const listener = await listenWith(sys);
  const before = BigInt(Date.now()) * 1_000_000n;
  sys.event(groupMessage("created", 1));
  sys.sample(...[3, 4, 8, 6, 9].map((sequence) => sampleMessage({ sequence })), sampleMessage({ group: 2 }));
  sys.listener.drops = 2;
  const first = (await listener.read())!;
  const seen = [...Array(first.count).keys()].map((i) => [brief(first.entries[i]), first.lostBefore(i)]);
  // If the runtime reads first, the first datagram is a batch of its own only if it wakes a reader; here it is one drain.
  assertEquals(seen, [
    ["group-created 1", 0],
    ["1:3", 3],
    ["1:4", 0],
    ["1:8", 3],
    ["1:6", -1],
    ["1:9", 0],
    ["2:undefined", undefined],
  ]);
  assertEquals([first.count, first.samples, first.lost, first.dropped, first.recorded, first.more], [7, 6, 5, 2, false, false]);
  assert(first.readAtNs >= before && first.timeNs(1) === first.readAtNs);
  sys.sample(sampleMessage({ sequence: 11 }));
  const second = (await listener.read())!;
  assertEquals([second.count, second.lostBefore(0), second.lost, second.dropped], [1, 1, 1, 0]);
  await listener.close();
  assertEquals(await listener.read(), undefined);
});

both("a listener is a source of the pump", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(...sampleMessages(1000));
  const seen: (number | undefined)[] = [];
  const summary = await pump(listener, [], [{
    name: "test",
    written: 0,
    skipped: 0,
    ended: new Promise(() => {}),
    take: ({ entries }) => void seen.push(...entries.map(({ sequence }) => sequence)),
    full: () => undefined,
    flush: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abort: () => {},
  }], { count: 900 });
  assertEquals([summary.end, summary.samples, summary.stats.lost], ["count", 900, 0]);
  assertEquals(seen, Array.from({ length: 900 }, (_, i) => i));
});

both("lent and given batches in turn: each entry once, and in order", {}, async (sys) => {
  const listener = await listenWith(sys);
  const given = listener.batches();
  sys.sample(...sampleMessages(3000));
  listener.end();
  const seen: string[] = [];
  for (;;) {
    const lent = await listener.read();
    if (lent) seen.push(...lent.entries.map(brief));
    const batch = (await given.next()).value;
    if (batch) seen.push(...batch.map(brief));
    if (!lent && !batch) break;
  }
  assertEquals(seen, Array.from({ length: 3000 }, (_, i) => `1:${i}`));
});

both("low latency waits for each datagram instead of ticking", {}, async (sys) => {
  const listener = await listenWith(sys, { latency: "low" });
  const iterator = listener[Symbol.asyncIterator]();
  for (let i = 0; i < 3; i++) {
    sys.sample(sampleMessage({ sequence: i }));
    assertEquals(brief((await iterator.next()).value), `1:${i}`);
  }
  const waiting = iterator.next();
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals(sys.listener.waiting, true);
  await listener.close();
  assertEquals((await waiting).done, true);
});

// ---- failures during an iteration

both("malformed, truncated and unknown messages are counted, and the stream continues", {}, async (sys) => {
  const listener = await listenWith(sys);
  const good = sampleMessage({ sequence: 4 });
  sys.sample(
    sampleMessage({ sequence: 3 }),
    good.slice(0, 30), // its header says more than there is
    new Uint8Array(3),
    encodeMessage({ type: 30, flags: 0 }, new Uint8Array([9, 1, 0, 0])), // a command of tomorrow
    encodeMessage({ type: 1234, flags: 0 }, new Uint8Array(4)), // another family
    encodeMessage({ type: 30, flags: 0 }, new Uint8Array(0)), // no room for its generic netlink header
    sampleMessage({ sequence: 4 }).fill(0xff, 20, 24), // an attribute longer than the message
    encodeMessage({ type: 30, flags: 0 }, new Uint8Array([2, 1, 0, 0])), // a group event without a group
    encodeMessage({ type: 16, flags: 0 }, new Uint8Array([1, 2, 0, 0])), // a family without a name
    encodeMessage({ type: 16, flags: 0 }, new Uint8Array(0)),
    good,
  );
  assertEquals(await take(listener, 2), ["1:3", "1:4"]);
  const { received, malformed, unknown, lost, lastMalformed } = listener.stats();
  assertEquals({ received, malformed, unknown, lost }, { received: 2, malformed: 7, unknown: 2, lost: 0 });
  assertStringIncludes(lastMalformed!, "Cannot decode generic netlink header");
  await listener.close();
});

both("a malformed message spoils neither those before it nor the next datagram", {}, async (sys) => {
  const listener = await listenWith(sys);
  const bad = sampleMessage({ sequence: 2 }).slice();
  bad[0] = 200;
  sys.sample(joined(sampleMessage({ sequence: 0 }), sampleMessage({ sequence: 1 }), bad), sampleMessage({ sequence: 2 }));
  assertEquals(await take(listener, 3), ["1:0", "1:1", "1:2"]);
  assertEquals(listener.stats().malformed, 1);
  // Offsets count from the datagram, or from the message, not from the memory that it was received into.
  assertEquals(listener.stats().lastMalformed, `Cannot decode netlink message at byte 144: length 200, ${bad.length} bytes left`);
  sys.sample(...sampleMessages(50, 3), sampleMessage({ sequence: 53 }).fill(0xff, 20, 24), sampleMessage({ sequence: 54 }));
  await take(listener, 51);
  assertEquals(listener.stats().lastMalformed, `Cannot decode sample attribute at byte 20: length 65535, ${bad.length - 20} bytes left`);
  await listener.close();
});

both("a datagram larger than its slot counts as a loss, and is not a short sample", {}, async (sys) => {
  const listener = await listenWith(sys);
  // The first may be read by the runtime, which has more room.
  sys.sample(sampleMessage({ sequence: 0 }), joined(sampleMessage({ dataBytes: 65000 }), sampleMessage({ dataBytes: 65000 })));
  sys.sample(sampleMessage({ sequence: 1 }));
  assertEquals(await take(listener, 2), ["1:0", "1:1"]);
  assertEquals(listener.stats().malformed, 1);
  assertMatch(listener.stats().lastMalformed!, /^a datagram of more than \d{5} bytes$/);
  await listener.close();
});

both("64 KiB samples arrive whole", {}, async (sys) => {
  const listener = await listenWith(sys);
  for (let i = 0; i < 70; i++) sys.sample(sampleMessage({ sequence: i, dataBytes: 65531 }));
  let seen = 0;
  for await (const entry of listener) {
    assert(entry.type === "sample" && entry.sequence === seen && entry.dataBytes === 65531 && entry.data![65530] === 0xab);
    if (++seen === 70) break;
  }
});

both("EINTR and ENOBUFS do not reach the reader", {}, async (sys) => {
  const listener = await listenWith(sys);
  const iterator = listener[Symbol.asyncIterator]();
  sys.sample(...sampleMessages(2));
  sys.fail("recvmmsg", EINTR, ENOBUFS, EINTR);
  assertEquals(brief((await iterator.next()).value), "1:0");
  // In the middle of a drain.
  sys.deliver(sys.listener, { bytes: sampleMessage({ sequence: 2 }), portId: 0, nsid: undefined });
  sys.deliver(sys.listener, { errno: ENOBUFS });
  sys.sample(sampleMessage({ sequence: 3 }));
  for (const expected of ["1:1", "1:2", "1:3"]) assertEquals(brief((await iterator.next()).value), expected);
  await listener.close();
});

for (const [code, errno] of Object.entries({ EBADF, ENETDOWN, ENOMEM })) {
  both(`${code} ends the iteration with the error, behind what came before it`, {}, async (sys) => {
    const listener = await listenWith(sys);
    // A burst: the next read looks for more, where after a single one the runtime would come upon the error.
    sys.sample(...sampleMessages(5));
    sys.deliver(sys.listener, { errno });
    const taken: string[] = [];
    const error = await refusal((async () => {
      for await (const entry of listener) taken.push(brief(entry));
    })());
    assertEquals(taken, ["1:0", "1:1", "1:2", "1:3", "1:4"]);
    assertEquals([error.code, error.op], [code, "receive from a netlink socket"]);
    assertEquals(await all(listener), []);
  });
}

both("an error that wakes a waiting iteration ends it", {}, async (sys) => {
  const listener = await listenWith(sys);
  const ended = refusal(all(listener));
  await settle();
  sys.deliver(sys.listener, { errno: ENETDOWN });
  // Where the runtime closed the socket because of it, the descriptor is gone.
  assertEquals((await ended).code, sys.readsFirst ? "EBADF" : "ENETDOWN");
});

// ---- namespaces

both("a sample contains the namespace that it is from", {}, async (sys) => {
  const listener = await listenWith(sys, { allNamespaces: true });
  sys.sample(sampleMessage({ sequence: 0 }));
  sys.multicast(41, sampleMessage({ sequence: 7 }), 3);
  sys.multicast(41, sampleMessage({ sequence: 4 }), 0);
  sys.multicast(41, sampleMessage({ sequence: 8 }), 3);
  sys.multicast(40, groupMessage("created", 2), 3);
  sys.sample(sampleMessage({ sequence: 1 }));
  const nsids: (number | undefined)[] = [];
  for await (const entry of listener) {
    nsids.push(entry.nsid);
    if (nsids.length === 6) break;
  }
  assertEquals(nsids, [undefined, 3, 0, 3, 3, undefined]);
  // Each namespace numbers its groups by itself.
  const { lost, groups } = listener.stats();
  assertEquals(lost, 0);
  assertEquals(groups.map(({ group, nsid, received }) => ({ group, nsid, received })), [
    { group: 1, nsid: undefined, received: 2 },
    { group: 1, nsid: 0, received: 1 },
    { group: 1, nsid: 3, received: 2 },
  ]);
});

both("another namespace's notification about its family does not concern this one", {}, async (sys) => {
  const listener = await listenWith(sys, { allNamespaces: true });
  sys.multicast(16, familyMessage(2, sys.family!), 3);
  sys.sample(sampleMessage({ sequence: 0 }));
  assertEquals(await take(listener, 1), ["1:0"]);
  await listener.close();
});

both("listening to all namespaces takes a second socket only where the runtime reads first", {}, async (sys) => {
  const listener = await listenWith(sys, { allNamespaces: true, groups: [1] });
  assertEquals(sys.fds.size, sys.readsFirst ? 2 : 1);
  for (const socket of sys.fds.values()) {
    assertEquals([...socket.groups], [16, 41, 40]);
    assert(socket.allNamespaces && socket.filter);
  }
  await listener.close();
  sys.assertClean();
});

test("if the wake-up socket is faster than the other one, the sample is still delivered", async () => {
  const sys = new FakeSys({ readsFirst: true });
  const listener = await listenWith(sys, { allNamespaces: true });
  const [socket, bell] = sys.listeners as [FakeSocket, FakeSocket];
  assert(bell.ready && !socket.ready);
  const waiting = take(listener, 1);
  await settle();
  const reads = socket.reads;
  const message = { bytes: sampleMessage({ sequence: 9 }), portId: 0, nsid: 3 };
  sys.deliver(bell, message);
  while (socket.reads === reads) await new Promise((resolve) => setImmediate(resolve));
  sys.deliver(socket, message);
  assertEquals(await waiting, ["1:9"]);
  await listener.close();
  sys.assertClean();
});

test("a full wake-up socket still wakes, and its drops are not counted", async () => {
  const sys = new FakeSys({ readsFirst: true });
  const listener = await listenWith(sys, { allNamespaces: true });
  sys.listeners[1]!.room = 1;
  const iterator = listener[Symbol.asyncIterator]();
  for (let round = 0; round < 3; round++) {
    sys.sample(...sampleMessages(100, 100 * round));
    for (let i = 0; i < 100; i++) assertEquals(brief((await iterator.next()).value), `1:${100 * round + i}`);
    await settle();
  }
  const { lost, dropped } = listener.stats();
  assertEquals({ lost, dropped }, { lost: 0, dropped: 0 });
  await listener.close();
  sys.assertClean();
});

// ---- statistics

both("stats are available after the listener is closed", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.sample(sampleMessage({ sequence: 0 }), sampleMessage({ sequence: 5 }));
  await take(listener, 2);
  sys.listener.drops = 4;
  const before = listener.stats();
  await listener.close();
  assertEquals(listener.stats(), before);
  assertEquals([before.received, before.gaps, before.dropped, before.lost], [2, 4, 4, 8]);
});

both("closing counts what the kernel dropped until then", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.listener.drops = 4294967295;
  await listener.close();
  assertEquals(listener.stats().dropped, 4294967295);
});

both("what was dropped while the queue never emptied is counted, also where the last read just emptied it", {}, async (sys) => {
  for (const lend of [false, true]) {
    const listener = await listenWith(sys);
    const owned = listener.batches();
    const take = async (): Promise<number | undefined> => lend ? (await listener.read())?.count : (await owned.next()).value?.length;
    sys.sample(...sampleMessages(1));
    await take();
    // As many as some reads take, to the last one: none of them finds the queue empty.
    sys.sample(...sampleMessages(1024, 1));
    sys.listener.drops = 7;
    listener.end();
    let taken = 1;
    for (let count = await take(); count !== undefined; count = await take()) taken += count;
    const { received, dropped } = listener.stats();
    assertEquals([taken, received, dropped], [1025, 1025, 7]);
    await listener.close();
  }
});

both("stats do not fail if the kernel does not report its drops", {}, async (sys) => {
  const listener = await listenWith(sys);
  sys.fail("getsockopt", 92);
  assertEquals(listener.stats().dropped, 0);
  await listener.close();
});

both("a listener reads messages of the given family from any sender", {}, async (sys) => {
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 4096 });
  const listener = new SocketListener(receiver);
  listener.expect(77);
  const [socket] = sys.fds.values();
  sys.reply(socket!, sampleMessage({ family: 77, sequence: 1, portId: 4321 }), 4321);
  for await (const entry of listener) {
    assertEquals([brief(entry), entry.portId], ["1:1", 4321]);
    break;
  }
});
