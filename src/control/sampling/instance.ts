/**
 * The instance protocol: how processes that use this package in one network namespace know of each other, although each may be killed at
 * any moment and be in its own container.
 *
 * It rests on sockets of NETLINK_USERSOCK, the netlink protocol between user-space processes: everybody in the network namespace can find
 * out about them, and the kernel closes them when their process ends, however it ends.
 *
 * - **The port is the name.** An instance has a random number of 15 bits, which is part of the handles of its filters, and
 *   of the port id of a socket that it holds until they are removed. A filter whose port nobody holds was left behind. This needs no
 * process id, which would mean something different in each container.
 * - **The group is the proof.** Anybody may bind a port. But joining a multicast group of NETLINK_USERSOCK requires
 *   CAP_NET_ADMIN (netlink_allowed in net/netlink/af_netlink.c), just as changing filters does. So an instance joins
 *   {@linkcode INSTANCE_GROUP}, and netlink_diag lists the members: a port held by anybody else does not make a filter look
 *   alive.
 * - **A raised hand is the lock.** Between inspecting a device and changing it, another of our processes could take the same preference, or
 *   remove the clsact qdisc. So a process joins {@linkcode LOCK_GROUP} first, then checks who else is a member, and proceeds only if there
 *   is nobody; otherwise it leaves and tries again. Of two at least the later one sees the other. A process without CAP_NET_ADMIN cannot be
 *   in the way.
 *
 * Without netlink_diag (CONFIG_NETLINK_DIAG) the kernel does not list members. Then a port that is held may be that of an instance: its
 * filters are kept, unless removal is forced. And the lock is a port as well, {@linkcode LOCK_PORT}, which anybody could hold:
 * {@linkcode LOCK_PATIENCE_MS} later we continue without it.
 */
import { NetlinkError, SystemError } from "../../errors.ts";
import { NetlinkSocket } from "../../socket/netlink_socket.ts";
import { SocketLister } from "../../socket/netlink_sockets.ts";
import {
  EADDRINUSE,
  ECONNREFUSED,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_DROP_MEMBERSHIP,
  NETLINK_USERSOCK,
  SOL_NETLINK,
  type Sys,
} from "../../sys/sys.ts";
import { encodeMessage, NLMSG_NOOP } from "../../wire/message.ts";
import { memory } from "../../wire/native.ts";
import { MARK, MARK_MASK, NUMBER_MASK } from "./mark.ts";

// NETLINK_USERSOCK has 32 groups, which belong to nobody in particular: only members whose ports are ours count.
const INSTANCE_GROUP = 27;
const LOCK_GROUP = 28;

/** The ports of instances; those of processes that only take the lock come after them. */
const INSTANCE_PORTS = MARK;
const VISITOR_PORTS = MARK + NUMBER_MASK + 1;
/** Number 0, which no visitor uses. */
const LOCK_PORT = VISITOR_PORTS;

/** The lock is held for milliseconds, unless its holder was stopped, and that must not stop all others. */
const LOCK_PATIENCE_MS = 2000;
const LOCK_POLL_MS = 2;

/** Whether an instance is running; `"unverified"` if its port is held and the kernel does not say by whom. */
export type Liveness = "running" | "gone" | "unverified";

/** Options of {@linkcode Instance.exclusively}. */
export interface LockOptions {
  /** Ends the wait for the lock when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Called if the lock could not be taken. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A process that takes part in the protocol. */
export class Instance {
  /** From 1 to 32767. */
  readonly number: number;
  readonly #sys: Sys;
  readonly #socket: NetlinkSocket;
  readonly #lister: SocketLister | undefined;
  /** What is done exclusively, or will be. */
  #turn: Promise<unknown> = Promise.resolve();

  /** An instance with filters of its own. */
  static open(sys: Sys): Instance {
    const instance = new Instance(sys, INSTANCE_PORTS);
    // Without the privilege the kernel will refuse the filters too, with a better message.
    instance.#socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, INSTANCE_GROUP);
    return instance;
  }

  /** An instance without filters, which only inspects, or changes what others left behind. */
  static visit(sys: Sys): Instance {
    return new Instance(sys, VISITOR_PORTS);
  }

  private constructor(sys: Sys, ports: number) {
    this.#sys = sys;
    this.#socket = bindRandom(sys, ports);
    this.number = this.#socket.portId & NUMBER_MASK;
    // Kept open: there may be no descriptor left when the filters are to be removed.
    this.#lister = SocketLister.open(sys);
  }

  /** Which instances run right now, by number. */
  async runningInstances(): Promise<(number: number) => Liveness> {
    const members = await this.#members(INSTANCE_GROUP);
    if (members) return (number) => members.has(INSTANCE_PORTS + number) ? "running" : "gone";
    return (number) => this.#isHeld(INSTANCE_PORTS + number) ? "unverified" : "gone";
  }

  /** Runs `work` while no other of us inspects or changes a device. */
  exclusively<Result>(work: () => Promise<Result>, options: LockOptions = {}): Promise<Result> {
    // One at a time here too: the first that is done lowers the hand for both.
    const turn = this.#turn.then(() => this.#exclusively(work, options));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #exclusively<Result>(work: () => Promise<Result>, { signal, onWarning }: LockOptions): Promise<Result> {
    const deadline = performance.now() + LOCK_PATIENCE_MS;
    let release: (() => void) | undefined;
    for (;;) {
      signal?.throwIfAborted();
      release = await this.#tryLock();
      if (release) break;
      if (performance.now() > deadline) {
        // They may have taken turns, on a busy machine, or one of them was stopped.
        onWarning?.(
          `Other processes have been setting up or removing sampling for ${
            LOCK_PATIENCE_MS / 1000
          } s, or one of them is stopped (T in ps): not ` +
            "waiting for them any longer. If they change the same device at this moment, sampling may fail, which is reported",
        );
        break;
      }
      // Two processes that see each other must not collide again and again.
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS * (1 + Math.random())));
    }
    try {
      return await work();
    } finally {
      release?.();
    }
  }

  /** Ends the instance. */
  close(): void {
    this.#socket.close();
    this.#lister?.close();
  }

  /** Takes the lock and returns what releases it; `undefined` if another holds it. */
  async #tryLock(): Promise<(() => void) | undefined> {
    // Without the privilege nothing can be changed, so nothing has to be locked.
    if (!this.#socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, LOCK_GROUP)) return () => {};
    const lower = (): void => void this.#socket.option(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, LOCK_GROUP);
    const hands = await this.#members(LOCK_GROUP);
    const seen = hands?.has(this.#socket.portId) ?? false;
    if (seen && hands?.size === 1) return lower;
    const unlock = seen ? undefined : this.#tryLockPort();
    if (unlock) {
      return () => {
        unlock();
        lower();
      };
    }
    lower();
    return undefined;
  }

  #tryLockPort(): (() => void) | undefined {
    try {
      const lock = new NetlinkSocket(this.#sys, NETLINK_USERSOCK, LOCK_PORT);
      return () => lock.close();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // No descriptor left, or no right to enter the network namespace: what is installed must be removed all the same.
      return error.errno === EADDRINUSE ? undefined : () => {};
    }
  }

  /** The ports of ours that have joined a group; `undefined` if the kernel does not say. */
  async #members(group: number): Promise<ReadonlySet<number> | undefined> {
    const sockets = await this.#lister?.list(NETLINK_USERSOCK);
    const members = sockets?.filter(({ portId, groups }) => (portId & MARK_MASK) === MARK && groups.includes(group));
    return members && new Set(members.map(({ portId }) => portId));
  }

  /** Whether a port is held. Sends to it, because binding it for a moment would make us look like the instance. */
  #isHeld(port: number): boolean {
    try {
      // Nobody reads it. Once the buffer is full, sending fails with EAGAIN, which also shows that the port is held.
      this.#socket.send(encodeMessage({ type: NLMSG_NOOP, flags: 0 }, memory(0)), "ask whether an instance runs", port);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ECONNREFUSED) return false;
      throw error;
    }
  }
}

function bindRandom(sys: Sys, ports: number): NetlinkSocket {
  const first = crypto.getRandomValues(new Uint16Array(1))[0]!;
  for (let i = 0; i < NUMBER_MASK; i++) {
    try {
      return new NetlinkSocket(sys, NETLINK_USERSOCK, ports + 1 + (first + i) % NUMBER_MASK);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EADDRINUSE)) throw error;
    }
  }
  const hint = `Other processes hold all of its ${NUMBER_MASK} netlink ports from ${
    ports + 1
  }: see /proc/net/netlink of this network namespace for their inodes`;
  throw new NetlinkError("register with other processes that sample", EADDRINUSE, { hint });
}
