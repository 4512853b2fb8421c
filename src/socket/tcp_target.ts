/** A TCP connection to a host for months: whenever it ends, the name is looked up again and the next connection made. */
import { LookupError, type SystemError } from "../errors.ts";
import { EAFNOSUPPORT, ECONNREFUSED, ECONNRESET, EINPROGRESS, ETIMEDOUT, type Memory, type Sys } from "../sys/sys.ts";
import { addressText } from "../wire/text.ts";
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
import { TcpSocket } from "./tcp_socket.ts";
import { HINTS, PASSING, sendError, type TroubleOptions, Troubles } from "./troubles.ts";

/** How long an address may take to answer. */
const CONNECT_MS = 10_000;
/** How often a connection that is being made, or has no room, is looked at: at first, and at most. */
const LOOK_MS = 1;
const LONGEST_LOOK_MS = 20;
/** How often a connection without traffic is looked at. */
const IDLE_LOOK_MS = 1000;
/** How long to wait before trying again while there is little time. */
const HURRIED_MS = 100;

const CONNECT_HINTS: Readonly<Record<number, string>> = {
  ...HINTS,
  [ETIMEDOUT]: "The host does not answer, or a firewall drops what is sent to it",
  [ECONNRESET]: "The collector closed the connection, as when it is restarted, or something on the way did",
};

/** How to send to a target. */
export interface TcpTargetOptions extends TroubleOptions {
  /** The port if the target names none. */
  readonly defaultPort: number;
  /** Looks up a host name. Defaults to the runtime's way. */
  readonly lookup?: Lookup | undefined;
  /** Called when a connection has been made. Not during a call of a method. */
  readonly onConnect: () => void;
  /** Called when it has ended: with the number of bytes that the peer has confirmed, if that is known. */
  readonly onDisconnect: (acknowledgedBytes: number | undefined) => void;
  /** Called when there is room again after {@linkcode TcpTarget.wantRoom}. Not during a call of a method. */
  readonly onRoom: () => void;
}

/** Keeps a connection to one host. It never waits and never throws while sending. */
export class TcpTarget {
  /** The target with its port: `"tcp:collector.example.net:4739"`. */
  readonly name: string;
  /** Number of connections so far. */
  connections = 0;
  /** What ended the last connection, or the last attempt: the name of an error, `undefined` if there was nothing. */
  lastError: string | undefined;
  readonly #target: Target;
  readonly #options: TcpTargetOptions;
  readonly #sockets: ReadonlyMap<Family, TcpSocket>;
  #addresses: readonly SocketAddress[];
  /** Why it has no address at first. */
  readonly #failure: LookupError | undefined;
  /** The address in use, or that was tried last. */
  #address: SocketAddress | undefined;
  /** The socket that is connected, and the one that is being connected. */
  #connected: TcpSocket | undefined;
  #connecting: TcpSocket | undefined;
  /** The next attempt, the next look at an attempt, and at a connection. */
  #retry: ReturnType<typeof setTimeout> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  #room: ReturnType<typeof setTimeout> | undefined;
  #isHurried = false;
  #isRenewing = false;
  readonly #troubles: Troubles;
  #closed = false;

  /**
   * Looks a name up and opens sockets. {@linkcode TcpTarget.start} connects.
   *
   * @throws {ArgumentError} if the text is not a target.
   * @throws {LookupError} if it is a name that certainly has no address.
   * @throws {SystemError} if there can be no socket.
   */
  static async open(sys: Sys, text: string, options: TcpTargetOptions): Promise<TcpTarget> {
    const target = parseTarget(text, options.defaultPort);
    return new TcpTarget(sys, target, options, await firstAddresses(target, options.lookup));
  }

  private constructor(sys: Sys, target: Target, options: TcpTargetOptions, { addresses, failure }: FirstAddresses) {
    this.#target = target;
    this.#options = options;
    this.#troubles = new Troubles(options);
    this.#addresses = addresses;
    this.#failure = failure;
    this.name = `tcp:${targetText(target)}`;
    const sockets = new Map<Family, TcpSocket>();
    this.#sockets = sockets;
    try {
      openFamilies(sockets, target, addresses, (family) => new TcpSocket(sys, family));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether there is a connection. */
  get isConnected(): boolean {
    return this.#connected !== undefined;
  }

  /** The address that is connected to, or was last, with its port. `undefined` if there is none yet. */
  get address(): string | undefined {
    return this.#address && targetText({ ...this.#address, host: this.#address.address });
  }

  /**
   * Begins the first connection. A target that cannot be looked up or reached now is a problem that is reported, and tried again.
   *
   * @throws {SystemError} if nobody can ever be reached at this address.
   */
  start(): void {
    if (this.#failure) return this.#failed(this.#failure);
    const mistake = this.#try(this.#addresses, 0);
    if (mistake === undefined) return;
    if (!PASSING.has(mistake) && mistake !== ECONNREFUSED && mistake !== ETIMEDOUT) throw this.#error(mistake);
    this.#failed(this.#error(mistake));
  }

  /** Sends what it can at once, and returns the number of bytes: 0 if there is no room, or no connection. */
  send(bytes: Memory): number {
    const socket = this.#connected;
    if (!socket) return 0;
    const ending = socket.ending();
    const sent = ending === 0 ? socket.send(bytes) : -ending;
    if (sent >= 0) return sent;
    this.#disconnected(-sent);
    return 0;
  }

  /** Asks for a call of `onRoom` as soon as there is room. */
  wantRoom(): void {
    if (this.#room === undefined && this.#connected) this.#awaitRoom(LOOK_MS);
  }

  /** How many bytes of this connection the peer has confirmed; `undefined` if that is not known. */
  acknowledged(): number | undefined {
    return this.#connected?.acknowledged();
  }

  /** Whether the connection has ended. */
  checkEnded(): boolean {
    const errno = this.#connected?.ending() ?? 0;
    if (errno !== 0) this.#disconnected(errno);
    return this.#connected === undefined;
  }

  /** Tells the peer that nothing more follows. */
  finish(): void {
    this.#connected?.finish();
  }

  /** From now on waits less between attempts, and makes one now if there is no connection: there is little time. */
  hurry(): void {
    this.#isHurried = true;
    if (this.#connected || this.#connecting || this.#isRenewing) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#addresses.length === 0) void this.renew();
    else this.#tryOrWait(this.#addresses, 0);
  }

  /**
   * Looks the name up again, now, and connects if there is no connection, or if the name does not have its address any more. Nothing is held
   * up meanwhile.
   */
  async renew(): Promise<void> {
    if (this.#isRenewing || this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#isRenewing = true;
    let failure: LookupError | undefined;
    try {
      this.#addresses = await addressesOf(this.#target, this.#options.lookup);
    } catch (error) {
      if (!(error instanceof LookupError)) throw error;
      // The previous addresses stay in use.
      failure = error;
    } finally {
      this.#isRenewing = false;
    }
    if (this.#closed) return;
    if (failure && this.#addresses.length === 0) return this.#failed(failure);
    if (failure) this.trouble(failure);
    if (this.#connecting) return;
    if (this.#connected) {
      const text = addressText(this.#address!.address);
      if (this.#addresses.some(({ address }) => addressText(address) === text)) return;
      this.#end(this.#connected);
    }
    this.#tryOrWait(startingAfter(this.#addresses, this.#troubles.any ? this.#address : undefined), 0);
  }

  /** Something does not work: reports it, unless that has been reported. */
  trouble(error: Error): void {
    if (!this.#troubles.add(error)) this.#troubles.slowDown();
  }

  /** Nothing is wrong now. If that has been so for a while, all is well again. To be called every second or so. */
  well(): void {
    this.#troubles.well();
  }

  /** Closes the sockets; what was sent is still delivered. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const timer of [this.#retry, this.#look, this.#room]) clearTimeout(timer);
    for (const socket of this.#sockets.values()) socket.close();
    this.#connected = this.#connecting = undefined;
  }

  /** Connects to the first of these addresses that answers. Returns the error number if it is certain at once that none does. */
  #try(addresses: readonly SocketAddress[], first: number): number | undefined {
    const [address, ...others] = addresses;
    if (!address) return first;
    this.#address = address;
    const socket = this.#sockets.get(familyOf(address));
    const result = socket ? socket.connect(address) : -EAFNOSUPPORT;
    if (result < 0) {
      socket?.disconnect();
      return this.#try(others, first || -result);
    }
    this.#connecting = socket!;
    this.#follow(socket!, others, first, this.#troubles.nowMs() + CONNECT_MS, LOOK_MS);
    return undefined;
  }

  #tryOrWait(addresses: readonly SocketAddress[], first: number): void {
    const errno = this.#try(addresses, first);
    if (errno !== undefined) this.#failed(this.#error(errno));
  }

  /** Looks how far a connection has come, until it is made or has failed. */
  #follow(socket: TcpSocket, others: readonly SocketAddress[], first: number, deadlineMs: number, lookMs: number): void {
    this.#look = setTimeout(() => {
      const progress = socket.progress();
      if (progress === 0) return this.#made(socket);
      const isLate = this.#troubles.nowMs() >= deadlineMs;
      if (progress === EINPROGRESS && !isLate) {
        return this.#follow(socket, others, first, deadlineMs, Math.min(LONGEST_LOOK_MS, 2 * lookMs));
      }
      socket.disconnect();
      this.#connecting = undefined;
      this.#tryOrWait(others, first || (progress === EINPROGRESS ? ETIMEDOUT : -progress));
    }, lookMs);
  }

  #made(socket: TcpSocket): void {
    this.#connecting = undefined;
    this.#connected = socket;
    this.connections++;
    this.#look = setTimeout(() => this.#watch(), IDLE_LOOK_MS);
    this.#options.onConnect();
  }

  /** Notices the end of a connection that nothing is sent by. */
  #watch(): void {
    if (this.checkEnded()) return;
    this.#look = setTimeout(() => this.#watch(), IDLE_LOOK_MS);
  }

  #awaitRoom(lookMs: number): void {
    this.#room = setTimeout(() => {
      this.#room = undefined;
      if (this.#connected?.isWritable) this.#options.onRoom();
      else if (this.#connected) this.#awaitRoom(Math.min(LONGEST_LOOK_MS, 2 * lookMs));
    }, lookMs);
  }

  /** The connection is over. */
  #disconnected(errno: number): void {
    this.#end(this.#connected!);
    this.#failed(this.#error(errno));
  }

  #end(socket: TcpSocket): void {
    for (const timer of [this.#look, this.#room]) clearTimeout(timer);
    this.#room = undefined;
    const acknowledged = socket.acknowledged();
    socket.disconnect();
    this.#connected = undefined;
    this.#options.onDisconnect(acknowledged);
  }

  /** There is no connection: tries again later. */
  #failed(error: SystemError | LookupError): void {
    this.lastError = error.code;
    this.trouble(error);
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.renew(), this.#troubles.delayMs(this.#isHurried ? HURRIED_MS : undefined));
  }

  #error(errno: number): SystemError {
    return sendError(this.name, this.#target, this.#address, errno, CONNECT_HINTS);
  }
}
