/** A parsed command, before the kernel is asked for anything: devices are names, and nothing is encoded yet. */
import type { ActionSpec } from "../../src/tc/action.ts";
import type { ClassifierSpec, FilterKey } from "../../src/tc/filter.ts";
import type { QdiscSpec } from "../../src/tc/qdisc.ts";
import type { TcChange } from "../../src/tc/tcmsg.ts";

/** The options in front of the object. */
export interface TcOptions {
  /** `-s`: counters and ages. */
  readonly stats: boolean;
  /** `-r`: handles as numbers too. */
  readonly raw: boolean;
  /** `-j`. */
  readonly json: boolean;
  /** `-p`: JSON on many lines, u32 keys in words. */
  readonly pretty: boolean;
  /** `-o`: a backslash in place of each line's end. */
  readonly oneline: boolean;
}

/** Makes, changes or removes a qdisc of the device. */
interface ChangeQdisc {
  readonly task: "change qdisc";
  readonly change: TcChange;
  readonly qdisc: Omit<QdiscSpec, "ifindex">;
}

/** Lists qdiscs: 0 means any parent and any handle. */
interface ListQdiscs {
  readonly task: "list qdiscs";
  readonly parent: number;
  readonly handle: number;
}

/** Makes, changes or removes a filter of the device. */
interface ChangeFilter {
  readonly task: "change filter";
  readonly change: TcChange;
  readonly key: Omit<FilterKey, "ifindex">;
  readonly classifier: ClassifierSpec | undefined;
}

/** Shows one filter. */
interface GetFilter {
  readonly task: "get filter";
  readonly key: Omit<FilterKey, "ifindex">;
  readonly classifier: ClassifierSpec | undefined;
}

/** Lists filters: 0 means any parent, preference and protocol, `undefined` any chain. */
interface ListFilters {
  readonly task: "list filters";
  readonly parent: number;
  readonly preference: number;
  readonly protocol: number;
  readonly chain: number | undefined;
}

/** Makes actions that no filter uses yet, or changes existing ones. */
interface ChangeActions {
  readonly task: "change actions";
  readonly change: "add" | "replace";
  readonly actions: readonly ActionSpec[];
}

/** Removes or shows actions. */
interface ActionsByIndex {
  readonly task: "delete actions" | "get actions";
  readonly indexes: readonly number[];
}

/** Lists the sample actions, or those used in the last `usedWithinMs` milliseconds. */
interface ListActions {
  readonly task: "list actions";
  readonly usedWithinMs: number | undefined;
}

/** Removes the sample actions that no filter uses. */
interface FlushActions {
  readonly task: "flush actions";
}

/** One thing to do. */
export type TcTask =
  | ChangeQdisc
  | ListQdiscs
  | ChangeFilter
  | GetFilter
  | ListFilters
  | ChangeActions
  | ActionsByIndex
  | ListActions
  | FlushActions;

/** A command that makes sense. */
export interface TcCommand {
  /** Distinguishes it from a refusal. */
  readonly kind: "command";
  /** The options in front of the object. */
  readonly options: TcOptions;
  /** The network namespace that all of it is about, if it was named. */
  readonly netns: string | undefined;
  /** The device that the tasks are about. */
  readonly device: string | undefined;
  /** What to do, in order; the first failure ends the command. */
  readonly tasks: readonly TcTask[];
}

/** A command that makes none, or asks for help. */
export interface TcUsage {
  /** Tells it from a command. */
  readonly kind: "usage";
  /** The exit status: 0 if help was asked for. */
  readonly status: number;
  /** The text for standard error. */
  readonly text: string;
  /** The network namespace, if it was named in front of the mistake. */
  readonly netns: string | undefined;
  /** The device that iproute2 looks up before it finds the mistake: if there is no such device, it reports that instead. */
  readonly device: string | undefined;
}
