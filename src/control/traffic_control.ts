/**
 * Requests about traffic control, with the cures for what the kernel answers.
 *
 * @module
 */
import { NetlinkError } from "../errors.ts";
import { decodeLink, encodeGetLink, encodeLinkDump, IFNAME_MAX, type Link, LinkTable, RTM_NEWLINK } from "../link/link.ts";
import { Requests } from "../socket/requests.ts";
import { EINVAL, ENODEV, ENOENT, EOPNOTSUPP, EPERM, NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import { type Action, decodeActions } from "../tc/action.ts";
import { decodeFilter, encodeFilter, encodeFilterDump, type Filter, type FilterKey } from "../tc/filter.ts";
import { refusedArgument } from "../tc/refused.ts";
import { decodeQdisc, encodeQdisc, encodeQdiscDump, type Qdisc } from "../tc/qdisc.ts";
import { RTM_GETACTION, RTM_NEWACTION, RTM_NEWQDISC, RTM_NEWTFILTER, TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from "../tc/tcmsg.ts";
import type { Message } from "../wire/message.ts";

/** Which packets of a device. */
export type Direction = "ingress" | "egress";

/** Where the filters of a direction hang. */
export const PARENTS: Readonly<Record<Direction, number>> = { ingress: TC_H_CLSACT_INGRESS, egress: TC_H_CLSACT_EGRESS };

const HINTS: readonly (readonly [number, RegExp | undefined, string])[] = [
  [EPERM, undefined, "Changing traffic control takes CAP_NET_ADMIN in this network namespace: run it as root"],
  [ENOENT, /action module/i, "The kernel has no sample action: modprobe act_sample (CONFIG_NET_ACT_SAMPLE)"],
  [ENOENT, /classifier/i, "The kernel lacks the classifier: modprobe cls_matchall, or cls_flower for a match"],
  [EOPNOTSUPP, /block is shared/i, "Its filters are a block that devices may share: tc filter add block NUMBER adds one for all of them"],
  [ENOENT, /qdisc kind/i, "The kernel has no clsact qdisc: modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)"],
];

/** What helps against a refusal, by error number. */
export type Cures = Readonly<Partial<Record<number, string>>>;

/** A socket for requests about traffic control. */
export class TrafficControl {
  readonly #requests: Requests;

  /** Opens the socket. */
  constructor(sys: Sys) {
    this.#requests = new Requests(sys, NETLINK_ROUTE);
  }

  /** Closes the socket. */
  close(): void {
    this.#requests.close();
  }

  /** One device, by name or index. */
  async link(device: string | number): Promise<Link> {
    const op = `find the device ${device}`;
    try {
      const [message] = await this.#requests.request(encodeGetLink(device), op);
      if (message && message.type === RTM_NEWLINK) return decodeLink(message);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === ENODEV)) throw error;
    }
    const long = typeof device === "string" && new TextEncoder().encode(device).length > IFNAME_MAX;
    const hint = `${long ? `Names have up to ${IFNAME_MAX} bytes, and it is no alternative name either. ` : ""}` +
      "See ip link for the devices of this network namespace";
    throw new NetlinkError(op, ENODEV, { hint });
  }

  /** All devices; with their counters if asked for. */
  async links(counters = false): Promise<LinkTable> {
    return LinkTable.of(await this.#requests.request(encodeLinkDump(counters), "list network devices"));
  }

  /** All qdiscs of all devices. */
  async qdiscs(): Promise<Qdisc[]> {
    const messages = await this.#requests.request(encodeQdiscDump(), "list qdiscs");
    return messages.filter((message) => message.type === RTM_NEWQDISC).map(decodeQdisc);
  }

  /** The filters at a parent, those of one preference where it is given, without the entries that stand for a whole preference. */
  async filters(ifindex: number, parent: number, preference?: number): Promise<Filter[]> {
    const messages = await this.#requests.request(encodeFilterDump({ ifindex, parent, preference }), "list filters");
    return messages.filter((message) => message.type === RTM_NEWTFILTER).map(decodeFilter).filter((filter) =>
      filter.classifier !== undefined
    );
  }

  /** The filters of every qdisc that may have some. */
  async allFilters(): Promise<Filter[]> {
    const filters: Filter[] = [];
    const seen = new Set<string>();
    // The kernel's own order is that of a hash of names.
    const qdiscs = (await this.qdiscs()).sort((a, b) => a.ifindex - b.ifindex);
    for (const { ifindex, kind, handle, ingressBlock, egressBlock } of qdiscs) {
      const parents = kind === "clsact" ? [PARENTS.ingress, PARENTS.egress] : kind === "ingress" ? [PARENTS.ingress] : [handle];
      for (const parent of parents) {
        const block = parent === PARENTS.egress ? egressBlock : ingressBlock;
        // A block is the same at each of its devices.
        const key = block === undefined ? `${ifindex}/${parent}` : `block ${block}`;
        // Default qdiscs have no handle, and hold no filters.
        if (parent === 0 || seen.has(key)) continue;
        seen.add(key);
        filters.push(...await this.filters(ifindex, parent));
      }
    }
    return filters;
  }

  /** Sends a request and returns its answer. `cures` are those of this request, by error number. */
  async change(message: Uint8Array<ArrayBuffer>, op: string, cures?: Cures): Promise<Message[]> {
    try {
      return await this.#requests.request(message, op);
    } catch (error) {
      throw error instanceof NetlinkError ? withHint(error, message, cures) : error;
    }
  }

  /** Sends a request about sample actions and returns those that its answer has. */
  async sampleActions(message: Uint8Array<ArrayBuffer>, op: string, cures?: Cures): Promise<Action[]> {
    // A get is answered by its own type, everything else by NEWACTION or DELACTION.
    return (await this.change(message, op, cures)).filter(({ type }) => type >= RTM_NEWACTION && type <= RTM_GETACTION)
      .flatMap((answer) => decodeActions(answer).actions)
      .filter((action) => action.sample !== undefined);
  }

  /** Removes one filter; that it is gone already, or its device, is what was wanted. */
  async removeFilter(filter: FilterKey): Promise<void> {
    const { ifindex, parent, preference, protocol, handle, chain, kind } = filter;
    try {
      await this.change(encodeFilter("delete", { ifindex, parent, preference, protocol, handle, chain, kind }), "remove a sampling filter");
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Removes the clsact of a device where no filter is left on either side. */
  async removeUnusedClsact(ifindex: number): Promise<void> {
    try {
      for (const parent of [PARENTS.ingress, PARENTS.egress]) {
        if ((await this.filters(ifindex, parent)).length > 0) return;
      }
      await this.change(encodeQdisc("delete", { ifindex, kind: "clsact" }), "remove the clsact qdisc");
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
}

/** The kernel has three ways to say that there is no such thing. */
function isGone(error: unknown): boolean {
  return error instanceof NetlinkError && [ENOENT, ENODEV, EINVAL].includes(error.errno);
}

function withHint(error: NetlinkError, request: Uint8Array, cures: Cures = {}): NetlinkError {
  const { op, errno, extackOffset } = error;
  const argument = extackOffset === undefined ? undefined : refusedArgument(request, extackOffset);
  const extack = argument === undefined ? error.extack : `${error.extack ?? "refused"} (${argument})`;
  // The kernel says EPERM also for what is in use, and then says more.
  const own = errno === EPERM && !extack ? undefined : cures[errno];
  const hint = own ?? HINTS.find(([number, text]) => number === errno && (!text || text.test(extack ?? "")))?.[2];
  return new NetlinkError(op, errno, { extack, extackOffset, hint });
}
