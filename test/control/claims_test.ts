/** Another program that relies on a clsact qdisc of ours, on a scripted kernel. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { addSamplingWith } from "../../src/control/sampling/install.ts";
import type { SamplingOptions } from "../../src/control/sampling/options.ts";
import { TcKernel } from "./tc_kernel.ts";

const BOTH: SamplingOptions = { device: "eth0", rate: 100, group: 3 };
const WHAT = "another program asked for the clsact qdisc of eth0 too, which therefore stays when sampling ends";
const CURE = "tc qdisc del dev eth0 clsact removes it, with all that is on it";

/** Samples while `act` happens; returns what is left, and the warnings. */
async function after(act: (kernel: TcKernel) => void): Promise<unknown> {
  const kernel = new TcKernel();
  const warnings: string[] = [];
  const handle = await addSamplingWith(kernel, { ...BOTH, onWarning: (message) => warnings.push(message) });
  act(kernel);
  await handle.remove();
  kernel.assertClean();
  return [kernel.clsact && kernel.ours.length, warnings];
}

test("a clsact that another program has replaced by the same stays, without our filters, and is reported", async () => {
  assertEquals(await after((kernel) => kernel.replaceClsact()), [0, [`${WHAT}: ${CURE}`]]);
  assertEquals(await after(() => {}), [undefined, []]);
});

test("a clsact that belongs to another program by now needs no claim", async () => {
  const gone = (kernel: TcKernel): void => {
    kernel.replaceClsact();
    kernel.deleteClsact();
  };
  assertEquals(await after(gone), [undefined, []]);
  const replaced = (kernel: TcKernel): void => {
    kernel.deleteClsact();
    kernel.addClsact();
  };
  assertEquals(await after(replaced), [0, []]);
});

test("a claim during the inspection of a removal keeps the clsact too", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  let isClaimed = false;
  kernel.beforeDatagram = () => {
    if (!isClaimed) kernel.replaceClsact();
    isClaimed = true;
  };
  await handle.remove();
  assertEquals([kernel.clsact !== undefined, kernel.ours], [true, []]);
  kernel.assertClean();
});

test("sampling on an existing clsact has nothing to watch", async () => {
  const kernel = new TcKernel();
  kernel.addClsact();
  const handle = await addSamplingWith(kernel, BOTH);
  const open = kernel.fds.size;
  const other = await addSamplingWith(kernel, { ...BOTH, direction: "ingress" });
  assertEquals(kernel.fds.size, 2 * open);
  await handle.remove();
  await other.remove();
  kernel.assertClean();
});
