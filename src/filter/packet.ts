import { type FirstHeader, PacketView } from "../packet/packet_view.ts";

/** The packet under test. Each predicate has one, which is pointed at one packet after another. */
export class Packet {
  bytes: Uint8Array = new Uint8Array(0);
  first: FirstHeader = "ethernet";
  /** How many bytes of it were captured. */
  size = 0;
  /** How many it had. */
  length = 0;
  /** A byte that was not captured was read, or something was divided by zero: whatever the result, it is no match. */
  failed = false;
  #view: PacketView | undefined;
  #isDecoded = false;

  /** Points this at another packet. */
  point(bytes: Uint8Array, first: FirstHeader, length: number): void {
    this.bytes = bytes;
    this.first = first;
    this.size = bytes.length;
    this.length = length;
    this.failed = false;
    this.#isDecoded = false;
  }

  /** Its headers, decoded when first asked for. */
  get headers(): PacketView {
    const view = this.#view ??= new PacketView();
    if (!this.#isDecoded) view.decode(this.bytes, 0, this.size, this.first, this.length);
    this.#isDecoded = true;
    return view;
  }
}
