/** The rates of `psample export`: by the speed of the link, as sFlow agents do, unless the user says otherwise. */
import type { SamplingOptions } from "../mod.ts";
import { linkSpeeds } from "../src/control/link_speeds.ts";
import type { Sys } from "../src/sys/sys.ts";
import { printable } from "../src/wire/text.ts";
import { UsageError, wholeNumber } from "./options.ts";
import { scaled } from "./top/figures.ts";

/** N for links of 1 bit/s each is that many bit/s: so a link of any speed gives about as many samples when it is full. */
const BITS_PER_SAMPLE = 1e6;
/** N of slow links, and of those whose speed is not known. */
const LEAST = 100;
const UNKNOWN = 400;

/** A device, and N if it was given for it. */
export interface DeviceRate {
  readonly device: string;
  readonly rate: number | undefined;
}

/** Reads `eth0` or `eth0:4000`. No name of a device has a colon. */
export function parseDevice(word: string): DeviceRate {
  if (/\s/.test(word)) {
    throw new UsageError(`${JSON.stringify(word)} has a blank, and no name of a device has one: give each DEVICE separately`);
  }
  const at = word.lastIndexOf(":");
  if (at < 0) return { device: word, rate: undefined };
  const device = word.slice(0, at);
  if (device === "") throw new UsageError(`${JSON.stringify(word)} names no device before the colon`);
  return { device, rate: wholeNumber(word.slice(at + 1), `the rate in ${printable(word)}`, 0xffff_ffff, 1) };
}

/** N for a link of this speed in bit/s. */
export function rateOf(bitsPerSecond: number | undefined): number {
  return bitsPerSecond === undefined ? UNKNOWN : Math.max(LEAST, Math.round(bitsPerSecond / BITS_PER_SAMPLE));
}

/** The plans, of which those without a rate get the one of their device's speed; and in words how that was chosen, if it was. */
export async function withRates(
  sys: Sys,
  plans: readonly SamplingOptions[],
  speedsOf: () => Promise<ReadonlyMap<string, number>> = () => linkSpeeds(sys),
): Promise<{ readonly plans: readonly SamplingOptions[]; readonly chosen: string | undefined }> {
  if (plans.every(({ rate }) => rate !== undefined)) return { plans, chosen: undefined };
  const speeds = await speedsOf();
  const chosen: string[] = [];
  const rated = plans.map((plan) => {
    if (plan.rate !== undefined) return plan;
    const speed = speeds.get(`${plan.device}`);
    const rate = rateOf(speed);
    chosen.push(`1 in ${rate} of ${printable(`${plan.device}`)} (${speed === undefined ? "speed unknown" : scaled(speed, "bit/s")})`);
    return { ...plan, rate };
  });
  return { plans: rated, chosen: `sampling ${chosen.join(", ")}; --rate N or DEVICE:N sets it` };
}
