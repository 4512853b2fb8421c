/**
 * Whether samples are generated, judged by two readings of the kernel's counters. Pure. It claims nothing that the readings do not prove: a
 * sampler picks at random, and a group may have several samplers.
 *
 * Sources: net/sched/act_sample.c (each packet is sampled with the probability 1/rate), net/psample/psample.c (a sample
 * counts up the number of its group; since Linux 6.11 only if somebody listens).
 */
import type { Group } from "../psample/group.ts";
import { sameHook } from "./passed.ts";
import type { Sampling } from "./sampling/sampling.ts";

/**
 * Whether samples of a hook are generated and heard.
 *
 * - `flowing`: samples were generated
 * - `idle`: no packet reached it
 * - `no listener`: packets arrived, and no socket in this network namespace listens to samples
 * - `unheard`: packets arrived, and no samples were generated although some were due: since Linux 6.11 a sign that nobody listens
 * - `unknown`: packets arrived, and it cannot be determined whether samples were generated: none was due yet, the samples of its group may
 *   come from another hook, or the kernel does not count them
 *
 * @category Diagnosis
 */
export type Flow = "flowing" | "idle" | "no listener" | "unheard" | "unknown";

/** One reading of the counters. */
export interface Reading {
  /** All sample actions. */
  readonly samplings: readonly Sampling[];
  /** The psample groups by their numbers; `undefined` if the kernel cannot be asked. */
  readonly groups: ReadonlyMap<number, Group> | undefined;
  /** How many sockets of this network namespace have joined psample's samples; `undefined` if the kernel does not say. */
  readonly listeners: number | undefined;
  /** The kernel generates samples even if nobody listens: it is older than Linux 6.11. */
  readonly generatesUnheard: boolean;
}

/** A probability below this is taken as impossible. */
const NEVER = 1e-3;

/**
 * The most packets that one decision of the sampler may stand for in a counter of segments: what BIG TCP allows (512 KiB,
 * GSO_MAX_SIZE) in segments of 1 KiB.
 */
const MOST_SEGMENTS = 512n;

/** The flow of `sampling`, one of the entries of the later reading. */
export function flowOf(sampling: Sampling, before: Reading, now: Reading): Flow {
  const came = trialsSince(sampling, before);
  if (came === undefined) return "unknown";
  if (came === 0n) return "idle";
  const made = samplesSince(sampling.group, before, now);
  if (now.listeners === 0 && (made === 0 || made === undefined || now.generatesUnheard)) return "no listener";
  if (made === undefined) return "unknown";
  const due = chanceOfNone(sampling.rate, came) < NEVER;
  if (made > 0) {
    const others = now.samplings.some((other) =>
      other !== sampling && other.group === sampling.group && (trialsSince(other, before) ?? 1n) > 0n
    );
    return due || !others ? "flowing" : "unknown";
  }
  // Drivers number hardware samples in their own way, and an old kernel generates samples in any case.
  return due && sampling.where !== "hardware" && !now.generatesUnheard ? "unheard" : "unknown";
}

/** Minimum number of decisions that the sampler has made; `undefined` if no counter shows it. */
function trialsSince(sampling: Sampling, before: Reading): bigint | undefined {
  const then = before.samplings.find((other) => sameHook(other, sampling));
  const since = (now: bigint, past: bigint | undefined): bigint => past === undefined || past > now ? now : now - past;
  // Packets that hardware matches are counted only at the action; actions before it may keep packets from the sampler.
  if (sampling.hits !== undefined && sampling.where !== "hardware" && sampling.order === 1) return since(sampling.hits, then?.hits);
  if (sampling.packets === undefined) return undefined;
  const segments = since(sampling.packets, then?.packets);
  // The counter of an action that filters share does not show whose packets they were.
  if (segments > 0n && sampling.bindCount > 1) return undefined;
  return (segments + MOST_SEGMENTS - 1n) / MOST_SEGMENTS;
}

/** How many samples were numbered in a group; `undefined` if the kernel does not list it. */
function samplesSince(group: number | undefined, before: Reading, now: Reading): number | undefined {
  const sequence = group === undefined ? undefined : now.groups?.get(group)?.sequence;
  if (sequence === undefined || !before.groups) return undefined;
  const then = before.groups.get(group!)?.sequence ?? 0;
  // A group that was created again begins at 0.
  return sequence < then ? sequence : sequence - then;
}

/** The probability that a sampler picks none of this many packets. */
function chanceOfNone(rate: number | undefined, trials: bigint): number {
  return rate === undefined || rate < 1 ? 1 : (1 - 1 / rate) ** Number(trials);
}
