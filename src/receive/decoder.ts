import { DecodeError } from "../errors.ts";
import { GENL_HDRLEN, GENL_ID_CTRL } from "../genl/ctrl.ts";
import { PSAMPLE_CMD_DEL_GROUP, PSAMPLE_CMD_NEW_GROUP, PSAMPLE_CMD_SAMPLE } from "../psample/constants.ts";
import { decodeEvent, type GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { type DecodeOptions, SampleDecoder } from "../psample/sample_decoder.ts";
import { SampleView } from "../psample/sample_view.ts";
import type { Sink } from "../socket/receiver.ts";
import { BatchBuffer } from "../stream/batch.ts";
import { type Message, messageOf, MessageReader, NLMSG_HDRLEN } from "../wire/message.ts";
import { LITTLE } from "../wire/native.ts";
import type { Ledger } from "./ledger.ts";

/** Takes the datagrams of one read, and turns them into a batch to lend, or entries to give away. */
export class Decoder implements Sink {
  /** Message type of the psample family; -1 while the kernel has none. */
  family = -1;
  /** What the current read has returned so far, if it is to be lent. */
  readonly batch: BatchBuffer = new BatchBuffer();
  /** The same, if it is to be given away. */
  given: (Sample | GroupEvent)[] = [];
  readonly #ledger: Ledger;
  readonly #onController: ((message: Message) => void) | undefined;
  readonly #reader = new MessageReader(new DataView(new ArrayBuffer(0)));
  readonly #samples = new SampleDecoder();
  /** Samples that are reused for each batch, and the number of them lent now. */
  readonly #pool: SampleView[] = [];
  #lent = 0;
  #lends = false;
  #decodeOptions: DecodeOptions | undefined;

  /** Records what arrives in `ledger`; `onController` gets the messages of generic netlink's controller in this namespace. */
  constructor(ledger: Ledger, onController?: (message: Message) => void) {
    this.#ledger = ledger;
    this.#onController = onController;
  }

  /** Prepares for a read. */
  begin(lend: boolean): void {
    if (lend) this.batch.clear();
    this.#lends = lend;
    this.#lent = 0;
  }

  datagram(view: DataView, start: number, end: number, nsid: number | undefined): void {
    try {
      // Nearly every datagram is a single sample, which needs no cursor.
      if (this.#isSample(view, start, end)) return this.#sample(view, start, end, nsid);
      const reader = this.#reader;
      reader.reset(view, start, end);
      while (reader.next()) this.#message(view, nsid);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#ledger.malformedMessage(error.message);
    }
  }

  truncated(bytes: number): void {
    this.#ledger.malformedMessage(`a datagram of more than ${bytes} bytes`);
  }

  /** Whether this is one whole sample and nothing else. */
  #isSample(view: DataView, start: number, end: number): boolean {
    return end - start >= NLMSG_HDRLEN + GENL_HDRLEN && view.getUint32(start, LITTLE) === end - start &&
      view.getUint16(start + 4, LITTLE) === this.family && view.getUint8(start + NLMSG_HDRLEN) === PSAMPLE_CMD_SAMPLE;
  }

  #sample(view: DataView, start: number, end: number, nsid: number | undefined): void {
    const options = nsid === undefined ? undefined : this.#from(nsid);
    if (!this.#lends) {
      const sample = this.#samples.decode(view, start, end, options);
      this.#ledger.sample(sample);
      this.given.push(sample);
      return;
    }
    const sample = this.#samples.view(view, start, end, this.#pool[this.#lent] ??= new SampleView(), options);
    this.#lent++;
    this.batch.add(sample, this.#ledger.sample(sample));
  }

  #message(view: DataView, nsid: number | undefined): void {
    const { type, start, end } = this.#reader;
    if (type === this.family) {
      const command = end - start < NLMSG_HDRLEN + GENL_HDRLEN ? PSAMPLE_CMD_SAMPLE : view.getUint8(start + NLMSG_HDRLEN);
      if (command === PSAMPLE_CMD_SAMPLE) return this.#sample(view, start, end, nsid);
      if (command === PSAMPLE_CMD_NEW_GROUP || command === PSAMPLE_CMD_DEL_GROUP) {
        // They are few: each gets its own memory, even if samples are lent.
        const event = decodeEvent(messageOf(this.#reader.message().bytes.slice()), nsid)!;
        const lost = this.#ledger.event(event);
        if (this.#lends) this.batch.add(event, lost);
        else this.given.push(event);
        return;
      }
    } else if (type === GENL_ID_CTRL) {
      // The controller of another namespace sends the same notification again.
      if (nsid === undefined) this.#onController?.(this.#reader.message());
      return;
    }
    this.#ledger.unknown++;
  }

  #from(nsid: number): DecodeOptions {
    if (this.#decodeOptions?.nsid !== nsid) this.#decodeOptions = { nsid };
    return this.#decodeOptions!;
  }
}
