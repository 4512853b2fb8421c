import { align4, bytesOf } from "../../wire/native.ts";
import { OPTION_END } from "./block.ts";

/** A cursor over the options of a block. It allocates nothing. */
export class OptionReader {
  /** The code of the current option. */
  code = 0;
  /** Offset of the option's value. */
  start = 0;
  /** Size of the value in bytes. */
  length = 0;
  /** Whether it found an option that is longer than its block. */
  isBroken = false;
  #view: DataView | undefined;
  #at = 0;
  #end = 0;
  #little = true;

  /** Points the cursor before the options between the offsets `at` and `end`. */
  reset(view: DataView, at: number, end: number, little: boolean): void {
    this.#view = view;
    this.#at = at;
    this.#end = end;
    this.#little = little;
    this.isBroken = false;
  }

  /** Steps to the next option; false at the end. */
  next(): boolean {
    const view = this.#view!;
    const at = this.#at;
    if (at + 4 > this.#end) return false;
    const code = view.getUint16(at, this.#little);
    if (code === OPTION_END) return false;
    const length = view.getUint16(at + 2, this.#little);
    if (at + 4 + length > this.#end) {
      this.isBroken = true;
      return false;
    }
    this.code = code;
    this.start = at + 4;
    this.length = length;
    this.#at = at + 4 + align4(length);
    return true;
  }

  /** The value as a whole number. */
  number(): number {
    const view = this.#view!;
    if (this.length === 4) return view.getUint32(this.start, this.#little);
    if (this.length !== 8) return 0;
    const first = view.getUint32(this.start, this.#little);
    const second = view.getUint32(this.start + 4, this.#little);
    return this.#little ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }

  /** The value: a view of the memory. */
  bytes(): Uint8Array<ArrayBuffer> {
    return bytesOf(this.#view as DataView<ArrayBuffer>, this.start, this.start + this.length);
  }
}
