/**
 * The headers found in a packet.
 *
 * A packet that was cut is not broken: everything before the cut is kept, and {@linkcode Headers.cut} names the first header that is not
 * complete. A header that contradicts itself is named by {@linkcode Headers.broken}.
 *
 * @module
 */

/**
 * Maximum number of headers followed: as many as in the kernel's flow dissector (MAX_FLOW_DISSECT_HDRS in net/core/flow_dissector.c).
 *
 * @category Packets
 */
export const MOST_HEADERS = 15;

/**
 * Where the headers of a packet are, in place.
 *
 * @category Packets
 */
export interface Headers {
  /** The memory that the packet is in. */
  readonly bytes: Uint8Array;
  /** Where the packet begins in it. */
  readonly start: number;
  /** Where the captured part of the packet ends. */
  readonly end: number;
  /** The packet's size before the capture cut it, in bytes. */
  readonly originalBytes: number;
  /** Number of headers found. */
  readonly count: number;
  /** The kind of each header, outermost first, which {@linkcode headerName} names. */
  readonly kinds: Uint8Array;
  /** Where each header begins in {@linkcode Headers.bytes}. */
  readonly offsets: Uint32Array;
  /** The kind of the first header that was cut off; 0 if all are whole. */
  readonly cut: number;
  /** The kind of the first header that contradicts itself or the packet around it; 0 if none does. */
  readonly broken: number;
  /** Whether there were more headers than {@linkcode MOST_HEADERS}. */
  readonly deeper: boolean;
  /** Where the part that was not decoded begins. */
  readonly payload: number;
  /** The names of the headers found, outermost first: `"eth.ip.udp.vxlan.eth.ip.tcp"`. */
  readonly stack: string;
  /** Index of the first header of this kind, from index `from` on; -1 if there is none. */
  find(kind: number, from?: number): number;
  /** How many bytes of header `i` and of what follows it were captured. */
  available(i: number): number;
}
