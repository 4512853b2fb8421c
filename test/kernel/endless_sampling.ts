/** Starts and stops sampling on a device until it is killed: `endless_sampling.ts DEVICE`. */
import process from "node:process";
import { addSampling } from "../../mod.ts";

const device = process.argv[2]!;
process.stdout.write("ready\n");
for (let i = 0;; i++) {
  const direction = (["ingress", "egress", "both"] as const)[i % 3]!;
  await (await addSampling({ device, direction, rate: 1 })).remove();
  if (i === 0) process.stdout.write("once\n");
}
