/** Memory that addresses point to, as in the real kernel. */
import { type Memory, MSG_TRUNC, NETLINK_LISTEN_ALL_NSID, SOL_NETLINK } from "../src/sys/sys.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";

/** Assigns addresses to memory. */
export class FakeMemory {
  readonly #memories: { start: bigint; bytes: Uint8Array }[] = [];
  readonly #addresses = new Map<ArrayBuffer, bigint>();
  #nextAddress = 0x7f00_0000_1000n;

  /** The address of a memory, always the same. */
  addressOf(memory: Memory): bigint {
    let start = this.#addresses.get(memory.buffer);
    if (start === undefined) {
      start = this.#nextAddress;
      this.#nextAddress += BigInt((memory.buffer.byteLength + 0x1fff) & ~0xfff);
      this.#addresses.set(memory.buffer, start);
      this.#memories.push({ start, bytes: new Uint8Array(memory.buffer) });
    }
    return start + BigInt(memory.byteOffset);
  }

  /** The memory at an address. */
  at(address: bigint, size: number): Uint8Array {
    // Addresses grow.
    let below = 0;
    for (let above = this.#memories.length; below < above;) {
      const middle = (below + above) >> 1;
      if (this.#memories[middle]!.start <= address) below = middle + 1;
      else above = middle;
    }
    const memory = this.#memories[below - 1];
    const at = memory ? Number(address - memory.start) : 0;
    if (memory && at + size <= memory.bytes.length) return memory.bytes.subarray(at, at + size);
    throw new Error(`nothing lies at ${address.toString(16)}`);
  }

  /** Writes what recvmmsg writes for one datagram: name, data, control, flags, length. */
  fill(header: bigint, datagram: { bytes: Uint8Array; portId: number; nsid: number | undefined }, tellsNamespace: boolean): void {
    const msg = viewOf(this.at(header, 64));
    const nameAddress = msg.getBigUint64(0, LITTLE);
    if (nameAddress !== 0n) {
      const name = viewOf(this.at(nameAddress, msg.getUint32(8, LITTLE)));
      name.setUint16(0, 16, LITTLE);
      name.setUint32(4, datagram.portId, LITTLE);
      msg.setUint32(8, 12, LITTLE);
    }

    const vectors = Number(msg.getBigUint64(24, LITTLE));
    const iovec = viewOf(this.at(msg.getBigUint64(16, LITTLE), 16 * vectors));
    let size = 0;
    for (let i = 0; i < vectors && size < datagram.bytes.length; i++) {
      const part = datagram.bytes.subarray(size, size + Number(iovec.getBigUint64(16 * i + 8, LITTLE)));
      this.at(iovec.getBigUint64(16 * i, LITTLE), part.length).set(part);
      size += part.length;
    }

    const room = Number(msg.getBigUint64(40, LITTLE));
    let used = 0;
    if (tellsNamespace && datagram.nsid !== undefined && room >= 24) {
      used = 24;
      const control = viewOf(this.at(msg.getBigUint64(32, LITTLE), used));
      control.setBigUint64(0, 20n, LITTLE);
      control.setInt32(8, SOL_NETLINK, LITTLE);
      control.setInt32(12, NETLINK_LISTEN_ALL_NSID, LITTLE);
      control.setInt32(16, datagram.nsid, LITTLE);
    }
    msg.setBigUint64(40, BigInt(used), LITTLE);
    msg.setUint32(48, size < datagram.bytes.length ? MSG_TRUNC : 0, LITTLE);
    msg.setUint32(56, size, LITTLE);
  }
}
