/**
 * A packet whose headers are found by the straight path, and by the walk where that ends.
 *
 * @module
 */
import { NONE } from "./header.ts";
import { walkStraight } from "./straight.ts";
import { type FirstHeader, firstKind, walk } from "./walk.ts";
import { WalkedHeaders } from "./walked_headers.ts";

/** What `new PacketView()` makes. The public face has only `PacketView` of it. */
export class DecodedPacket extends WalkedHeaders {
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
