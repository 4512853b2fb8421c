/**
 * Messages to the service manager that has started this process, such as systemd. Source: sd_notify(3), sd_watchdog_enabled(3).
 *
 * @module
 */
import { ArgumentError, SystemError } from "../errors.ts";
import { openSocket } from "../socket/open.ts";
import { loadSys } from "../sys/load.ts";
import {
  AF_UNIX,
  EAGAIN,
  EINTR,
  type Memory,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  type Sys,
} from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/** `struct sockaddr_un`: u16 family, then a path of up to 108 bytes (include/uapi/linux/un.h). */
const FAMILY_BYTES = 2;
const PATH_BYTES = 108;

/** How soon to try again what the service manager has no room for. */
const RETRY_MS = 100;

/**
 * A service manager that waits for messages of this process. They go out in order and make nothing wait; one that finds no room is sent
 * when there is some.
 */
export class ServiceManager {
  /**
   * How often the service manager must hear {@linkcode ServiceManager.alive}, in milliseconds, or it takes this process for hung and ends
   * it; `undefined` if it does not watch this process.
   */
  readonly watchdogMs: number | undefined;
  /** Called when a message could not be sent, once; the process can do without. */
  onProblem: (error: SystemError) => void = () => {};
  readonly #sys: Sys;
  readonly #address: Memory;
  readonly #fd: number;
  /** What found no room yet, by the name of what it says: of two with the same name, the later one counts. */
  readonly #waiting = new Map<string, Memory>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #status = "";
  #hasProblem = false;
  #isClosed = false;

  /**
   * Finds the service manager; `undefined` if none has asked for messages: NOTIFY_SOCKET is not set.
   *
   * @throws {ArgumentError} if NOTIFY_SOCKET is no address that this can send to.
   * @throws {SystemError} if there can be no socket.
   */
  static async open(): Promise<ServiceManager | undefined> {
    // Not in another network namespace, if there is one to work in: abstract names belong to the one that the process was started in.
    return ServiceManager.openWith(await loadSys());
  }

  /** {@linkcode ServiceManager.open} on a given seam. */
  static openWith(sys: Sys): ServiceManager | undefined {
    const name = sys.environment("NOTIFY_SOCKET");
    return name === undefined || name === "" ? undefined : new ServiceManager(sys, name);
  }

  private constructor(sys: Sys, name: string) {
    this.#sys = sys;
    this.#address = addressOf(name);
    this.watchdogMs = watchdogOf(sys);
    this.#fd = openSocket(sys, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (this.#fd < 0) {
      throw new SystemError("open a socket to the service manager", -this.#fd, {
        hint: "A systemd unit's RestrictAddressFamilies= must include AF_UNIX",
      });
    }
  }

  /** Everything is set up: the service has started, or has reloaded. */
  ready(): void {
    this.#send("READY=1");
  }

  /** The configuration is being reloaded, until {@linkcode ServiceManager.ready}. */
  reloading(): void {
    this.#send("RELOADING=1", `MONOTONIC_USEC=${this.#sys.monotonicUs()}`);
  }

  /** The service is about to end. */
  stopping(): void {
    this.#send("STOPPING=1");
  }

  /** One line for people about how the service is; sent only if it is another one. */
  status(text: string): void {
    const line = text.replace(/\s*\n\s*/g, " ");
    if (line === this.#status) return;
    this.#status = line;
    this.#send(`STATUS=${line}`);
  }

  /** Why the service is about to end in failure, with the error number if there is one. */
  failed(text: string, errno: number | undefined): void {
    this.status(text);
    if (errno !== undefined) this.#send(`ERRNO=${errno}`);
  }

  /** The service works: {@linkcode ServiceManager.watchdogMs}. */
  alive(): void {
    this.#send("WATCHDOG=1");
  }

  /** Starting or stopping takes long, and proceeds: there may be nothing to hear for this many milliseconds. */
  extendTimeout(ms: number): void {
    this.#send(`EXTEND_TIMEOUT_USEC=${Math.round(1000 * ms)}`);
  }

  /** Closes the socket. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#sys.close(this.#fd);
  }

  #send(...assignments: readonly string[]): void {
    const bytes = new TextEncoder().encode(assignments.join("\n"));
    const message = memory(bytes.length);
    message.set(bytes);
    const [name] = assignments[0]!.split("=", 1) as [string];
    this.#waiting.delete(name);
    this.#waiting.set(name, message);
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [name, message] of this.#waiting) {
      if (this.#isClosed) return;
      // To the address each time: the service manager may have replaced its socket, for example when it was updated.
      const result = this.#sys.sendto(this.#fd, message, MSG_DONTWAIT | MSG_NOSIGNAL, this.#address);
      if (result === -EAGAIN || result === -EINTR) {
        this.#timer = setTimeout(() => this.#flush(), RETRY_MS);
        return;
      }
      this.#waiting.delete(name);
      if (result < 0) this.#problem(-result);
    }
  }

  #problem(errno: number): void {
    if (this.#hasProblem) return;
    this.#hasProblem = true;
    this.onProblem(
      new SystemError("send a message to the service manager", errno, {
        hint: "The environment variable NOTIFY_SOCKET names that socket. If no messages are wanted, unset it",
      }),
    );
  }
}

/** The address that NOTIFY_SOCKET stands for: a path, or after @ an abstract name. */
function addressOf(name: string): Memory {
  const isAbstract = name.startsWith("@");
  const bytes = new TextEncoder().encode(name);
  if (!isAbstract && !name.startsWith("/")) {
    throw new ArgumentError(
      `Cannot send to the service manager: NOTIFY_SOCKET is ${JSON.stringify(name)}, expected an absolute path or @ and a name`,
    );
  }
  // A path ends with NUL.
  if (bytes.length > PATH_BYTES - (isAbstract ? 0 : 1)) {
    throw new ArgumentError(`Cannot send to the service manager: NOTIFY_SOCKET has ${bytes.length} bytes, which is too long for a socket`);
  }
  const address = memory(FAMILY_BYTES + bytes.length + (isAbstract ? 0 : 1));
  viewOf(address).setUint16(0, AF_UNIX, LITTLE);
  address.set(bytes, FAMILY_BYTES);
  if (isAbstract) address[FAMILY_BYTES] = 0;
  return address;
}

/** Within how many milliseconds the service manager wants to hear of this process; `undefined` if it does not watch it. */
function watchdogOf(sys: Sys): number | undefined {
  const pid = sys.environment("WATCHDOG_PID");
  // A variable that another process was given, and this one has inherited.
  if (pid !== undefined && pid !== `${sys.getpid()}`) return undefined;
  const us = Number(sys.environment("WATCHDOG_USEC"));
  return us > 0 && us < Infinity ? us / 1000 : undefined;
}
