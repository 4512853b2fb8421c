/** Chooses the rate of `psample top`: enough samples for useful bounds, and few enough to cost next to nothing. */
import { type Direction, listLinks, type SamplingOptions } from "../mod.ts";
import { checkMaySample } from "../src/control/may_sample.ts";
import { withTrafficControl } from "../src/control/traffic_control.ts";
import { open } from "../src/socket/open.ts";
import { printable } from "../src/wire/text.ts";
import type { Session } from "./session.ts";
import { scaled } from "./top/figures.ts";

/** Target number of samples a second, of all devices together. */
export const SAMPLES_PER_SECOND = 500;
/** How long to measure the traffic; drivers that count in hardware may update their counters only once a second. */
const LOOK_MS = 1000;

/** Number of packets that have passed in the sampled directions. */
export interface Traffic {
  /** Packets. */
  readonly packets: bigint;
  /** When they were counted, in milliseconds. */
  readonly atMs: number;
}

/** Counts the packets of these devices; devices that do not exist count nothing. */
export async function traffic(devices: readonly string[], direction: Direction | "both", netns?: string): Promise<Traffic> {
  const links = await listLinks({ counters: true, netns });
  const atMs = performance.now();
  let packets = 0n;
  for (const device of devices) {
    const counted = links.byName(device)?.packets;
    if (direction !== "egress") packets += counted?.received ?? 0n;
    if (direction !== "ingress") packets += counted?.sent ?? 0n;
  }
  return { packets, atMs };
}

/**
 * N of "1 in N" for about {@linkcode SAMPLES_PER_SECOND} at the traffic between two readings, rounded to one digit; and that traffic, in
 * packets a second.
 */
export function chosenRate(before: Traffic, after: Traffic): { readonly rate: number; readonly packetsPerSecond: number } {
  const seconds = (after.atMs - before.atMs) / 1000;
  // A device that was removed takes its counters with it.
  const packetsPerSecond = seconds > 0 ? Math.max(0, Number(after.packets - before.packets) / seconds) : 0;
  return { rate: oneDigit(packetsPerSecond / SAMPLES_PER_SECOND), packetsPerSecond };
}

/** The plans with a rate that fits the traffic; reports it. */
export async function withRate(plans: readonly SamplingOptions[], session: Session): Promise<readonly SamplingOptions[]> {
  const devices = plans.map(({ device }) => `${device}`);
  const { direction = "both", netns } = plans[0]!;
  await checkDevices(devices, netns);
  const before = await traffic(devices, direction, netns);
  await session.unlessOver(new Promise((resolve) => setTimeout(resolve, LOOK_MS)));
  const { rate, packetsPerSecond } = chosenRate(before, await traffic(devices, direction, netns));
  session.notice(`${scaled(packetsPerSecond, "pps")} pass now: sampling 1 in ${rate} (--rate N sets it)`);
  return plans.map((plan) => ({ ...plan, rate }));
}

/**
 * Refuses devices that do not exist, and users without the privilege to sample: measuring would be in vain.
 *
 * @throws {NetlinkError} `ENODEV`, `EPERM`.
 */
async function checkDevices(devices: readonly string[], netns: string | undefined): Promise<void> {
  const sys = await open({ netns });
  checkMaySample(sys, devices.map((device) => printable(device)));
  await withTrafficControl(sys, async (tc) => {
    for (const device of devices) await tc.link(device);
  });
}

function oneDigit(rate: number): number {
  if (rate < 1.5) return 1;
  const unit = 10 ** Math.floor(Math.log10(rate));
  return Math.min(1_000_000_000, Math.round(rate / unit) * unit);
}
