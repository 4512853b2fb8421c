/** Families of a recording that nothing in it names: any of them could be psample's. */
import { DecodeError } from "../errors.ts";
import type { NetlinkMessages } from "./netlink_messages.ts";

/**
 * Nothing in a recording shows the number of the psample family.
 *
 * @category Errors
 */
export class UnknownFamilyError extends DecodeError {
  /** Makes the error with this reason. */
  constructor(why: string) {
    super("recording", 0, why);
  }
}

/** Keeps track of them, in case psample's number is not found. */
export class UnknownFamilies {
  /** Their numbers, each with the number of its messages. */
  readonly #messages = new Map<number, number>();
  #knowsPsample = false;

  /** Ends the messages of an interface. Returns how many of them are of no use. */
  close(messages: NetlinkMessages): number {
    if (messages.isKnown) this.#knowsPsample = true;
    let others = 0;
    for (const [type, count] of messages.close()) {
      this.#messages.set(type, (this.#messages.get(type) ?? 0) + count);
      others += count;
    }
    return others;
  }

  /**
   * To be called at the end.
   *
   * @throws {UnknownFamilyError} if there are any, and psample's is not known.
   */
  check(): void {
    if (this.#knowsPsample || this.#messages.size === 0) return;
    const families = [...this.#messages].sort((a, b) => b[1] - a[1]);
    const total = families.reduce((sum, [, count]) => sum + count, 0);
    const listed = families.slice(0, 8).map(([type, count]) => `${type} (${count})`).join(", ");
    throw new UnknownFamilyError(
      `it does not contain the number of the psample family. It has ${total} generic netlink ` +
        `${total === 1 ? "message" : "messages"} of family ${listed}${families.length > 8 ? ", ..." : ""}`,
    );
  }
}
