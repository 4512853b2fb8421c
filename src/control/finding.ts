/** What looking at the kernel found, for {@linkcode diagnose} and for whoever watches sampling. */
import { commandsIn } from "../wire/text.ts";
import type { Direction } from "./traffic_control.ts";

/**
 * One thing that was looked at, and what was found.
 *
 * @category Diagnosis
 */
export interface Finding {
  /** Good; worth knowing; or a fault: samples do not come. */
  readonly verdict: "good" | "note" | "bad";
  /** What it is about: a fixed word for programs. */
  readonly about: FindingTopic;
  /** The name of the device, where it is about one. */
  readonly device?: string | undefined;
  /** Which packets of the device. */
  readonly direction?: Direction | undefined;
  /** The psample group, where it is about one. */
  readonly group?: number | undefined;
  /** What was found: a sentence for people. Names in it are escaped. */
  readonly what: string;
  /** What helps. */
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

/** A finding as it is told outside of the network namespace that it is about: what helps has to be done there. */
export function findingIn(netns: string | undefined, finding: Finding): Finding {
  return netns === undefined || finding.cure === undefined ? finding : { ...finding, cure: commandsIn(netns, finding.cure) };
}
