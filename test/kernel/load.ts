/** Large numbers of samples: generating them, and what the kernel reports about them and the process that receives them. */
import { readdirSync, readFileSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { listGroups } from "../../mod.ts";
import { frameOut } from "./frames.ts";
import { genericSocket, type Program } from "./runtime.ts";
import { pause, Sender, tc, until } from "./scene.ts";
import { tcFilters } from "./tc_dump.ts";

/** How often a load sends: in bursts, like real traffic. */
const TICK_MS = 2;
/** Maximum number of actions in one filter (TCA_ACT_MAX_PRIO in include/uapi/linux/pkt_cls.h). */
const MOST_ACTIONS = 32;

/**
 * Everything sent on `a` is sampled, each packet `perPacket` times: by a chain of actions, each of which passes the packet
 * on to the next. Several may share a group.
 */
export class Load implements Disposable {
  /** Samples that the kernel was asked for so far. */
  sent = 0;
  /** Number of samples for each packet. */
  readonly perPacket: number;
  readonly #groups: readonly number[];
  readonly #sender = new Sender("a", frameOut());

  constructor(groups: readonly number[], perPacket: number = groups.length, parameters = "") {
    if (perPacket > MOST_ACTIONS || perPacket % groups.length !== 0) {
      throw new ArgumentError(`${perPacket} actions for ${groups.length} groups`);
    }
    this.#groups = groups;
    this.perPacket = perPacket;
    const actions = Array.from(
      { length: perPacket },
      (_, i) => `action sample rate 1 group ${groups[i % groups.length]} ${parameters} pipe`,
    );
    tc(`filter add dev a egress pref 1 matchall ${actions.join(" ")}`);
  }

  /** Sends `packets` packets at once. */
  send(packets: number): void {
    this.#sender.send(packets);
    this.sent += packets * this.perPacket;
  }

  /** Makes `rate` samples a second, or as many as this machine can. Resolves to the actual number per second. */
  async offer(rate: number, seconds: number): Promise<number> {
    const [begin, before] = [performance.now(), this.sent];
    const most = Math.ceil(20 * TICK_MS * rate / 1000 / this.perPacket);
    for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - begin) {
      const due = Math.floor(elapsed / 1000 * rate - (this.sent - before)) / this.perPacket;
      // A backlog is not sent in one go: the listener needs the processor too.
      this.send(Math.min(Math.max(Math.floor(due), 0), most));
      await pause(TICK_MS);
    }
    return (this.sent - before) / (performance.now() - begin) * 1000;
  }

  /** Checks that the kernel's own counters agree: those of each action, and, if there always was a listener, of each group. */
  async isCounted(): Promise<void> {
    const actions = tcFilters(["a"], ["egress"], "-s").flatMap(({ filter }) => filter.options!.actions!);
    assertEquals(actions.map(({ stats }) => stats!.packets), new Array(this.perPacket).fill(this.sent / this.perPacket));
    const groups = (await listGroups()).map(({ group, sequence }) => [group, sequence]).sort(([a], [b]) => a! - b!);
    assertEquals(groups, this.#groups.map((group) => [group, this.sent / this.#groups.length]).sort(([a], [b]) => a! - b!));
  }

  [Symbol.dispose](): void {
    this.#sender[Symbol.dispose]();
  }
}

function field(pid: number, file: string, name: string): number {
  const value = new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1];
  if (value === undefined) throw new Error(`/proc/${pid}/${file} has no ${name}`);
  return Number(value);
}

/** Bytes that a process has written, to any file. */
export function writtenBytes(pid: number): number {
  return field(pid, "io", "wchar");
}

/** What a process holds. */
export interface Holdings {
  descriptors: number;
  threads: number;
  residentKiB: number;
  /** Maximum of `residentKiB` so far. */
  peakKiB: number;
}

/** What a process holds now. */
export function holdings(pid: number): Holdings {
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: field(pid, "status", "Threads"),
    residentKiB: field(pid, "status", "VmRSS"),
    peakKiB: field(pid, "status", "VmHWM"),
  };
}

/** CPU time of a process so far, in seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
  // utime and stime, in ticks of USER_HZ, which is 100 on every machine in use.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The kernel's view of the socket of a command that listens. Throws if it no longer does. */
async function socketOf(program: Program): Promise<{ queued: number; drops: number }> {
  const socket = genericSocket(program.pid);
  if (socket) return socket;
  const { status, err } = await program.ended;
  throw new Error(`the command ended with status ${status}: ${err}`);
}

/** Waits until a command has received and written everything. */
export async function quiet(program: Program): Promise<void> {
  let before = -1;
  await until(() => `the command has written all: ${program.err}`, async () => {
    if ((await socketOf(program)).queued > 0) return false;
    const written = writtenBytes(program.pid);
    if (written === before) return true;
    before = written;
    await pause(200);
    return false;
  });
}

/** The minimum length of a line, in bytes. Less is a runtime's own: its threads wake each other by writing. */
const LEAST_LINE = 100;

/** Sends one more packet to a command that has nothing left to do, and resolves to how many milliseconds it took to write it. */
export async function hearsOneMore(program: Program, load: Load): Promise<number> {
  await quiet(program);
  const before = writtenBytes(program.pid);
  const begin = performance.now();
  load.send(1);
  await until(() => `the command writes one more sample: ${program.err}`, async () => {
    await socketOf(program);
    return writtenBytes(program.pid) >= before + load.perPacket * LEAST_LINE;
  });
  return performance.now() - begin;
}

/** What a command said at its end. */
export interface Account {
  received: number;
  lost: number;
  dropped: number;
}

function accountOf(err: string): Account {
  const number = (pattern: RegExp): number => Number(pattern.exec(err)?.[1] ?? 0);
  assert(/^psample: received \d+ sample/m.test(err), err);
  return {
    received: number(/received (\d+) sample/),
    lost: number(/lost (\d+)/),
    dropped: number(/(\d+) messages? dropped because the receive buffer/),
  };
}

/**
 * Ends a command that has nothing left to do. What it received and what it lost add up to what was sent, and what it lost is what
 * the kernel has dropped at its socket.
 */
export async function accountsFor(program: Program, load: Load): Promise<Account> {
  await quiet(program);
  const { drops } = await socketOf(program);
  program.signal("SIGINT");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  const account = accountOf(err);
  assertEquals({ ...account, sum: account.received + account.lost }, {
    received: load.sent - drops,
    lost: drops,
    dropped: drops,
    sum: load.sent,
  });
  await load.isCounted();
  return account;
}
