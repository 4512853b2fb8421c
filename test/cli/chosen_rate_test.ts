import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { chosenRate, traffic } from "../../cli/chosen_rate.ts";

const rateAt = (packets: bigint, ms = 1000): number =>
  chosenRate({ packets: 7n, atMs: 500 }, { packets: 7n + packets, atMs: 500 + ms }).rate;

test("the chosen rate yields about 500 samples a second, has one significant digit, and is at least 1", () => {
  assertEquals([0n, 1n, 500n, 700n].map((packets) => rateAt(packets)), [1, 1, 1, 1]);
  assertEquals([800n, 1000n, 5000n, 60_000n, 1_000_000n, 14_880_952n].map((packets) => rateAt(packets)), [2, 2, 10, 100, 2000, 30_000]);
  assertEquals(rateAt(50_000n, 100), 1000);
  // Counters of a device that is gone, and a clock that did not advance.
  assertEquals([rateAt(-5n), rateAt(5n, 0)], [1, 1]);
  assertEquals(rateAt(10n ** 18n), 1_000_000_000);
});

test("traffic is counted on the sampled devices and directions", async () => {
  const lo = async (direction: "ingress" | "egress" | "both"): Promise<bigint> => (await traffic(["lo"], direction)).packets;
  const [ingress, egress, both] = [await lo("ingress"), await lo("egress"), await lo("both")];
  // What lo sends it receives; other programs may use it meanwhile.
  assertEquals([egress >= ingress, both >= ingress + egress], [true, true]);
  assertEquals((await traffic(["no-such-device"], "both")).packets, 0n);
});
