/** Sending to a host for months: its name is looked up again and the route taken again whenever sending fails. */
import { errnoName, LookupError, SystemError } from "../errors.ts";
import { EAFNOSUPPORT, EAGAIN, EDESTADDRREQ, EHOSTUNREACH, EMSGSIZE, ENOBUFS, type Memory, type Sys } from "../sys/sys.ts";
import { SendHeaders } from "./send_headers.ts";
import {
  addressesOf,
  type Family,
  familyOf,
  type FirstAddresses,
  firstAddresses,
  type Lookup,
  openFamilies,
  type SocketAddress,
  startingAfter,
} from "./socket_address.ts";
import { parseTarget, type Target, targetText } from "./target.ts";
import { PASSING, sendError, type TroubleOptions, Troubles } from "./troubles.ts";
import { noSendCounts, type SendCounts, UdpSocket } from "./udp_socket.ts";

/**
 * Sends without an error after which all may be well again. One is not enough: errors come back later, and hosts and routers hold some of
 * them back, so that a time must have passed too: as long as it takes until the next attempt.
 */
const CALM = 3;
/** How long errors may be absent although they still come back: hosts report one in a second (net.ipv4.icmp_ratelimit), and what is sent waits for as long. */
const HELD_BACK_MS = 3000;
/**
 * The same if a host does not answer ARP or neighbour discovery: it is asked three times, a second apart, while what is sent to it waits
 * without an error (net/core/neighbour.c), and then all over again.
 */
const ASKING_MS = 10_000;

/** How to send to a target. */
export interface UdpTargetOptions extends TroubleOptions {
  /** The port if the target names none. */
  readonly defaultPort: number;
  /** Size of the block of datagrams in bytes, and their maximum number. */
  readonly blockBytes: number;
  readonly most: number;
  /** Looks up a host name. Defaults to the runtime's way. */
  readonly lookup?: Lookup | undefined;
  /** Called when datagrams go to another address, or by a new way: the receiver may have forgotten, or never heard, what was sent before. */
  readonly onReconnect?: (() => void) | undefined;
}

/** Sends datagrams to one host. It never waits and never throws while sending. */
export class UdpTarget {
  /** The target with its port: `"collector.example.net:6343"`. */
  readonly name: string;
  readonly counts: SendCounts = noSendCounts();
  readonly #target: Target;
  readonly #options: UdpTargetOptions;
  readonly #sockets: ReadonlyMap<Family, UdpSocket>;
  readonly #headers: SendHeaders;
  /** The socket in use, and the address that it sends to. */
  #socket: UdpSocket;
  #address: SocketAddress | undefined;
  /** Why there is no address to send to. */
  #whyNowhere = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRenewing = false;
  readonly #troubles: Troubles;
  /** Sends without an error since the last one, and for how long there must be none until all is well. */
  #calm = 0;
  #calmMs = HELD_BACK_MS;
  #isOversized = false;
  #closed = false;

  /**
   * Looks a name up and opens the socket. A target that cannot be looked up or reached now is a problem that is reported, and tried again.
   *
   * @throws {ArgumentError} if the text is not a target.
   * @throws {LookupError} if it is a name that certainly has no address.
   * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
   */
  static async open(sys: Sys, text: string, options: UdpTargetOptions): Promise<UdpTarget> {
    const target = parseTarget(text, options.defaultPort);
    return new UdpTarget(sys, target, options, await firstAddresses(target, options.lookup));
  }

  private constructor(sys: Sys, target: Target, options: UdpTargetOptions, { addresses, failure }: FirstAddresses) {
    this.#target = target;
    this.#options = options;
    this.#troubles = new Troubles(options);
    this.name = targetText(target);
    this.#headers = new SendHeaders(sys, options.blockBytes, options.most);
    const sockets = new Map<Family, UdpSocket>();
    this.#sockets = sockets;
    try {
      openFamilies(sockets, target, addresses, (family) => new UdpSocket(sys, family));
      const [first] = sockets.values();
      this.#socket = first!;
      const errno = this.#connect(addresses);
      if (errno !== 0 && (!PASSING.has(errno) || this.#isBroadcast)) throw this.#error(errno);
      if (failure) this.#nowhere(failure);
      else if (errno !== 0) this.#trouble(this.#error(errno));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The name of the error that datagrams were dropped by. */
  dropName(errno: number): string {
    return errno === EDESTADDRREQ && this.#whyNowhere !== "" ? this.#whyNowhere : errnoName(errno);
  }

  /** Memory for consecutive datagrams. */
  get block(): Memory {
    return this.#headers.block;
  }

  /** The address that datagrams go to, with its port: of a name, the one that it has now. `undefined` if there is none yet. */
  get address(): string | undefined {
    return this.#address && targetText({ ...this.#address, host: this.#address.address });
  }

  /** The local port. */
  get localPort(): number {
    return this.#socket.port;
  }

  /** Whether there is room in the send buffer. */
  get isWritable(): boolean {
    return this.#socket.isWritable;
  }

  /**
   * Sends the first `count` datagrams of the block, which end at `ends`; what cannot be sent now is dropped and counted.
   *
   * @param onDropped Called with the index of each datagram that is dropped.
   */
  send(ends: Uint32Array, count: number, onDropped: (i: number) => void): void {
    if (count === 0) return;
    const { errno, oversized, isUntold } = this.#socket.send(this.#headers, ends, count, this.counts, onDropped, !this.isCalm);
    if (oversized > 0) this.#oversized(oversized);
    if (errno === 0 && isUntold) this.#goesOn();
    else if (errno === 0) this.#well();
    // That there is no address yet has been reported, and is being tried again.
    else if (errno !== EMSGSIZE && errno !== EDESTADDRREQ) this.#trouble(this.#error(errno));
  }

  /** Whether several sends in a row had no error, so that one is not expected at the next. */
  get isCalm(): boolean {
    return this.#calm >= CALM && !this.#troubles.any;
  }

  /**
   * Whether an error has come back for something sent before. The kernel reports it only once.
   */
  checkReturned(): boolean {
    const errno = this.#socket.takeError();
    if (errno === 0) return false;
    this.counts.returned++;
    this.counts.returnedBy = errno;
    this.#trouble(this.#error(errno));
    return true;
  }

  /** Looks the name up again and takes the present route, now. Nothing is delayed meanwhile: datagrams go where they went before. */
  async renew(): Promise<void> {
    if (this.#isRenewing || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isRenewing = true;
    let addresses: readonly SocketAddress[] = [];
    let failure: LookupError | SystemError | undefined;
    try {
      addresses = await addressesOf(this.#target, this.#options.lookup);
    } catch (error) {
      if (!(error instanceof LookupError)) throw error;
      // The previous address stays in use.
      failure = error;
    } finally {
      this.#isRenewing = false;
    }
    if (this.#closed) return;
    const errno = failure ? 0 : this.#connect(startingAfter(addresses, this.#troubles.any ? this.#address : undefined));
    if (errno !== 0) failure = this.#error(errno);
    if (failure) this.#nowhere(failure);
    else this.#options.onReconnect?.();
  }

  /** Closes the sockets. Idempotent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const socket of this.#sockets.values()) socket.close();
  }

  /** Connects to the first of these addresses that can be reached. Returns 0, or the first error number. */
  #connect(addresses: readonly SocketAddress[]): number {
    let first = 0;
    for (const address of addresses) {
      const socket = this.#sockets.get(familyOf(address));
      const result = socket ? socket.connect(address) : -EAFNOSUPPORT;
      if (result >= 0) {
        this.#socket = socket!;
        this.#address = address;
        return 0;
      }
      if (first === 0) first = -result;
    }
    return first;
  }

  /** Whether an address that could not be connected to is one of broadcasts. */
  get #isBroadcast(): boolean {
    return [...this.#sockets.values()].some(({ isBroadcast }) => isBroadcast);
  }

  #error(errno: number): SystemError {
    return sendError(this.name, this.#target, this.#address, errno);
  }

  /** There is no address, or no way to it. */
  #nowhere(error: LookupError | SystemError): void {
    this.#whyNowhere = error.code;
    this.#trouble(error);
  }

  /** Something does not work. */
  #trouble(error: Error): void {
    this.#calm = 0;
    if (error instanceof SystemError && error.errno === EHOSTUNREACH) this.#calmMs = ASKING_MS;
    this.#troubles.add(error);
    // Neither helps by another way.
    if (error instanceof SystemError && (error.errno === EAGAIN || error.errno === ENOBUFS)) return;
    if (this.#timer !== undefined || this.#isRenewing || this.#closed) return;
    this.#timer = setTimeout(() => void this.renew(), this.#troubles.delayMs());
    this.#troubles.slowDown();
  }

  /** An error came back of which it is not known what it was. The next one will be: from now on datagrams are sent one by one. */
  #goesOn(): void {
    this.#calm = 0;
    this.#troubles.goesOn();
  }

  /** Something was sent, and no error came back. */
  #well(): void {
    if (++this.#calm < CALM || !this.#troubles.well(this.#calmMs)) return;
    this.#calmMs = HELD_BACK_MS;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Reports, once, that datagrams do not fit the path. */
  #oversized(bytes: number): void {
    if (this.#isOversized) return;
    this.#isOversized = true;
    const most = this.#socket.largestUnfragmented();
    const cure = most === undefined ? "smaller ones are not fragmented" : `those of at most ${most} bytes are not fragmented`;
    this.#options.onProblem?.(
      new SystemError(`send datagrams of ${bytes} bytes to ${this.name} in one piece`, EMSGSIZE, {
        hint: `The path's MTU is smaller, so they are fragmented, and one lost fragment loses the whole datagram; ${cure}`,
      }),
    );
  }
}
