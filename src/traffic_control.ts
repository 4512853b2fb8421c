/**
 * Requests about traffic control, with the cures for what the kernel answers.
 *
 * @module
 */
import { NetlinkError } from "./errors.ts";
import { decodeLink, encodeGetLink, encodeLinkDump, type Link, LinkTable, RTM_NEWLINK } from "./link/link.ts";
import { Requests } from "./netlink_socket.ts";
import { EINVAL, ENODEV, ENOENT, EPERM, NETLINK_ROUTE, type Sys } from "./sys/sys.ts";
import { decodeFilter, encodeFilter, encodeFilterDump, type Filter, type FilterKey } from "./tc/filter.ts";
import { decodeQdisc, encodeQdisc, encodeQdiscDump, type Qdisc } from "./tc/qdisc.ts";
import { RTM_NEWQDISC, RTM_NEWTFILTER, TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from "./tc/tcmsg.ts";
import { type Message, NLM_F_ECHO } from "./wire/message.ts";
import { LITTLE, viewOf } from "./wire/native.ts";

/** Which packets of a device. */
export type Direction = "ingress" | "egress";

/** Where the filters of a direction hang. */
export const PARENTS: Readonly<Record<Direction, number>> = { ingress: TC_H_CLSACT_INGRESS, egress: TC_H_CLSACT_EGRESS };

const HINTS: readonly (readonly [number, RegExp | undefined, string])[] = [
  [EPERM, undefined, "Changing traffic control takes CAP_NET_ADMIN in this network namespace: run it as root"],
  [ENOENT, /action module/i, "The kernel has no sample action: modprobe act_sample (CONFIG_NET_ACT_SAMPLE)"],
  [ENOENT, /classifier/i, "The kernel lacks the classifier: modprobe cls_matchall, or cls_flower for a match"],
  [ENOENT, /qdisc kind/i, "The kernel has no clsact qdisc: modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)"],
];

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
    const [message] = await this.#requests.request(encodeGetLink(device), op);
    if (!message || message.type !== RTM_NEWLINK) throw new NetlinkError(op, ENODEV);
    return decodeLink(message);
  }

  /** All devices. */
  async links(): Promise<LinkTable> {
    return LinkTable.of(await this.#requests.request(encodeLinkDump(), "list network devices"));
  }

  /** All qdiscs of all devices. */
  async qdiscs(): Promise<Qdisc[]> {
    const messages = await this.#requests.request(encodeQdiscDump(), "list qdiscs");
    return messages.filter((message) => message.type === RTM_NEWQDISC).map(decodeQdisc);
  }

  /** The filters at a parent, without the entries that stand for a whole preference. */
  async filters(ifindex: number, parent: number): Promise<Filter[]> {
    const messages = await this.#requests.request(encodeFilterDump({ ifindex, parent }), "list filters");
    return messages.filter((message) => message.type === RTM_NEWTFILTER).map(decodeFilter).filter((filter) =>
      filter.classifier !== undefined
    );
  }

  /** The filters of every qdisc that may have some. */
  async allFilters(): Promise<Filter[]> {
    const filters: Filter[] = [];
    const seen = new Set<string>();
    for (const { ifindex, kind, handle } of await this.qdiscs()) {
      const parents = kind === "clsact" ? [PARENTS.ingress, PARENTS.egress] : kind === "ingress" ? [PARENTS.ingress] : [handle];
      for (const parent of parents) {
        const key = `${ifindex}/${parent}`;
        // Default qdiscs have no handle, and hold no filters.
        if (parent === 0 || seen.has(key)) continue;
        seen.add(key);
        filters.push(...await this.filters(ifindex, parent));
      }
    }
    return filters;
  }

  /** Sends a request and returns its answer. `denied` is the cure where EPERM has another reason than the privilege. */
  async change(message: Uint8Array<ArrayBuffer>, op: string, denied?: string): Promise<Message[]> {
    try {
      return await this.#requests.request(message, op);
    } catch (error) {
      throw error instanceof NetlinkError ? withHint(error, denied) : error;
    }
  }

  /** Sends a request that makes something, and returns what was made. */
  async echo(message: Uint8Array<ArrayBuffer>, op: string): Promise<Message[]> {
    const view = viewOf(message);
    view.setUint16(6, view.getUint16(6, LITTLE) | NLM_F_ECHO, LITTLE);
    return await this.change(message, op);
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

function withHint(error: NetlinkError, denied: string | undefined): NetlinkError {
  // The kernel says EPERM also for what is in use, and then says more.
  const found = error.errno === EPERM && error.extack && denied
    ? [0, undefined, denied] as const
    : HINTS.find(([errno, text]) => errno === error.errno && (!text || text.test(error.extack ?? "")));
  if (!found) return error;
  const { op, errno, extack, extackOffset } = error;
  return new NetlinkError(op, errno, { extack, extackOffset, hint: found[2] });
}
