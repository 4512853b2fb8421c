/** A way to run a command that receives samples other than the command line: where samples go, and who is notified. */
import type { ListenStats } from "../mod.ts";
import type { OutputPlan } from "./outputs.ts";
import type { Tally } from "./tally.ts";

/** What a face may show, and change, of a command that runs. */
export interface Followed {
  /** The account so far. */
  stats(): ListenStats;
  /** The traffic that the samples stand for. */
  readonly tally: Tally;
  /** N of "1 in N", if the command samples. */
  readonly rate?: number | undefined;
  /** Changes that; only if the command samples. */
  readonly resample?: (rate: number) => Promise<void>;
}

/** Shows what a command does. */
export interface Face {
  /** Where the samples go. */
  readonly plan: OutputPlan;
  /** Takes notices, and the summary. Errors go to standard error all the same. */
  readonly onNotice: (text: string) => void;
  /** Called when samples are about to come. Returns the function that ends it. */
  follow(running: Followed): () => void;
}
