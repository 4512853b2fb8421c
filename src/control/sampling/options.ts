/** What to sample: the options of {@linkcode import("./install.ts").addSampling}, checked before anything is changed. */
import { ArgumentError, NetlinkError } from "../../errors.ts";
import { compileMatch, type Match } from "../../filter/match.ts";
import { ARPHRD_ETHER, IFNAME_MAX, type Link } from "../../link/link.ts";
import { deviceLinkType } from "../../link/link_type.ts";
import type { NetnsOptions } from "../../socket/open.ts";
import { EOPNOTSUPP } from "../../sys/sys.ts";
import { type ActionSpec, TC_COOKIE_MAX_SIZE } from "../../tc/action.ts";
import type { Control } from "../../tc/control.ts";
import type { ClassifierSpec } from "../../tc/filter.ts";
import { TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW } from "../../tc/tcmsg.ts";
import { printable } from "../../wire/text.ts";
import { checkNumber } from "../arguments.ts";
import type { Direction } from "../traffic_control.ts";

/** `ALTIFNAMSIZ` of include/linux/if.h is 128, with the NUL. */
const ALTIFNAME_MAX = 127;

/**
 * What to sample, for {@linkcode addSampling}. Numbers are whole; u32 means 0 to 4294967295. Anything else is an {@linkcode ArgumentError}
 * before anything is changed. What each option means in the kernel: tc-sample(8), tc-flower(8).
 *
 * @category Sampling
 */
export interface SamplingOptions extends NetnsOptions {
  /** The device, by name (an alternative name too) or by index. `ENODEV` if there is none. */
  device: string | number;
  /** Incoming packets, outgoing packets, or both. Defaults to `"both"`. With `"both"` the two filters have the same options. */
  direction?: Direction | "both" | undefined;
  /**
   * Sample 1 in `rate` packets: u32, at least 1. Selection is random, not every Nth. Required, unless `index` shares an
   * existing action.
   */
  rate?: number | undefined;
  /** The psample group that the samples go to: u32. Defaults to an unused one: see {@linkcode SamplingHandle.group}. */
  group?: number | undefined;
  /**
   * Truncate packets to this many bytes: u32. Defaults to whole packets; 0 gives samples without data. The original length
   * is part of each sample anyway.
   */
  truncateBytes?: number | undefined;
  /**
   * The index of the action: u32, at least 1. With `rate` a new action gets this index (`EEXIST` if there is one already), and both
   * directions share it. Without `rate` the existing action with this index is shared unchanged (`ENOENT` if there is none): leave out
   * `group`, `truncateBytes`, `cookie` and `control` then. Defaults to one that the kernel chooses.
   */
  index?: number | undefined;
  /** 1 to 16 bytes that are part of every sample since Linux 6.11. Defaults to `"psample"` and the handle of the filter. */
  cookie?: Uint8Array | undefined;
  /**
   * What happens to the packet after it was sampled. Defaults to `"continue"`: later filters see it unchanged. (tc itself defaults to
   * `"pipe"`, which ends classification after the last action.)
   */
  control?: Control | undefined;
  /**
   * Which packets to sample, such as `"tcp port 443 or icmp"`: an expression of pcap-filter(7), as {@linkcode filter} takes it, but
   * without what only samples have. If there are several, one of them must match. Defaults to all packets.
   *
   * It becomes one filter in each direction: flower if that can express it, so that hardware can run it, else a program for the classifier
   * `bpf`. It applies to the frame on the wire: VLAN tags stripped by the network card count. Flower differs in rare cases: it sees no
   * ports in fragments, finds protocols after IPv6 extension headers, and takes `vlan` to mean 802.1Q only. With `hardware: "never"` it is
   * used only if it means exactly the same.
   */
  match?: string | readonly string[] | undefined;
  /**
   * `"only"` samples in hardware, and fails with `EOPNOTSUPP` if the device cannot, which includes every match that flower cannot express;
   * `"never"` samples in software. Defaults to both if the device can, else to software: see {@linkcode Sampling.where}.
   */
  hardware?: "only" | "never" | undefined;
  /**
   * Removes the sampling when it aborts, also in the middle of the installation, which then fails with the signal's reason. {@linkcode
   * endOnSignals} makes one that aborts on SIGINT, SIGTERM and similar signals.
   */
  signal?: AbortSignal | undefined;
  /**
   * Receives messages for people about surprises that are not errors, such as a lock that another process does not release; and about why a
   * failed installation could not be undone, which otherwise is part of its error.
   */
  onWarning?: ((message: string) => void) | undefined;
}

/** {@linkcode SamplingOptions}, checked. */
export interface SamplingPlan {
  readonly directions: readonly Direction[];
  /** Whether an existing action is to be shared. */
  readonly shares: boolean;
  /**
   * The match for the packets of a device.
   *
   * @throws {NetlinkError} `EOPNOTSUPP` if it is not known how its packets begin.
   */
  readonly matchOn: (link: Link) => Match;
  readonly classifier: (match: Match, actions: readonly ActionSpec[]) => ClassifierSpec;
}

/**
 * Checks options. An invalid one is the caller's mistake, whatever the kernel supports, so this comes first.
 *
 * @throws {ArgumentError} if they make no sense.
 */
export function planSampling(options: SamplingOptions): SamplingPlan {
  const { device, direction = "both", rate, group, truncateBytes, index, cookie, control, hardware } = options;
  if (typeof device === "string") checkName(device);
  else checkNumber("device", device, 1, 0x7fffffff);
  if (!["ingress", "egress", "both"].includes(direction)) {
    throw new ArgumentError(`direction must be "ingress", "egress" or "both", not ${JSON.stringify(direction)}`);
  }
  const shares = rate === undefined && index !== undefined;
  if (rate === undefined && !shares) throw new ArgumentError("rate is required: sample 1 in rate packets");
  for (const [what, value] of Object.entries(shares ? { group, truncateBytes, cookie, control } : {})) {
    if (value !== undefined) {
      throw new ArgumentError(`Cannot share action ${index} and change its ${what}: leave out ${what}, or give a rate for a new action`);
    }
  }
  if (rate !== undefined) checkNumber("rate", rate, 1);
  if (group !== undefined) checkNumber("group", group);
  if (truncateBytes !== undefined) checkNumber("truncateBytes", truncateBytes);
  if (index !== undefined) checkNumber("index", index, 1);
  if (cookie && (cookie.length < 1 || cookie.length > TC_COOKIE_MAX_SIZE)) {
    throw new ArgumentError(`cookie must be 1 to ${TC_COOKIE_MAX_SIZE} bytes long, not ${cookie.length}`);
  }
  if (hardware !== undefined && !["only", "never"].includes(hardware)) {
    throw new ArgumentError(`hardware must be "only" or "never", not ${JSON.stringify(hardware)}`);
  }
  const matchOn = (link: Pick<Link, "name" | "type">): Match => matchOf(options, link);
  // Nearly all devices are of this type: if the match is invalid, it is invalid on this one.
  matchOn({ name: "", type: ARPHRD_ETHER });
  const flags = hardware === "only" ? TCA_CLS_FLAGS_SKIP_SW : hardware === "never" ? TCA_CLS_FLAGS_SKIP_HW : undefined;
  return {
    directions: direction === "both" ? ["ingress", "egress"] : [direction],
    shares,
    matchOn,
    classifier: (match, actions) => {
      switch (match.kind) {
        case "matchall":
          return { kind: "matchall", flags, actions };
        case "flower":
          return { kind: "flower", keys: match.keys, flags, actions };
        case "bpf":
          return { kind: "bpf", program: match.program, flags, actions };
      }
    },
  };
}

/**
 * What {@linkcode SamplingOptions.match} becomes on a device.
 *
 * @throws {ArgumentError} if it makes no sense.
 * @throws {NetlinkError} `EOPNOTSUPP` if it is not known how the device's packets begin.
 */
export function matchOf({ match = [], hardware }: SamplingOptions, { name, type }: Pick<Link, "name" | "type">): Match {
  const expressions = typeof match === "string" ? [match] : match;
  const first = deviceLinkType(type);
  const compiled = compileMatch(expressions, first ?? "ethernet", hardware === "never");
  if (first === undefined && compiled.kind !== "matchall") {
    const hint = `How packets of a device of type ${type} begin is not known: leave out match`;
    throw new NetlinkError(`match packets on ${printable(name)}`, EOPNOTSUPP, { hint });
  }
  return compiled;
}

function checkName(name: string): void {
  const size = new TextEncoder().encode(name).length;
  // An alternative name may be longer than a name.
  if (size >= 1 && size <= ALTIFNAME_MAX && !name.includes("\0")) return;
  throw new ArgumentError(`${JSON.stringify(name)} is not a valid device name: it must be 1 to ${IFNAME_MAX} bytes long`);
}
