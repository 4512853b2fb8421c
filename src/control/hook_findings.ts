/** Findings about one sample action that was watched for a moment. Pure. */
import type { Link } from "../link/link.ts";
import { TCM_IFINDEX_MAGIC_BLOCK } from "../tc/tcmsg.ts";
import { ETH_P_ALL } from "../wire/ether_types.ts";
import { printable } from "../wire/text.ts";
import type { Finding } from "./finding.ts";
import type { Sampling } from "./sampling/sampling.ts";
import type { Observed } from "./survey.ts";

/** Where a sample action is, in the words of tc: `eth0 ingress pref 10`. Names in it are escaped. */
export function placeText({ device, ifindex, direction, parent = 0, preference, chain, index }: Sampling): string {
  if (ifindex === undefined) return `the sample action ${index}`;
  const where = ifindex === TCM_IFINDEX_MAGIC_BLOCK
    ? `block ${parent}`
    : `${printable(device ?? `if${ifindex}`)} ${direction ?? `parent ${parent.toString(16)}`}`;
  return `${where}${chain ? ` chain ${chain}` : ""} pref ${preference}`;
}

/**
 * The findings about a sample action: its state, then what is in its way.
 *
 * @param asked The device that was asked about, if only one was.
 * @param mayBeDown Whether a device that is down is not a fault.
 */
export function hookFindings(observed: Observed, milliseconds: number, asked: Link | undefined, mayBeDown: boolean): Finding[] {
  const { sampling, reach } = observed;
  const { device, direction, group, rate, index } = sampling;
  if (!reach) {
    const what = `no filter uses the sample action ${index} (1 in ${rate} into group ${group})`;
    const cure = `tc filter add dev DEV ingress matchall action sample index ${index}`;
    return [{ verdict: "note", about: "not-sampled", group, what, cure }];
  }
  const inTheWay = reach.findings
    // One of several devices that share a block was asked about.
    .filter((finding) => !asked || finding.device === asked.name)
    .map((finding): Finding => mayBeDown && finding.about === "device-down" ? { ...finding, verdict: "note" } : finding);
  const where = sampling.where === undefined ? "" : `, in ${sampling.where}`;
  const subject = `${placeText(sampling)} samples 1 in ${rate} into group ${group}${where}`;
  const { verdict, said, cure } = doing(observed, milliseconds);
  return [{ verdict, about: "flow", device, direction, group, what: `${subject}: ${said}`, cure }, ...inTheWay];
}

interface Doing {
  readonly verdict: Finding["verdict"];
  readonly said: string;
  readonly cure?: string;
}

/** Its present state, whatever its counters have accumulated over its lifetime. */
function doing({ sampling, flow, reach, places }: Observed, milliseconds: number): Doing {
  const during = `in ${milliseconds} ms`;
  switch (flow) {
    case "flowing":
      return { verdict: "good", said: "samples are generated" };
    case "no listener":
      return { verdict: "note", said: "packets reach it, and nobody in this network namespace listens" };
    case "unheard":
      return { verdict: "note", said: "packets reach it, and no samples are generated: nobody listens" };
    case "unknown":
    case undefined:
      return { verdict: "good", said: `packets reach it; whether samples are generated could not be determined ${during}` };
    case "idle":
      break;
  }
  if (reach?.state === "hidden") return { verdict: "note", said: "no packet reaches it" };
  const passed = places.reduce((sum, { passed = 0n }) => sum + passed, 0n);
  const anything = sampling.kind === "matchall" && sampling.protocol === ETH_P_ALL && sampling.where !== "hardware" && !sampling.chain;
  const unseen = reach?.tcxUnknown ? " (whether a tcx program takes them is not known: that requires CAP_NET_ADMIN)" : "";
  if (passed === 0n || !anything) return { verdict: "note", said: `no packets ${during}${unseen}` };
  const said = `${passed} ${passed === 1n ? "packet" : "packets"} passed the device ${during}, and none reached it${unseen}`;
  if (reach?.state === "possibly-hidden") return { verdict: "bad", said };
  return { verdict: "note", said, cure: "something outside tc takes them: hardware forwarding, AF_XDP or netfilter" };
}
