import { type FirstHeader, PacketView } from "../packet/packet_view.ts";

/** The packet that is looked at. Each predicate has one, and is pointed at packet after packet. */
export class Packet {
  bytes: Uint8Array = new Uint8Array(0);
  first: FirstHeader = "ethernet";
  /** How many bytes of it were captured. */
  size = 0;
  /** How many it had. */
  length = 0;
  /** A byte was asked for that was not captured, or something divided by zero: whatever comes out, it is no match. */
  failed = false;
  #view: PacketView | undefined;
  #isDecoded = false;

  /** Looks at another packet. */
  point(bytes: Uint8Array, first: FirstHeader, length: number): void {
    this.bytes = bytes;
    this.first = first;
    this.size = bytes.length;
    this.length = length;
    this.failed = false;
    this.#isDecoded = false;
  }

  /** Its headers: looked for when somebody asks for the first time. */
  get headers(): PacketView {
    const view = this.#view ??= new PacketView();
    if (!this.#isDecoded) view.decode(this.bytes, 0, this.size, this.first, this.length);
    this.#isDecoded = true;
    return view;
  }
}
