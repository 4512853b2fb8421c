import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Spool } from "../../cli/spool.ts";

const BLOCK = 1 << 17;
const SAMPLE = { type: "sample" };
/** Larger than some blocks, smaller than others, and of no round size. */
const SIZES = [10, 70_001, 300_003, 1, 131_072, 64_000];

function collector(): { pieces: Uint8Array[]; text: () => string; write: (data: Uint8Array | string) => Promise<void> } {
  const pieces: Uint8Array[] = [];
  return {
    pieces,
    text: () => pieces.map((piece) => new TextDecoder().decode(piece)).join(""),
    write: (data) => {
      pieces.push((data as Uint8Array).slice());
      return Promise.resolve();
    },
  };
}

/** An entry of so many bytes, unlike the others. */
function entry(i: number): string {
  return `${i}:`.padEnd(SIZES[i % SIZES.length]!, "x");
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("a spool writes whole blocks while more is coming, and then the rest", async () => {
  const out = collector();
  const spool = new Spool(out);
  let expected = "";
  for (let i = 0; i < 50; i++) {
    spool.output.text(entry(i));
    expected += entry(i);
    if (spool.gathered(SAMPLE)) await spool.writeBlocks();
    assertEquals(spool.bytes % BLOCK, 0);
    // All but the last one, the end of which may not have filled a block.
    const whole = expected.length - spool.bytes;
    assert(whole < BLOCK + 300_003, `${whole} bytes are gathered`);
  }
  assert(out.pieces.every((piece) => piece.length % BLOCK === 0));
  assert(spool.samples < 50);
  await spool.writeAll();
  assertEquals([spool.samples, spool.bytes], [50, expected.length]);
  assertEquals(out.text(), expected);
});

test("after a rest a spool finds the next block again", async () => {
  const out = collector();
  const spool = new Spool(out);
  spool.output.text("a".repeat(1000));
  assertEquals(spool.gathered(SAMPLE), false);
  await spool.writeAll();
  spool.output.text("b".repeat(BLOCK));
  assertEquals(spool.gathered(SAMPLE), true);
  await spool.writeBlocks();
  assertEquals([spool.bytes, spool.samples], [BLOCK, 1]);
  await spool.writeAll();
  assertEquals([spool.bytes, spool.samples], [BLOCK + 1000, 2]);
  const next = collector();
  spool.changeTo(next);
  spool.output.text("c".repeat(BLOCK + 1));
  await spool.writeBlocks();
  assertEquals([spool.bytes, next.pieces.length], [BLOCK, 1]);
});

test("a spool writes everything when the event loop has its turn", async () => {
  const out = collector();
  const spool = new Spool(out);
  spool.output.text("one");
  spool.gathered(SAMPLE);
  spool.writeSoon();
  spool.output.text("two");
  spool.gathered(SAMPLE);
  spool.writeSoon();
  assertEquals(out.text(), "");
  await turn();
  assertEquals([out.text(), spool.samples], ["onetwo", 2]);
});

test("what is gathered while a spool writes is written once, behind it", async () => {
  let go = (): void => {};
  const out = collector();
  const slow = {
    write: async (data: Uint8Array | string) => {
      await new Promise<void>((resolve) => go = resolve);
      await out.write(data);
    },
  };
  const spool = new Spool(slow);
  spool.output.text("one");
  spool.gathered(SAMPLE);
  spool.writeSoon();
  await turn();
  spool.output.text("two");
  spool.gathered(SAMPLE);
  const all = spool.writeAll();
  await turn();
  go();
  await turn();
  assertEquals([out.text(), spool.samples], ["one", 1]);
  go();
  await all;
  assertEquals([out.text(), spool.samples], ["onetwo", 2]);
});

test("a spool tells a failure once, also one that nobody waited for, and writes nothing behind it", async () => {
  for (const soon of [false, true]) {
    let writes = 0;
    const spool = new Spool({ write: () => Promise.reject(new Error(`disk full ${++writes}`)) });
    spool.output.text("one");
    spool.gathered(SAMPLE);
    if (soon) spool.writeSoon();
    if (soon) await turn();
    await assertRejects(() => spool.writeAll(), Error, "disk full 1");
    spool.output.text("two");
    await spool.writeAll();
    assertEquals([writes, spool.samples, spool.output.length], [1, 0, 0]);
  }
});
