import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { passedBetween } from "../../src/control/passed.ts";
import { type Sampling, samplingsOf } from "../../src/control/sampling/sampling.ts";
import { filter, flower, sampleAction } from "../support/filters.ts";

function matchall(handle: number, hits: bigint, packets: bigint, index = handle): Sampling {
  const [sampling] = samplingsOf(filter(10, [sampleAction()], { handle }), "eth0");
  return { ...sampling!, hits, packets, index };
}

test("what passed since: differences, a shared action counted once, what is gone left out", () => {
  const before = [matchall(1, 5n, 50n), matchall(2, 0n, 0n)];
  assertEquals(passedBetween(before, before), { trials: 0n, packets: 0n });
  assertEquals(passedBetween(before, [matchall(2, 1n, 2n), matchall(1, 7n, 80n)]), { trials: 3n, packets: 32n });
  assertEquals(passedBetween(before, [matchall(1, 7n, 80n)]), { trials: 2n, packets: 30n });
  assertEquals(passedBetween(before, []), { trials: undefined, packets: undefined });
  const shared = [matchall(1, 0n, 10n, 9), matchall(2, 0n, 10n, 9)];
  assertEquals(passedBetween(shared, [matchall(1, 1n, 13n, 9), matchall(2, 2n, 13n, 9)]), { trials: 3n, packets: 3n });
  // Also if the first of them is gone.
  assertEquals(passedBetween(shared, [matchall(2, 2n, 13n, 9)]), { trials: 2n, packets: 3n });
});

test("if a classifier does not count, the number of trials is not known", () => {
  const [some] = samplingsOf(flower(10, {}, [sampleAction()], { handle: 3 }), "eth0") as [Sampling];
  const packets = (count: bigint): Sampling => ({ ...some, index: 3, packets: count });
  assertEquals(passedBetween([matchall(1, 0n, 0n), packets(1n)], [matchall(1, 4n, 4n), packets(3n)]), { trials: undefined, packets: 6n });
});
