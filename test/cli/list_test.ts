import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listText } from "../../cli/commands/list.ts";
import type { FilterSampling, Observed } from "../../mod.ts";

function observed(device: string, more: Readonly<Record<string, unknown>> = {}): Observed {
  const sampling = {
    index: 7,
    ifindex: 2,
    device,
    direction: "ingress",
    preference: 49152,
    kind: "matchall",
    rate: 1000,
    group: 65536,
    control: { kind: "pipe" },
    packets: 123456789n,
    where: "software",
    ours: true,
    ...more,
  };
  return { sampling, flow: "no listener", reach: { state: "reached", findings: [] }, places: [] } as unknown as Observed;
}

test("the table has all columns if there is room, and is as wide as the terminal if not", () => {
  const rows = [observed("enp129s0f0np0"), observed("eth0", { truncateBytes: 128 })];
  assertEquals(listText(rows, Infinity).split("\n")[0]!.trim().split(/ +/).length, 13);
  for (const columns of [120, 100, 80, 72]) {
    const lines = listText(rows, columns).trimEnd().split("\n");
    assert(lines.every((line) => line.length <= columns), `${columns}:\n${lines.join("\n")}`);
    for (const title of ["DEVICE", "DIRECTION", "RATE", "GROUP", "FLOW", "BY"]) assert(lines[0]!.includes(title), lines[0]);
    assertMatch(lines[1]!, /^enp129s0f0np0 +ingress .* 1\/1000 +65536 .*no listener +psample$/);
  }
});

test("what is left out is said, unless it says nothing", () => {
  const at80 = listText([observed("eth0")], 80).replace(/\s+/g, " ");
  assertMatch(at80, / Not shown at this width: .*INDEX.*\. A wider terminal and --json have them\. $/);
  assert(!at80.includes("TRUNC"), at80);
  assert(!listText([observed("eth0")], 110).includes("Not shown"));
});

test("nothing to list fits too", () => {
  assertEquals(listText([], Infinity).trimEnd().split("\n").length, 1);
  assert(listText([], 60).split("\n").every((line) => line.length <= 60));
});

test("what was left behind is marked within 80 columns, with the cure below", () => {
  const rows = [observed("enp129s0f0np0"), observed("eth0", { index: 8 })];
  const leftovers = [rows[0]!.sampling as FilterSampling];
  for (const columns of [Infinity, 80]) {
    const [, first, second, ...notes] = listText(rows, columns, leftovers, "blue").trimEnd().split("\n");
    assertMatch(first!, / psample \(gone\)$/);
    assertMatch(second!, / psample$/);
    assert([first!, second!, ...notes].every((line) => line.length <= columns), `${columns}: ${first}\n${notes.join("\n")}`);
    const said = "Left behind by a psample that was killed: enp129s0f0np0 ingress pref 49152. Remove it with: psample cleanup --netns blue";
    assert(notes.join(" ").includes(said), notes.join("\n"));
  }
  assert(!listText(rows, 80).includes("cleanup"));
});
