import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { MemoryTrimmer } from "../../cli/memory_trimmer.ts";
import { loadSys } from "../../src/sys/load.ts";

test("memory is given back again and again, until the end", async () => {
  let trimmed = 0;
  let enough = (): void => {};
  const often = new Promise<void>((resolve) => enough = resolve);
  const trimmer = new MemoryTrimmer({ trimMemory: () => ++trimmed === 3 && enough() }, { firstMs: 1, againMs: 1 });
  await often;
  trimmer.close();
  const before = trimmed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(trimmed, before);
});

test("memory can be given back on this system", async () => {
  const sys = await loadSys();
  const kept = new Uint8Array(100_000).fill(7);
  for (let i = 0; i < 3; i++) sys.trimMemory();
  assertEquals(kept.every((byte) => byte === 7), true);
});
