import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { isSame, whatChanged } from "../../cli/sampling_way.ts";

test("what a reload changes is told in the words of the options", () => {
  const before = { rate: 100, direction: "both", match: undefined, truncateBytes: 256, hardware: undefined } as const;
  const rows = [
    [{ rate: 10 }, "1 in 10"],
    [{ direction: "ingress" }, "direction ingress"],
    [{ match: ["tcp port 443", "icmp"] }, "match tcp port 443 or icmp"],
    [{ truncateBytes: 60, hardware: "never" }, "trunc 60, hardware never"],
    [{ rate: 5, direction: "egress" }, "1 in 5, direction egress"],
  ] as const;
  for (const [change, expected] of rows) {
    const after = { ...before, ...change };
    assertEquals([isSame(before, after), whatChanged(before, after)], [false, expected]);
  }
  assertEquals(whatChanged({ ...before, match: ["arp"], hardware: "only" }, before), "without match, in hardware if it can");
  // A rate that is now given, and was chosen before.
  assertEquals([isSame(before, { ...before }), whatChanged(before, before)], [true, "1 in 100"]);
});
