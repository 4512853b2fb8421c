import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type Flow, flowOf, type Reading } from "../../src/control/flow.ts";
import type { Sampling } from "../../src/control/sampling/sampling.ts";
import { hookOf } from "../support/samplings.ts";

/** A hook with `rate`, and what reached it between the readings. */
interface Case extends Partial<Sampling> {
  came?: number;
  /** For another hook of the same group. */
  othersCame?: number;
  /** The increase of the group's number; `undefined` for a group that is not listed. */
  made?: number | undefined;
  listeners?: number | undefined;
  old?: boolean;
}

function judge({ came = 0, othersCame, listeners, old = false, ...rest }: Case): Flow {
  const made = "made" in rest ? rest.made : 0;
  const hook = hookOf({ rate: 1, group: 5, ...rest });
  const other = hookOf({ rate: 1, group: 5, handle: 99 });
  const more = (sampling: Sampling, packets: number): Sampling => ({
    ...sampling,
    hits: sampling.hits === undefined ? undefined : sampling.hits + BigInt(packets),
    packets: sampling.packets === undefined ? undefined : sampling.packets + BigInt(packets),
  });
  const groups = (sequence: number): Reading["groups"] =>
    new Map(made === undefined ? [] : [[5, { group: 5, refcount: 1, sequence } as never]]);
  const common = { listeners, generatesUnheard: old };
  const samplings = othersCame === undefined ? [hook] : [hook, other];
  const later = othersCame === undefined ? [more(hook, came)] : [more(hook, came), more(other, othersCame)];
  return flowOf(later[0]!, { samplings, groups: groups(40), ...common }, { samplings: later, groups: groups(40 + (made ?? 0)), ...common });
}

const FLOWER = { hits: undefined, kind: "flower" };

const CASES: readonly [name: string, given: Case, expected: Flow][] = [
  ["nothing came", {}, "idle"],
  ["nothing came, but another hook samples into the group", { made: 3, othersCame: 3 }, "idle"],
  ["at rate 1 one packet without a sample is proof", { came: 1 }, "unheard"],
  ["the same of a classifier that counts segments", { came: 1, ...FLOWER }, "unheard"],
  ["a sample came", { came: 1, made: 1 }, "flowing"],
  ["one in a thousand: a few packets prove nothing", { rate: 1000, came: 100 }, "unknown"],
  ["6904 of them neither", { rate: 1000, came: 6904 }, "unknown"],
  ["6905 do", { rate: 1000, came: 6905 }, "unheard"],
  ["not if they may have been segments of 14", { rate: 1000, came: 6905, ...FLOWER }, "unknown"],
  ["but so many do", { rate: 10, came: 66 * 512, ...FLOWER }, "unheard"],
  ["nobody listens: known at once", { rate: 1000, came: 1, listeners: 0 }, "no listener"],
  ["somebody listens, and none was due", { rate: 1000, came: 1, listeners: 1 }, "unknown"],
  ["nobody listens here, but samples are generated: for another namespace", { came: 1, made: 1, listeners: 0 }, "flowing"],
  ["an old kernel generates them for nobody too", { came: 1, made: 1, listeners: 0, old: true }, "no listener"],
  ["an old kernel generates none: not because nobody listens", { came: 1, old: true }, "unknown"],
  ["the samples may be the other's", { rate: 1000, came: 1, made: 1, othersCame: 1 }, "unknown"],
  ["some of them are its own", { came: 1, made: 2, othersCame: 1 }, "flowing"],
  ["hardware numbers as it likes", { came: 100, where: "hardware" }, "unknown"],
  ["hardware that numbers as the kernel does", { came: 100, made: 100, where: "hardware" }, "flowing"],
  ["the kernel does not list the group", { came: 100, made: undefined }, "unknown"],
  ["the kernel does not list the group, and nobody listens", { came: 100, made: undefined, listeners: 0 }, "no listener"],
  ["no counter at all", { hits: undefined, packets: undefined }, "unknown"],
  ["an action that filters share: whose packets came is not known", { came: 100, bindCount: 2, ...FLOWER }, "unknown"],
  ["an action that filters share: matchall counts its own", { came: 100, bindCount: 2 }, "unheard"],
];

for (const [name, given, expected] of CASES) test(name, () => assertEquals(judge(given), expected));

test("a hook that is new, or was created again, counts from 0; so does a group", () => {
  const hook = hookOf({ rate: 1, group: 5, hits: 3n });
  const reading = (samplings: Sampling[], sequence: number | undefined): Reading => ({
    samplings,
    groups: new Map(sequence === undefined ? [] : [[5, { group: 5, refcount: 1, sequence } as never]]),
    listeners: undefined,
    generatesUnheard: false,
  });
  assertEquals(flowOf(hook, reading([], undefined), reading([hook], 0)), "unheard");
  assertEquals(flowOf(hook, reading([], undefined), reading([hook], 2)), "flowing");
  assertEquals(flowOf(hook, reading([{ ...hook, hits: 9n }], 50), reading([hook], 3)), "flowing");
  assertEquals(flowOf(hook, reading([{ ...hook, hits: 9n }], 50), reading([hook], 0)), "unheard");
});

test("the filter's matches do not count if an earlier action may end processing", () => {
  const hook = hookOf({ rate: 1, group: 5, order: 2 });
  const reading: Reading = {
    samplings: [hook],
    groups: new Map([[5, { group: 5, refcount: 1, sequence: 0 } as never]]),
    listeners: undefined,
    generatesUnheard: false,
  };
  assertEquals(flowOf({ ...hook, hits: 9n }, reading, reading), "idle");
  assertEquals(flowOf({ ...hook, hits: 9n, packets: 1n }, reading, reading), "unheard");
});

test("without generic netlink nothing is known of samples", () => {
  const hook = hookOf({ rate: 1, group: 5, hits: 3n });
  const reading: Reading = { samplings: [hook], groups: undefined, listeners: undefined, generatesUnheard: false };
  assertEquals(flowOf({ ...hook, hits: 4n }, reading, reading), "unknown");
  assertEquals(flowOf(hook, reading, reading), "idle");
});
