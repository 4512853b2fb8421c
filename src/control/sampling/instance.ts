/**
 * The instance protocol: how processes that use this package in one network namespace know of each other.
 *
 * - An *instance* holds the netlink port `MARK | number` for as long as its filters are in the kernel. The kernel
 *   releases the port when the process ends, however it ends: a filter whose port nobody holds was left behind. This
 *   needs no process id, and works across containers that share a network namespace.
 * - A *lock* is a port too, held while a device is inspected and changed: in between, another of us could take the same
 *   preference, or remove the clsact qdisc.
 */
import { NetlinkError } from "../../errors.ts";
import { NetlinkSocket } from "../../socket/netlink_socket.ts";
import { EADDRINUSE, ECONNREFUSED, NETLINK_USERSOCK, type Sys } from "../../sys/sys.ts";
import { encodeMessage, NLMSG_NOOP } from "../../wire/message.ts";
import { memory } from "../../wire/native.ts";
import { INSTANCE_MASK, instanceOf, MARK } from "./mark.ts";

/** Above the ports of instances. */
const LOCK = MARK | (INSTANCE_MASK + 1);
const LOCK_PATIENCE_MS = 5000;
const LOCK_POLL_MS = 2;

/** A running instance. */
export class Instance {
  /** 15 bits that tell this instance from others. */
  readonly number: number;
  readonly #socket: NetlinkSocket;

  constructor(sys: Sys) {
    const first = instanceOf(crypto.getRandomValues(new Uint16Array(1))[0]!);
    for (let i = 0;; i++) {
      const number = (first + i) & INSTANCE_MASK;
      try {
        this.#socket = new NetlinkSocket(sys, NETLINK_USERSOCK, MARK | number);
        this.number = number;
        return;
      } catch (error) {
        if (!(error instanceof NetlinkError && error.errno === EADDRINUSE) || i === INSTANCE_MASK) throw error;
      }
    }
  }

  /**
   * Whether the instance that installed a filter with this handle still runs. Sends to its port: binding the port for a
   * moment would look like that instance to another process that asks at the same time.
   */
  static runs(sys: Sys, handle: number): boolean {
    const socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
    try {
      // Nobody reads it. Once the buffer is full, sending fails with EAGAIN, which is an answer too.
      socket.send(encodeMessage({ type: NLMSG_NOOP, flags: 0 }, memory(0)), "ask whether a psample runs", MARK | instanceOf(handle));
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ECONNREFUSED) return false;
      throw error;
    } finally {
      socket.close();
    }
  }

  /** Ends the instance. */
  close(): void {
    this.#socket.close();
  }
}

/** Runs `work` while no other instance of this network namespace inspects or changes a device. */
export async function exclusively<Result>(sys: Sys, work: () => Promise<Result>): Promise<Result> {
  let lock: NetlinkSocket | undefined;
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  // A holder that was stopped must not stop all others.
  while (!lock && performance.now() < deadline) {
    try {
      lock = new NetlinkSocket(sys, NETLINK_USERSOCK, LOCK);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EADDRINUSE)) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  }
  try {
    return await work();
  } finally {
    lock?.close();
  }
}
