/** Evaluating the kernel's lists: a table of what may be between packets and a sample action. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Hook, type Place, type Reach, reach } from "../../src/control/reached.ts";
import type { Action } from "../../src/tc/action.ts";
import type { Filter } from "../../src/tc/filter.ts";
import { bpf, filter, flower, gact, INGRESS, link, other, otherAction, parameters, sampleAction, u32 } from "../support/filters.ts";

const MINE = filter(10, [sampleAction()], { handle: 7 });
const EGRESS = 0xfffffff3;

/** The hook of a filter's first sample action. */
function hookOf({ ifindex, parent, chain = 0, preference, handle, kind, classifier }: Filter): Hook {
  const action = classifier!.actions!.find(({ sample }) => sample)!;
  const { rate, group, truncateBytes } = action.sample!;
  return { device: "eth0", ifindex, parent, chain, preference, handle, kind, order: action.order, rate, group, truncateBytes };
}

function judge(filters: readonly Filter[], place: Partial<Place> = {}, hook: Partial<Hook> = {}, mine = MINE): Reach {
  return reach({ ...hookOf(mine), ...hook }, { link: link(), qdisc: undefined, tcx: [], filters, ...place });
}

/** The state, and what each finding is about. */
function brief({ state, findings }: Reach): string {
  return [state, ...findings.map(({ verdict, about }) => `${verdict} ${about}`)].join("; ");
}

const HIDDEN = "hidden; bad hidden";
const PERHAPS = "possibly-hidden; note hidden";
const UDP = { etherType: 0x0800, ipProtocol: 17 };
const DNS = { ...UDP, destinationPort: { value: 53, mask: undefined } };
const mirred = (control: number): Action => otherAction("mirred", (attr) => attr.bytes(2, parameters(control)));
const police = (above: number, within?: number): Action =>
  otherAction("police", (attr) => {
    const bytes = parameters(0);
    new DataView(bytes.buffer).setInt32(4, above, true);
    attr.bytes(1, bytes).u32(5, within);
  });
const RET = 0x06;
const RET_A = 0x16;

const IN_FRONT: readonly [name: string, front: Filter, expected: string][] = [
  ["drop", filter(1, [gact("drop")]), HIDDEN],
  ["pass", filter(1, [gact("pass")]), HIDDEN],
  ["trap", filter(1, [gact("trap")]), HIDDEN],
  ["stolen", filter(1, [gact("stolen")]), HIDDEN],
  ["queued", filter(1, [gact("queued")]), HIDDEN],
  ["redirect", filter(1, [gact("redirect")]), HIDDEN],
  ["reclassify: the kernel gives up", filter(1, [gact("reclassify")]), HIDDEN],
  [
    "reclassify behind a change of the packet",
    filter(1, [otherAction("vlan", (attr) => attr.bytes(2, parameters(3))), gact("reclassify")]),
    PERHAPS,
  ],
  ["repeat: the kernel gives up", filter(1, [gact("repeat")]), HIDDEN],
  ["pipe at the end", filter(1, [gact("pipe")]), HIDDEN],
  ["a control without a name", filter(1, [gact({ value: 77 })]), HIDDEN],
  ["continue", filter(1, [gact("continue")]), "reached"],
  ["sample and tc's own default, pipe", filter(1, [sampleAction("pipe")]), HIDDEN],
  ["sample and continue", filter(1, [sampleAction("continue")]), "reached"],
  ["pipe and continue", filter(1, [sampleAction("pipe"), gact("continue")]), "reached"],
  ["pipe and drop", filter(1, [sampleAction("pipe"), gact("drop")]), HIDDEN],
  ["a jump over the drop", filter(1, [gact({ jump: 2 }), gact("drop"), gact("continue")]), "reached"],
  ["a jump to the drop", filter(1, [gact({ jump: 1 }), gact("drop")]), HIDDEN],
  ["a jump behind the end", filter(1, [gact({ jump: 9 }), gact("continue")]), HIDDEN],
  ["a jump in a circle", filter(1, [gact("pipe"), gact({ jump: 1 }), gact("continue")]), HIDDEN],
  ["drop of a share", filter(1, [gact("continue", "drop")]), PERHAPS],
  ["no action at all", filter(1, []), HIDDEN],
  ["goto another chain", filter(1, [gact({ gotoChain: 3 })]), HIDDEN],
  ["behind it", filter(11, [gact("drop")]), "reached"],
  ["another protocol", filter(1, [gact("drop")], { protocol: 0x0806 }), PERHAPS],
  ["only in another chain", filter(1, [gact("drop")], { chain: 4 }), "reached"],
  ["the entry that stands for a preference", filter(1, [], { classifier: undefined, handle: 0 }), "reached"],
  ["mirred that redirects", filter(1, [mirred(4)]), HIDDEN],
  ["mirred that mirrors", filter(1, [mirred(3)]), HIDDEN],
  ["mirred that mirrors, and continue", filter(1, [mirred(-1)]), "reached"],
  ["police: drop above the rate, accept within", filter(1, [police(2)]), HIDDEN],
  ["police: drop above the rate, continue within", filter(1, [police(2, -1 >>> 0)]), PERHAPS],
  ["police: continue, both", filter(1, [police(-1, -1 >>> 0)]), "reached"],
  ["a gate may be closed", filter(1, [otherAction("gate", (attr) => attr.bytes(2, parameters(-1)))]), PERHAPS],
  ["pedit with extended keys, and continue", filter(1, [otherAction("pedit", (attr) => attr.bytes(4, parameters(-1)))]), "reached"],
  ["an action that is not known", filter(1, [otherAction("new", () => {}), gact("continue")]), PERHAPS],
  [
    "an action for hardware only is passed over",
    filter(1, [{ ...gact("drop"), flags: { value: 4, selector: 4 } }, gact("continue")]),
    "reached",
  ],
  ["a flower of some packets", flower(1, UDP, [gact("drop")]), PERHAPS],
  ["a flower of some packets that continue", flower(1, UDP, [gact("continue")]), "reached"],
  ["a flower without keys, of one protocol", flower(1, { etherType: 0x0800 }, [gact("drop")]), PERHAPS],
  ["a flower without keys", flower(1, {}, [gact("drop")], { protocol: 3 }), HIDDEN],
  ["u32 of everything", u32(1, 0, [gact("drop")]), HIDDEN],
  ["u32 of some", u32(1, 0xff, [gact("drop")]), PERHAPS],
  ["u32 of everything that comes to another table", u32(1, 0, [gact("drop")], 0x00100000), PERHAPS],
  ["a u32 that policed the old way", withUnknown(u32(1, 0, []), 6), PERHAPS],
  ["basic of everything", other(1, "basic", () => {}, [gact("drop")]), HIDDEN],
  ["basic of some", other(1, "basic", (attr) => attr.nest(2, (tree) => tree.u32(1, 1)), [gact("drop")]), PERHAPS],
  ["basic with an empty tree of conditions", other(1, "basic", (attr) => attr.nest(2, (tree) => tree.u32(1, 0)), [gact("drop")]), HIDDEN],
  ["fw", other(1, "fw", () => {}, [gact("drop")]), PERHAPS],
  ["a kind that is not known", other(1, "new", () => {}), PERHAPS],
  ["bpf da: TC_ACT_OK", bpf(1, true, [[RET, 0, 0, 0]]), HIDDEN],
  ["bpf da: TC_ACT_UNSPEC", bpf(1, true, [[RET, 0, 0, -1]]), "reached"],
  ["bpf da: a number that cls_bpf takes for TC_ACT_UNSPEC", bpf(1, true, [[RET, 0, 0, 3]]), "reached"],
  ["bpf da: sometimes a drop", bpf(1, true, [[0x15, 0, 1, 0], [RET, 0, 0, 2], [RET, 0, 0, -1]]), PERHAPS],
  ["bpf da: computed", bpf(1, true, [[RET_A]]), PERHAPS],
  ["bpf da: eBPF", other(1, "bpf", (attr) => attr.string(7, "prog").u32(8, 1).u32(11, 42)), PERHAPS],
  ["bpf: matches everything", bpf(1, false, [[RET, 0, 0, -1]], [gact("drop")]), HIDDEN],
  ["bpf: matches nothing", bpf(1, false, [[RET, 0, 0, 0]], [gact("drop")]), "reached"],
  ["bpf: matches some", bpf(1, false, [[RET_A]], [gact("drop")]), PERHAPS],
  ["bpf: matches everything, and continue", bpf(1, false, [[RET, 0, 0, -1]], [gact("continue")]), "reached"],
  ["hardware only, and no hardware", withFlags(filter(1, [gact("drop")]), 2 | 8), "reached"],
  ["in hardware too", withFlags(filter(1, [gact("drop")]), 4), PERHAPS],
];

function withFlags(one: Filter, flags: number): Filter {
  return { ...one, classifier: { ...one.classifier as Extract<Filter["classifier"], { kind: "matchall" }>, flags } };
}

function withUnknown(one: Filter, type: number): Filter {
  const classifier = one.classifier as Extract<Filter["classifier"], { kind: "u32" }>;
  return { ...one, classifier: { ...classifier, unknown: [{ type, value: new Uint8Array() }] } };
}

for (const [name, front, expected] of IN_FRONT) {
  test(`before it: ${name}`, () => {
    // In the order of a dump, and reversed.
    for (const filters of [[front, MINE], [MINE, front]]) {
      const answer = judge(filters);
      assertEquals(brief(answer), expected);
      for (const { what, cure, device, direction, group } of answer.findings) {
        assert(/^eth0 ingress: the filter pref 1 \(/.test(what), what);
        assert(cure?.includes("tc filter del dev eth0 ingress pref 1"), cure);
        assertEquals([device, direction, group], ["eth0", "ingress", 5]);
      }
    }
  });
}

test("messages say which filter, what it does, and what helps", () => {
  const [hidden] = judge([filter(1, [sampleAction("pipe")]), MINE]).findings;
  assertEquals(
    hidden!.what,
    "eth0 ingress: the filter pref 1 (matchall: pipe) comes first and hides every packet from the filter pref 10 (matchall)",
  );
  assertEquals(
    hidden!.cure,
    "let its last action be continue, remove it (tc filter del dev eth0 ingress pref 1), or sample with a lower preference",
  );
  const [perhaps] = judge([bpf(1, true, [[RET_A]]), MINE]).findings;
  assertEquals(
    perhaps!.what,
    "eth0 ingress: the filter pref 1 (bpf: its program decides) comes first; packets that it does not pass on are not sampled",
  );
  assert(perhaps!.cure!.startsWith("let its program return -1,"));
});

test("filters that match other packets hide none", () => {
  const mine = flower(10, { ...UDP, destinationPort: { value: 53, mask: undefined } }, [sampleAction()], { handle: 7 });
  const cases: [Filter, string][] = [
    [flower(1, UDP, [gact("drop")]), HIDDEN],
    [flower(1, { etherType: 0x0800 }, [gact("drop")]), HIDDEN],
    [flower(1, DNS, [gact("drop")]), HIDDEN],
    [flower(1, { ...UDP, destinationPort: { value: 0x30, mask: 0xf0 } }, [gact("drop")]), HIDDEN],
    [flower(1, { ...UDP, destinationPort: { value: 80, mask: undefined } }, [gact("drop")]), "reached"],
    [flower(1, { ...UDP, ipProtocol: 6 }, [gact("drop")]), "reached"],
    [flower(1, { ...DNS, source: address("c0000200", "ffffff00") }, [gact("drop")]), PERHAPS],
    [flower(1, {}, [gact("drop")], { protocol: 0x86dd }), "reached"],
    [filter(1, [gact("drop")], { protocol: 0x0800 }), HIDDEN],
    [flower(1, { ...UDP, destinationPorts: { from: 50, to: 60 } }, [gact("drop")]), PERHAPS],
  ];
  for (const [front, expected] of cases) {
    assertEquals(brief(judge([front, mine], {}, {}, mine)), expected, JSON.stringify(front.classifier, big));
  }
  const ranged = flower(10, { ...UDP, destinationPorts: { from: 50, to: 60 }, source: address("c0000201", "ffffffff") }, [sampleAction()], {
    handle: 7,
  });
  const ranges: [Filter, string][] = [
    [flower(1, { ...UDP, destinationPorts: { from: 1, to: 100 } }, [gact("drop")]), HIDDEN],
    [flower(1, { ...UDP, destinationPorts: { from: 55, to: 100 } }, [gact("drop")]), PERHAPS],
    [flower(1, { ...UDP, destinationPorts: { from: 61, to: 100 } }, [gact("drop")]), "reached"],
    [flower(1, { ...UDP, source: address("c0000200", "ffffff00") }, [gact("drop")]), HIDDEN],
    [flower(1, { ...UDP, source: address("c0000300", "ffffff00") }, [gact("drop")]), "reached"],
  ];
  for (const [front, expected] of ranges) {
    assertEquals(brief(judge([front, ranged], {}, {}, ranged)), expected, JSON.stringify(front.classifier, big));
  }
});

function address(digits: string, mask: string): { address: Uint8Array; mask: Uint8Array } {
  const bytes = (text: string): Uint8Array => Uint8Array.from({ length: 4 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
  return { address: bytes(digits), mask: bytes(mask) };
}

function big(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}` : value;
}

test("flower filters of one preference: the first that matches keeps the packet, whatever it does with it", () => {
  const mine = flower(10, UDP, [sampleAction()], { handle: 7 });
  const same = flower(10, { ...UDP, source: address("c0000200", "ffffff00") }, [gact("continue")], { handle: 8 });
  assertEquals(brief(judge([same, mine], {}, {}, mine)), PERHAPS);
  assertEquals(brief(judge([mine, same], {}, {}, mine)), PERHAPS);
  const disjoint = flower(10, { ...UDP, ipProtocol: 6 }, [gact("continue")], { handle: 8 });
  assertEquals(brief(judge([disjoint, mine], {}, {}, mine)), "reached");
});

test("u32 filters of one preference run in the order of the list", () => {
  const mine = { ...u32(10, 0xff, [sampleAction()]), handle: 0x80000801 };
  const same = u32(10, 0xff00, [gact("drop")]);
  assertEquals(brief(judge([same, mine], {}, {}, mine)), PERHAPS);
  assertEquals(brief(judge([mine, same], {}, {}, mine)), "reached");
  assertEquals(brief(judge([u32(10, 0, [gact("drop")]), mine], {}, {}, mine)), HIDDEN);
});

test("u32 filters of the other side, which the kernel lists at the same preference, prove nothing", () => {
  const tables = [0x80000000, 0x80100000].map((handle) => {
    const table = u32(1, 0, []);
    return { ...table, handle, classifier: { ...table.classifier as Extract<Filter["classifier"], { kind: "u32" }>, divisor: 1 } };
  });
  assertEquals(brief(judge([...tables, u32(1, 0, [gact("drop")]), MINE])), PERHAPS);
  assertEquals(brief(judge([tables[0]!, u32(1, 0, [gact("drop")]), MINE])), HIDDEN);
});

test("chains are followed: by whom, past whom, in circles", () => {
  const mine = filter(10, [sampleAction()], { chain: 7, handle: 7 });
  const goto = (preference: number, chain: number, from = 0): Filter => filter(preference, [gact({ gotoChain: chain })], { chain: from });
  const cases: [readonly Filter[], string][] = [
    [[], "hidden; bad unreachable-chain"],
    [[goto(1, 7)], "reached"],
    [[goto(1, 3), goto(1, 7, 3)], "reached"],
    [[goto(1, 3), goto(2, 7)], HIDDEN],
    [[goto(1, 3), goto(1, 0, 3), goto(2, 5)], "hidden; bad unreachable-chain"],
    [[filter(1, [gact("drop")]), goto(2, 7)], HIDDEN],
    [[goto(1, 7), filter(5, [gact("pass")], { chain: 7 })], HIDDEN],
    [[goto(1, 7), flower(5, UDP, [gact("pass")], { chain: 7 })], PERHAPS],
    [[flower(1, UDP, [gact({ gotoChain: 7 })])], "reached"],
    // Two ways, of which one is free.
    [[flower(1, UDP, [gact({ gotoChain: 3 })]), flower(1, UDP, [gact("drop")], { chain: 3 }), goto(2, 7, 3), goto(9, 7)], PERHAPS],
    [[flower(1, UDP, [gact("drop")]), flower(2, UDP, [gact({ gotoChain: 7 })]), goto(9, 7)], PERHAPS],
  ];
  for (const [filters, expected] of cases) assertEquals(brief(judge([...filters, mine], {}, {}, mine)), expected);
  const [unreachable] = judge([mine], {}, {}, mine).findings;
  assertEquals(unreachable!.what, "eth0 ingress: no packet is sent to chain 7, where the filter pref 10 chain 7 (matchall) is");
});

test("earlier actions of its own filter", () => {
  const cases: [readonly Action[], string][] = [
    [[gact("drop"), sampleAction()], HIDDEN],
    [[gact("pipe"), sampleAction()], "reached"],
    [[gact("pipe", "drop"), sampleAction()], PERHAPS],
    [[gact({ jump: 2 }), sampleAction(), gact("continue")], HIDDEN],
    [[gact("continue"), sampleAction()], HIDDEN],
    [[{ ...sampleAction(), flags: { value: 4, selector: 4 } }], "hidden; bad hardware"],
    [[{ ...sampleAction(), flags: { value: 4, selector: 4 }, inHardwareCount: 1 }], "reached"],
  ];
  for (const [actions, expected] of cases) {
    const mine = filter(10, actions, { handle: 7 });
    assertEquals(brief(judge([mine], {}, {}, mine)), expected);
  }
});

test("hardware: a filter that only hardware runs is hidden by nothing in the kernel", () => {
  const only = withFlags(MINE, 2 | 4);
  const xdp = { mode: "native", programs: [3] } as const;
  assertEquals(brief(judge([only], { tcx: [3], link: link({ xdp }) })), "reached");
  assertEquals(brief(judge([only], { link: link({ xdp: { mode: "hardware", programs: [3] } }) })), "possibly-hidden; note xdp");
  assertEquals(brief(judge([withFlags(MINE, 2 | 8)])), "hidden; bad hardware");
});

test("the device, and what sees packets before tc", () => {
  const xdp = { mode: "generic", programs: [12] } as const;
  const egress = { ...MINE, parent: EGRESS };
  assertEquals(brief(judge([MINE])), "reached");
  assertEquals(brief(judge([MINE], { link: link({ up: false, running: false }) })), "hidden; bad device-down");
  assertEquals(brief(judge([MINE], { link: link({ running: false }) })), "possibly-hidden; note no-carrier");
  assertEquals(brief(judge([MINE], { link: link({ xdp }) })), "possibly-hidden; note xdp");
  // XDP sees arriving packets only.
  assertEquals(brief(judge([egress], { link: link({ xdp }) }, {}, egress)), "reached");
  assertEquals(brief(judge([MINE], { tcx: [4, 5] })), "possibly-hidden; note tcx");
  assertEquals(brief(judge([MINE], { tcx: undefined })), "reached");
  assertEquals(
    judge([MINE], { tcx: [4, 5], link: link({ xdp }) }).findings.map(({ what }) => what),
    [
      "eth0 ingress: the XDP program 12 (generic) comes first; packets that it drops or redirects are not sampled",
      "eth0 ingress: the tcx programs 4, 5 come first; packets for which they do not return TCX_NEXT are not sampled",
    ],
  );
});

test("gone: the device, the qdisc, the filter, its actions", () => {
  const qdisc = { kind: "clsact" } as Place["qdisc"];
  const cases: [Partial<Place>, Partial<Hook>, string, RegExp][] = [
    [{ link: undefined }, {}, "gone; bad device-gone", /^eth0 is no longer sampled: the device was removed, or moved/],
    [{ filters: [] }, {}, "gone; bad removed", /^eth0 is no longer sampled: another program removed the clsact qdisc$/],
    [
      { filters: [], qdisc },
      {},
      "gone; bad removed",
      /^eth0 ingress is no longer sampled: another program removed the ingress filter, or its qdisc$/,
    ],
    [
      { filters: [], qdisc: { kind: "ingress" } as Place["qdisc"] },
      { parent: EGRESS },
      "gone; bad removed",
      /removed the clsact qdisc, and put ingress in its place$/,
    ],
    [{ filters: [{ ...MINE, handle: 8 }], qdisc }, {}, "gone; bad removed", /removed the ingress filter/],
    [{ filters: [{ ...MINE, kind: "flower" }], qdisc }, {}, "gone; bad removed", /removed the ingress filter/],
    [
      { filters: [filter(10, [gact("pass")], { handle: 7 })] },
      {},
      "gone; bad removed",
      /^eth0 ingress is no longer sampled: another program replaced the actions of the filter pref 10/,
    ],
  ];
  for (const [place, hook, expected, what] of cases) {
    const answer = judge([MINE], place, hook);
    assertEquals(brief(answer), expected);
    assert(what.test(answer.findings[0]!.what), answer.findings[0]!.what);
  }
});

test("changed by another program: group, rate, truncation", () => {
  const cases: [Partial<Hook>, string, string][] = [
    [{ group: 6 }, "reached; bad changed", "eth0 ingress: samples now go to group 5 instead of 6"],
    [{ rate: 100 }, "reached; note changed", "eth0 ingress: the rate is now 1 in 10 instead of 1 in 100"],
    [{ truncateBytes: 64 }, "reached; note changed", "eth0 ingress: packets are now not cut instead of cut to 64 bytes"],
  ];
  for (const [hook, expected, what] of cases) {
    const answer = judge([MINE], {}, hook);
    assertEquals([brief(answer), answer.findings[0]!.what], [expected, what]);
  }
});

test("foreign names are escaped in messages, quoted in commands, and unchanged in their own fields", () => {
  const name = "e\u009b\u202e\\";
  const { findings } = judge([filter(1, [gact("drop")]), MINE], { link: link({ name, up: false }) });
  assertEquals(findings.length, 2);
  for (const { what, cure, device } of findings) {
    assertEquals(device, name);
    assert(what.startsWith("e\\xc2\\x9b\\xe2\\x80\\xae\\x5c "), what);
    assert(cure!.includes(" dev $'e\\xc2\\x9b\\xe2\\x80\\xae\\x5c' "), cure);
  }
  const [down] = judge([MINE], { link: link({ name: "a;reboot", up: false }) }).findings;
  assertEquals(down!.cure, "ip link set dev 'a;reboot' up");
});

test("a place of another qdisc: its filters are evaluated, and it is named by its number", () => {
  const mine = { ...MINE, parent: 0x00010000 };
  const answer = judge([filter(1, [gact("drop")]), mine], { link: link({ xdp: { mode: "native", programs: [1] } }) }, {}, mine);
  assertEquals(brief(answer), HIDDEN);
  assert(answer.findings[0]!.what.startsWith("eth0 parent 10000: "));
  assertEquals(answer.findings[0]!.direction, undefined);
  assertEquals(INGRESS, 0xfffffff2);
});
