/**
 * Requests about traffic control, with cures for the kernel's refusals.
 *
 * @module
 */
import { type Advice, NetlinkError } from "../errors.ts";
import { decodeLink, encodeGetLink, encodeLinkDump, IFNAME_MAX, type Link, LinkTable, RTM_NEWLINK } from "../link/link.ts";
import { netnsOf } from "../socket/open.ts";
import { type Request, Requests } from "../socket/requests.ts";
import { EINVAL, ENODEV, ENOENT, EOPNOTSUPP, EPERM, NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import { type Action, decodeActions, encodeActionDump } from "../tc/action.ts";
import { type Chain, decodeChain, encodeChainDump } from "../tc/chain.ts";
import { decodeFilter, encodeFilterDump, type Filter } from "../tc/filter.ts";
import { refusedArgument } from "../tc/refused.ts";
import { decodeQdisc, encodeQdiscDump, type Qdisc } from "../tc/qdisc.ts";
import {
  decodeTcHeader,
  RTM_GETACTION,
  RTM_NEWACTION,
  RTM_NEWCHAIN,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  splitFilterInfo,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TC_H_FFFF,
} from "../tc/tcmsg.ts";
import type { Message } from "../wire/message.ts";
import { commandsIn } from "../wire/text.ts";

/**
 * Which packets of a device.
 *
 * @category Sampling
 */
export type Direction = "ingress" | "egress";

/** The parent of the filters of a direction. */
export const PARENTS: Readonly<Record<Direction, number>> = { ingress: TC_H_CLSACT_INGRESS, egress: TC_H_CLSACT_EGRESS };

/** The direction that a parent of filters stands for; `undefined` for another qdisc. */
export function directionOf(parent: number): Direction | undefined {
  if (parent === PARENTS.egress) return "egress";
  // An ingress qdisc has two names for its only side.
  return parent === PARENTS.ingress || parent === TC_H_FFFF ? "ingress" : undefined;
}

/** What to do if this process may not change anything. */
export const PRIVILEGE_HINT = "Changing traffic control requires CAP_NET_ADMIN in this network namespace: run as root";

const HINTS: readonly (readonly [number, RegExp | undefined, string])[] = [
  [EPERM, undefined, PRIVILEGE_HINT],
  [ENOENT, /action module/i, "The kernel has no sample action: modprobe act_sample (CONFIG_NET_ACT_SAMPLE)"],
  [ENOENT, /classifier/i, "The kernel lacks the classifier: modprobe cls_matchall, or for a match cls_flower or cls_bpf"],
  [
    EOPNOTSUPP,
    /block is shared/i,
    "Its filters are in a block that devices may share: tc filter add block NUMBER adds one for all of them",
  ],
  [ENOENT, /qdisc kind/i, "The kernel has no clsact qdisc: modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)"],
];

/** Cures for refusals, by error number. */
export type Cures = Readonly<Partial<Record<number, string | Advice>>>;

/** One of several changes that are sent together. */
export interface Change extends Request {
  /** Cures for refusals of this change. */
  readonly cures?: Cures | undefined;
  /** Receives the messages of the kernel's answer, such as an echo. */
  readonly onAnswer?: ((answer: Message) => void) | undefined;
}

/** A socket for requests about traffic control. */
export class TrafficControl {
  readonly #requests: Requests;
  /** The network namespace that it works in, as {@linkcode netnsOf} returns it. */
  readonly netns: string | undefined;

  /** Opens the socket. */
  constructor(sys: Sys) {
    this.netns = netnsOf(sys);
    this.#requests = new Requests(sys, NETLINK_ROUTE);
  }

  /** The port id of the socket, which notifications give as the originator of a change. */
  get portId(): number {
    return this.#requests.portId;
  }

  /** Closes the socket. */
  close(): void {
    this.#requests.close();
  }

  /** One device, by name or index; `undefined` if this network namespace does not have it. */
  async findLink(device: string | number): Promise<Link | undefined> {
    try {
      const [message] = await this.#requests.request(encodeGetLink(device), findOp(device));
      return message?.type === RTM_NEWLINK ? decodeLink(message) : undefined;
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === ENODEV)) throw error;
      return undefined;
    }
  }

  /**
   * One device, by name or index.
   *
   * @throws {NetlinkError} `ENODEV` if this network namespace does not have it.
   */
  async link(device: string | number): Promise<Link> {
    const link = await this.findLink(device);
    if (link) return link;
    const long = typeof device === "string" && new TextEncoder().encode(device).length > IFNAME_MAX;
    const hint = `${long ? `Names have up to ${IFNAME_MAX} bytes, and it is not an alternative name either. ` : ""}` +
      `See ${commandsIn(this.netns, "ip link")} for the devices of this network namespace`;
    throw new NetlinkError(findOp(device), ENODEV, { hint });
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

  /** The filters at a parent, those of one preference if it is given. */
  async filters(ifindex: number, parent: number, preference?: number): Promise<Filter[]> {
    return (await this.filterEntries(ifindex, parent, preference)).filter(({ classifier }) => classifier !== undefined);
  }

  /**
   * The filters of a chain up to a preference, inclusive. The kernel also lists those after them, possibly thousands: they are not decoded.
   */
  async filtersUpTo(ifindex: number, parent: number, chain: number, preference: number): Promise<Filter[]> {
    const messages = await this.#requests.request(encodeFilterDump({ ifindex, parent, chain }), "list filters");
    return messages.filter((message) =>
      message.type === RTM_NEWTFILTER && splitFilterInfo(decodeTcHeader(message, "filter").info).preference <= preference
    ).map(decodeFilter).filter(({ classifier }) => classifier !== undefined);
  }

  /** The filters at a parent, and the entries that stand for a whole preference: these have no classifier. */
  async filterEntries(ifindex: number, parent: number, preference?: number): Promise<Filter[]> {
    const messages = await this.#requests.request(encodeFilterDump({ ifindex, parent, preference }), "list filters");
    return messages.filter((message) => message.type === RTM_NEWTFILTER).map(decodeFilter);
  }

  /** The chains at a parent; none before Linux 4.19. */
  async chains(ifindex: number, parent: number): Promise<Chain[]> {
    try {
      const messages = await this.#requests.request(encodeChainDump(ifindex, parent), "list chains");
      return messages.filter((message) => message.type === RTM_NEWCHAIN).map(decodeChain);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === EOPNOTSUPP) return [];
      throw error;
    }
  }

  /** The filters of every qdisc that may have any. */
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

  /** All sample actions, those of filters included; none if the kernel has no actions (CONFIG_NET_CLS_ACT). */
  async allSampleActions(): Promise<Action[]> {
    try {
      return await this.sampleActions(encodeActionDump(), "list sample actions");
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === EOPNOTSUPP) return [];
      throw error;
    }
  }

  /** Sends a request and returns its answer. `cures` are those of this request, by error number. */
  async change(message: Uint8Array<ArrayBuffer>, op: string, cures?: Cures): Promise<Message[]> {
    try {
      return await this.#requests.request(message, op);
    } catch (error) {
      throw error instanceof NetlinkError ? this.#withHint(error, message, cures) : error;
    }
  }

  /**
   * Sends several changes in one datagram, see {@linkcode Requests.requestAll}.
   *
   * @returns For each, why the kernel refused it, or `undefined` for success.
   */
  async changeAll(changes: readonly Change[]): Promise<(NetlinkError | undefined)[]> {
    const outcomes = await this.#requests.requestAll(changes);
    for (const [i, { messages }] of outcomes.entries()) for (const answer of messages) changes[i]!.onAnswer?.(answer);
    return outcomes.map(({ error }, i) => error && this.#withHint(error, changes[i]!.message, changes[i]!.cures));
  }

  /** Sends a request about sample actions and returns those in its answer. */
  async sampleActions(message: Uint8Array<ArrayBuffer>, op: string, cures?: Cures): Promise<Action[]> {
    // A get is answered by its own type, everything else by NEWACTION or DELACTION.
    return (await this.change(message, op, cures)).filter(({ type }) => type >= RTM_NEWACTION && type <= RTM_GETACTION)
      .flatMap((answer) => decodeActions(answer).actions)
      .filter((action) => action.sample !== undefined);
  }

  #withHint(error: NetlinkError, request: Uint8Array, cures: Cures = {}): NetlinkError {
    const { op, errno, extackOffset } = error;
    const argument = extackOffset === undefined ? undefined : refusedArgument(request, extackOffset);
    const extack = argument === undefined ? error.extack : `${error.extack ?? "refused"} (${argument})`;
    // The kernel also returns EPERM for actions in use, and then with a message.
    const own = errno === EPERM && !extack ? undefined : cures[errno];
    const hint = own ?? HINTS.find(([number, text]) => number === errno && (!text || text.test(extack ?? "")))?.[2];
    return new NetlinkError(op, errno, { extack, extackOffset, hint: typeof hint === "object" ? hint : commandsIn(this.netns, hint) });
  }
}

/** Runs `work` with a socket for requests about traffic control, and closes it. */
export async function withTrafficControl<Result>(sys: Sys, work: (tc: TrafficControl) => Promise<Result>): Promise<Result> {
  const tc = new TrafficControl(sys);
  try {
    return await work(tc);
  } finally {
    tc.close();
  }
}

/** What is attempted when a device is looked for. */
export function findOp(device: string | number): string {
  return `find the device ${device}`;
}

/** ENOENT, ENODEV and EINVAL all mean that there is no such filter or qdisc, or not any more. */
export function isGone(error: unknown): boolean {
  return error instanceof NetlinkError && [ENOENT, ENODEV, EINVAL].includes(error.errno);
}
