/** Names of hosts by their addresses, asked for in the background: whoever draws never waits for them. */
import { lookupService, Resolver } from "node:dns";

/** Asks for the name of an address; `undefined` if it has none. */
export type Ask = (address: string) => Promise<string | undefined>;

/** So many names are remembered; then the one that was asked for first is forgotten. */
const MOST_NAMES = 4096;
/** So many questions are under way at once, and so many wait. */
const MOST_ASKED = 16;
const MOST_WAITING = 1024;
/** A name of the DNS has 253 characters at most (RFC 1035); so much of one is shown. */
const MOST_LENGTH = 64;
const QUERY_MS = 2000;

/** Answers that there is no such name, or nobody who knows: no failure. */
const NO_NAME: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "ECANCELLED"]);

/** Names that are known, and those that are being asked for. */
export class HostNames {
  /** Questions that nobody answered, and why the last was not. */
  readonly failed = { count: 0, why: "" };
  readonly #ask: Ask;
  readonly #cancel: () => void;
  readonly #known = new Map<string, string | undefined>();
  readonly #waiting = new Set<string>();
  readonly #asked = new Set<string>();
  #idle: (() => void)[] = [];
  #isClosed = false;

  /** Asks `ask`, and cancels what is still asked for with `cancel`. */
  constructor(ask: Ask, cancel: () => void = () => {}) {
    this.#ask = ask;
    this.#cancel = cancel;
  }

  /** The name of an address as far as it is known; if it is not, it is asked for. */
  of(address: string): string | undefined {
    if (this.#known.has(address)) return this.#known.get(address);
    if (this.#isClosed || this.#asked.has(address) || this.#waiting.has(address)) return undefined;
    // Whoever still wants to know asks again.
    if (this.#waiting.size < MOST_WAITING) this.#waiting.add(address);
    this.#next();
    return undefined;
  }

  /** Resolves when all answers are there, or after `ms`. */
  async settled(ms: number): Promise<void> {
    if (this.#asked.size === 0 && this.#waiting.size === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }

  /** Asks no more. Idempotent. */
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

/** Names by the resolver of this machine. */
export function systemHostNames(): HostNames {
  const resolver = new Resolver({ timeout: QUERY_MS, tries: 1 });
  const ask: Ask = (address) =>
    new Promise((resolve, reject) => {
      resolver.reverse(address, (error, names) => error ? reject(error) : resolve(names[0]));
    });
  return new HostNames(ask, () => resolver.cancel());
}

/** Resolves if names may be asked for; the error says what Deno wants for it. */
export function checkResolving(): Promise<void> {
  return new Promise((resolve, reject) => {
    // Deno answers this question at once, and others as if nobody knew. What else the answer is does not matter, nor whether one comes.
    const timer = setTimeout(resolve, QUERY_MS);
    lookupService("127.0.0.1", 0, (error) => {
      clearTimeout(timer);
      if (error?.code === "EPERM") reject(new NotCapableError());
      else resolve();
    });
  });
}

/** Deno's own error for a permission that is missing, which it does not throw here. */
class NotCapableError extends Error {
  override readonly name = "NotCapable";

  constructor() {
    super("Cannot look names of hosts up for --resolve: Requires net access, run again with the --allow-net flag");
  }
}

/** Keys whose values are addresses of hosts, also in tunnels. */
const ADDRESS = /^ip6?(source|destination)(\.\d)?$/;

/** The name of the host that a value of a key is the address of, as far as it is known. */
export function hostOf(hosts: HostNames | undefined, key: string, text: string): string | undefined {
  return hosts && ADDRESS.test(key) ? hosts.of(text) : undefined;
}

/** Whether values of this key may have such names. */
export function isAddress(key: string): boolean {
  return ADDRESS.test(key);
}
