import type { SampleView } from "../../src/psample/sample_view.ts";

/** A message without its packet, and the packet elsewhere in the same memory. */
export interface Apart {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly start: number;
  readonly end: number;
  readonly packetAt: number;
  readonly dataAt: number;
  readonly dataBytes: number;
}

/** Separates the packet from a message, as a recording of packets does; `undefined` if there is none. */
export function takeApart(message: Uint8Array, { dataOffset, dataBytes }: SampleView): Apart | undefined {
  if (dataOffset < 0) return undefined;
  const packetAt = 3;
  const start = packetAt + dataBytes + 2;
  const memory = new Uint8Array(start + message.length - dataBytes + 4).fill(0xee);
  memory.set(message.subarray(dataOffset, dataOffset + dataBytes), packetAt);
  memory.set(message.subarray(0, dataOffset), start);
  memory.set(message.subarray(dataOffset + dataBytes), start + dataOffset);
  return { memory, start, end: start + message.length - dataBytes, packetAt, dataAt: dataOffset, dataBytes };
}
