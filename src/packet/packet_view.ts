/**
 * The entry to decoding a packet.
 *
 * @module
 */
import { DecodedPacket } from "./decoded_packet.ts";
import type { Headers } from "./headers.ts";
import type { FirstHeader } from "./walk.ts";

export type { FirstHeader };

/**
 * Finds the headers of packets. Reuse one for many: {@linkcode PacketView.decode} allocates nothing.
 *
 * @category Packets
 */
export interface PacketView extends Headers {
  /**
   * Finds the headers of the packet between `start` and `end` of `bytes`.
   *
   * @param first What the packet begins with.
   * @param originalBytes Its size before the capture cut it. Defaults to the captured size.
   */
  decode(bytes: Uint8Array, start: number, end: number, first: FirstHeader, originalBytes?: number): this;
}

/**
 * Makes a {@linkcode PacketView}, which has no headers yet.
 *
 * @category Packets
 */
export const PacketView: new () => PacketView = DecodedPacket;
