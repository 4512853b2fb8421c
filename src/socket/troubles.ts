/** Problems of sending to a host: reported once until it has recovered, and when to try again. */
import { SystemError } from "../errors.ts";
import {
  EACCES,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINVAL,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  EPERM,
} from "../sys/sys.ts";
import { addressText } from "../wire/text.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { Target } from "./target.ts";

/** How long to wait before trying again: at first, and at most. */
const FIRST_MS = 1000;
const LONGEST_MS = 60_000;
/** A problem this long after the last one is a new one. */
const FORGET_MS = 600_000;

/**
 * Failures that may pass: a link that comes up, a route that is learned, and one that drops or prohibits (RTN_BLACKHOLE is EINVAL and
 * RTN_PROHIBIT is EACCES, net/ipv4/fib_semantics.c), such as a VPN sets until it is up; a firewall that is loaded. All others at the start
 * are mistakes.
 */
export const PASSING: ReadonlySet<number> = new Set([
  ENETDOWN,
  ENETUNREACH,
  EHOSTUNREACH,
  EADDRNOTAVAIL,
  EACCES,
  EINVAL,
  EPERM,
]);

/** What is wrong, and what helps. */
export const HINTS: Readonly<Record<number, string>> = {
  [ECONNREFUSED]: "The host is there, but nothing listens on that port",
  [ENETUNREACH]: "There is no route to it: ip route get shows what the kernel would do",
  [EHOSTUNREACH]: "The host does not answer, or a router or firewall refuses to forward to it",
  [EPERM]: "A local firewall rule (nftables, iptables) drops it on its way out",
  [EACCES]: "It is a broadcast address, or the route to it is prohibited (ip route)",
  [EINVAL]: "The route to it is a blackhole (ip route), the local address is gone, or the interface does not match the address",
  [ENODEV]: "There is no such interface: ip link lists them",
  [EAGAIN]: "The device sends more slowly than datagrams arrive: sample fewer packets, or raise net.core.wmem_max (sysctl)",
  [ENOBUFS]: "The queue of the device is full: sample fewer packets, or send through another device",
};

/** The error that nothing can be sent to a target of this name: a host name is followed by its present address. */
export function sendError(
  name: string,
  { host }: Target,
  address: SocketAddress | undefined,
  errno: number,
  hints: Readonly<Record<number, string>> = HINTS,
): SystemError {
  const present = typeof host === "string" && address ? ` (${addressText(address.address)})` : "";
  return new SystemError(`send to ${name}${present}`, errno, { hint: hints[errno] });
}

/** Who is notified, and how time passes. */
export interface TroubleOptions {
  /** Called with what is wrong, once until all is well again. It does not end anything. */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Called when the problem is over. */
  readonly onRecovery?: (() => void) | undefined;
  /** Between 0 and 1. Defaults to `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** The steady clock, in milliseconds. Defaults to `performance.now`. */
  readonly nowMs?: (() => number) | undefined;
}

/** The troubles of one target. */
export class Troubles {
  readonly #options: TroubleOptions;
  /** The problem that was reported and is not over. */
  readonly #told = new Set<string>();
  /** When something did not work last. */
  #lastMs = -Infinity;
  #waitMs = FIRST_MS;

  /** None yet. */
  constructor(options: TroubleOptions) {
    this.#options = options;
  }

  /** Whether there are any. */
  get any(): boolean {
    return this.#told.size > 0;
  }

  /** How long to wait until the next attempt: about `waitMs`, or else longer each time. */
  delayMs(waitMs: number = this.#waitMs): number {
    // Many exporters lose their collector at the same moment: they must not all come back at the same moment.
    return waitMs * (0.5 + (this.#options.random ?? Math.random)());
  }

  /** The steady clock, in milliseconds. */
  nowMs(): number {
    return this.#options.nowMs?.() ?? performance.now();
  }

  /** Something does not work: reports it, unless it has been reported. Returns whether nothing had been wrong for long. */
  add(error: Error): boolean {
    const nowMs = this.nowMs();
    const isFirst = nowMs - this.#lastMs > FORGET_MS;
    if (isFirst) this.#waitMs = FIRST_MS;
    this.#lastMs = nowMs;
    if (!this.#told.has(error.message)) {
      this.#told.add(error.message);
      this.#options.onProblem?.(error);
    }
    return isFirst;
  }

  /** The reported problem continues. */
  goesOn(): void {
    if (this.any) this.#lastMs = this.nowMs();
  }

  /** From now on waits twice as long between attempts. */
  slowDown(): void {
    this.#waitMs = Math.min(LONGEST_MS, 2 * this.#waitMs);
  }

  /**
   * Nothing is wrong now: if that has lasted as long as the time between attempts, the problem is over. Flapping must not be reported each
   * time.
   *
   * @param leastMs How long that must have been so, even if attempts are more frequent. Defaults to 0.
   * @returns Whether that is so since this call.
   */
  well(leastMs = 0): boolean {
    if (!this.any || this.nowMs() - this.#lastMs < Math.max(leastMs, this.#waitMs)) return false;
    this.#told.clear();
    this.#options.onRecovery?.();
    return true;
  }
}
