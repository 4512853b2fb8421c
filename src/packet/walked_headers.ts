/**
 * The headers of a packet while they are being found: what is known of them, and the state of the walk over them, which is nobody else's.
 *
 * @module
 */
import { headerName, NONE } from "./header.ts";
import { type Headers, MOST_HEADERS } from "./headers.ts";

/**
 * Whether a header may claim to end at `stop` among surroundings that end at `limit`: within them, or in what the capture cut off, which
 * is what was between `end` and `whole`.
 */
export function canEndAt(stop: number, limit: number, end: number, whole: number): boolean {
  return stop <= limit || limit === end && stop <= whole;
}

/** Where the headers of a packet are, and how far the walk over them is. The public face has only {@linkcode Headers} of it. */
export class WalkedHeaders implements Headers {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  originalBytes = 0;
  count = 0;
  readonly kinds: Uint8Array = new Uint8Array(MOST_HEADERS);
  readonly offsets: Uint32Array = new Uint32Array(MOST_HEADERS);
  cut: number = NONE;
  broken: number = NONE;
  deeper = false;
  payload = 0;
  /** Where the surroundings of the present header end. */
  limit = 0;
  /** Where the next header begins. */
  next = 0;
  /** The IP protocol number of the next header. */
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

  get stack(): string {
    let text = "";
    for (let i = 0; i < this.count; i++) text += i === 0 ? headerName(this.kinds[i]!) : `.${headerName(this.kinds[i]!)}`;
    return text;
  }

  find(kind: number, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.kinds[i] === kind) return i;
    return -1;
  }

  available(i: number): number {
    return this.end - this.offsets[i]!;
  }
}
