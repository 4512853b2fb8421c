/**
 * Records of a netlink recording as samples and group events. A recording of an nlmon device has everything
 * that went over netlink, of all protocols and families; which generic netlink messages are psample's is
 * learnt from the controller's replies in the recording itself.
 */
import { DecodeError } from "../errors.ts";
import { CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY, decodeFamily, GENL_ID_CTRL } from "../genl/ctrl.ts";
import { PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { type GroupEvent, viewMessage } from "../psample/group.ts";
import type { SampleView } from "../psample/sample_view.ts";
import { messageOf, MessageReader, NLMSG_HDRLEN } from "../wire/message.ts";
import { viewOf } from "../wire/native.ts";
import type { PcapRecord } from "./pcap.ts";
import { ARPHRD_NETLINK, COOKED_HEADER as COOKED_HDRLEN, NETLINK_GENERIC } from "./pcap/cooked.ts";

/** How a recording is decoded. */
export interface RecordDecoderOptions {
  /** The number of the psample family, where it is known; the controller's replies are not asked then. */
  familyId?: number | undefined;
  /** How many bytes of messages are kept until the family's number is learnt; 64 MiB unless given. */
  pendingBytes?: number | undefined;
}

/** What became of the records of a recording. */
export interface RecordCounts {
  /** Records given to the decoder. */
  records: number;
  /** Samples given back. */
  samples: number;
  /** Group events given back. */
  events: number;
  /** Records of other netlink protocols. */
  otherProtocols: number;
  /** Generic netlink messages that are of other families, or psample's and neither sample nor event. */
  otherMessages: number;
  /** Records that the recorder cut; messages before the cut are decoded. */
  truncated: number;
  /** Records and messages whose bytes make no sense. */
  malformed: number;
  /** Records with bytes behind their last message that are none: libpsample writes its whole buffer. */
  trailing: number;
  /** psample messages that came before the family's number and no longer fitted into what is kept. */
  lostBeforeFamily: number;
}

/** A message that waits until the family's number is known. */
interface Pending {
  readonly type: number;
  readonly message: Uint8Array;
  readonly littleEndian: boolean;
}

/** Decodes the records of one recording, in their order. */
export class RecordDecoder {
  /** What became of the records so far. */
  readonly counts: RecordCounts = {
    records: 0,
    samples: 0,
    events: 0,
    otherProtocols: 0,
    otherMessages: 0,
    truncated: 0,
    malformed: 0,
    trailing: 0,
    lostBeforeFamily: 0,
  };
  #ids = new Set<number>();
  #fixed: boolean;
  #learnt: boolean;
  #pending: Pending[] = [];
  #room: number;
  // Messages by type since the beginning, as long as no number is known.
  #seen = new Map<number, number>();
  #lost = new Map<number, number>();

  /** Begins a recording. */
  constructor(options: RecordDecoderOptions = {}) {
    this.#fixed = options.familyId !== undefined;
    this.#learnt = this.#fixed;
    if (options.familyId !== undefined) this.#ids.add(options.familyId);
    this.#room = options.pendingBytes ?? 64 * 1024 * 1024;
  }

  /** The number of the psample family; `undefined` as long as it is not known. */
  get familyId(): number | undefined {
    return [...this.#ids].at(-1);
  }

  /**
   * Decodes one record. Damage never throws: it is counted. Samples that came before the family's number
   * was known are given as soon as it is.
   */
  decode(record: PcapRecord): (SampleView | GroupEvent)[] {
    const items: (SampleView | GroupEvent)[] = [];
    const { counts } = this;
    const { bytes, littleEndian } = record;
    const cut = record.originalBytes > bytes.length;
    counts.records++;
    if (cut) counts.truncated++;
    if (record.psample) {
      this.#decode(bytes, littleEndian, items, record.psample);
      return items;
    }
    if (bytes.length < COOKED_HDRLEN) {
      if (!cut) counts.malformed++;
      return items;
    }
    const view = viewOf(bytes);
    if (view.getUint16(2) !== ARPHRD_NETLINK) {
      counts.malformed++;
      return items;
    }
    if (view.getUint16(14) !== NETLINK_GENERIC) {
      counts.otherProtocols++;
      return items;
    }
    const reader = new MessageReader(view, COOKED_HDRLEN, bytes.length, littleEndian);
    for (let first = true;; first = false) {
      try {
        if (!reader.next()) break;
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        // A cut record is counted already.
        if (!cut) counts[first ? "malformed" : "trailing"]++;
        break;
      }
      this.#take(reader.type, bytes.subarray(reader.start, reader.end), littleEndian, items);
    }
    return items;
  }

  /**
   * To be called after the last record.
   *
   * @throws {DecodeError} where there are messages that could be psample's, and nothing told the family's number.
   */
  end(): void {
    if (this.#learnt || this.#seen.size === 0) return;
    const types = [...this.#seen].sort((a, b) => b[1] - a[1]);
    const total = types.reduce((sum, [, count]) => sum + count, 0);
    const listed = types.slice(0, 8).map(([type, count]) => `${type} (${count})`).join(", ");
    throw new DecodeError(
      "recording",
      0,
      `no message in it tells the number of the psample family. It has ${total} generic netlink ` +
        `${total === 1 ? "message" : "messages"} of family ${listed}${types.length > 8 ? ", ..." : ""}: name psample's with --family-id N`,
    );
  }

  #take(type: number, message: Uint8Array, littleEndian: boolean, items: (SampleView | GroupEvent)[]): void {
    if (type === GENL_ID_CTRL) {
      // What names the psample family has been of use.
      if (this.#fixed || !this.#learn(message, littleEndian, items)) this.counts.otherMessages++;
    } else if (this.#ids.has(type)) {
      this.#decode(message, littleEndian, items);
    } else if (this.#learnt || type < GENL_ID_CTRL) {
      this.counts.otherMessages++;
    } else {
      this.#seen.set(type, (this.#seen.get(type) ?? 0) + 1);
      if (message.length <= this.#room) {
        this.#room -= message.length;
        // A copy: a view would keep the whole piece of the file that it came in.
        this.#pending.push({ type, message: message.slice(), littleEndian });
      } else {
        this.#lost.set(type, (this.#lost.get(type) ?? 0) + 1);
      }
    }
  }

  /** The controller says which family has which number, and numbers are used again when a module goes. */
  #learn(message: Uint8Array, littleEndian: boolean, items: (SampleView | GroupEvent)[]): boolean {
    const command = message[NLMSG_HDRLEN];
    if (command !== CTRL_CMD_NEWFAMILY && command !== CTRL_CMD_DELFAMILY) return false;
    let id: number;
    let name: string;
    try {
      ({ id, name } = decodeFamily(messageOf(message, littleEndian)));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.counts.malformed++;
      return false;
    }
    if (name !== PSAMPLE_GENL_NAME || command === CTRL_CMD_DELFAMILY) {
      this.#ids.delete(id);
      return name === PSAMPLE_GENL_NAME;
    }
    this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#learnt) return true;
    this.#learnt = true;
    for (const pending of this.#pending) {
      if (pending.type === id) this.#decode(pending.message, pending.littleEndian, items);
      else this.counts.otherMessages++;
    }
    this.#pending = [];
    for (const [type, count] of this.#lost) {
      if (type === id) this.counts.lostBeforeFamily += count;
      else this.counts.otherMessages += count;
    }
    return true;
  }

  #decode(message: Uint8Array, littleEndian: boolean, items: (SampleView | GroupEvent)[], psample?: { nsid: number | undefined }): void {
    let item: SampleView | GroupEvent | undefined;
    try {
      item = viewMessage(message, { littleEndian, nsid: psample?.nsid });
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.counts.malformed++;
      return;
    }
    if (item?.type === "sample") {
      this.counts.samples++;
      items.push(item);
    } else if (item === undefined || (item.portId !== 0 && !psample)) {
      // An entry of a list of groups has the command of a creation, but somebody's port id: it answers a request. What
      // psample recorded as an event is one.
      this.counts.otherMessages++;
    } else {
      this.counts.events++;
      items.push(item);
    }
  }
}
