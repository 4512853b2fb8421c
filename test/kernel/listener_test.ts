/** How a listener behaves when too much arrives, when nothing is read, and when it ends. */
import { readdirSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { listen, type SampleFields } from "../../mod.ts";
import { frameOut, inOrder } from "./frames.ts";
import { asSamples, hear, IFINDEX, pause, sample, sampledInOrder, scene, send, soon, tc, timeless, wire } from "./scene.ts";

/** A wire on which everything sent is sampled: on egress, because there the sender itself samples, before sending returns. */
function sampledWire(): void {
  wire();
  sample("a egress", "rate 1 group 1");
}

const OUT = { group: 1, outIfindex: IFINDEX.a };

scene("a receive buffer that is too small: received and dropped add up to what was sent, and the numbers agree", async () => {
  sampledWire();
  await using ear = await hear({ events: false, receiveBufferBytes: 32 * 1024 });
  assertEquals(ear.listener.receiveBufferBytes, 32 * 1024);
  const packets = inOrder(3000, frameOut);
  // Sending is synchronous: this thread cannot read meanwhile.
  send("a", ...packets);
  const arrived = asSamples(await ear.take(1));
  while (arrived.length < ear.listener.stats().received) arrived.push(...asSamples(await ear.take(1)));
  const { received, dropped, lost, gaps } = ear.listener.stats();
  assert(received >= 5, `only ${received} samples fitted into 32 KiB`);
  assertEquals(received + dropped, 3000);
  // The end of the sequence is missing: only a later number shows the gap, but the loss is already known.
  assertEquals([lost, gaps], [dropped, 0]);
  const [later] = inOrder(1, frameOut);
  send("a", later!);
  const [last] = asSamples(await ear.take(1));
  assertEquals(last!.sequence, 3000);
  const stats = ear.listener.stats();
  assertEquals([stats.received, stats.dropped, stats.lost, stats.gaps], [received + 1, dropped, dropped, dropped]);
  // What arrived is complete, and is the beginning.
  assertEquals(arrived.map(timeless), sampledInOrder(packets.slice(0, received), OUT));
  assertEquals(await ear.rest(), []);
  assertEquals(ear.listener.stats(), stats);
});

scene("overflow after overflow: the counts stay exact, also when the listener is ended and closed", async () => {
  sampledWire();
  const ear = await hear({ events: false, receiveBufferBytes: 32 * 1024 });
  const packets = inOrder(400, frameOut);
  let received = 0;
  for (let round = 0; round < 5; round++) {
    send("a", ...packets);
    received += (await ear.take(1)).length;
  }
  send("a", packets[0]!);
  received += (await ear.rest()).length;
  const stats = ear.listener.stats();
  assert(stats.dropped > 0, "nothing was dropped");
  assertEquals(stats.received, received);
  assertEquals(stats.received + stats.dropped, 5 * 400 + 1);
  await ear.listener.close();
  assertEquals(ear.listener.stats(), stats);
});

scene("a reader that pauses loses nothing that fits into the default buffer, and receives it in order", async () => {
  sampledWire();
  await using ear = await hear({ events: false });
  // A small packet's sample takes about 1300 bytes of the buffer.
  const count = Math.min(5000, Math.floor(ear.listener.receiveBufferBytes / 4096));
  const packets = inOrder(count, frameOut);
  send("a", ...packets.slice(0, count / 2));
  // Not busy, but absent: the event loop runs, and nothing may be read.
  await pause(300);
  assertEquals(ear.listener.stats().received, 0);
  send("a", ...packets.slice(count / 2));
  await ear.hears(...sampledInOrder(packets, OUT));
  await ear.hearsNoMore();
});

scene("batches: samples that arrived while nobody read are yielded together", async () => {
  sampledWire();
  await using listener = await listen({ events: false });
  const packets = inOrder(100, frameOut);
  send("a", ...packets);
  const got: SampleFields[] = [];
  const sizes: number[] = [];
  for await (const batch of listener.batches()) {
    sizes.push(batch.length);
    got.push(...asSamples(batch).map(timeless));
    if (got.length >= 100) break;
  }
  assertEquals(got, sampledInOrder(packets, OUT));
  assert(sizes.length <= 3, `the batches are of ${sizes}`);
  // Leaving the loop has closed it.
  assertEquals(await soon(listener[Symbol.asyncIterator]().next(), "the end"), { done: true, value: undefined });
});

scene("close while an iteration waits: the wait ends", async () => {
  sampledWire();
  const listener = await listen();
  const waiting = listener[Symbol.asyncIterator]().next();
  await pause(50);
  await soon(listener.close(), "close");
  assertEquals(await soon(waiting, "the end"), { done: true, value: undefined });
});

scene("close discards what is queued", async () => {
  sampledWire();
  const listener = await listen();
  send("a", ...inOrder(10, frameOut));
  await soon(listener.close(), "close");
  assertEquals(await soon(listener[Symbol.asyncIterator]().next(), "the end"), { done: true, value: undefined });
});

scene("a signal that aborts ends the wait like close", async () => {
  sampledWire();
  const abort = new AbortController();
  const listener = await listen({ signal: abort.signal });
  const waiting = listener[Symbol.asyncIterator]().next();
  await pause(50);
  abort.abort();
  assertEquals(await soon(waiting, "the end"), { done: true, value: undefined });
});

scene("end yields what is queued, and nothing that arrives later", async () => {
  sampledWire();
  await using ear = await hear({ events: false });
  const packets = inOrder(3000, frameOut);
  send("a", ...packets);
  ear.listener.end();
  send("a", ...packets);
  await ear.hears(...sampledInOrder(packets, OUT));
  await ear.hearsNoMore();
});

scene("end while an iteration waits: the wait ends", async () => {
  sampledWire();
  await using ear = await hear({ events: false });
  const waiting = ear.take(1).catch((error: Error) => error.message);
  await pause(50);
  ear.listener.end();
  assertEquals(await waiting, "The listener ended after 0 entries, 1 were expected");
});

scene("two listeners at once: each hears everything", async () => {
  sampledWire();
  await using one = await hear({ events: false });
  await using two = await hear({ events: false, latency: "low" });
  const packets = inOrder(50, frameOut);
  send("a", ...packets);
  await one.hears(...sampledInOrder(packets, OUT));
  await two.hears(...sampledInOrder(packets, OUT));
  await one.hearsNoMore();
  // A listener that has ended takes nothing from the other. While nobody listens at all, new kernels do not count.
  send("a", packets[0]!);
  const [last] = asSamples(await two.take(1));
  assertEquals(last!.sequence, 50);
  await two.hearsNoMore();
});

scene("a hundred listeners, one after the other: none leaves a descriptor behind", async () => {
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  await (await listen()).close();
  const before = descriptors();
  for (let i = 0; i < 100; i++) await (await listen()).close();
  const after = descriptors();
  assert(after <= before + 2, `${before} descriptors before, ${after} after`);
});

scene("a listener in a Worker", async () => {
  sampledWire();
  const worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
  try {
    const heard: unknown[] = [];
    let next = (): void => {};
    worker.onmessage = ({ data }): void => {
      heard.push(data);
      next();
    };
    worker.onerror = (event): void => {
      heard.push(event.message);
      next();
    };
    const message = async (): Promise<unknown> => {
      while (heard.length === 0) await soon(new Promise<void>((resolve) => next = resolve), "a message of the Worker");
      return heard.shift();
    };
    assertEquals(await message(), "listening");
    const packets = inOrder(10, frameOut);
    send("a", ...packets);
    const got: unknown[] = [];
    while (got.length < 10) got.push(await message());
    assertEquals(got, sampledInOrder(packets, OUT));
  } finally {
    worker.terminate();
  }
});

scene("nobody listens: tc continues, and a later listener hears only what is sampled later", async () => {
  sampledWire();
  send("a", ...inOrder(5, frameOut));
  await using ear = await hear({ events: false });
  const packets = inOrder(5, frameOut);
  send("a", ...packets);
  const samples = asSamples(await ear.take(5));
  // Since 6.11 numbers stop while nobody listens; before, they continue. Neither is a loss.
  const first = samples[0]!.sequence!;
  assert(first === 0 || first === 5, `the first number is ${first}`);
  assertEquals(samples.map((sample) => sample.sequence), [0, 1, 2, 3, 4].map((n) => first + n));
  tc("filter del dev a egress");
  await ear.hearsNoMore();
});
