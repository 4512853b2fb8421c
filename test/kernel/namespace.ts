/**
 * Network namespaces, by the thread: each scene has one of its own. It has no name and ends with
 * the process, so a test that was killed leaves nothing behind.
 *
 * What the thread opens or starts belongs to the namespace it is in at that moment: sockets, programs, Workers.
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { encodeMessage, NLM_F_REQUEST } from "../../src/wire/message.ts";
import { Requests } from "../../src/socket/requests.ts";
import { CLONE_NEWNET, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { loadSys } from "../../src/sys/load.ts";

interface Libc {
  unshare(flags: number): number;
  ioctl(fd: number, request: bigint, argument: Uint8Array): number;
}

/** Two calls that the package itself does not need. */
export const libc: Libc = await load();

async function load(): Promise<Libc> {
  if ("Bun" in globalThis) {
    const { dlopen } = await import("bun:ffi");
    return dlopen("libc.so.6", {
      unshare: { args: ["i32"], returns: "i32" },
      ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    }).symbols as unknown as Libc;
  }
  return Deno.dlopen("libc.so.6", {
    unshare: { parameters: ["i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  }).symbols as unknown as Libc;
}

const sys = await loadSys();

function current(): number {
  return openSync("/proc/thread-self/ns/net", "r");
}

function enter(fd: number): void {
  if (sys.setns(fd, CLONE_NEWNET) !== 0) throw new Error("setns failed: it takes CAP_SYS_ADMIN");
}

function enterFresh(): void {
  if (libc.unshare(CLONE_NEWNET) !== 0) throw new Error("unshare failed: it takes CAP_SYS_ADMIN");
  silenceIpv6();
  // It is inherited from the initial namespace. Packets to another host would be forwarded, and that host asked for by ARP.
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
}

/** Otherwise each device that comes up sends IPv6 packets, which would be sampled. */
function silenceIpv6(): void {
  for (const which of ["all", "default"]) writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, "1");
}

/** The devices of the namespace that the thread is in, also those that modules add to each, such as tunl0. */
export function deviceNames(): string[] {
  const lines = readFileSync("/proc/thread-self/net/dev", "utf8").trim().split("\n").slice(2);
  return lines.map((line) => line.trim().replace(/:.*/, ""));
}

/**
 * Removes the devices of the namespace, and with them all sampling: the namespace itself stays for as long as a
 * thread that the runtime has started meanwhile, and psample could not be unloaded for as long as it samples.
 */
function removeDevices(): void {
  const devices = deviceNames().filter((name) => name !== "lo");
  // Some go with their peer, and some only with the namespace.
  if (devices.length > 0) spawnSync("ip", ["-force", "-batch", "-"], { input: devices.map((name) => `link del dev ${name}\n`).join("") });
  // Actions may exist without a filter.
  spawnSync("tc", ["actions", "flush", "action", "sample"]);
}

/** Runs `work` in a network namespace of its own. */
export async function inFreshNamespace(work: () => Promise<void>): Promise<void> {
  const home = current();
  try {
    enterFresh();
    try {
      await work();
    } finally {
      removeDevices();
    }
  } finally {
    enter(home);
    closeSync(home);
  }
}

function freshNamespace(): number {
  const here = current();
  try {
    enterFresh();
    return current();
  } finally {
    enter(here);
    closeSync(here);
  }
}

/** Another network namespace. */
export class Neighbour implements Disposable {
  readonly #fd: number;

  constructor(fd: number = freshNamespace()) {
    this.#fd = fd;
  }

  /** Does something in it. Not asynchronously: the whole thread is there meanwhile. */
  inside<Result>(work: () => Result): Result {
    const here = current();
    enter(this.#fd);
    try {
      return work();
    } finally {
      enter(here);
      closeSync(here);
    }
  }

  /** Gives it a number (`nsid`) by which the namespace that the thread is in knows it. */
  async setNsid(nsid: number): Promise<void> {
    const RTM_NEWNSID = 88;
    const NETNSA_NSID = 1;
    const NETNSA_FD = 3;
    const requests = new Requests(sys, NETLINK_ROUTE);
    // struct rtgenmsg: one byte of address family, and its padding.
    const message = encodeMessage({ type: RTM_NEWNSID, flags: NLM_F_REQUEST }, new Uint8Array(4), (attr) => {
      attr.u32(NETNSA_NSID, nsid).u32(NETNSA_FD, this.#fd);
    });
    await requests.request(message, "number a network namespace").finally(() => requests.close());
  }

  [Symbol.dispose](): void {
    this.inside(removeDevices);
    closeSync(this.#fd);
  }
}

let named = 0;

/** One with a name, as `ip netns` gives it. */
export class Named extends Neighbour {
  readonly name: string;
  #isDeleted = false;

  constructor() {
    const name = `psample-${process.pid}-${++named}`;
    ipNetns("add", name);
    super(openSync(`/run/netns/${name}`, "r"));
    this.name = name;
    this.inside(silenceIpv6);
  }

  /** As the link /proc/PID/ns/net names it: `net:[4026532500]`. */
  get link(): string {
    return this.inside(threadNamespace);
  }

  /** Removes the name: the namespace exists until nobody uses it. */
  delete(): void {
    if (!this.#isDeleted) ipNetns("delete", this.name);
    this.#isDeleted = true;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.delete();
  }
}

function ipNetns(...words: string[]): void {
  const { status, stderr } = spawnSync("ip", ["netns", ...words], { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip netns ${words.join(" ")} failed: ${stderr}`);
}

/** The network namespace that the thread is in. */
export function threadNamespace(): string {
  return readlinkSync("/proc/thread-self/ns/net");
}
