/** What the commands have in common that sample the devices named, and without any receive what is sampled already. */
import type { SamplingOptions } from "../../mod.ts";
import { expandDevices } from "../devices.ts";
import type { Io } from "../io.ts";
import { longName, number, numbers, type Option, UsageError } from "../options.ts";
import { checkDevices, samplingOptions, type SamplingValues } from "./capture.ts";

/** The options that say what to sample. */
export const SAMPLING = ["rate", "direction", "match", "trunc", "hardware"] as const;

/** How many bytes of each packet are sampled: enough for the headers of every tunnel. */
const TRUNC = 256;

/** How much of each packet is sampled. */
export function truncOption(details: string): Option<number> {
  return number({ letter: "s", value: "BYTES", default: TRUNC, help: "truncate packets to BYTES", details });
}

/** The group, or those that are received; the help ends with `more`. */
export function groupOption(more = ""): Option<readonly number[] | undefined> {
  return numbers({
    letter: "g",
    value: "N",
    offers: { things: ["group"] },
    help: "the psample group; without DEVICE only this one, may be repeated",
    details: "With DEVICE, the group to sample into; by default an unused one. Without DEVICE, the kernel leaves out samples of all " +
      `other groups.${more}`,
  });
}

/** Refuses options that say what to sample, without a device. */
export function refuseSampling(given: ReadonlySet<string>, usage: string): void {
  const name = SAMPLING.find((name) => given.has(name));
  if (name === undefined) return;
  throw new UsageError(`${longName(name)} says what to sample, but no DEVICE is given (usage: psample ${usage})`, { keys: [name] });
}

/** The values of the options that say what to sample. */
type Sampling = Pick<SamplingValues, typeof SAMPLING[number] | "netns"> & { readonly group: readonly number[] | undefined };

/**
 * What to sample on the devices that these words name; a rate that is not given is chosen later.
 *
 * @param isFollowed Whether devices that come later count too: then words may name none now.
 */
export async function plansOf(
  words: readonly string[],
  options: Sampling,
  given: ReadonlySet<string>,
  io: Io,
  isFollowed = false,
): Promise<readonly SamplingOptions[]> {
  checkSampling(words, options);
  return devicePlans(await expandDevices(words, options.netns, io, isFollowed), options, given);
}

/** Refuses arguments that are not devices, and groups that do not go with them. */
export function checkSampling(words: readonly string[], { group }: Pick<Sampling, "group">): void {
  if (group && group.length > 1) throw new UsageError("--group was given twice: samples go into one group", { keys: ["group"] });
  checkDevices(words, words);
}

/** What to sample on devices of these names; a rate that is not given is chosen later. */
export function devicePlans(
  devices: readonly string[],
  { rate, direction, match, trunc, hardware, group, netns }: Sampling,
  given: ReadonlySet<string>,
): readonly SamplingOptions[] {
  return samplingOptions({ rate, direction, match, trunc, hardware, group: group?.[0], netns }, given, devices);
}
