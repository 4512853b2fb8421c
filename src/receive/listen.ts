import { ArgumentError } from "../errors.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import type { Devices } from "../link/device.ts";
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { RECEIVE_BUFFER_BYTES, Receiver } from "../socket/receiver.ts";
import { loadSys } from "../sys/load.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import { type Listener, SocketListener } from "./listener.ts";
import { LiveLinks } from "./live_links.ts";

/**
 * How to {@linkcode listen}.
 *
 * @category Receiving
 */
export interface ListenOptions {
  /** Only these psample groups, filtered in the kernel. Defaults to all. */
  groups?: readonly number[] | undefined;
  /** Receive samples, which requires CAP_NET_ADMIN. Defaults to true. */
  samples?: boolean | undefined;
  /**
   * Receive group events, which needs no privileges. Defaults to true if the kernel has them: some vendors' kernels do not, and then
   * an explicit `true` is an error.
   */
  events?: boolean | undefined;
  /**
   * Size of the receive buffer in bytes, which bounds what the kernel queues for this listener. Memory is used only while messages
   * wait to be read. Defaults to 32 MiB; {@linkcode Listener.receiveBufferBytes} is what was granted.
   */
  receiveBufferBytes?: number | undefined;
  /** If the psample family is missing, wait for it, including when it disappears later. Otherwise both are errors. */
  wait?: boolean | undefined;
  /** Receive from all network namespaces that have an nsid in this one, which requires CAP_NET_BROADCAST. */
  allNamespaces?: boolean | undefined;
  /**
   * `"batch"`: poll every 1 ms while samples keep arriving (every 10 ms at low rates), which is cheapest. `"low"`: wake up for each
   * sample. Defaults to `"batch"`.
   */
  latency?: "batch" | "low" | undefined;
  /** The devices that samples name. Defaults to those of this network namespace, as they are when a batch is read. */
  devices?: Devices | undefined;
  /** Closes the listener when it aborts: iterations end as if there were no more. */
  signal?: AbortSignal | undefined;
}

/**
 * Starts receiving samples and group events. Resolves once the socket has joined the groups; anything lost after that is counted.
 *
 * @example Print ten samples of group 5
 * ```ts ignore
 * import { listen } from "@psample/psample";
 *
 * let left = 10;
 * for await (const sample of await listen({ groups: [5], events: false })) {
 *   console.log(sample.sequence, sample.oneIn, sample.originalBytes, sample.data);
 *   if (--left === 0) break;
 * }
 * ```
 *
 * @returns The listener; without group events if `events` is `false`, and without samples if `samples` is.
 * @throws {ArgumentError} If an option makes no sense.
 * @throws {NetlinkError} `ENOENT` if the kernel has no psample family, `EPERM` without the privilege.
 * @category Receiving
 */
export async function listen(options: ListenOptions & { events: false }): Promise<Listener<Sample>>;
/**
 * {@linkcode listen}, to group events only.
 *
 * @category Receiving
 */
export async function listen(options: ListenOptions & { samples: false }): Promise<Listener<GroupEvent>>;
/**
 * {@linkcode listen}, to both.
 *
 * @category Receiving
 */
export async function listen(options?: ListenOptions): Promise<Listener>;
export async function listen(options: ListenOptions = {}): Promise<Listener> {
  return await listenWith(await loadSys(), options);
}

/** {@linkcode listen} on a given seam. */
export async function listenWith(sys: Sys, options: ListenOptions = {}): Promise<Listener> {
  const { samples = true, events, receiveBufferBytes = RECEIVE_BUFFER_BYTES, groups, wait = false, signal } = options;
  if (!samples && events === false) throw new ArgumentError("Cannot listen: `samples` and `events` are both false");
  if (!Number.isInteger(receiveBufferBytes) || receiveBufferBytes < 1 || receiveBufferBytes > 0x3fffffff) {
    throw new ArgumentError(`Cannot set a receive buffer of ${receiveBufferBytes} bytes: expected a whole number from 1 to 1073741823`);
  }
  // Before the socket: a wrong group is the caller's mistake, whatever the kernel can do.
  const filter = groups && encodeGroupFilter(groups);
  signal?.throwIfAborted();
  const { allNamespaces, latency } = options;
  const receiver = await Receiver.open(sys, NETLINK_GENERIC, { receiveBufferBytes, allNamespaces, lowLatency: latency === "low" });
  const links = options.devices ? undefined : new LiveLinks(sys);
  const listener = new SocketListener(receiver, { devices: options.devices, links, signal, complete: samples });
  try {
    signal?.throwIfAborted();
    // Before joining, so that no foreign sample ever gets in.
    if (filter) receiver.filter(filter);
    await unlessAborted(listener.join(sys, { samples, events, wait }), signal);
    signal?.throwIfAborted();
    return listener;
  } catch (error) {
    await listener.close();
    signal?.throwIfAborted();
    throw error;
  }
}

/** Resolves with the work, or rejects as soon as the signal aborts: the kernel may leave a question unanswered for seconds. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return await work;
  let abort = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject);
    });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
