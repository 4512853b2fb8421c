/** Headers of a psample message for packets that psample did not record: all samples are read from messages. */
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { PSAMPLE_ATTR_DATA, PSAMPLE_ATTR_ORIGSIZE, PSAMPLE_CMD_SAMPLE, PSAMPLE_GENL_VERSION } from "../psample/constants.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/** The family number in messages made for plain packets: psample's on many machines. */
const PLAIN_FAMILY = 0x1e;
/** Headers of such a sample: of the message, of ORIGSIZE with its value, of DATA. */
export const PLAIN_HEADERS = NLMSG_HDRLEN + GENL_HDRLEN + 8 + 4;
/** Maximum size of DATA. */
export const MOST_DATA = 0xffff - 4;

/** Size of a chunk of the memory: whole headers fill it. */
const CHUNK = 2048 * PLAIN_HEADERS;

/** Makes headers in memory that is reused for each batch. */
export class PlainHeaders {
  readonly #chunks: DataView<ArrayBuffer>[] = [];
  #chunk = -1;
  /** How much of the chunk is used: at first all, because there is none. */
  #used = CHUNK;
  /** The memory of the headers made last. */
  view: DataView<ArrayBuffer> = viewOf(memory(0));

  /** Discards the headers made so far. */
  clear(): void {
    this.#chunk = -1;
    this.#used = CHUNK;
  }

  /** Makes the headers of a sample of `size` bytes of a packet of `originalBytes`, and returns the offset of their first byte. */
  make(originalBytes: number, size: number): number {
    if (this.#used === CHUNK) {
      this.view = this.#chunks[++this.#chunk] ??= viewOf(memory(CHUNK));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += PLAIN_HEADERS;
    const { view } = this;
    view.setUint32(start, PLAIN_HEADERS + size, LITTLE);
    view.setUint16(start + 4, PLAIN_FAMILY, LITTLE);
    view.setUint16(start + 6, 0);
    view.setUint32(start + 8, 0);
    view.setUint32(start + 12, 0);
    view.setUint8(start + 16, PSAMPLE_CMD_SAMPLE);
    view.setUint8(start + 17, PSAMPLE_GENL_VERSION);
    view.setUint16(start + 18, 0);
    view.setUint16(start + 20, 8, LITTLE);
    view.setUint16(start + 22, PSAMPLE_ATTR_ORIGSIZE, LITTLE);
    view.setUint32(start + 24, originalBytes, LITTLE);
    view.setUint16(start + 28, size + 4, LITTLE);
    view.setUint16(start + 30, PSAMPLE_ATTR_DATA, LITTLE);
    return start;
  }
}
