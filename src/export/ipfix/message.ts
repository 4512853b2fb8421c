import { memory, viewOf } from "../../wire/native.ts";

/** Size of a message's header (RFC 7011, section 3.1). */
export const MESSAGE_HEADER_BYTES = 16;
/** Size of a set's header (RFC 7011, section 3.3.2). */
export const SET_HEADER_BYTES = 4;
const VERSION = 10;

/** An IPFIX message that is being written: a header and sets. Sets need no padding: records that have any size end anywhere. */
export class Message {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Where the next set or record begins. */
  length = MESSAGE_HEADER_BYTES;
  /** Number of records of data, those of options included. */
  records = 0;
  /** Number of samples that its records stand for. */
  samples = 0;
  /** The data set that is open: 0 if none is. */
  #set = 0;
  #setAt = 0;
  #written: Uint8Array<ArrayBuffer>;

  constructor(maxDatagramBytes: number) {
    this.bytes = memory(maxDatagramBytes);
    this.view = viewOf(this.bytes);
    this.#written = this.bytes;
  }

  get isEmpty(): boolean {
    return this.length === MESSAGE_HEADER_BYTES;
  }

  /** How many bytes a record of this set may have; negative if there is not even room for the set's header. */
  room(set: number): number {
    return this.bytes.length - this.length - (set === this.#set ? 0 : SET_HEADER_BYTES);
  }

  /** Opens a data set, unless it is open. */
  open(set: number): void {
    if (set === this.#set) return;
    this.close();
    this.#set = set;
    this.#setAt = this.length;
    this.view.setUint16(this.length, set);
    this.length += SET_HEADER_BYTES;
  }

  /** Ends the open set: what follows is another one. */
  close(): void {
    if (this.#set !== 0) this.view.setUint16(this.#setAt + 2, this.length - this.#setAt);
    this.#set = 0;
  }

  /** Writes the header. */
  complete(exportSeconds: number, sequence: number, domain: number): void {
    this.close();
    const { view } = this;
    view.setUint16(0, VERSION);
    view.setUint16(2, this.length);
    view.setUint32(4, exportSeconds);
    view.setUint32(8, sequence);
    view.setUint32(12, domain);
  }

  /** What is in it: a view that is valid until it is written to again. Many messages have the same size, and share it. */
  get written(): Uint8Array<ArrayBuffer> {
    if (this.#written.length !== this.length) this.#written = this.bytes.subarray(0, this.length);
    return this.#written;
  }

  /** Empties it. */
  clear(): void {
    this.length = MESSAGE_HEADER_BYTES;
    this.records = 0;
    this.samples = 0;
    this.#set = 0;
  }
}
