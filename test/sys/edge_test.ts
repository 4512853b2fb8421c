/**
 * The edge to C: memory whose address the kernel has, error numbers, descriptors, and threads. No test here requires a
 * privilege.
 */
import { readdirSync } from "node:fs";
import { test } from "node:test";
import process from "node:process";
import v8 from "node:v8";
import vm from "node:vm";
import { assert, assertEquals } from "@std/assert";
import { SocketListener } from "../../src/receive/listener.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { Receiver } from "../../src/socket/receiver.ts";
import { loadSys } from "../../src/sys/load.ts";
import {
  AF_NETLINK,
  EAFNOSUPPORT,
  EBADF,
  EPROTONOSUPPORT,
  type Memory,
  NETLINK_USERSOCK,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  type Sys,
} from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { openFds, settledFds } from "../support/fds.ts";
import { soon } from "../support/waiting.ts";
import type { Order, Report } from "./edge_worker.ts";

/** For a busy machine: normally nothing here takes longer than some seconds. */
const TIMEOUT_MS = 120_000;
const TYPE = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;

const sys = await loadSys();

/** New memory, as the seam takes it. */
function bytes(size: number, value = 0): Memory {
  return memory(size).fill(value);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const collectGarbage: () => void = (() => {
  const { Bun } = globalThis as unknown as { Bun?: { gc(now: boolean): void } };
  if (process.versions["bun"]) return () => Bun!.gc(true);
  v8.setFlagsFromString("--expose-gc");
  return vm.runInNewContext("gc") as () => void;
})();

/** Collects garbage until memory that was just released is gone, and reuses what has become free. */
async function collected(): Promise<void> {
  const canaries = Array.from({ length: 8 }, (_, i) => new WeakRef(memory(1000 << i).buffer));
  for (let i = 0; canaries.some((canary) => canary.deref() !== undefined); i++) {
    assert(i < 100, "nothing is ever collected");
    // The target of a WeakRef lives until the turn ends.
    await turn();
    collectGarbage();
    await turn();
  }
  for (let i = 0; i < 200; i++) bytes(64 << (i % 12), 0x55);
}

/** Memory whose address was requested. */
interface Known {
  readonly address: bigint;
  readonly size: number;
  readonly offset: number;
  readonly buffer: WeakRef<ArrayBuffer>;
}

/**
 * A seam that knows all memory whose address was asked for without keeping it alive, and refuses to receive where the
 * kernel would write to memory that is gone, has moved, or never was.
 */
class WatchedSys {
  readonly known: Known[] = [];
  checked = 0;

  /** The seam. */
  readonly sys: Sys = new Proxy(sys, {
    get: (target, name): unknown => {
      if (name === "addressOf") return (memory: Memory): bigint => this.#addressOf(memory);
      if (name === "recvmmsg") {
        return (fd: number, headers: bigint, count: number, flags: number): number => {
          this.#check(headers, count);
          return target.recvmmsg(fd, headers, count, flags);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

  #addressOf(memory: Memory): bigint {
    const address = sys.addressOf(memory);
    this.known.push({ address, size: memory.byteLength, offset: memory.byteOffset, buffer: new WeakRef(memory.buffer) });
    return address;
  }

  /** The memory from `address` on, of the given size. */
  #at(address: bigint, size: number, what: string): DataView {
    // The newest: an address is reused when what was there is gone.
    const known = this.known.findLast((known) => known.address <= address && address + BigInt(size) <= known.address + BigInt(known.size));
    if (!known) throw new Error(`${what}: ${size} bytes at an address that nobody asked for`);
    const buffer = known.buffer.deref();
    if (!buffer) throw new Error(`${what}: its memory is gone`);
    assertEquals(sys.addressOf(new Uint8Array(buffer, known.offset, known.size)), known.address, `${what}: its memory has moved`);
    return new DataView(buffer, known.offset + Number(address - known.address), size);
  }

  /** Follows the pointers as the kernel does: struct mmsghdr, struct msghdr, struct iovec (recvmmsg(2), 64 bits). */
  #check(headers: bigint, count: number): void {
    const view = this.#at(headers, 64 * count, "the headers");
    for (let at = 0; at < 64 * count; at += 64) {
      const name = view.getBigUint64(at, LITTLE);
      if (name) this.#at(name, view.getUint32(at + 8, LITTLE), "an address");
      const control = view.getBigUint64(at + 32, LITTLE);
      if (control) this.#at(control, view.getUint32(at + 40, LITTLE), "control messages");
      const vectors = Number(view.getBigUint64(at + 24, LITTLE));
      const vector = this.#at(view.getBigUint64(at + 16, LITTLE), 16 * vectors, "the vectors");
      for (let i = 0; i < vectors; i++) {
        this.#at(vector.getBigUint64(16 * i, LITTLE), Number(vector.getBigUint64(16 * i + 8, LITTLE)), `part ${i} of a datagram`);
        this.checked++;
      }
    }
  }
}

/** Receives in rounds, with a collection before each; what was received is checked again after the next. */
async function receiveWhileCollecting(watched: WatchedSys, count: number): Promise<void> {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const to = new NetlinkSocket(watched.sys, NETLINK_USERSOCK);
  try {
    to.setReceiveBuffer(1 << 22);
    const batch = to.batch(count, { senders: true, namespaces: true });
    // Within the slots, beyond them, and larger slots from then on.
    const sizes = [20, 100, 256, 257, 200, 900, 1000, 1000, 2048, 2049, 69632, 64, 64];
    let kept: { datagram: Uint8Array; byte: number }[] = [];
    for (const [round, size] of sizes.entries()) {
      await collected();
      for (let i = 0; i < count; i++) assert(from.send(bytes(size, round + i + 1), "send", to.portId));
      assertEquals(to.receive(batch), count);
      const datagrams = new Uint8Array(batch.own(count).buffer);
      const now = Array.from({ length: count }, (_, i) => {
        assertEquals([batch.length(i), batch.portId(i), batch.nsid(i), batch.truncated(i)], [size, from.portId, undefined, false]);
        return { datagram: datagrams.subarray(batch.start(i), batch.start(i) + size), byte: round + i + 1 };
      });
      for (const { datagram, byte } of [...kept, ...now]) {
        assert(datagram.every((one) => one === byte), `a datagram of ${datagram.length} bytes is not what it was, in round ${round}`);
      }
      kept = now;
    }
  } finally {
    from.close();
    to.close();
  }
}

for (const count of [1, 16]) {
  test(
    `memory that the kernel writes to stays where it is, whatever is collected: batches of ${count}`,
    { timeout: TIMEOUT_MS },
    async () => {
      const watched = new WatchedSys();
      await receiveWhileCollecting(watched, count);
      assertEquals(watched.checked, 13 * 2 * count);
      // That it stayed is the doing of Datagrams: with it all is gone. A runtime may take a pointer on its stack for one more.
      let left = watched.known.length;
      for (let i = 0; i < 20 && left > 2; i++) {
        await collected();
        left = watched.known.filter(({ buffer }) => buffer.deref() !== undefined).length;
      }
      assert(left <= 2, `${left} of ${watched.known.length} pieces of memory are still there`);
    },
  );
}

test("a wait survives collections", { timeout: TIMEOUT_MS }, async () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const to = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const batch = to.batch(8);
  let called = (): void => {};
  let calls = 0;
  const watch = await sys.watch(to.fd, () => {
    calls++;
    called();
  });
  for (let round = 1; round <= 8; round++) {
    const arrived = new Promise<void>((resolve) => called = resolve);
    watch.wait();
    await collected();
    assertEquals(calls, round - 1);
    assert(from.send(bytes(20, round), "send", to.portId));
    await soon(arrived, "a wake-up");
    assertEquals(calls, round);
    to.receive(batch);
  }
  await watch.close();
  from.close();
});

test("errno is right for a million failing calls, with garbage and collections between them", { timeout: TIMEOUT_MS }, async () => {
  const address = bytes(12);
  const expected = [-EBADF, -EPROTONOSUPPORT, -EBADF, -EAFNOSUPPORT];
  let wrong = 0;
  let garbage: unknown[] = [];
  for (let i = 0; i < 250_000; i++) {
    const closed = sys.close(-1);
    garbage.push({ i, text: `${i}`, array: new Uint8Array(i % 512) });
    const unknownProtocol = sys.socket(AF_NETLINK, TYPE, 99);
    const named = sys.getsockname(0x7fffffff, address);
    const unknownFamily = sys.socket(-1, TYPE, 0);
    if (closed !== expected[0] || unknownProtocol !== expected[1] || named !== expected[2] || unknownFamily !== expected[3]) wrong++;
    if (garbage.length > 2000) garbage = [];
    if (i % 50_000 === 0) {
      collectGarbage();
      await turn();
    }
  }
  assertEquals(wrong, 0);
});

test("as many descriptors are open after 10,000 opens and closes as before", { timeout: TIMEOUT_MS }, async () => {
  const listen = async (i: number): Promise<void> => {
    const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 4096 });
    const listener = new SocketListener(receiver);
    // One in four is closed while an iteration waits.
    const waiting = i % 4 === 0 ? listener[Symbol.asyncIterator]().next() : undefined;
    await listener.close();
    if (waiting) assertEquals((await soon(waiting, "the end of an iteration")).done, true);
  };
  // What a runtime opens once and keeps does not count.
  await listen(0);
  const before = await settledFds();
  // Most of them are only sockets, which are cheap; a listener has memory for thousands of samples.
  for (let i = 0; i < 9000; i++) new NetlinkSocket(sys, NETLINK_USERSOCK).close();
  for (let i = 0; i < 1000; i++) await listen(i);
  assertEquals(openFds(), before);
});

test("two concurrent receivers: each gets its own datagrams, in order", { timeout: TIMEOUT_MS }, async () => {
  const before = await settledFds();
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const count = 5000;
  const read = async (which: number): Promise<{ receiver: Receiver; done: Promise<number> }> => {
    const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 1 << 22 });
    let next = 0;
    let wrong = 0;
    const sink = {
      datagram: (view: DataView, start: number): void => {
        if (view.getUint32(start, LITTLE) !== which || view.getUint32(start + 4, LITTLE) !== next++) wrong++;
      },
      truncated: (): void => void wrong++,
    };
    const done = (async (): Promise<number> => {
      while (next < count && await receiver.read(sink));
      return wrong;
    })();
    return { receiver, done };
  };
  const both = [await read(0), await read(1)];
  for (let i = 0; i < count; i++) {
    for (const [which, { receiver }] of both.entries()) {
      const message = bytes(8 + i % 600);
      viewOf(message).setUint32(0, which, LITTLE);
      viewOf(message).setUint32(4, i, LITTLE);
      while (!from.send(message, "send", receiver.portId)) await turn();
    }
    if (i % 100 === 0) await turn();
  }
  assertEquals(await soon(Promise.all(both.map(({ done }) => done)), "reading"), [0, 0]);
  await Promise.all(both.map(({ receiver }) => receiver.close()));
  from.close();
  assertEquals(openFds(), before);
});

/** The number of netlink sockets that this process has open. */
function netlinkSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    const address = bytes(12);
    return sys.getsockname(Number(fd), address) === 0 && viewOf(address).getUint16(0, LITTLE) === AF_NETLINK;
  }).length;
}

test("a receiver in each of two Workers, and errors of one thread that are not the other's", { timeout: TIMEOUT_MS }, async () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const orders: Order[] = [
    { count: 3000, byte: 1, domain: AF_NETLINK, protocol: 99, error: -EPROTONOSUPPORT },
    { count: 3000, byte: 2, domain: 999, protocol: 0, error: -EAFNOSUPPORT },
  ];
  const before = netlinkSockets();
  const reports = await Promise.all(orders.map(async (order) => {
    const worker = new Worker(new URL("./edge_worker.ts", import.meta.url), { type: "module" });
    let heard = (_report: Report): void => {};
    const next = (): Promise<Report> => soon(new Promise((resolve) => heard = resolve), "a Worker");
    worker.onmessage = ({ data }: { data: Report }): void => heard(data);
    const opened = next();
    worker.postMessage(order);
    const { portId } = await opened as { portId: number };
    const end = next();
    for (let i = 0; i < order.count; i++) {
      while (!from.send(bytes(1 + i % 500, order.byte), "send", portId)) await turn();
      // This thread fails too, with another number.
      if (i % 50 === 0) {
        assertEquals(sys.close(-1), -EBADF);
        await turn();
      }
    }
    const report = await end;
    worker.terminate();
    return report;
  }));
  assertEquals(reports, orders.map(({ count }) => ({ received: count, wrong: 0, wrongErrors: [] })));
  from.close();
  // What the runtime opens for a thread may outlive it a little; ours are netlink sockets.
  assertEquals(netlinkSockets(), before - 1);
});
