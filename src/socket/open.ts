/**
 * The place where sockets are opened. Every use of the kernel begins with {@linkcode open}, which chooses the network namespace.
 *
 * A socket permanently belongs to the namespace that its thread was in when it was opened, wherever it is read from. So the thread enters
 * the namespace for that one system call and returns: no other JavaScript runs in between, and whatever the runtime opens for others stays
 * in the original namespace.
 */
import { ArgumentError, StrandedError, SystemError } from "../errors.ts";
import { loadSys } from "../sys/load.ts";
import { CLONE_NEWNET, EACCES, EINVAL, ENOENT, EPERM, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDONLY, type Sys } from "../sys/sys.ts";

/**
 * The network namespace to work in.
 *
 * @example Sample a device of the network namespace blue, and listen there
 * ```ts ignore
 * import { addSampling, listen } from "@psample/psample";
 *
 * const netns = "blue";
 * await using sampling = await addSampling({ device: "eth0", rate: 100, netns });
 * for await (const sample of await listen({ groups: [sampling.group!], events: false, netns })) {
 *   console.log("the first:", sample.originalBytes, sample.data);
 *   break;
 * }
 * ```
 *
 * @category Network namespaces
 */
export interface NetnsOptions {
  /**
   * The network namespace: a name, as `ip netns` lists them, or a path such as `/proc/PID/ns/net`. Requires CAP_SYS_ADMIN, and on Deno
   * the permission to read that path, which is `/run/netns/NAME` for a name. Defaults to the namespace that the thread is in.
   *
   * The process stays where it is: only the sockets that this opens are in the other namespace, and they stay there even if the name is
   * deleted or given to another namespace.
   */
  netns?: string | undefined;
}

const NO_WAY_BACK = "There would be no way back: /proc/thread-self/ns/net cannot be opened. Is /proc mounted?";

/** Where ip-netns(8) keeps names: NETNS_RUN_DIR of iproute2. */
export const NETNS_NAMES = "/run/netns";

/** The namespace names of seams that work in another namespace. */
const NETNS = new WeakMap<Sys, string>();
/** The seams whose thread could not return to its own namespace. */
const STRANDED = new WeakMap<Sys, StrandedError>();

/**
 * Opens the seam to the kernel, as it is in a network namespace.
 *
 * @throws {ArgumentError} if `netns` cannot be a name.
 * @throws {SystemError} if it cannot be entered.
 */
export async function open(options: NetnsOptions = {}): Promise<Sys> {
  return openWith(await loadSys(), options);
}

/** {@linkcode open} on a given seam. */
export function openWith(sys: Sys, { netns }: NetnsOptions): Sys {
  if (netns === undefined) return sys;
  const namespace = new Namespace(sys, netns);
  // A missing right is reported now, and the name means the namespace that has it now.
  namespace.run(() => 0);
  const there = seamIn(namespace, sys);
  NETNS.set(there, netns);
  return there;
}

/** The network namespace of a seam, as passed to {@linkcode open}; `undefined` for that of the thread. */
export function netnsOf(sys: Sys): string | undefined {
  return NETNS.get(sys);
}

/**
 * Opens a socket in the namespace of `sys`.
 *
 * @returns The descriptor, or the negative error number.
 * @throws {StrandedError} if the thread is not where it should be.
 */
export function openSocket(sys: Sys, domain: number, type: number, protocol: number): number {
  checkHome(sys);
  return sys.socket(domain, type, protocol);
}

function checkHome(sys: Sys): void {
  const stranded = STRANDED.get(sys);
  if (stranded) throw stranded;
}

/** The same system calls, except that those which depend on the thread's network namespace are made in another one. */
function seamIn(namespace: Namespace, sys: Sys): Sys {
  const there: Partial<Sys> = {
    socket: (domain, type, protocol) => namespace.run(() => sys.socket(domain, type, protocol)),
    // Programs are attached to a device given by its index.
    bpf: (command, attributes) => tried(() => namespace.run(() => sys.bpf(command, attributes))),
    // /proc/thread-self/ns/net is one of them.
    readlink: (path, into) => tried(() => namespace.run(() => sys.readlink(path, into))),
  };
  const calls = new Map<PropertyKey, unknown>(Object.entries(there));
  return new Proxy(sys, {
    get: (_, name) => {
      if (!calls.has(name)) {
        const own = sys[name as keyof Sys] as unknown;
        // The backends have private fields, which only they can access.
        calls.set(name, typeof own === "function" ? own.bind(sys) : own);
      }
      return calls.get(name);
    },
  });
}

/** The result of a call that only queries: it may be made after the right to enter the namespace was given up. */
function tried(call: () => number): number {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return -error.errno;
  }
}

/** A network namespace that is not the thread's own. */
class Namespace {
  readonly #sys: Sys;
  readonly #name: string;
  readonly #path: string;
  readonly #op: string;
  /** Device and inode: another namespace may get its name, or the number of its process. */
  #identity: string | undefined;

  constructor(sys: Sys, netns: string) {
    if (netns === "" || netns === "." || netns === ".." || netns.includes("\0")) {
      throw new ArgumentError(
        `${JSON.stringify(netns)} is not a network namespace: expected a name, as ip netns lists them, or a path such as /proc/PID/ns/net`,
      );
    }
    this.#sys = sys;
    this.#name = netns;
    this.#path = netns.includes("/") ? netns : `${NETNS_NAMES}/${netns}`;
    this.#op = `enter the network namespace ${netns}`;
  }

  /** Makes one system call there, and returns to the thread's own namespace whatever happens. */
  run(call: () => number): number {
    const sys = this.#sys;
    checkHome(sys);
    const home = sys.openNetns();
    if (home < 0) throw new SystemError(this.#op, -home, { hint: home === -ENOENT || home === -EACCES ? NO_WAY_BACK : undefined });
    try {
      const there = this.#open();
      try {
        // The right to enter does not imply the right to return: in its own user namespace a process has rights only over its own
        // namespaces. Entering the namespace that it is already in requires the same rights and changes nothing.
        this.#check(sys.setns(home, CLONE_NEWNET), WAY_BACK);
        this.#check(sys.setns(there, CLONE_NEWNET));
        try {
          return call();
        } finally {
          this.#return(home);
        }
      } finally {
        sys.close(there);
      }
    } finally {
      sys.close(home);
    }
  }

  #return(home: number): void {
    const result = this.#sys.setns(home, CLONE_NEWNET);
    if (result >= 0) return;
    const error = new StrandedError(this.#name, new SystemError("return to the network namespace of the process", -result));
    STRANDED.set(this.#sys, error);
    throw error;
  }

  #open(): number {
    const sys = this.#sys;
    // Anything may be at this path.
    const fd = sys.open(this.#path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) throw new SystemError(this.#op, -fd, { hint: this.#hint(-fd) });
    const status = sys.stat(fd);
    const identity = typeof status === "number" ? undefined : status.identity;
    this.#identity ??= identity;
    if (identity === this.#identity) return fd;
    sys.close(fd);
    throw new SystemError(this.#op, ENOENT, { hint: "That name belongs to another namespace now" });
  }

  #check(result: number, hint = this.#hint(-result)): void {
    if (result < 0) throw new SystemError(this.#op, -result, { hint });
  }

  #hint(errno: number): string | undefined {
    const isName = this.#path !== this.#name;
    switch (errno) {
      case ENOENT:
        return isName
          ? `There is no ${this.#path}: ip netns lists the names. A path such as /proc/PID/ns/net works too`
          : "There is no such file. That of a process is /proc/PID/ns/net";
      case EACCES:
      case EPERM:
        return "It requires CAP_SYS_ADMIN, in the user namespace of this process and in the one that owns that network namespace: run as root";
      case EINVAL:
        return `${this.#path} is not a network namespace${
          isName ? ` (any more): ip netns delete ${this.#name} removes what is left of it` : ""
        }`;
    }
    return undefined;
  }
}

const WAY_BACK =
  "It requires CAP_SYS_ADMIN also in the user namespace that owns the network namespace of this process, or there would be " +
  "no way back: run as root";
