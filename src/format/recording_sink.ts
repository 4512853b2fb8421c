/** The interface through which the decoder of a recording passes on what it finds. */
import type { EntryView } from "../stream/batch.ts";
import type { Origin } from "./decoded_interface.ts";

/**
 * How many samples were lost before one, according to the recording: a number if it was recorded; `"gap"` if only the sample's number can
 * show it; `undefined` if its producer numbers nothing.
 */
export type Told = number | "gap" | undefined;

/** Takes what the decoder of a recording finds. */
export interface RecordingSink {
  /** A sample or a group event, and when and where it was recorded; the seconds are NaN if that is not known. */
  entry(entry: EntryView, told: Told, seconds: number, nanoseconds: number, origin: Origin): void;
  /** Samples of an interface that arrived late after being recorded as lost; and messages that the kernel had dropped. */
  correct(late: number, dropped: number): void;
}
