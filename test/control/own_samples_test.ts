import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type Origin, tellApart } from "../../src/control/own_samples.ts";
import { type FilterSampling, samplingsOf } from "../../src/control/sampling/sampling.ts";
import { filter, other, sampleAction } from "../support/filters.ts";
import { hookOf } from "../support/samplings.ts";

const COOKIE = Uint8Array.of(1, 2);
const own = (fields: Partial<FilterSampling> = {}): FilterSampling => hookOf({ handle: 7, cookie: COOKIE, ...fields }) as FilterSampling;
const from = (fields: Partial<Origin>): Origin => ({
  inIfindex: undefined,
  outIfindex: undefined,
  cookie: undefined,
  nsid: undefined,
  ...fields,
});

test("with cookies: device, direction and cookie decide", () => {
  const { isOwn } = tellApart([own(), own({ direction: "egress", parent: 0xfffffff3 })], [], true);
  const cases: [Partial<Origin>, boolean][] = [
    [{ inIfindex: 5, cookie: COOKIE }, true],
    [{ outIfindex: 5, cookie: COOKIE }, true],
    // Forwarded: it arrived elsewhere.
    [{ inIfindex: 9, outIfindex: 5, cookie: COOKIE }, true],
    [{ inIfindex: 5, cookie: Uint8Array.of(1, 3) }, false],
    [{ inIfindex: 5 }, false],
    [{ inIfindex: 6, cookie: COOKIE }, false],
    [{ inIfindex: 5, outIfindex: 6, cookie: COOKIE }, false],
    [{ inIfindex: 5, cookie: COOKIE, nsid: 1 }, false],
    [{ cookie: COOKIE }, false],
  ];
  for (const [fields, expected] of cases) assertEquals(isOwn(from(fields)), expected, JSON.stringify(fields));
});

test("without cookies, on old kernels and from hardware: only device and direction; an index of more than 16 bits is cut", () => {
  for (const { isOwn } of [tellApart([own()], [], false), tellApart([own({ where: "hardware" })], [], true)]) {
    assertEquals([isOwn(from({ inIfindex: 5 })), isOwn(from({ outIfindex: 5 })), isOwn(from({ inIfindex: 6 }))], [true, false, false]);
  }
  assertEquals(tellApart([own({ ifindex: 65536 + 5 })], [], false).isOwn(from({ inIfindex: 5 })), true);
});

test("whether hardware samples is known for every kind of filter that reports it, including bpf", () => {
  const bpf = (flags: number) => other(1, "bpf", (attr) => attr.u32(8, 1).u32(9, flags), [sampleAction()]);
  const cases = [
    [bpf(4), "hardware"],
    [bpf(8), "software"],
    [filter(1, [sampleAction()]), "software"],
    // In another kind the attribute has another meaning.
    [other(1, "basic", (attr) => attr.u32(9, 4), [sampleAction()]), undefined],
  ] as const;
  for (const [filter, where] of cases) assertEquals(samplingsOf(filter, "eth0").map((sampling) => sampling.where), [where]);
});

test("the others of the group, and those that look alike", () => {
  const mine = own();
  const samplings = [
    mine,
    hookOf({ group: 6 }),
    hookOf({ handle: 1, cookie: COOKIE }),
    hookOf({ handle: 2, cookie: Uint8Array.of(9) }),
    hookOf({ handle: 3 }),
    hookOf({ handle: 4, direction: "egress", parent: 0xfffffff3 }),
    hookOf({ handle: 5, ifindex: 8, device: "eth1" }),
    hookOf({ handle: 6, ifindex: 0xffffffff, device: undefined, parent: 22, direction: undefined }),
    // No filter uses it.
    hookOf({ ifindex: undefined, parent: undefined, handle: undefined }),
  ];
  const handles = (cookies: boolean): unknown => {
    const { others, alike } = tellApart([mine], samplings, cookies);
    return [others, alike].map((list) => list.map(({ handle }) => handle));
  };
  assertEquals(handles(true), [[1, 2, 3, 4, 5, 6], [1]]);
  assertEquals(handles(false), [[1, 2, 3, 4, 5, 6], [1, 2, 3, 6]]);
});
