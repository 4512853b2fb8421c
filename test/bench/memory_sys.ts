import { LITTLE, viewOf } from "../../src/wire/native.ts";
import type { Memory, Sys } from "../../src/sys/sys.ts";

// struct mmsghdr, and the pair of struct iovec that it points to
const MMSGHDR = 64;
const MSG_IOV = 16;
const MSG_LEN = 56;

/**
 * A kernel that always has the same full batch to give: so the code above the seam is measured without the system below it. As for the C
 * peer the messages are in memory, in the slots of the batch, and only have to be taken from there.
 */
export function memorySys(datagrams: readonly Memory[]): Sys {
  let next = 0x10000n;
  const memories = new Map<bigint, Memory>();
  /** Where the first slot was when a batch was filled, by the address of its headers. */
  const filled = new Map<bigint, bigint>();
  const fill = (headers: DataView, slots: Memory, stride: number): void => {
    for (let i = 0; i < slots.length / stride; i++) {
      const datagram = datagrams[i % datagrams.length]!;
      slots.set(datagram.subarray(0, stride), i * stride);
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
    recvmmsg: (_fd, address, count) => {
      const headers = viewOf(memories.get(address)!);
      const vectors = viewOf(memories.get(headers.getBigUint64(MSG_IOV, LITTLE))!);
      const slots = vectors.getBigUint64(0, LITTLE);
      if (filled.get(address) !== slots) fill(headers, memories.get(slots)!, Number(vectors.getBigUint64(8, LITTLE)));
      filled.set(address, slots);
      return count;
    },
    close: () => 0,
    addressOf: (memory) => {
      const address = next;
      memories.set(address, memory);
      next += BigInt(memory.length);
      return address;
    },
    watch: (_fd, ready) => Promise.resolve({ wait: ready, close: () => Promise.resolve() }),
  };
  return sys as Sys;
}
