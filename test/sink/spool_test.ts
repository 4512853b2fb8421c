import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { SystemError } from "../../src/errors.ts";
import { BLOCK_BYTES, Spool } from "../../src/sink/spool.ts";
import { TestDestination } from "./destinations.ts";

const EPIPE = 32;
const ENOSPC = 28;
/** Larger than some blocks, smaller than others, and not a round size. */
const SIZES = [10, 70_001, 300_003, 1, 131_072, 64_000];

/** A distinguishable entry. */
function entry(i: number): string {
  return `${i} `.padEnd(SIZES[i % SIZES.length]!, String.fromCharCode(97 + i % 26));
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets settled promises run their callbacks. */
async function told(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function enter(spool: Spool, text: string): void {
  spool.output.text(text);
  spool.entered(1);
}

test("a spool writes whole blocks while more arrives, and then the rest", async () => {
  const destination = new TestDestination();
  const spool = new Spool(destination);
  let expected = "";
  for (let i = 0; i < 50; i++) {
    enter(spool, entry(i));
    expected += entry(i);
    assertEquals(destination.size % BLOCK_BYTES, 0);
    assert(spool.written <= i + 1);
  }
  assertEquals(spool.length, expected.length);
  spool.settle(true);
  assert(destination.size < expected.length);
  await turn();
  assertEquals(destination.text(), expected);
  assertEquals(spool.written, 50);
});

test("a sample counts as written when its last byte is", () => {
  const destination = new TestDestination();
  const spool = new Spool(destination);
  enter(spool, "a".repeat(BLOCK_BYTES - 1));
  assertEquals([destination.size, spool.written], [0, 0]);
  enter(spool, "bb");
  assertEquals([destination.size, spool.written], [BLOCK_BYTES, 1]);
  enter(spool, "c".repeat(BLOCK_BYTES - 1));
  assertEquals([destination.size, spool.written], [2 * BLOCK_BYTES, 3]);
});

test("after a rest a spool finds the next block again", () => {
  const destination = new TestDestination();
  const spool = new Spool(destination);
  enter(spool, "a".repeat(1000));
  spool.settle(false);
  assertEquals([destination.size, spool.written], [1000, 1]);
  enter(spool, "b".repeat(BLOCK_BYTES));
  assertEquals([destination.size, spool.written], [BLOCK_BYTES, 1]);
  spool.settle(false);
  assertEquals([destination.size, spool.written], [BLOCK_BYTES + 1000, 2]);
});

test("what a slow reader does not accept waits, in order, and is counted when it is delivered", async () => {
  const destination = new TestDestination();
  const spool = new Spool(destination);
  destination.room = 5;
  let expected = "";
  for (let i = 0; i < 100; i++) {
    enter(spool, `${i},`);
    expected += `${i},`;
    spool.settle(false);
  }
  assertEquals([destination.text(), spool.written], ["0,1,2", 2]);
  await told();
  destination.takes(2);
  await told();
  assertEquals([destination.text(), spool.written], ["0,1,2,3", 3]);
  destination.takes(Infinity);
  await spool.flush();
  assertEquals([destination.text(), spool.written], [expected, 100]);
  // With an empty queue, everything is written at once again.
  enter(spool, "end");
  spool.settle(false);
  assertEquals(destination.text(), `${expected}end`);
});

test("entries larger than a block arrive complete, whatever the reader accepts at a time", async () => {
  const destination = new TestDestination();
  const spool = new Spool(destination);
  let expected = "";
  for (let i = 0; i < 30; i++) {
    destination.takes(7777);
    enter(spool, entry(i));
    expected += entry(i);
    await told();
  }
  destination.takes(Infinity);
  await spool.close();
  assertEquals(destination.text() === expected, true);
  assertEquals([spool.written, destination.closed], [30, 1]);
});

test("a spool is full at its bound, and has room again after a delivery", async () => {
  const destination = new TestDestination();
  const spool = new Spool(destination, 1000);
  destination.room = 0;
  enter(spool, "a".repeat(999));
  spool.settle(false);
  assertStrictEquals(spool.full(), undefined);
  enter(spool, "b");
  spool.settle(false);
  const full = spool.full();
  assert(full !== undefined && spool.isFull);
  assertStrictEquals(spool.full(), full);
  await told();
  destination.takes(1);
  await full;
  assertEquals([spool.isFull, spool.full()], [false, undefined]);
});

test("a reader that is gone ends the spool without an error", async () => {
  for (const waiting of [false, true]) {
    const destination = new TestDestination();
    const spool = new Spool(destination, 1);
    destination.room = waiting ? 0 : 1;
    enter(spool, "one");
    spool.settle(false);
    const full = spool.full();
    destination.fails(EPIPE);
    enter(spool, "two");
    spool.settle(false);
    assertEquals(await spool.ended, undefined);
    // A wait for room ends too.
    await full;
    await spool.close();
    assertEquals([spool.written, destination.closed], [0, 1]);
  }
});

test("a failure is reported once, and nothing is written after it", async () => {
  for (const waiting of [false, true]) {
    const destination = new TestDestination();
    const spool = new Spool(destination);
    if (waiting) destination.room = 0;
    enter(spool, "one");
    if (waiting) spool.settle(false);
    destination.fails(ENOSPC);
    spool.settle(false);
    const error = await spool.ended;
    assert(error instanceof SystemError && error.code === "ENOSPC");
    destination.errno = 0;
    destination.takes(Infinity);
    enter(spool, "two");
    spool.settle(false);
    assertStrictEquals(await assertRejects(() => spool.flush()), error);
    await assertRejects(() => spool.close());
    assertEquals([destination.size, spool.written, destination.closed], [0, 0, 1]);
  }
});

test("an aborted spool ends at once, and so do waits for it", async () => {
  const destination = new TestDestination();
  destination.room = 0;
  const spool = new Spool(destination, 1);
  enter(spool, "one");
  spool.settle(false);
  const full = spool.full();
  spool.abort();
  await full;
  assertEquals([destination.closed, spool.full(), spool.output.length], [1, undefined, 0]);
});

test("a slow reader costs no more memory than the bound and a batch", () => {
  const destination = new TestDestination();
  destination.room = 0;
  const spool = new Spool(destination, 10 * BLOCK_BYTES);
  let entries = 0;
  while (!spool.isFull) {
    enter(spool, "x".repeat(100));
    spool.settle(false);
    entries++;
  }
  assertEquals(entries, Math.ceil(10 * BLOCK_BYTES / 100));
});
