/** What to sample: the options of {@linkcode import("./install.ts").addSampling}, checked before anything is touched. */
import { ArgumentError } from "../../errors.ts";
import { compileMatch } from "../../filter/match.ts";
import { IFNAME_MAX } from "../../link/link.ts";
import { type ActionSpec, TC_COOKIE_MAX_SIZE } from "../../tc/action.ts";
import type { Control } from "../../tc/control.ts";
import type { ClassifierSpec } from "../../tc/filter.ts";
import { TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW } from "../../tc/tcmsg.ts";
import { ETH_P_ALL } from "../../wire/ether_types.ts";
import type { Direction } from "../traffic_control.ts";

/** What to sample, for {@linkcode addSampling}. */
export interface SamplingOptions {
  /** The device, by name or index. */
  device: string | number;
  /** Incoming packets, outgoing packets, or both. Defaults to `"both"`. */
  direction?: Direction | "both" | undefined;
  /** Sample 1 in `rate` packets: a u32 above 0. Selection is random, not every Nth. */
  rate?: number | undefined;
  /** The psample group that the samples go to, u32. Defaults to one that nobody uses. */
  group?: number | undefined;
  /** Truncate packets to this many bytes. Defaults to the whole packet; 0 gives samples without data. */
  truncateBytes?: number | undefined;
  /**
   * The index of the action, u32 above 0, for a new one. Without `rate`, an existing action with this index is shared as
   * it is: leave out `group`, `truncateBytes`, `cookie` and `control` too.
   */
  index?: number | undefined;
  /** 1 to 16 bytes that are part of every sample since Linux 6.11. Defaults to a mark of ours. */
  cookie?: Uint8Array | undefined;
  /**
   * What happens to the packet afterwards. Defaults to `"continue"`: later filters see the packet unchanged. (The default
   * of tc itself is `"pipe"`, which ends classification.)
   */
  control?: Control | undefined;
  /** Which packets to sample, such as `"ip proto tcp dport 80-90"`. Defaults to all. */
  match?: string | undefined;
  /** Sample only in hardware, or never in hardware. Defaults to hardware if it can, and software. */
  hardware?: "only" | "never" | undefined;
}

/** {@linkcode SamplingOptions}, checked. */
export interface SamplingPlan {
  readonly directions: readonly Direction[];
  /** The EtherType of the filters. */
  readonly protocol: number;
  readonly classifier: (actions: readonly ActionSpec[]) => ClassifierSpec;
  /** An existing action is to be shared. */
  readonly shares: boolean;
}

/**
 * Checks options.
 *
 * @throws {ArgumentError} if they make no sense.
 */
export function planSampling(options: SamplingOptions): SamplingPlan {
  const { device, direction = "both", rate, group, truncateBytes, index, cookie, control, match, hardware } = options;
  if (typeof device === "string") checkName(device);
  else checkNumber("device", device, 1, 0x7fffffff);
  if (!["ingress", "egress", "both"].includes(direction)) {
    throw new ArgumentError(`Cannot sample the direction ${direction}: it is ingress, egress or both`);
  }
  const shares = rate === undefined && index !== undefined;
  if (rate === undefined && !shares) throw new ArgumentError("Cannot sample without a rate: one packet in how many?");
  for (const [what, value] of Object.entries(shares ? { group, truncateBytes, cookie, control } : {})) {
    if (value !== undefined) {
      throw new ArgumentError(`Cannot share an action and change it: leave out ${what}, or give a rate for a new action`);
    }
  }
  if (rate !== undefined) checkNumber("rate", rate, 1);
  if (group !== undefined) checkNumber("group", group);
  if (truncateBytes !== undefined) checkNumber("truncateBytes", truncateBytes);
  if (index !== undefined) checkNumber("index", index, 1);
  if (cookie && (cookie.length < 1 || cookie.length > TC_COOKIE_MAX_SIZE)) {
    throw new ArgumentError(`Cannot sample with a cookie of ${cookie.length} bytes: 1 to ${TC_COOKIE_MAX_SIZE} are possible`);
  }
  const compiled = match === undefined ? undefined : compileMatch(match);
  const flags = hardware === "only" ? TCA_CLS_FLAGS_SKIP_SW : hardware === "never" ? TCA_CLS_FLAGS_SKIP_HW : undefined;
  const keys = compiled?.keys;
  return {
    directions: direction === "both" ? ["ingress", "egress"] : [direction],
    protocol: compiled?.protocol ?? ETH_P_ALL,
    classifier: (actions) => keys ? { kind: "flower", keys, flags, actions } : { kind: "matchall", flags, actions },
    shares,
  };
}

function checkName(name: string): void {
  const size = new TextEncoder().encode(name).length;
  if (size < 1 || size > 127) {
    throw new ArgumentError(`Cannot sample on the device ${JSON.stringify(name)}: a name has 1 to ${IFNAME_MAX} bytes`);
  }
}

function checkNumber(what: string, value: number, least = 0, most = 0xffffffff): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ArgumentError(`Cannot sample with ${what} ${value}: expected a whole number from ${least} to ${most}`);
  }
}
