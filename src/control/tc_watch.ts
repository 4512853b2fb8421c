/**
 * Notices changes of traffic control as they happen: the kernel notifies the multicast group RTNLGRP_TC of each, and of who asked for it.
 * Source: include/uapi/linux/rtnetlink.h.
 */
import { NetlinkError, SystemError } from "../errors.ts";
import type { Datagrams } from "../socket/datagrams.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { NETLINK_DROP_MEMBERSHIP, NETLINK_ROUTE, SOL_NETLINK, type Sys } from "../sys/sys.ts";
import { decodeTcHeader, RTM_DELQDISC, RTM_DELTFILTER, RTM_NEWCHAIN, RTM_NEWQDISC, RTM_NEWTFILTER } from "../tc/tcmsg.ts";
import { splitMessages } from "../wire/message.ts";

const RTNLGRP_TC = 4;
/** A chain's removal with its last filter adds no information. */
const CHANGES: readonly number[] = [RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER, RTM_NEWCHAIN];

/** A change of a qdisc, a filter or a chain. */
export interface TcEvent {
  /** RTM_*. */
  readonly type: number;
  /**
   * The port id of the socket that asked for it. 0 for a chain, whether it was created explicitly or with its first filter
   * (tc_chain_notify in net/sched/cls_api.c).
   */
  readonly by: number;
  /** The parent of what was changed. */
  readonly parent: number;
}

/**
 * Where all watches of a seam receive into: each interprets what it receives at once. One for each would take half a megabyte for each
 * device that is sampled.
 */
const ROOMS = new WeakMap<Sys, Datagrams>();

/** Listens to changes on one device at a time. */
export class TcWatch {
  readonly #socket: NetlinkSocket;
  readonly #batch: Datagrams;
  #ifindex = 0;
  #drops = 0;

  /** Begins to receive changes of a device; no privileges needed. `undefined` if {@linkcode TcWatch.prepare} says so. */
  static open(sys: Sys, ifindex: number): TcWatch | undefined {
    const watch = TcWatch.prepare(sys);
    if (watch?.begin(ifindex)) return watch;
    watch?.close();
    return undefined;
  }

  /**
   * Opens the socket without receiving anything yet: later there may be no descriptor left, or no right to enter the network namespace
   * again. `undefined` if that is so now. No privileges needed.
   */
  static prepare(sys: Sys): TcWatch | undefined {
    try {
      return new TcWatch(sys, new NetlinkSocket(sys, NETLINK_ROUTE));
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  private constructor(sys: Sys, socket: NetlinkSocket) {
    this.#socket = socket;
    this.#batch = ROOMS.get(sys) ?? socket.batch(8, { senders: true });
    ROOMS.set(sys, this.#batch);
  }

  /** Receives changes of this device from now on; false if that is not possible. */
  begin(ifindex: number): boolean {
    this.#ifindex = ifindex;
    try {
      this.#socket.join(RTNLGRP_TC, "RTNLGRP_TC");
    } catch (error) {
      if (error instanceof NetlinkError) return false;
      throw error;
    }
    // Notifications from before it was last ended.
    this.events();
    return true;
  }

  /** Receives nothing until it begins again. */
  end(): void {
    this.#socket.option(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, RTNLGRP_TC);
  }

  /** The changes since the last call, in order; `undefined` if some were lost because there were too many. */
  events(): TcEvent[] | undefined {
    const batch = this.#batch;
    const events: TcEvent[] = [];
    for (;;) {
      const count = this.#socket.receive(batch);
      if (count === 0) break;
      const datagrams = batch.own(count);
      for (let i = 0; i < count; i++) {
        // Anybody may send to a netlink socket, but only the kernel's notifications count.
        if (batch.portId(i) !== 0) continue;
        for (const message of splitMessages(new Uint8Array(datagrams.buffer, batch.start(i), batch.length(i)))) {
          const { type, portId } = message;
          if (!CHANGES.includes(type)) continue;
          const { ifindex, parent } = decodeTcHeader(message, "change");
          if (ifindex === this.#ifindex) events.push({ type, by: portId, parent });
        }
      }
    }
    const before = this.#drops;
    this.#drops = this.#socket.drops();
    return this.#drops === before ? events : undefined;
  }

  /** Closes the socket. */
  close(): void {
    this.#socket.close();
  }
}
