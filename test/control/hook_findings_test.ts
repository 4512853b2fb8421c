/** What doctor says about a sample action: its state now, not the totals of its counters. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Finding } from "../../src/control/finding.ts";
import type { Flow } from "../../src/control/flow.ts";
import { hookFindings, placeText } from "../../src/control/hook_findings.ts";
import type { Reach } from "../../src/control/reached.ts";
import type { Sampling } from "../../src/control/sampling/sampling.ts";
import type { Observed } from "../../src/control/survey.ts";
import { link } from "../support/filters.ts";
import { hookOf } from "../support/samplings.ts";

const DOWN: Finding = { verdict: "bad", about: "device-down", device: "eth0", what: "eth0 is down: no packets pass", cure: "up" };
const HIDDEN: Finding = { verdict: "bad", about: "hidden", device: "eth0", what: "a filter hides it", cure: "remove it" };
const TCX: Finding = { verdict: "note", about: "tcx", device: "eth0", what: "a program comes first", cure: "see bpftool" };

function observed(flow: Flow, state: Reach["state"], findings: Finding[] = [], passed?: bigint, fields: Partial<Sampling> = {}): Observed {
  const sampling = hookOf({ packets: 36n, hits: 36n, ...fields });
  const places = [{ ifindex: 5, device: "eth0", direction: "ingress" as const, passed }];
  return { sampling, flow, reach: { state, findings, tcxUnknown: false }, places };
}

const SUBJECT = "eth0 ingress pref 10 samples 1 in 10 into group 5, in software: ";

const CASES: readonly [name: string, given: Observed, expected: string[]][] = [
  ["samples flow", observed("flowing", "reached"), [`good ${SUBJECT}samples are generated`]],
  ["36 packets long ago, none now", observed("idle", "reached"), [`note ${SUBJECT}no packets in 500 ms`]],
  ["the same when its device has none either", observed("idle", "reached", [], 0n), [`note ${SUBJECT}no packets in 500 ms`]],
  [
    "a device that is busy, and nothing known in the way",
    observed("idle", "reached", [], 7n),
    [`note ${SUBJECT}7 packets passed the device in 500 ms, and none reached it`],
  ],
  [
    "a program that takes all of them",
    observed("idle", "possibly-hidden", [TCX], 1n),
    [`bad ${SUBJECT}1 packet passed the device in 500 ms, and none reached it`, "note a program comes first"],
  ],
  [
    "a program, and a filter that matches only some",
    observed("idle", "possibly-hidden", [TCX], 7n, { kind: "flower" }),
    [`note ${SUBJECT}no packets in 500 ms`, "note a program comes first"],
  ],
  [
    "a program, and a filter of one protocol",
    observed("idle", "possibly-hidden", [TCX], 7n, { protocol: 0x0800 }),
    [`note ${SUBJECT}no packets in 500 ms`, "note a program comes first"],
  ],
  ["a program that lets some through", observed("flowing", "possibly-hidden", [TCX], 7n), [
    `good ${SUBJECT}samples are generated`,
    "note a program comes first",
  ]],
  ["hidden", observed("idle", "hidden", [HIDDEN], 7n), [`note ${SUBJECT}no packet reaches it`, "bad a filter hides it"]],
  ["down", observed("idle", "hidden", [DOWN]), [`note ${SUBJECT}no packet reaches it`, "bad eth0 is down: no packets pass"]],
  ["nobody listens", observed("no listener", "reached"), [`note ${SUBJECT}packets reach it, and nobody in this network namespace listens`]],
  ["unheard", observed("unheard", "reached"), [`note ${SUBJECT}packets reach it, and no samples are generated: nobody listens`]],
  ["not known", observed("unknown", "reached"), [
    `good ${SUBJECT}packets reach it; whether samples are generated could not be determined in 500 ms`,
  ]],
];

for (const [name, given, expected] of CASES) {
  test(name, () => {
    const findings = hookFindings(given, 500, undefined, false);
    assertEquals(findings.map(({ verdict, what }) => `${verdict} ${what}`), expected);
    const [{ device, direction, group, about }] = findings as [Finding];
    assertEquals([device, direction, group, about], ["eth0", "ingress", 5, "flow"]);
  });
}

test("without the privilege to see tcx programs it says so for a hook that gets no packets, and for no other", () => {
  const what = (flow: Flow, passed: bigint): string => {
    const one = observed(flow, "reached", [], passed);
    return hookFindings({ ...one, reach: { ...one.reach!, tcxUnknown: true } }, 500, undefined, false)[0]!.what.replace(SUBJECT, "");
  };
  const unseen = " (whether a tcx program takes them is not known: that requires CAP_NET_ADMIN)";
  assertEquals([what("idle", 0n), what("idle", 2n), what("flowing", 2n)], [
    `no packets in 500 ms${unseen}`,
    `2 packets passed the device in 500 ms, and none reached it${unseen}`,
    "samples are generated",
  ]);
});

test("a device that is down is no fault if others are up", () => {
  assertEquals(hookFindings(observed("idle", "hidden", [DOWN]), 500, undefined, true).map(({ verdict }) => verdict), ["note", "note"]);
  // What hides its packets when it is up still is.
  assertEquals(hookFindings(observed("idle", "hidden", [DOWN, HIDDEN]), 500, undefined, true).map(({ verdict }) => verdict), [
    "note",
    "note",
    "bad",
  ]);
});

test("for a block that devices share, only the requested device", () => {
  const block = observed("idle", "hidden", [HIDDEN, { ...HIDDEN, device: "eth1" }], undefined, {
    device: undefined,
    ifindex: 0xffffffff,
    direction: undefined,
    parent: 22,
  });
  assertEquals(hookFindings(block, 500, link({ name: "eth1" }), false).map(({ device }) => device), [undefined, "eth1"]);
  assertEquals(hookFindings(block, 500, undefined, false).length, 3);
  assert(hookFindings(block, 500, undefined, false)[0]!.what.startsWith("block 22 pref 10 samples"));
});

test("an action that no filter uses", () => {
  const [finding, ...rest] = hookFindings(
    { sampling: hookOf({ index: 19 }), flow: undefined, reach: undefined, places: [] },
    500,
    undefined,
    false,
  );
  assertEquals([finding!.verdict, finding!.what, rest], ["note", "no filter uses the sample action 19 (1 in 10 into group 5)", []]);
  assert(finding!.cure?.endsWith("action sample index 19"));
});

test("places in tc's words, with escaped names", () => {
  assertEquals(placeText(hookOf({ device: "e\u202e\\", chain: 7 })), "e\\xe2\\x80\\xae\\x5c ingress chain 7 pref 10");
  assertEquals(placeText(hookOf({ device: undefined, direction: undefined, parent: 0x10000 })), "if5 parent 10000 pref 10");
});
