/** Reading the counters of devices, again and again. */
import { DecodeError, NetlinkError } from "../errors.ts";
import { decodeEthernetStats, encodeGetEthernetStats, type EthernetStats } from "../link/ethernet_stats.ts";
import { interfaceType } from "../link/interface_type.ts";
import { ARPHRD_ETHER, RTM_NEWLINK } from "../link/link.ts";
import { decodeLinkCounters, encodeGetLinkCounters, type LinkStats } from "../link/link_counters.ts";
import { decodeLinkMode, encodeGetLinkMode, ETHTOOL_GENL_NAME, type LinkMode } from "../link/link_speed.ts";
import { findFamily } from "../socket/family.ts";
import { type Outcome, Requests } from "../socket/requests.ts";
import { ENODEV, NETLINK_GENERIC, NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import type { Message } from "../wire/message.ts";

const OP = "read the counters of devices";

/** A device as it is now. */
export interface ReadInterface {
  readonly index: number;
  readonly name: string;
  /** ifType of IANA's registry. */
  readonly type: number;
  /** The kind of virtual device; `undefined` for hardware. */
  readonly kind: string | undefined;
  readonly up: boolean;
  /** Whether it is up and packets can pass. */
  readonly running: boolean;
  readonly promiscuous: boolean | undefined;
  readonly mode: LinkMode;
  readonly stats: LinkStats;
  /** What its hardware counts; `undefined` if it does not say. */
  readonly hardware: EthernetStats | undefined;
  /** Whether it is a piece of hardware for Ethernet, so that its errors are those of frames on a wire. */
  readonly isEthernetHardware: boolean;
}

/**
 * As many devices are asked for with one request: the answers must fit into the socket's receive buffer, and whatever else the event loop
 * has to do must not wait for long.
 */
export const READ_TOGETHER = 8;

const UNKNOWN_MODE: LinkMode = { bitsPerSecond: undefined, duplex: undefined };

/**
 * Reads the counters of devices, of several with one request. Its sockets are opened at once and kept: the right to open them, or to enter
 * their network namespace, may be given up later. No privileges needed.
 */
export class InterfaceReader {
  readonly #route: Requests;
  readonly #generic: Requests | undefined;
  /** The family `ethtool`; `undefined` if the kernel does not have it. */
  #ethtool: number | undefined;
  /** Devices that do not know their speed, or have no counters of hardware, and never will: asking them again costs them time. */
  readonly #modeless = new Set<number>();
  readonly #statless = new Set<number>();

  /**
   * Opens the sockets.
   *
   * @throws {NetlinkError} if there can be none.
   */
  static async open(sys: Sys): Promise<InterfaceReader> {
    const reader = new InterfaceReader(sys);
    try {
      await reader.#findEthtool();
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  private constructor(sys: Sys) {
    this.#route = new Requests(sys, NETLINK_ROUTE);
    try {
      this.#generic = new Requests(sys, NETLINK_GENERIC);
    } catch (error) {
      // Only speeds are missing then.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  async #findEthtool(): Promise<void> {
    try {
      this.#ethtool = this.#generic && (await findFamily(this.#generic, ETHTOOL_GENL_NAME))?.id;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  /**
   * Reads devices by their indexes; those that are gone are missing in the answer.
   *
   * @throws {NetlinkError} if the kernel does not answer, or refuses for another reason than that a device is gone.
   */
  async read(indexes: readonly number[]): Promise<ReadInterface[]> {
    const found: ReadInterface[] = [];
    for (let i = 0; i < indexes.length; i += READ_TOGETHER) {
      if (i > 0) await new Promise((resolve) => setImmediate(resolve));
      found.push(...await this.#readSome(indexes.slice(i, i + READ_TOGETHER)));
    }
    return found;
  }

  async #readSome(indexes: readonly number[]): Promise<ReadInterface[]> {
    const outcomes = await this.#route.requestAll(indexes.map((index) => ({ message: encodeGetLinkCounters(index), op: OP })));
    const modes = await this.#ask(indexes, this.#modeless, encodeGetLinkMode, decodeLinkMode);
    const found: ReadInterface[] = [];
    const wired: ReadInterface[] = [];
    for (const { messages, error } of outcomes) {
      if (error && error.errno !== ENODEV) throw error;
      const message = messages.find(({ type }) => type === RTM_NEWLINK);
      if (!message) continue;
      const { link, promiscuous, stats } = decodeLinkCounters(message);
      if (!stats) continue;
      const { index, name, kind, up, running, type: hardwareType } = link;
      const isEthernetHardware = kind === undefined && hardwareType === ARPHRD_ETHER;
      const type = interfaceType(hardwareType, kind);
      const mode = modes.get(index) ?? UNKNOWN_MODE;
      const read = { index, name, type, kind, up, running, promiscuous, mode, stats, hardware: undefined, isEthernetHardware };
      found.push(read);
      if (isEthernetHardware) wired.push(read);
    }
    if (wired.length === 0) return found;
    const hardware = await this.#ask(wired.map(({ index }) => index), this.#statless, encodeGetEthernetStats, decodeEthernetStats);
    return found.map((read) => ({ ...read, hardware: hardware.get(read.index) }));
  }

  /** A device is gone: what was learned of it does not hold for another one that gets its index. */
  forget(index: number): void {
    this.#modeless.delete(index);
    this.#statless.delete(index);
  }

  /** Closes the sockets. Idempotent. */
  close(): void {
    this.#route.close();
    this.#generic?.close();
  }

  /** Asks `ethtool` about devices. What it does not say is only unknown: nothing else depends on it. */
  async #ask<Answer>(
    indexes: readonly number[],
    without: Set<number>,
    encode: (family: number, index: number) => Uint8Array<ArrayBuffer>,
    decode: (message: Message) => Answer | undefined,
  ): Promise<ReadonlyMap<number, Answer>> {
    const answers = new Map<number, Answer>();
    const ethtool = this.#ethtool;
    const asked = ethtool === undefined ? [] : indexes.filter((index) => !without.has(index));
    if (asked.length === 0) return answers;
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#generic!.requestAll(asked.map((index) => ({ message: encode(ethtool!, index), op: OP })));
    } catch (error) {
      if (error instanceof NetlinkError) return answers;
      throw error;
    }
    for (const [i, { messages, error }] of outcomes.entries()) {
      const index = asked[i]!;
      const answer = error
        ? undefined
        : messages.filter(({ type }) => type === ethtool).map((message) => tried(decode, message)).find(Boolean);
      if (answer) answers.set(index, answer);
      // A device that is down, or gone, may say more another time.
      else if (!error || error.code === "EOPNOTSUPP") without.add(index);
    }
    return answers;
  }
}

function tried<Answer>(decode: (message: Message) => Answer | undefined, message: Message): Answer | undefined {
  try {
    return decode(message);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
