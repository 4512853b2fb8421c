/** How many packets reached sampling, picked or not, according to the kernel's counters. */
import { type FilterSampling, type Sampling, samplingsOf } from "./sampling/sampling.ts";
import type { Direction, TrafficControl } from "./traffic_control.ts";

/**
 * How many packets reached sampling. A number that no counter shows is `undefined`.
 *
 * @category Diagnosis
 */
export interface Passed {
  /** Decisions of the sampler, one for each packet; a GSO packet is one. So 1 in `rate` of these becomes a sample. */
  readonly trials: bigint | undefined;
  /** Packets on the wire: a GSO packet counts as the segments it stands for. */
  readonly packets: bigint | undefined;
}

/**
 * How many packets reached sampling on one device and direction.
 *
 * @category Diagnosis
 */
export interface PassedHook extends Passed {
  /** The device, by its index. */
  readonly ifindex: number;
  /** Which of its packets. */
  readonly direction: Direction;
  /** N: one packet in N is to be sampled. */
  readonly rate: number;
  /** Packets on the wire; `undefined` too if other filters use the same action, which counts for all of them. */
  readonly packets: bigint | undefined;
}

/**
 * {@linkcode PassedHook} of each of these hooks, from `before` to `present`. Those that are gone then, or are done in hardware, are missing.
 */
export function passedHooksBetween(before: readonly FilterSampling[], present: readonly Sampling[]): PassedHook[] {
  const passed: PassedHook[] = [];
  for (const then of before) {
    const { ifindex, direction } = then;
    const now = present.find((one) => sameHook(one, then) && one.index === then.index);
    // Hardware counts when it likes, and rule hits not at all.
    if (!now || now.where === "hardware" || direction === undefined || now.rate === undefined || now.rate !== then.rate) continue;
    const isOwn = then.bindCount === 1 && now.bindCount === 1;
    passed.push({
      ifindex,
      direction,
      rate: now.rate,
      trials: since(then.hits, now.hits),
      packets: isOwn ? since(then.packets, now.packets) : undefined,
    });
  }
  return passed;
}

function since(then: bigint | undefined, now: bigint | undefined): bigint | undefined {
  return then === undefined || now === undefined || now < then ? undefined : now - then;
}

/** All sampling now where these hooks are. */
export async function samplingsAt(tc: TrafficControl, hooks: readonly FilterSampling[]): Promise<Sampling[]> {
  const now: Sampling[] = [];
  for (const { ifindex, parent, preference } of hooks) {
    now.push(...(await tc.filters(ifindex, parent, preference)).flatMap((filter) => samplingsOf(filter, undefined)));
  }
  return now;
}

/** What reached the hooks of `before` until `now`; nothing is known of those that are gone. */
export function passedBetween(before: readonly Sampling[], now: readonly Sampling[]): Passed {
  let trials: bigint | undefined;
  let packets: bigint | undefined;
  let counted = true;
  // Hooks that share an action share its counter: it is counted once, at the first of them that still exists.
  const actions = new Set<number>();
  for (const then of before) {
    const sampling = now.find((one) => sameHook(one, then));
    if (!sampling) continue;
    if (sampling.hits === undefined) counted = false;
    else trials = (trials ?? 0n) + sampling.hits - (then.hits ?? 0n);
    if (sampling.packets === undefined || actions.has(then.index)) continue;
    actions.add(then.index);
    packets = (packets ?? 0n) + sampling.packets - (then.packets ?? 0n);
  }
  return { trials: counted ? trials : undefined, packets };
}

/** Whether two entries are of the same hook, seen at different times. */
export function sameHook(one: Sampling, other: Sampling): boolean {
  return one.ifindex === other.ifindex && one.parent === other.parent && one.chain === other.chain && one.preference === other.preference &&
    one.protocol === other.protocol && one.kind === other.kind && one.handle === other.handle && one.order === other.order &&
    // An action that no filter uses has only its index.
    (one.ifindex !== undefined || one.index === other.index);
}
