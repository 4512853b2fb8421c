/**
 * The devices of a network namespace, kept up to date by the kernel's notifications (RTNLGRP_LINK): a renamed device has its new name at
 * once, and a lookup costs no more than a table access.
 *
 * Names are decoration: nothing here fails because of them. Whatever cannot be found out stays unknown, or as it was, and is tried again.
 */
import { DecodeError, SystemError } from "../errors.ts";
import type { Device, Devices } from "../link/device.ts";
import { ChangingLinkTable, decodeLink, encodeLinkDump, type Link, RTM_DELLINK, RTM_NEWLINK } from "../link/link.ts";
import type { Datagrams } from "../socket/datagrams.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { netnsOf, type NetnsOptions, open } from "../socket/open.ts";
import { EAGAIN, NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, SOL_NETLINK, type Sys } from "../sys/sys.ts";
import {
  ackError,
  decodeAck,
  type Message,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  setSequence,
  splitMessages,
} from "../wire/message.ts";

// include/uapi/linux/rtnetlink.h
const RTNLGRP_LINK = 1;
/** Bridges and others describe their ports in the same messages, with their own address family. */
const AF_UNSPEC = 0;

/** Indexes below this number are small. */
const NEAR = 1024;
/** How soon to try again what failed. */
const RETRY_MS = 1000;
/** How often a list is requested again if it changed while it was made: notifications of the changes are applied anyway. */
const MOST_DUMPS = 4;

/**
 * The devices of a network namespace as they are at the moment of asking.
 *
 * @category Devices
 */
export interface LiveDevices extends Devices, Disposable {
  /** Whether there is a device of this name; true if nothing is known of any. */
  has(name: string): boolean;
  /** Stops watching; what is known stays. Idempotent. */
  close(): void;
}

/**
 * Watches the devices of a network namespace. Needs no privileges. Whatever cannot be determined is unknown, and retried later.
 *
 * A listener watches its devices automatically, as soon as one is asked for: this function is for other uses.
 *
 * @category Devices
 */
export async function watchLinks(options: NetnsOptions = {}): Promise<LiveDevices> {
  return watchLinksWith(await open(options));
}

/** {@linkcode watchLinks} on a given seam. */
export function watchLinksWith(sys: Sys): LiveDevices {
  const links = new LiveLinks(sys);
  links.watch();
  return links;
}

/** {@linkcode watchLinks}, but nothing is opened before the first question. */
export class LiveLinks implements LiveDevices {
  readonly #sys: Sys;
  #socket: NetlinkSocket | undefined;
  #datagrams: Datagrams | undefined;
  /** For lists. In another network namespace it stays open, because that may be out of reach when the next list is needed. */
  #asking: NetlinkSocket | undefined;
  #sequence = 0;
  #table = new ChangingLinkTable();
  /**
   * Results since the table changed, by the 16 bits of an index that the kernel sends; `null` if there is no device. Each sample asks, so those
   * of small indexes, which nearly all devices have, are in an array.
   */
  readonly #near: (Device | null | undefined)[] = new Array(NEAR).fill(undefined);
  readonly #far = new Map<number, Device | null>();
  /** Set until the event loop has had its turn. */
  #turn: ReturnType<typeof setImmediate> | undefined;
  #drops = 0;
  /** Whether the table may be incomplete. */
  #isStale = true;
  #triedAt = -Infinity;
  #isClosed = false;
  #version = 0;
  /** In which version each device appeared. */
  readonly #since = new Map<number, number>();
  /** The names of all devices, as of a version. */
  #names: ReadonlySet<string | undefined> = new Set();
  #namedAt = -1;

  /** Watches by a given seam. */
  constructor(sys: Sys) {
    this.#sys = sys;
  }

  find(ifindex: number, nsid: number | undefined): Device | undefined {
    if (nsid !== undefined) return undefined;
    this.#refresh();
    const low16 = ifindex & 0xffff;
    const known = low16 < NEAR ? this.#near[low16] : this.#far.get(low16);
    if (known !== undefined) return known ?? undefined;
    let device = this.#table.resolveIfindex(low16);
    if (device === undefined) {
      // The device may have been created since.
      this.watch();
      device = this.#table.resolveIfindex(low16);
    }
    if (low16 < NEAR) this.#near[low16] = device ?? null;
    else this.#far.set(low16, device ?? null);
    return device;
  }

  has(name: string): boolean {
    this.#refresh();
    if (this.#namedAt !== this.#version) {
      this.#names = new Set(Array.from(this.#table.links(), (link) => link.name));
      this.#namedAt = this.#version;
    }
    return this.#names.size === 0 || this.#names.has(name);
  }

  /** A number that changes whenever something has changed. */
  get version(): number {
    return this.#version;
  }

  /**
   * In which version the device of an index appeared: another one that gets the index of one that is gone has another number. `undefined` if
   * there is none. If notifications were lost, both may seem to be the same.
   */
  since(index: number): number | undefined {
    return this.#since.get(index);
  }

  /** The devices as of the last update. */
  links(): Iterable<Link> {
    return this.#table.links();
  }

  /** The device of an index as of the last update; `undefined` if there is none. */
  get(index: number): Link | undefined {
    return this.#table.get(index);
  }

  all(): Iterable<Device> {
    return this.#table.links();
  }

  /** Begins a batch: the next lookup must reflect everything that happened before it. */
  begin(): void {
    if (this.#turn === undefined) return;
    clearImmediate(this.#turn);
    this.#turn = undefined;
  }

  /** Brings the table up to date: by the kernel's notifications, or by a list of all devices. */
  watch(): void {
    if (this.#isClosed) return;
    try {
      this.#follow();
      if (!this.#isStale || performance.now() - this.#triedAt < RETRY_MS) return;
      this.#triedAt = performance.now();
      this.#open();
      this.#list();
      this.#isStale = false;
      this.#triedAt = -Infinity;
    } catch (error) {
      if (!(error instanceof SystemError || error instanceof DecodeError)) throw error;
    }
  }

  /** Once per turn of the event loop, unless a new batch begins before. */
  #refresh(): void {
    if (this.#turn === undefined) this.#takeTurn();
  }

  /** Apart from where it is called for each sample: a function with a closure in it allocates memory even if the closure is not made. */
  #takeTurn(): void {
    this.#turn = setImmediate(() => this.#turn = undefined);
    this.watch();
  }

  close(): void {
    this.#isClosed = true;
    this.begin();
    this.#socket?.close();
    this.#asking?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Before the list, so that changes while it is made are notified too. */
  #open(): void {
    if (this.#socket) return;
    const socket = new NetlinkSocket(this.#sys, NETLINK_ROUTE);
    try {
      socket.join(RTNLGRP_LINK, "link of rtnetlink");
      this.#datagrams = socket.batch(4, { senders: true });
      this.#socket = socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Applies the kernel's notifications since. */
  #follow(): void {
    const socket = this.#socket;
    if (!socket) return;
    let isTold = false;
    for (const message of messagesOf(socket, this.#datagrams!)) {
      isTold = true;
      this.#apply(message);
    }
    // Whatever did not fit into the socket came after something that did.
    if (!isTold) return;
    const drops = socket.drops();
    if (drops !== this.#drops) this.#isStale = true;
    this.#drops = drops;
  }

  /** Asks for all devices. The kernel makes the list as it is read, so that there is nothing to wait for. */
  #list(): void {
    const socket = this.#asking ?? new NetlinkSocket(this.#sys, NETLINK_ROUTE);
    if (netnsOf(this.#sys) !== undefined) this.#asking = socket;
    try {
      socket.option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
      const datagrams = socket.batch(8, { senders: true });
      for (let i = 1;; i++) {
        const { table, isInterrupted } = dump(socket, datagrams, ++this.#sequence);
        if (isInterrupted && i < MOST_DUMPS) continue;
        this.#table = table;
        this.#version++;
        for (const index of this.#since.keys()) if (!table.get(index)) this.#since.delete(index);
        for (const { index } of table.links()) if (!this.#since.has(index)) this.#since.set(index, this.#version);
        this.#forget();
        return;
      }
    } finally {
      if (socket !== this.#asking) socket.close();
    }
  }

  /** The table has changed. */
  #forget(): void {
    this.#near.fill(undefined);
    this.#far.clear();
  }

  #apply(message: Message): void {
    const { type, payload } = message;
    if ((type !== RTM_NEWLINK && type !== RTM_DELLINK) || payload[0] !== AF_UNSPEC) return;
    const link = decodeLink(message);
    this.#version++;
    this.#forget();
    if (type === RTM_DELLINK) {
      this.#since.delete(link.index);
      return this.#table.delete(link.index);
    }
    if (!this.#since.has(link.index)) this.#since.set(link.index, this.#version);
    // Some messages, such as those of wireless cards, do not contain everything.
    const { address, mtu } = this.#table.get(link.index) ?? link;
    this.#table.set({ ...link, address: link.address ?? address, mtu: link.mtu ?? mtu });
  }
}

const OP = "list network devices";

function dump(socket: NetlinkSocket, datagrams: Datagrams, sequence: number): { table: ChangingLinkTable; isInterrupted: boolean } {
  const request = encodeLinkDump();
  setSequence(request, sequence);
  if (!socket.send(request, OP)) throw new SystemError(OP, EAGAIN);
  const table = new ChangingLinkTable();
  let isInterrupted = false;
  for (const message of messagesOf(socket, datagrams)) {
    if (message.sequence !== sequence) continue;
    if (message.flags & NLM_F_DUMP_INTR) isInterrupted = true;
    if (message.type === RTM_NEWLINK) table.set(decodeLink(message));
    if (message.type !== NLMSG_DONE && message.type !== NLMSG_ERROR) continue;
    const error = ackError(OP, decodeAck(message));
    if (error) throw error;
    return { table, isInterrupted };
  }
  throw new SystemError(OP, EAGAIN);
}

/** The messages queued from the kernel, until there are no more. */
function* messagesOf(socket: NetlinkSocket, datagrams: Datagrams): Generator<Message> {
  for (let count = socket.receive(datagrams); count > 0; count = socket.receive(datagrams)) {
    const { buffer } = datagrams.own(count);
    for (let i = 0; i < count; i++) {
      // Anybody may send to a netlink socket.
      if (datagrams.portId(i) === 0) yield* splitMessages(new Uint8Array(buffer, datagrams.start(i), datagrams.length(i)));
    }
  }
}
