/** Watching sampling if not everything can be queried. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { checkHooks } from "../../src/control/check.ts";
import { addSamplingWith } from "../../src/control/sampling/install.ts";
import { observeSamplingWith } from "../../src/control/survey.ts";
import { TrafficControl } from "../../src/control/traffic_control.ts";
import { TcKernel } from "./tc_kernel.ts";

/** A kernel whose sandbox refuses netlink protocols. */
class Sandbox extends TcKernel {
  readonly refused = new Set<number>();

  override socket(domain: number, type: number, protocol: number): number {
    return this.refused.has(protocol) ? -93 : super.socket(domain, type, protocol);
  }
}

test("without generic netlink in a sandbox, or netlink_diag in the kernel, tc's part is still listed", async () => {
  const kernel = new Sandbox();
  const handle = await addSamplingWith(kernel, { device: "eth0", rate: 1, group: 5 });
  kernel.refused.add(16).add(4);
  const observed = await observeSamplingWith(kernel, { milliseconds: 1, countDevices: true });
  const seen = observed.map(({ sampling, flow, reach, places }) => [sampling.direction, flow, reach?.state, places[0]!.device]);
  // The fake's device is down, and its filters count nothing.
  assertEquals(seen, [["ingress", "unknown", "hidden", "eth0"], ["egress", "unknown", "hidden", "eth0"]]);
  kernel.refused.clear();
  await handle.remove();
  kernel.assertClean();
});

test("nothing is watched if there is nothing", async () => {
  const kernel = new Sandbox();
  assertEquals(await observeSamplingWith(kernel, { milliseconds: 1e9 }), []);
  kernel.assertClean();
});

test("each second the device and the filters of each side are queried, and nothing else", async () => {
  const kernel = new Sandbox();
  const handle = await addSamplingWith(kernel, { device: "eth0", rate: 1, group: 5 });
  const tc = new TrafficControl(kernel);
  let asked = 0;
  kernel.beforeDatagram = () => void asked++;
  const findings = await checkHooks(kernel, tc, handle.installed);
  assertEquals([asked, findings.map(({ about }) => about)], [3, ["device-down"]]);
  tc.close();
  kernel.beforeDatagram = undefined;
  await handle.remove();
  kernel.assertClean();
});
