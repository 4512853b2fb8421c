/** What the words of a command become. */

/** What of an answer was asked for, and need not be said again. 0 and `undefined` were not asked for. */
export interface TcView {
  /** The device. */
  readonly ifindex: number;
  /** The parent. */
  readonly parent: number;
  /** The handle of a qdisc. */
  readonly handle: number;
  /** The preference of a filter. */
  readonly preference: number;
  /** The protocol of a filter. */
  readonly protocol: number;
  /** The chain of a filter. */
  readonly chain: number | undefined;
}

/** One request to the kernel. */
export interface TcRequest {
  /** What it is, as a verb phrase. */
  readonly op: string;
  /** The message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As what the answer is printed; `undefined` for not at all. */
  readonly show: "qdiscs" | "filters" | "actions" | undefined;
  /** What was asked for. */
  readonly view: TcView;
  /** The exit status where the kernel refuses. */
  readonly failureStatus: number;
  /** The line that iproute2 adds then. */
  readonly failureLine: string | undefined;
}

/** Nothing was asked for. */
export const NO_VIEW: TcView = { ifindex: 0, parent: 0, handle: 0, preference: 0, protocol: 0, chain: undefined };

/** What iproute2 adds where the kernel refuses a change. */
export const TALK_FAILED = "We have an error talking to the kernel";

/** What iproute2 adds where the kernel refuses a list. */
export const DUMP_FAILED = "Dump terminated";
