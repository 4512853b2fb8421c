/**
 * Writes protobuf messages from their end to their beginning: the size of what is nested comes before it, and is known by then, so that
 * nothing is measured in advance or moved (protobuf.dev/programming-guides/encoding).
 *
 * @module
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIRST_BYTES = 1 << 14;

/** A message that grows to the front. Fields are given in reverse order. */
export class BackwardWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = FIRST_BYTES;
  readonly #encoder = new TextEncoder();

  /** What was written so far. It is valid until more is written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#at);
  }

  /** A field of a whole number that is not negative. */
  varint(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field << 3 | VARINT);
  }

  /** A field of 64 bits, without a sign. */
  fixed64(field: number, value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#at, value, true);
    this.#varint(field << 3 | FIXED64);
  }

  /** A field of 64 bits, with a sign. */
  sfixed64(field: number, value: bigint): void {
    this.fixed64(field, BigInt.asUintN(64, value));
  }

  /** A field of a floating-point number. */
  double(field: number, value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#varint(field << 3 | FIXED64);
  }

  /** A field of text. */
  text(field: number, value: string): void {
    const bytes = this.#encoder.encode(value);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#varint(bytes.length);
    this.#varint(field << 3 | LENGTH);
  }

  /** A field of many floating-point numbers, packed. */
  doubles(field: number, values: readonly number[]): void {
    this.#reserve(8 * values.length);
    values.forEach((value, i) => this.#view.setFloat64(this.#at + 8 * i, value, true));
    this.#varint(8 * values.length);
    this.#varint(field << 3 | LENGTH);
  }

  /** A field of many whole numbers of 64 bits, packed. */
  fixed64s(field: number, values: readonly number[]): void {
    this.#reserve(8 * values.length);
    values.forEach((value, i) => this.#view.setBigUint64(this.#at + 8 * i, BigInt(value), true));
    this.#varint(8 * values.length);
    this.#varint(field << 3 | LENGTH);
  }

  /** A field of a message, whose fields `write` gives in reverse order. */
  message(field: number, write: () => void): void {
    const before = this.#bytes.length - this.#at;
    write();
    this.#varint(this.#bytes.length - this.#at - before);
    this.#varint(field << 3 | LENGTH);
  }

  #varint(value: number): void {
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    this.#reserve(size);
    let at = this.#at;
    for (; value >= 128; value = Math.floor(value / 128)) this.#bytes[at++] = value % 128 | 128;
    this.#bytes[at] = value;
  }

  /** Makes room for this many bytes in front. */
  #reserve(size: number): void {
    if (this.#at < size) {
      const used = this.bytes;
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, used.length + size));
      grown.set(used, grown.length - used.length);
      this.#at = grown.length - used.length;
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#at -= size;
  }
}
