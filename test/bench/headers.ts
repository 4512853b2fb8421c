/** The walk over the headers of packets, as the bench measures it. */
import process from "node:process";
import { PacketView } from "../../src/packet/packet_view.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { messageOf } from "../../src/wire/message.ts";
import { cpuNs, inRounds, report, WARM_UP } from "./measure.ts";
import { readMessages } from "./messages.ts";

/** Packets in one memory. */
class Packets {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  readonly #originalBytes: Uint32Array;
  #next = 0;

  constructor(path: string) {
    const samples = readMessages(path).map(({ bytes }) => viewSample(messageOf(bytes))).filter(({ data }) => data !== undefined);
    const data = samples.map((sample) => sample.data!);
    this.count = samples.length;
    this.#bytes = new Uint8Array(data[0]!.buffer);
    this.#starts = Uint32Array.from(data, ({ byteOffset }) => byteOffset);
    this.#ends = Uint32Array.from(data, ({ byteOffset, length }) => byteOffset + length);
    this.#originalBytes = Uint32Array.from(samples, ({ originalBytes }) => originalBytes!);
  }

  /** Finds the headers of `count` packets; returns a sum over all results, so that no work can be left out. */
  decode(view: PacketView, count: number): number {
    const { count: all } = this;
    const [bytes, starts, ends, originalBytes] = [this.#bytes, this.#starts, this.#ends, this.#originalBytes];
    let next = this.#next;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      view.decode(bytes, starts[next]!, ends[next]!, "ethernet", originalBytes[next]!);
      next = next + 1 === all ? 0 : next + 1;
      sum = (sum + view.count + view.payload) | 0;
    }
    this.#next = next;
    return sum;
  }

  /** What the peers must find too: the number of headers, where the payload begins, and the destination port, of all packets. */
  found(view: PacketView): number {
    let found = 0;
    for (let i = 0; i < this.count; i++) {
      this.decode(view, 1);
      const port = view.offsets[view.count - 1]! + 2;
      found += view.count + view.payload - view.start + (view.bytes[port]! << 8 | view.bytes[port + 1]!);
    }
    return found;
  }
}

/** `count` packets per round, after those of another file, so that the compiler has seen more than one kind. */
export async function headersInRounds(path: string, count: number, others: string): Promise<number> {
  const view = new PacketView();
  let sum = new Packets(others).decode(view, WARM_UP);
  const packets = new Packets(path);
  const found = packets.found(view);
  await inRounds(count, () => {
    const start = cpuNs();
    sum += packets.decode(view, count);
    return (cpuNs() - start) / count;
  }, found);
  return sum;
}

/**
 * How often the heap is measured during a run. Its growth is summed from one measurement to the next, so that memory freed by a collection
 * in between still counts. Bun reports the heap size as of the last collection, so it shows only part of what is short-lived: 4 MB for two
 * objects per packet, where Deno shows 395.
 */
const LOOKS = 100;

/** Measures how much heap is allocated while the headers of `count` packets are found, half of them from each file. */
export function headersHeap(path: string, count: number, other: string): number {
  const view = new PacketView();
  const both = [new Packets(path), new Packets(other)] as const;
  let sum = both[0].decode(view, WARM_UP) + both[1].decode(view, WARM_UP);
  let taken = 0;
  let before = process.memoryUsage().heapUsed;
  for (let i = 0; i < LOOKS; i++) {
    sum += both[i % 2]!.decode(view, count / LOOKS);
    const used = process.memoryUsage().heapUsed;
    taken += Math.max(0, used - before);
    before = used;
  }
  report("taken", taken);
  return sum;
}
