/**
 * Monitors the packets that the kernel discards, by its drop monitor (net/core/drop_monitor.c).
 *
 * There is one for the whole kernel, which monitors for all or for nobody: so the program that starts it configures it, and stops it. It
 * answers in the initial network namespace only.
 */
import { DecodeError, NetlinkError } from "../errors.ts";
import type { Family } from "../genl/ctrl.ts";
import {
  decodeDropMonitorConfig,
  decodeDropMonitorLosses,
  decodeDroppedPacket,
  type DropMonitorConfig,
  type DropMonitorRequests,
  dropMonitorRequests,
  type DroppedPacket,
  isDroppedPacket,
  NET_DM_ALERT_MODE_PACKET,
  NET_DM_GENL_NAME,
  NET_DM_GROUP_NAME,
} from "../genl/net_dm.ts";
import { findFamily, listFamilies, withGenericNetlink } from "../socket/family.ts";
import { SocketLister } from "../socket/netlink_sockets.ts";
import { Receiver, type Sink } from "../socket/receiver.ts";
import { Requests } from "../socket/requests.ts";
import { EACCES, EAFNOSUPPORT, EAGAIN, EBUSY, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import type { Message } from "../wire/message.ts";
import { splitMessages } from "../wire/message.ts";

/**
 * How many discarded packets there were since the start.
 *
 * @category Export
 */
export interface DiscardStats {
  /** Packets that were reported. */
  readonly reported: number;
  /** Packets that were not reported, because more than the limit arrived in a second. */
  readonly beyondLimit: number;
  /** Packets whose report the kernel had no room for: its own queue, or the socket's buffer, was full. */
  readonly lost: number;
  /** Buffers that were no packets of a network, such as what was left in a socket that was closed: these are not reported. */
  readonly notPackets: number;
  /** Messages that could not be decoded. */
  readonly malformed: number;
}

/** How to monitor. */
export interface DropMonitorOptions {
  /** Maximum number of bytes of a packet. */
  readonly truncateBytes: number;
  /** Maximum number of packets that are reported in a second. */
  readonly perSecond: number;
  /** Takes a packet. Its data are lent until this returns. `unreported` is the number of packets so far that were not reported. */
  readonly onDrop: (packet: DroppedPacket, unreported: number) => void;
  /** Called after packets were taken together. */
  readonly onTaken?: (() => void) | undefined;
  /** Called when monitoring was found to be somebody else's now, or impossible; once, until all is well again. */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Called when it was stopped by somebody else and is started again. */
  readonly onRestart?: (() => void) | undefined;
}

/**
 * More packets than this in the kernel's queue, on one processor, are lost. About the kernel's own default, and no round number, so that it
 * shows later who configured this.
 */
const QUEUE_LENGTH = 1009;
/** How the kernel configures it (net/core/drop_monitor.c). */
const DEFAULTS: DropMonitorConfig = { alertMode: 0, truncateBytes: 0, queueLength: 1000 };
/** Reports that wait to be read: about as many as are read in a second. What does not fit is counted by the kernel. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** How long to rest between reads. A read takes up to 128 reports: so a storm of them leaves the time to the samples. */
const REST_MS = 20;
/** How often to look whether it still monitors, and what the kernel has lost. */
const CHECK_MS = 1000;

const OP = "monitor discarded packets";
const MISSING =
  "Load the kernel module: modprobe drop_monitor. It answers in the initial network namespace only, not in those of containers";
const FORBIDDEN =
  "Requires CAP_NET_ADMIN, and CAP_SYS_ADMIN since Linux 6.7 and the stable kernels of December 2023, in the initial user " +
  "namespace: run as root";
const TAKEN = "Another program monitors them already, such as dropwatch or hsflowd, and the kernel has one monitor only: end that program";

/** A drop monitor that runs for this process. */
export class DropMonitor {
  readonly #sys: Sys;
  readonly #options: DropMonitorOptions;
  readonly #requests: Requests;
  readonly #receiver: Receiver;
  readonly #family: Family;
  readonly #ask: DropMonitorRequests;
  /** How it was configured before. */
  #before: DropMonitorConfig | undefined;
  /** Whether it was started here. */
  #isOurs = false;
  #hardware = true;
  #isStopping = false;
  #stopped: Promise<void> | undefined;
  #hasProblem = false;
  #bug: { readonly error: unknown } | undefined;
  #reading: Promise<void> = Promise.resolve();
  #checking: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake = (): void => {};
  #reported = 0;
  #beyondLimit = 0;
  #notPackets = 0;
  #malformed = 0;
  /** The kernel's count when it was started, and since. */
  #lostBefore = 0n;
  #lostInKernel = 0;
  /** The current second, in milliseconds of the steady clock, and how many were reported in it. */
  #secondMs = -Infinity;
  #inSecond = 0;
  readonly #sink: Sink = {
    datagram: (view, start, end) => this.#take(new Uint8Array(view.buffer, view.byteOffset + start, end - start)),
    truncated: () => void this.#malformed++,
  };

  /**
   * Starts monitoring.
   *
   * @param sys The seam in the initial network namespace.
   * @throws {NetlinkError} `ENOENT` if the kernel has no drop monitor here, `EPERM` without the privilege, `EBUSY` if somebody else monitors.
   */
  static async start(sys: Sys, options: DropMonitorOptions): Promise<DropMonitor> {
    const requests = new Requests(sys, NETLINK_GENERIC);
    let receiver: Receiver | undefined;
    let monitor: DropMonitor | undefined;
    try {
      const family = await familyOf(requests);
      receiver = await Receiver.open(sys, NETLINK_GENERIC, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
      // Before it is started, so that nothing is missed, and so that everybody can see that somebody listens.
      receiver.join(groupOf(family), `${NET_DM_GROUP_NAME} of ${NET_DM_GENL_NAME}`, hint);
      monitor = new DropMonitor(sys, options, requests, receiver, family);
      await monitor.#begin();
    } catch (error) {
      requests.close();
      await receiver?.close();
      throw error;
    }
    monitor.#reading = monitor.#read();
    monitor.#later();
    return monitor;
  }

  private constructor(sys: Sys, options: DropMonitorOptions, requests: Requests, receiver: Receiver, family: Family) {
    this.#sys = sys;
    this.#options = options;
    this.#requests = requests;
    this.#receiver = receiver;
    this.#family = family;
    this.#ask = dropMonitorRequests(family);
  }

  /** The numbers so far. Those of the kernel's own queue are up to a second old. */
  stats(): DiscardStats {
    return {
      reported: this.#reported,
      beyondLimit: this.#beyondLimit,
      lost: this.#lostInKernel + this.#receiver.drops(),
      notPackets: this.#notPackets,
      malformed: this.#malformed,
    };
  }

  /**
   * Stops monitoring, if it was started here, and configures it as it was before. Resolves when what had been reported is taken. Idempotent.
   *
   * @throws {NetlinkError} if the kernel does not stop it.
   */
  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    await this.#checking;
    try {
      try {
        await this.#count();
      } finally {
        // Also if the kernel does not report the last numbers.
        if (this.#isOurs && await this.#isConfigured()) await this.#release();
      }
    } finally {
      this.#isOurs = false;
      this.#requests.close();
      // Reports that are queued are taken before this ends.
      this.#receiver.end();
      this.#wake();
      await this.#reading;
      await this.#receiver.close();
    }
    if (this.#bug) throw this.#bug.error;
  }

  /** Configures it and starts it. */
  async #begin(): Promise<void> {
    let before = await this.#config();
    try {
      await this.#request(this.#ask.config(this.#wanted));
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EBUSY) || !await this.#isForNobody()) throw told(error);
      // It was left running by a program that was killed, and reports to nobody. What had been before is not known.
      before = DEFAULTS;
      await this.#request(this.#ask.stop(true));
      await this.#request(this.#ask.config(this.#wanted));
    }
    this.#before ??= before;
    await this.#count(true);
    try {
      await this.#startIt();
    } catch (error) {
      await this.#request(this.#ask.config(this.#before)).catch(() => {});
      throw told(error);
    }
    this.#isOurs = true;
  }

  async #startIt(): Promise<void> {
    try {
      await this.#request(this.#ask.start(this.#hardware));
    } catch (error) {
      // A kernel without devlink has no devices that report.
      if (!(this.#hardware && error instanceof NetlinkError && error.errno === EOPNOTSUPP)) throw error;
      this.#hardware = false;
      await this.#request(this.#ask.start(false));
    }
  }

  /** Stops it. If nothing comes between, SIGKILL included, it is configured as before too. */
  async #release(): Promise<void> {
    const requests = [this.#ask.stop(this.#hardware), this.#ask.config(this.#before)].map((message) => ({ message, op: STOP_OP }));
    for (const { error } of await this.#requests.requestAll(requests)) if (error) throw error;
  }

  get #wanted(): DropMonitorConfig {
    return { alertMode: NET_DM_ALERT_MODE_PACKET, truncateBytes: this.#options.truncateBytes, queueLength: QUEUE_LENGTH };
  }

  /** Whether it is configured as it was here: somebody else's would be configured by somebody else. */
  async #isConfigured(): Promise<boolean> {
    const { alertMode, truncateBytes, queueLength } = await this.#config();
    const wanted = this.#wanted;
    return alertMode === wanted.alertMode && truncateBytes === wanted.truncateBytes && queueLength === wanted.queueLength;
  }

  async #config(): Promise<DropMonitorConfig> {
    const [reply] = await this.#request(this.#ask.getConfig());
    if (!reply) throw new NetlinkError(OP, EOPNOTSUPP, { hint: "The kernel does not report single packets: that requires Linux 5.4" });
    return decodeDropMonitorConfig(reply);
  }

  async #request(message: Uint8Array<ArrayBuffer>): Promise<Message[]> {
    return (await this.#requests.request(message, OP)).filter(({ type }) => type === this.#family.id);
  }

  /** Reads how many packets the kernel's own queue had no room for. */
  async #count(isFirst = false): Promise<void> {
    const [reply] = await this.#request(this.#ask.getLosses());
    if (!reply) return;
    const { software, hardware } = decodeDropMonitorLosses(reply);
    if (isFirst) this.#lostBefore = software + hardware - BigInt(this.#lostInKernel);
    else this.#lostInKernel = Number(software + hardware - this.#lostBefore);
  }

  /** Whether it is certain that nobody else listens to its reports. */
  async #isForNobody(): Promise<boolean> {
    const ports = await listeningPorts(this.#sys, this.#family);
    // That it lists this one shows that the kernel reports groups.
    return ports?.length === 1 && ports[0] === this.#receiver.portId;
  }

  async #read(): Promise<void> {
    try {
      while (await this.#receiver.read(this.#sink, true)) {
        this.#options.onTaken?.();
        if (!this.#isStopping) await this.#rest();
      }
    } catch (error) {
      // The kernel's error is a problem; any other is a bug in the consumer of packets, and is thrown when this is stopped.
      if (!(error instanceof NetlinkError)) this.#bug = { error };
      this.#fail(error);
    }
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, REST_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #take(datagram: Uint8Array): void {
    for (const packet of this.#decode(datagram)) {
      const { beyondLimit, lost } = this.stats();
      this.#options.onDrop(packet, beyondLimit + lost);
    }
  }

  /** The packets of a datagram that are to be reported, and counts all others. */
  #decode(datagram: Uint8Array): DroppedPacket[] {
    try {
      return splitMessages(datagram)
        .filter((message) => message.type === this.#family.id && isDroppedPacket(message))
        .flatMap((message) => this.#choose(message) ?? []);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#malformed++;
      return [];
    }
  }

  #choose(message: Message): DroppedPacket | undefined {
    const nowMs = performance.now();
    if (nowMs - this.#secondMs >= 1000) {
      this.#secondMs = nowMs;
      this.#inSecond = 0;
    }
    // In a storm nothing is looked at but the number.
    if (this.#inSecond >= this.#options.perSecond) {
      this.#beyondLimit++;
      return undefined;
    }
    const packet = decodeDroppedPacket(message)!;
    if (packet.protocol === 0) {
      this.#notPackets++;
      return undefined;
    }
    this.#inSecond++;
    this.#reported++;
    return packet;
  }

  #later(): void {
    this.#timer = setTimeout(() => {
      this.#checking = this.#check().catch((error) => this.#fail(error)).finally(() => {
        if (!this.#isStopping) this.#later();
      });
    }, CHECK_MS);
  }

  /** Starts it again if somebody stopped it: the kernel does not report that. */
  async #check(): Promise<void> {
    await this.#count();
    try {
      // An empty configuration changes nothing, and is refused while it monitors.
      await this.#request(this.#ask.config());
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EBUSY)) throw error;
      const isOurs = await this.#isConfigured();
      if (!isOurs) throw told(error);
      this.#isOurs = true;
      this.#hasProblem = false;
      return;
    }
    this.#isOurs = false;
    if (this.#isStopping) return;
    await this.#begin();
    this.#hasProblem = false;
    this.#options.onRestart?.();
  }

  #fail(error: unknown): void {
    if (!this.#hasProblem) this.#options.onProblem?.(error instanceof Error ? error : new Error(`${error}`));
    this.#hasProblem = true;
    if (error instanceof NetlinkError && error.errno === EBUSY) this.#isOurs = false;
  }
}

/** Whether this kernel can monitor discarded packets; nothing is started. Throws as {@linkcode DropMonitor.start}, except for privileges. */
export async function checkDropMonitor(sys: Sys): Promise<void> {
  await withGenericNetlink(sys, familyOf);
}

/**
 * Stops a monitor that a killed process of this package has left running: it is configured as {@linkcode DropMonitor} does that, and nobody
 * listens to it. Loads no module.
 *
 * @returns Whether there is one; with `dryRun` it keeps running.
 * @throws {NetlinkError} `EPERM` without the privilege.
 */
export async function stopLeftMonitor(sys: Sys, { dryRun = false }: { readonly dryRun?: boolean | undefined } = {}): Promise<boolean> {
  try {
    return await withGenericNetlink(sys, (requests) => stopLeft(sys, requests, dryRun));
  } catch (error) {
    // Without generic netlink there is no monitor.
    if (error instanceof NetlinkError && (error.errno === EPROTONOSUPPORT || error.errno === EAFNOSUPPORT)) return false;
    throw error;
  }
}

async function stopLeft(sys: Sys, requests: Requests, dryRun: boolean): Promise<boolean> {
  const family = (await listFamilies(requests)).find(({ name }) => name === NET_DM_GENL_NAME);
  if (!family) return false;
  const ask = dropMonitorRequests(family);
  const [reply] = (await requests.request(ask.getConfig(), STOP_OP)).filter(({ type }) => type === family.id);
  const config = reply && decodeDropMonitorConfig(reply);
  if (config?.alertMode !== NET_DM_ALERT_MODE_PACKET || config.queueLength !== QUEUE_LENGTH) return false;
  if ((await listeningPorts(sys, family))?.length !== 0) return false;
  const runs = await requests.request(ask.config(), STOP_OP).then(() => false, (error) => {
    // The kernel does not report it without the privilege.
    if (error instanceof NetlinkError && (error.errno === EBUSY || error.errno === EPERM)) return true;
    throw error;
  });
  if (!runs || dryRun) return runs;
  const work = [ask.stop(true), ask.config(DEFAULTS)].map((message) => ({ message, op: STOP_OP }));
  for (const { error } of await requests.requestAll(work)) if (error) throw told(error);
  return true;
}

/** The ports of the sockets that listen to reports; `undefined` if the kernel does not say. */
async function listeningPorts(sys: Sys, family: Family): Promise<number[] | undefined> {
  const group = groupOf(family);
  const lister = SocketLister.open(sys);
  try {
    const sockets = await lister?.list(NETLINK_GENERIC);
    return sockets?.filter(({ groups }) => groups.includes(group)).map(({ portId }) => portId);
  } finally {
    lister?.close();
  }
}

const STOP_OP = "stop monitoring discarded packets";

async function familyOf(requests: Requests): Promise<Family> {
  // The kernel loads the module for the name, if it can.
  const family = await findFamily(requests, NET_DM_GENL_NAME);
  if (!family) throw new NetlinkError(OP, ENOENT, { hint: MISSING });
  return family;
}

function groupOf({ groups }: Family): number {
  const group = groups.get(NET_DM_GROUP_NAME);
  if (group === undefined) throw new NetlinkError(OP, EOPNOTSUPP, { hint: "This kernel's drop monitor has no multicast group for it" });
  return group;
}

function hint(errno: number): string | undefined {
  if (errno === EPERM || errno === EACCES) return FORBIDDEN;
  // EAGAIN: somebody started it after it was configured.
  return errno === EBUSY || errno === EAGAIN ? TAKEN : undefined;
}

/** An error of a request with what to do about it. */
function told(error: unknown): unknown {
  if (!(error instanceof NetlinkError)) return error;
  return new NetlinkError(error.op, error.errno, { hint: hint(error.errno) ?? error.hint });
}
