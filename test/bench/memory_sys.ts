import { LITTLE, viewOf } from "../../src/wire/native.ts";
import type { Memory, Sys } from "../../src/sys/sys.ts";
import type { BenchMessage } from "./messages.ts";

// struct mmsghdr, and the pair of struct iovec that it points to
const MMSGHDR = 64;
const MSG_IOV = 16;
const MSG_LEN = 56;

/** The slots of a batch, and their contents. */
interface Filled {
  readonly slots: bigint;
  readonly view: DataView;
  /** Where each sequence number is. */
  readonly numbers: readonly number[];
}

/**
 * A kernel that always has the same full batch to give: so the code above the seam is measured without the system below it. As for the C
 * peer the messages are in memory, in the slots of the batch, and only have to be taken from there. Their sequence numbers go on, as if all
 * were of one group: numbers that began again with each batch would be measured as the restarts that they look like.
 */
export function memorySys(messages: readonly BenchMessage[]): Sys {
  let next = 0x10000n;
  const memories = new Map<bigint, Memory>();
  /** By the address of the headers. */
  const batches = new Map<bigint, Filled>();
  let sequence = 0;
  const fill = (headers: DataView, address: bigint, stride: number): Filled => {
    const slots = memories.get(address)!;
    const numbers: number[] = [];
    for (let i = 0; i < slots.length / stride; i++) {
      const { bytes, sequenceAt } = messages[i % messages.length]!;
      slots.set(bytes.subarray(0, stride), i * stride);
      headers.setUint32(i * MMSGHDR + MSG_LEN, bytes.length, LITTLE);
      numbers.push(i * stride + sequenceAt);
    }
    return { slots: address, view: viewOf(slots), numbers };
  };
  const sys: Partial<Sys> = {
    runtime: "Bun" in globalThis ? "bun" : "deno",
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
      let batch = batches.get(address);
      if (batch?.slots !== slots) batches.set(address, batch = fill(headers, slots, Number(vectors.getBigUint64(8, LITTLE))));
      for (let i = 0; i < count; i++) batch.view.setUint32(batch.numbers[i]!, sequence++, LITTLE);
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
