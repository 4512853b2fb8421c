/**
 * The entry to decoding a packet.
 *
 * @module
 */
import { NONE } from "./header.ts";
import { Headers } from "./headers.ts";
import { walkStraight } from "./straight.ts";
import { type FirstHeader, firstKind, walk } from "./walk.ts";

export type { FirstHeader };

/**
 * Finds the headers of packets. Reuse one for many: {@linkcode PacketView.decode} allocates nothing.
 *
 * @category Packets
 */
export class PacketView extends Headers {
  /**
   * Finds the headers of the packet between `start` and `end` of `bytes`.
   *
   * @param first What the packet begins with.
   * @param originalBytes Its size before the capture cut it. Defaults to the captured size.
   */
  decode(bytes: Uint8Array, start: number, end: number, first: FirstHeader, originalBytes: number = end - start): this {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.originalBytes = originalBytes;
    this.count = 0;
    this.cut = NONE;
    this.broken = NONE;
    this.deeper = false;
    this.limit = end;
    this.next = start;
    const kind = walkStraight(this, firstKind(bytes, start, end, first));
    if (kind === NONE) this.payload = this.next;
    else walk(this, kind);
    return this;
  }
}
