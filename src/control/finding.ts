/** Findings about the kernel, for {@linkcode diagnose} and for watching sampling. */
import { commandsIn } from "../wire/text.ts";
import type { Direction } from "./traffic_control.ts";

/**
 * One thing that was checked, and the result.
 *
 * @category Diagnosis
 */
export interface Finding {
  /** Good; worth knowing; or a fault, because of which samples do not arrive. */
  readonly verdict: "good" | "note" | "bad";
  /** What it is about: a fixed word for programs. */
  readonly about: FindingTopic;
  /** The name of the device, if it is about one. */
  readonly device?: string | undefined;
  /** Which packets of the device. */
  readonly direction?: Direction | undefined;
  /** The psample group, if it is about one. */
  readonly group?: number | undefined;
  /** The result, as a sentence for people. Names in it are escaped. */
  readonly what: string;
  /** What to do about it. */
  readonly cure?: string | undefined;
}

/**
 * What a {@linkcode Finding} is about.
 *
 * Of this process and kernel: `runtime`, `identity` (user and namespaces), `socket`, `family` (the psample module),
 * `events`, `samples` (whether they can be received), `buffer`, `other-namespaces`, `groups`, `listeners`, `leftovers`.
 *
 * Of one hook, where packets are sampled: `reached` (and nothing is in the way), `device-gone`, `device-down`, `no-carrier`,
 * `removed` (its filter is gone), `changed` (by another program), `claimed` (its clsact qdisc, by another program), `hidden` (filters in front), `unreachable-chain`, `tcx`,
 * `xdp`, `hardware`, `shared-group` (others sample into the same group), `not-sampled` (no hook at all),
 * `flow` (whether packets and samples come).
 *
 * @category Diagnosis
 */
export type FindingTopic =
  | "runtime"
  | "identity"
  | "socket"
  | "family"
  | "events"
  | "samples"
  | "buffer"
  | "other-namespaces"
  | "groups"
  | "listeners"
  | "leftovers"
  | "reached"
  | "device-gone"
  | "device-down"
  | "no-carrier"
  | "removed"
  | "changed"
  | "claimed"
  | "hidden"
  | "unreachable-chain"
  | "tcx"
  | "xdp"
  | "hardware"
  | "shared-group"
  | "not-sampled"
  | "flow";

/** A finding as seen from outside the network namespace that it is about: its cure must be applied in there. */
export function findingIn(netns: string | undefined, finding: Finding): Finding {
  return netns === undefined || finding.cure === undefined ? finding : { ...finding, cure: commandsIn(netns, finding.cure) };
}
