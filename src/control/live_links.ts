/**
 * The network devices of this namespace, kept up to date by what the kernel tells of them (RTNLGRP_LINK): a device that is renamed has
 * its new name at once, and asking for one costs a look into a table.
 *
 * Names are decoration: nothing here fails because of them. What cannot be found out stays unknown, or as it was.
 */
import { DecodeError, NetlinkError } from "../errors.ts";
import { type Device, type Devices, NO_DEVICES } from "../link/device.ts";
import { ChangingLinkTable, decodeLink, encodeLinkDump, linksOf, RTM_DELLINK, RTM_NEWLINK } from "../link/link.ts";
import type { Datagrams } from "../socket/datagrams.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { Requests } from "../socket/requests.ts";
import { loadSys } from "../sys/load.ts";
import { NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import { type Message, splitMessages } from "../wire/message.ts";

// include/uapi/linux/rtnetlink.h
const RTNLGRP_LINK = 1;
/** Bridges and others tell about their ports in the same messages, with their own address family. */
const AF_UNSPEC = 0;

/** How soon to ask for all devices again after that failed. */
const RETRY_MS = 1000;

/** The devices of this network namespace as they are at the moment of asking. */
export interface LiveDevices extends Devices, Disposable {
  /** Stops watching; what is known stays. Idempotent. */
  close(): void;
}

/** Watches the network devices of this namespace. Needs no privileges. If that is impossible, no device is known. */
export async function watchLinks(): Promise<LiveDevices> {
  return await watchLinksWith(await loadSys());
}

/** {@linkcode watchLinks} on a given seam. */
export async function watchLinksWith(sys: Sys): Promise<LiveDevices> {
  try {
    const links = new LiveLinks(sys);
    await links.reload();
    return links;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return { ...NO_DEVICES, close: () => {}, [Symbol.dispose]: () => {} };
  }
}

class LiveLinks implements LiveDevices {
  readonly #sys: Sys;
  readonly #socket: NetlinkSocket;
  readonly #datagrams: Datagrams;
  #table = new ChangingLinkTable();
  /** What was asked for since the table changed, by the 16 bits that the kernel sends of an index. */
  readonly #found = new Map<number, Device | undefined>();
  /** Set until the event loop has had its turn. */
  #turn: ReturnType<typeof setImmediate> | undefined;
  #drops = 0;
  #reloading: Promise<void> | undefined;
  #reloadedAt = -Infinity;

  constructor(sys: Sys) {
    this.#sys = sys;
    this.#socket = new NetlinkSocket(sys, NETLINK_ROUTE);
    try {
      this.#socket.join(RTNLGRP_LINK, "link of rtnetlink");
      this.#datagrams = this.#socket.batch(4, { senders: true });
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  find(ifindex: number, nsid: number | undefined): Device | undefined {
    if (nsid !== undefined) return undefined;
    // Once for each turn of the event loop, and so about once for each batch.
    if (this.#turn === undefined) {
      this.#turn = setImmediate(() => this.#turn = undefined);
      this.#look();
    }
    const low16 = ifindex & 0xffff;
    if (this.#found.has(low16)) return this.#found.get(low16);
    let device = this.#table.resolveIfindex(low16);
    if (device === undefined) {
      // It may have been made since.
      this.#look();
      device = this.#table.resolveIfindex(low16);
    }
    this.#found.set(low16, device);
    return device;
  }

  /** Asks for all devices; what is told meanwhile is applied after that. */
  async reload(): Promise<void> {
    const requests = new Requests(this.#sys, NETLINK_ROUTE);
    try {
      this.#table = new ChangingLinkTable(linksOf(await requests.request(encodeLinkDump(), "list network devices")));
      this.#found.clear();
    } finally {
      requests.close();
    }
  }

  close(): void {
    if (this.#turn !== undefined) clearImmediate(this.#turn);
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Applies what the kernel has told since the last look. */
  #look(): void {
    if (this.#socket.fd < 0) return;
    try {
      for (let count = 1; count > 0;) {
        count = this.#socket.receive(this.#datagrams);
        const { buffer } = this.#datagrams.own(count);
        for (let i = 0; i < count; i++) {
          // Anybody may send to a netlink socket.
          if (this.#datagrams.portId(i) !== 0) continue;
          for (const message of splitMessages(new Uint8Array(buffer, this.#datagrams.start(i), this.#datagrams.length(i)))) {
            this.#apply(message);
          }
        }
      }
      const drops = this.#socket.drops();
      if (drops !== this.#drops && this.#startReload()) this.#drops = drops;
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof DecodeError)) throw error;
    }
  }

  #apply(message: Message): void {
    const { type, payload } = message;
    if ((type !== RTM_NEWLINK && type !== RTM_DELLINK) || payload[0] !== AF_UNSPEC) return;
    const link = decodeLink(message);
    this.#found.clear();
    if (type === RTM_DELLINK) return this.#table.delete(link.index);
    // Some messages, as those of wireless cards, do not say everything.
    const { address, mtu } = this.#table.get(link.index) ?? link;
    this.#table.set({ ...link, address: link.address ?? address, mtu: link.mtu ?? mtu });
  }

  /** Some of what the kernel told did not fit into the socket: only a new list has everything. */
  #startReload(): boolean {
    const now = performance.now();
    if (this.#reloading || now - this.#reloadedAt < RETRY_MS) return false;
    this.#reloadedAt = now;
    this.#reloading = this.reload().catch((error) => {
      if (!(error instanceof NetlinkError)) throw error;
      // Tried again later.
      this.#drops = -1;
    }).finally(() => this.#reloading = undefined);
    return true;
  }
}
