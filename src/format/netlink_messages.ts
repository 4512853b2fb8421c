/**
 * The generic netlink messages that were recorded on one interface. A recording of an nlmon device contains all netlink traffic; which
 * messages are psample's is learnt from the controller's messages in the recording itself.
 */
import { DecodeError } from "../errors.ts";
import { CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY, decodeFamily, GENL_ID_CTRL } from "../genl/ctrl.ts";
import { PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { messageOf, NLMSG_HDRLEN } from "../wire/message.ts";
import { bytesOf, viewOf } from "../wire/native.ts";
import type { RecordCounts } from "./record_counts.ts";

/** Takes a message of the psample family; it is valid during the call. */
export type TakeMessage = (view: DataView, start: number, end: number, little: boolean, seconds: number, nanoseconds: number) => void;

/** A message that waits until the family's number is known. */
interface Pending {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly little: boolean;
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** How much may wait, in all interfaces of a recording together: bytes of messages, and families told apart. */
export interface Room {
  bytes: number;
  families: number;
}

/** Distinguishes psample's messages from others. */
export class NetlinkMessages {
  /** The numbers of the psample family: the kernel gives it another one when the module is loaded again. */
  readonly #ids = new Set<number>();
  readonly #isFixed: boolean;
  readonly #counts: RecordCounts;
  readonly #room: Room;
  readonly #take: TakeMessage;
  #pending: Pending[] = [];
  /** Messages that could be psample's, by family number; and how many there was no room for. */
  readonly #seen = new Map<number, number>();
  readonly #lost = new Map<number, number>();

  constructor(familyId: number | undefined, counts: RecordCounts, room: Room, take: TakeMessage) {
    this.#isFixed = familyId !== undefined;
    if (familyId !== undefined) this.#ids.add(familyId);
    this.isKnown = this.#isFixed;
    this.#counts = counts;
    this.#room = room;
    this.#take = take;
  }

  /** Whether the number of the psample family is known. */
  isKnown: boolean;

  /** Ends the input. Returns the families that could be psample's, with the number of their messages. */
  close(): ReadonlyMap<number, number> {
    for (const { bytes } of this.#pending) this.#room.bytes += bytes.length;
    this.#room.families += this.#seen.size;
    this.#pending = [];
    return this.isKnown ? new Map() : this.#seen;
  }

  /** Takes the message between the offsets `start` and `end`. */
  message(view: DataView, start: number, end: number, little: boolean, type: number, seconds: number, nanoseconds: number): void {
    if (this.#ids.has(type)) {
      this.#take(view, start, end, little, seconds, nanoseconds);
    } else if (type === GENL_ID_CTRL) {
      // The message that names the psample family has been of use.
      if (this.#isFixed || !this.#learn(bytesOf(view, start, end), little)) this.#counts.otherMessages++;
    } else if (this.isKnown || type < GENL_ID_CTRL) {
      this.#counts.otherMessages++;
    } else {
      const seen = this.#seen.get(type);
      if (seen === undefined && this.#room.families-- <= 0) {
        this.#room.families++;
        this.#counts.otherMessages++;
        return;
      }
      this.#seen.set(type, (seen ?? 0) + 1);
      if (end - start <= this.#room.bytes) {
        this.#room.bytes -= end - start;
        this.#pending.push({ type, bytes: bytesOf(view, start, end).slice(), little, seconds, nanoseconds });
      } else {
        this.#lost.set(type, (this.#lost.get(type) ?? 0) + 1);
      }
    }
  }

  /** The controller reports which family has which number. Numbers are reused when a module is unloaded. */
  #learn(message: Uint8Array, little: boolean): boolean {
    const command = message[NLMSG_HDRLEN];
    if (command !== CTRL_CMD_NEWFAMILY && command !== CTRL_CMD_DELFAMILY) return false;
    let id: number;
    let name: string;
    try {
      ({ id, name } = decodeFamily(messageOf(message, little)));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#counts.malformed++;
      return false;
    }
    this.#ids.delete(id);
    if (name !== PSAMPLE_GENL_NAME) return false;
    if (command === CTRL_CMD_NEWFAMILY) {
      this.#ids.add(id);
      this.#takePending(id);
    }
    return true;
  }

  #takePending(id: number): void {
    if (this.isKnown) return;
    this.isKnown = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const { type, bytes, little, seconds, nanoseconds } of pending) {
      this.#room.bytes += bytes.length;
      if (type === id) this.#take(viewOf(bytes), 0, bytes.length, little, seconds, nanoseconds);
      else this.#counts.otherMessages++;
    }
    for (const [type, count] of this.#lost) {
      if (type === id) this.#counts.lostBeforeFamily += count;
      else this.#counts.otherMessages += count;
    }
  }
}
