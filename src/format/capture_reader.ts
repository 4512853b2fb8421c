import { DecodeError } from "../errors.ts";
import type { CaptureHandler, FormatReader } from "./capture.ts";
import { pcapOrder, PcapReader } from "./pcap/reader.ts";
import { BLOCK_SECTION } from "./pcapng/block.ts";
import { PcapngReader } from "./pcapng/reader.ts";

/** How many bytes identify the format. */
const MAGIC = 4;

/** Whether a file that begins with this little-endian word is compressed. */
function isCompressed(word: number): boolean {
  const isGzip = (word & 0xffff) === 0x8b1f;
  const isBzip2 = (word & 0xffffff) === 0x685a42;
  const isXz = word === 0x587a37fd;
  const isZstd = word === 0xfd2fb528;
  const isLz4 = word === 0x184d2204;
  return isGzip || isBzip2 || isXz || isZstd || isLz4;
}

/** Reads a file of packets in whichever format its first bytes say it is. */
export class CaptureReader<Source> implements FormatReader {
  #reader: FormatReader | undefined;
  readonly #handler: CaptureHandler<Source>;
  readonly #wanted: ReadonlyMap<number, number>;

  /** Passes what it reads to `handler`; `wanted` are the pcapng blocks that it asks for, and their maximum sizes. */
  constructor(handler: CaptureHandler<Source>, wanted: ReadonlyMap<number, number> = new Map()) {
    this.#handler = handler;
    this.#wanted = wanted;
  }

  get need(): number {
    return this.#reader?.need ?? MAGIC;
  }

  get offset(): number {
    return this.#reader?.offset ?? 0;
  }

  get isComplete(): boolean {
    return this.#reader?.isComplete ?? false;
  }

  read(view: DataView<ArrayBuffer>, at: number, end: number): number {
    if (this.#reader === undefined) {
      if (end - at < MAGIC) return at;
      this.#reader = this.#recognise(view, at);
    }
    return this.#reader.read(view, at, end);
  }

  /**
   * To be called at the end of the file, of which the last `left` bytes were not used.
   *
   * @throws {DecodeError} if the file ends within a record or block, or is empty.
   */
  end(left: number): void {
    if (this.offset === 0 && left === 0) throw new DecodeError("recording", 0, "the file is empty");
    if (left === 0 && this.isComplete) return;
    const how = left === 0 ? ", within a packet or block" : `: ${left} bytes left, ${this.need} expected`;
    throw new DecodeError("recording", this.offset, `the file is cut off here${how}`);
  }

  #recognise(view: DataView, at: number): FormatReader {
    const word = view.getUint32(at, true);
    if (word === BLOCK_SECTION) return new PcapngReader(this.#handler, this.#wanted);
    const little = pcapOrder(view, at);
    if (little !== undefined) return new PcapReader(little, this.#handler);
    throw new DecodeError(
      "recording",
      0,
      isCompressed(word) ? "the file is compressed: unpack it first" : "the file is neither pcap nor pcapng",
    );
  }
}
