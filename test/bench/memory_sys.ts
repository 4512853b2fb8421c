import { LITTLE, viewOf } from "../../src/wire/native.ts";
import type { Memory, Sys } from "../../src/sys/sys.ts";

// struct mmsghdr
const MMSGHDR = 64;
const MSG_LEN = 56;

/**
 * A kernel that always has the same full batch to give: what is above the seam is measured without what is
 * below it. Instead of the kernel's copy of each datagram there is one of the batch.
 */
export function memorySys(datagrams: readonly Memory[]): Sys {
  let next = 0x10000n;
  const memories = new Map<bigint, Memory>();
  // What was asked for the address of last is what the next receive goes to.
  let arena = new Uint8Array(0);
  let image = new Uint8Array(0);
  const layOut = (headers: DataView, count: number): void => {
    const stride = arena.length / count;
    image = new Uint8Array(arena.length);
    for (let i = 0; i < count; i++) {
      const datagram = datagrams[i % datagrams.length]!;
      image.set(datagram.subarray(0, stride), i * stride);
      headers.setUint32(i * MMSGHDR + MSG_LEN, datagram.length, LITTLE);
    }
  };
  const sys: Partial<Sys> = {
    runtime: "fake",
    readsFirst: false,
    socket: () => 1000,
    bind: () => 0,
    getsockname: () => 0,
    setsockopt: () => 0,
    getsockopt: (_fd, _level, _name, value) => value.length,
    recvmmsg: (_fd, headers, count) => {
      if (image.length !== arena.length) layOut(viewOf(memories.get(headers)!), count);
      arena.set(image);
      return count;
    },
    close: () => 0,
    addressOf: (memory) => {
      arena = memory;
      const address = next;
      if (image.length === 0) {
        next += BigInt(memory.length);
        memories.set(address, memory);
      }
      return address;
    },
    watch: (_fd, ready) => Promise.resolve({ wait: ready, close: () => Promise.resolve() }),
  };
  return sys as Sys;
}
