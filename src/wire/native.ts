/** True if this machine is little-endian; netlink uses the byte order of the host. */
export const LITTLE: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The next multiple of 4: messages and attributes are padded to it (`NLMSG_ALIGN`, `NLA_ALIGN`). */
export function align4(size: number): number {
  return (size + 3) & ~3;
}

/** Swaps a u16 between host and network byte order, as htons(3). */
export function htons(value: number): number {
  return LITTLE ? ((value & 0xff) << 8) | ((value >>> 8) & 0xff) : value & 0xffff;
}

/** Swaps a u32 between host and network byte order, as htonl(3). */
export function htonl(value: number): number {
  if (!LITTLE) return value >>> 0;
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** A DataView over exactly the bytes of `bytes`. */
export function viewOf<Memory extends ArrayBufferLike>(bytes: Uint8Array<Memory>): DataView<Memory> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The bytes between the offsets `start` and `end` of `view`, in the same memory. */
export function bytesOf<Memory extends ArrayBufferLike>(view: DataView<Memory>, start: number, end: number): Uint8Array<Memory> {
  return new Uint8Array(view.buffer, view.byteOffset + start, end - start);
}

/** The bytes of an int, as options of sockets take it. */
export function int(value: number): Uint8Array<ArrayBuffer> {
  const bytes = memory(4);
  viewOf(bytes).setInt32(0, value, LITTLE);
  return bytes;
}

/** Zeroed memory of its own: never part of a pool, and never moved by the runtime (Bun moves small arrays without a buffer). */
export function memory(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(size));
}
