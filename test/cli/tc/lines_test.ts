/** What `capture --dry-run` prints. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { tcLines } from "../../../cli/tc/mod.ts";
import { compileMatch } from "../../../src/filter/match.ts";
import { FIRST_FREE_GROUP } from "../../../src/tc/sample_action.ts";

test("without a group, it is the first of those that sampling chooses", () => {
  assertEquals(tcLines({ device: "eth0", direction: "ingress", rate: 1000 }, compileMatch([], "ethernet")), [
    "tc qdisc add dev eth0 clsact",
    `tc filter add dev eth0 ingress matchall action sample rate 1000 group ${FIRST_FREE_GROUP} continue`,
  ]);
});
