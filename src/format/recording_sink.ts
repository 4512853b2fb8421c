/** What the decoder of a recording hands on, and to whom. */
import type { EntryView } from "../stream/batch.ts";
import type { Origin } from "./decoded_interface.ts";

/**
 * How many samples were lost before one, as the recording tells: a number if it was written down; `"gap"` if only the sample's
 * number can tell; `undefined` if its producer numbers nothing.
 */
export type Told = number | "gap" | undefined;

/** Takes what the decoder of a recording finds. */
export interface RecordingSink {
  /** A sample or a group event, and when and where it was recorded. */
  entry(entry: EntryView, told: Told, seconds: number, nanoseconds: number, origin: Origin): void;
  /** Samples of an interface came late that had been told as lost; and messages that the kernel had dropped. */
  correct(late: number, dropped: number): void;
}
