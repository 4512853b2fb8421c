import { ArgumentError } from "../errors.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import { SocketFilter } from "../filter/socket_filter.ts";
import type { Devices } from "../link/device.ts";
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { netnsOf, type NetnsOptions, open } from "../socket/open.ts";
import { RECEIVE_BUFFER_BYTES, Receiver } from "../socket/receiver.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import { KernelFilter } from "./kernel_filter.ts";
import { type Listener, SocketListener } from "./listener.ts";
import { LiveLinks } from "./live_links.ts";

/**
 * How to {@linkcode listen}.
 *
 * @category Receiving
 */
export interface ListenOptions extends NetnsOptions {
  /** Only these psample groups, filtered in the kernel. Defaults to all. */
  groups?: readonly number[] | undefined;
  /**
   * Only samples that match this expression of pcap-filter(7), as `filter()` understands it; of several, all of them. The kernel decides
   * what it can, before a sample is queued; the listener decides the rest, and what the kernel lets through in doubt. Group events always
   * pass.
   *
   * What the kernel leaves out is not counted, so gaps in the sequence numbers mean nothing: losses are then known only from the socket's
   * drop counter, and {@linkcode ListenStats.filtered} is true.
   *
   * Names of devices are those in the listener's namespace at that moment. Samples of a device created after the program was attached are
   * passed to the listener to decide. The program is attached again within a second when devices change: until then a device that took over
   * the name or the index of another one may be mistaken for it.
   */
  filter?: string | readonly string[] | undefined;
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
  /**
   * With {@linkcode ListenOptions.wait}: called with false when the family has disappeared, because the module was unloaded, and with true
   * when it is back.
   */
  onFamily?: ((isThere: boolean) => void) | undefined;
  /** Receive from all network namespaces that have an nsid in that of the listener, which requires CAP_NET_BROADCAST. */
  allNamespaces?: boolean | undefined;
  /**
   * `"batch"`: poll every 1 ms while samples keep arriving (every 10 ms at low rates), which is cheapest. `"low"`: wake up for each
   * sample. Defaults to `"batch"`.
   */
  latency?: "batch" | "low" | undefined;
  /** The devices that samples name. Defaults to those of the listener's network namespace, as they are when a batch is read. */
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
 * @example Print ten samples of web traffic
 * ```ts ignore
 * import { listen } from "@psample/psample";
 *
 * await using listener = await listen({ filter: "tcp port 443 and not net 10.0.0.0/8", events: false });
 * let left = 10;
 * for await (const sample of listener) {
 *   console.log(sample.oneIn, sample.originalBytes, sample.data);
 *   if (--left === 0) break;
 * }
 * console.log("lost:", listener.stats().lost);
 * ```
 *
 * @returns The listener; without group events if `events` is `false`, and without samples if `samples` is.
 * @throws {ArgumentError} If an option is invalid.
 * @throws {FilterError} If `filter` is invalid, with the place.
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
  return await listenWith(await open(options), options);
}

/** {@linkcode listen} on a given seam. */
export async function listenWith(sys: Sys, options: ListenOptions = {}): Promise<Listener> {
  const { samples = true, events, receiveBufferBytes = RECEIVE_BUFFER_BYTES, groups, wait = false, signal } = options;
  const expressions = typeof options.filter === "string" ? [options.filter] : options.filter;
  if (!samples && expressions) throw new ArgumentError("Cannot listen: `filter` selects among samples, and `samples` is false");
  if (!samples && events === false) throw new ArgumentError("Cannot listen: `samples` and `events` are both false");
  if (!Number.isInteger(receiveBufferBytes) || receiveBufferBytes < 1 || receiveBufferBytes > 0x3fffffff) {
    throw new ArgumentError(`Cannot set a receive buffer of ${receiveBufferBytes} bytes: expected a whole number from 1 to 1073741823`);
  }
  // Before the socket: an invalid group is the caller's mistake, whatever the kernel supports.
  const groupFilter = groups && encodeGroupFilter(groups);
  const filter = expressions && new SocketFilter(expressions);
  signal?.throwIfAborted();
  const { allNamespaces, latency } = options;
  const receiver = await Receiver.open(sys, NETLINK_GENERIC, { receiveBufferBytes, allNamespaces, lowLatency: latency === "low" });
  const { devices } = options;
  const links = devices ? undefined : new LiveLinks(sys);
  // Later another namespace may be gone, or may not be entered any more.
  if (netnsOf(sys) !== undefined) links?.watch();
  let listener: SocketListener;
  try {
    // Before joining, so that no sample of another group ever gets in.
    if (groupFilter && !filter) receiver.filter(groupFilter);
    const live = links ?? (devices instanceof LiveLinks ? devices : undefined);
    const kernelFilter = filter && new KernelFilter(receiver, filter, { groups, links: allNamespaces ? undefined : live });
    listener = new SocketListener(receiver, { devices, links, signal, filter: kernelFilter, complete: samples });
  } catch (error) {
    links?.close();
    await receiver.close();
    throw error;
  }
  try {
    signal?.throwIfAborted();
    await unlessAborted(listener.join(sys, { samples, events, wait }, options.onFamily), signal);
    signal?.throwIfAborted();
    return listener;
  } catch (error) {
    await listener.close();
    signal?.throwIfAborted();
    throw error;
  }
}

/** Resolves with the work, or rejects as soon as the signal aborts: the kernel may leave a request unanswered for seconds. */
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
