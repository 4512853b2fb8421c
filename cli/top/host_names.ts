/** Host names by address, looked up in the background: drawing never waits for them. */
import { lookupService, Resolver } from "node:dns";

/** Looks up the name of an address; `undefined` if it has none. */
export type Ask = (address: string) => Promise<string | undefined>;

/** Maximum number of names remembered; then the one that was looked up first is forgotten. */
const MOST_NAMES = 4096;
/** Maximum number of lookups in progress, and of those waiting. */
const MOST_ASKED = 16;
const MOST_WAITING = 1024;
/** A DNS name has at most 253 characters (RFC 1035); only this many are shown. */
const MOST_LENGTH = 64;
const QUERY_MS = 2000;

/** Answers that there is no such name, or that nobody knows: not failures. */
const NO_NAME: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "ECANCELLED"]);

/** The names that are known, and the lookups in progress. */
export class HostNames {
  /** Number of failed lookups, and why the last one failed. */
  readonly failed = { count: 0, why: "" };
  readonly #ask: Ask;
  readonly #cancel: () => void;
  readonly #known = new Map<string, string | undefined>();
  readonly #waiting = new Set<string>();
  readonly #asked = new Set<string>();
  #idle: (() => void)[] = [];
  #isClosed = false;

  /** Looks names up with `ask`, and cancels pending lookups with `cancel`. */
  constructor(ask: Ask, cancel: () => void = () => {}) {
    this.#ask = ask;
    this.#cancel = cancel;
  }

  /** The name of an address if it is known; if not, a lookup is started. */
  of(address: string): string | undefined {
    if (this.#known.has(address)) return this.#known.get(address);
    if (this.#isClosed || this.#asked.has(address) || this.#waiting.has(address)) return undefined;
    // It is asked for again if it is still wanted.
    if (this.#waiting.size < MOST_WAITING) this.#waiting.add(address);
    this.#next();
    return undefined;
  }

  /** Resolves when all answers have arrived, or after `ms`. */
  async settled(ms: number): Promise<void> {
    if (this.#asked.size === 0 && this.#waiting.size === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }

  /** Stops looking up names. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting.clear();
    this.#cancel();
  }

  #next(): void {
    for (const address of this.#waiting) {
      if (this.#asked.size >= MOST_ASKED) return;
      this.#waiting.delete(address);
      this.#asked.add(address);
      void this.#answer(address);
    }
  }

  async #answer(address: string): Promise<void> {
    let name: string | undefined;
    try {
      name = (await this.#ask(address))?.slice(0, MOST_LENGTH);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? `${error.code}` : `${error}`;
      if (!NO_NAME.has(code)) {
        this.failed.count++;
        this.failed.why = code;
      }
    }
    this.#asked.delete(address);
    const [oldest] = this.#known.size >= MOST_NAMES ? this.#known.keys() : [];
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(address, name || undefined);
    this.#next();
    if (this.#asked.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** Names from this machine's resolver. */
export function systemHostNames(): HostNames {
  const resolver = new Resolver({ timeout: QUERY_MS, tries: 1 });
  const ask: Ask = (address) =>
    new Promise((resolve, reject) => {
      resolver.reverse(address, (error, names) => error ? reject(error) : resolve(names[0]));
    });
  return new HostNames(ask, () => resolver.cancel());
}

/** Resolves if names may be looked up; otherwise the error says which permission Deno requires. */
export function checkResolving(): Promise<void> {
  return new Promise((resolve, reject) => {
    // For this query Deno reports a missing permission at once; for others it answers as if nobody knew. Any other answer does not matter,
    // nor does its absence.
    const timer = setTimeout(resolve, QUERY_MS);
    lookupService("127.0.0.1", 0, (error) => {
      clearTimeout(timer);
      if (error?.code === "EPERM") reject(new NotCapableError());
      else resolve();
    });
  });
}

/** Deno's own error for a missing permission, which it does not throw here. */
class NotCapableError extends Error {
  override readonly name = "NotCapable";

  constructor() {
    super("Cannot look up host names for --resolve: Requires net access, run again with the --allow-net flag");
  }
}

/** Keys whose values are host addresses, also inside tunnels. */
const ADDRESS = /^ip6?(source|destination)(\.\d)?$/;

/** The host name for a value of a key, if it is an address whose name is known. */
export function hostOf(hosts: HostNames | undefined, key: string, text: string): string | undefined {
  return hosts && text !== "" && ADDRESS.test(key) ? hosts.of(text) : undefined;
}

/** Whether values of this key may have such names. */
export function isAddress(key: string): boolean {
  return ADDRESS.test(key);
}
