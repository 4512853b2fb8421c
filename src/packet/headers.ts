/**
 * The headers found in a packet, and the state of the walk over them.
 *
 * A packet that was cut is not broken: everything before the cut is kept, and {@linkcode Headers.cut} names the first header that is not
 * complete. A header that contradicts itself is named by {@linkcode Headers.broken}.
 *
 * @module
 */
import { headerName, NONE } from "./header.ts";

/** Maximum number of headers followed: as many as in the kernel's flow dissector (MAX_FLOW_DISSECT_HDRS in net/core/flow_dissector.c). */
export const MOST_HEADERS = 15;

/**
 * Whether a header may claim to end at `stop` among surroundings that end at `limit`: within them, or in what the capture cut off, which
 * is what was between `end` and `whole`.
 */
export function canEndAt(stop: number, limit: number, end: number, whole: number): boolean {
  return stop <= limit || limit === end && stop <= whole;
}

/**
 * Where the headers of a packet are, in place.
 *
 * @category Packets
 */
export class Headers {
  /** The memory that the packet is in. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the packet begins in it. */
  start = 0;
  /** Where the captured part of the packet ends. */
  end = 0;
  /** The packet's size before the capture cut it, in bytes. */
  originalBytes = 0;
  /** Number of headers found. */
  count = 0;
  /** The kind of each header, outermost first. */
  readonly kinds: Uint8Array = new Uint8Array(MOST_HEADERS);
  /** Where each header begins in {@linkcode Headers.bytes}. */
  readonly offsets: Uint32Array = new Uint32Array(MOST_HEADERS);
  /** The first header that was cut off; {@linkcode NONE} if all are whole. */
  cut: number = NONE;
  /** The first header that contradicts itself or the packet around it; {@linkcode NONE} if none does. */
  broken: number = NONE;
  /** Whether there were more headers than {@linkcode MOST_HEADERS}. */
  deeper = false;
  /** Where the part that was not decoded begins. */
  payload = 0;
  /** During the walk: where the surroundings of the present header end. */
  limit = 0;
  /** During the walk: where the next header begins. */
  next = 0;
  /** During the walk: the IP protocol number of the next header. */
  protocol = 0;

  /** Records that a header of this kind does not fit where it is. Ends the walk. */
  short(kind: number): number {
    // Nothing is known of what was not captured; but a header around this one may show that nothing follows.
    if (this.limit === this.end && this.end - this.start < this.originalBytes) this.cut = kind;
    // An empty packet cannot be wrong.
    else if (this.start < this.end) this.contradict(kind);
    return NONE;
  }

  /** Records that a header contradicts itself, unless an earlier one did. Ends the walk. */
  contradict(kind: number): number {
    if (this.broken === NONE) this.broken = kind;
    return NONE;
  }

  /** Narrows the surroundings to the `length` bytes from `at` on that a header of this kind claims. */
  narrow(kind: number, at: number, length: number): void {
    const stop = at + length;
    if (!canEndAt(stop, this.limit, this.end, this.start + this.originalBytes)) this.contradict(kind);
    else if (stop < this.limit) this.limit = stop;
  }

  /** The names of the headers found, outermost first: `"eth.ip.udp.vxlan.eth.ip.tcp"`. */
  get stack(): string {
    let text = "";
    for (let i = 0; i < this.count; i++) text += i === 0 ? headerName(this.kinds[i]!) : `.${headerName(this.kinds[i]!)}`;
    return text;
  }

  /** Index of the first header of this kind, from index `from` on; -1 if there is none. */
  find(kind: number, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.kinds[i] === kind) return i;
    return -1;
  }

  /** How many bytes of header `i` and of what follows it were captured. */
  available(i: number): number {
    return this.end - this.offsets[i]!;
  }
}
