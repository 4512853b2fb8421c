/** Bytes as hexadecimal digits, as fast as possible: a JSON line of a whole packet consists of hardly anything else. */
import { toHex } from "../wire/text.ts";
import { vectorHex } from "./hex_wasm.ts";
import type { Output } from "./output.ts";

/** Up to this size a loop costs less than the calls. */
const SHORT = 256;

/** Writes bytes as hexadecimal digits. */
export class HexWriter {
  /** For more than {@linkcode SHORT} bytes; not made before there are any. */
  #long: ((output: Output, values: Uint8Array) => void) | undefined;

  /** Writes two digits for each byte; makes its own room. */
  write(output: Output, values: Uint8Array): void {
    output.reserve(2 * values.length);
    if (values.length <= SHORT) return output.hex(values);
    this.#long ??= vectorHex() ?? ((output, values) => output.text(toHex(values)));
    this.#long(output, values);
  }
}
