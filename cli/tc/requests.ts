/** Tasks to requests: the one place where the wing encodes. */
import { encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "../../src/tc/action.ts";
import { encodeFilter, encodeFilterDump, encodeFilterGet } from "../../src/tc/filter.ts";
import { encodeQdisc, encodeQdiscDump } from "../../src/tc/qdisc.ts";
import type { TcTask } from "./command.ts";
import { STATUS_USAGE } from "./parse/refusal.ts";

/** What was asked for, so that an answer need not repeat it. 0 and `undefined` were not asked for. */
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
  /** What it does, as a verb phrase. */
  readonly op: string;
  /** The message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As what the answer is printed; `undefined` for not at all. */
  readonly show: "qdiscs" | "filters" | "actions" | undefined;
  /** What was asked for. */
  readonly view: TcView;
  /** The exit status if the kernel refuses. */
  readonly failureStatus: number;
  /** The line that iproute2 adds then. */
  readonly failureLine: string | undefined;
}

/** Nothing was asked for. */
const NO_VIEW: TcView = { ifindex: 0, parent: 0, handle: 0, preference: 0, protocol: 0, chain: undefined };

// How iproute2 takes a refusal: the exit status, and the line it adds to what the kernel says.
const QDISC_REFUSED = { failureStatus: 2, failureLine: undefined } as const;
const FILTER_REFUSED = { failureStatus: 2, failureLine: "We have an error talking to the kernel" } as const;
const ACTION_REFUSED = { failureStatus: STATUS_USAGE, failureLine: "We have an error talking to the kernel" } as const;
const FLUSH_REFUSED = { failureStatus: 1, failureLine: "We have an error flushing" } as const;
const LIST_REFUSED = { failureStatus: 1, failureLine: "Dump terminated" } as const;
const ACTION_LIST_REFUSED = { failureStatus: STATUS_USAGE, failureLine: "Dump terminated" } as const;

/** The request that does a task on the device `ifindex`; 0 for no device. */
export function requestOf(task: TcTask, ifindex: number): TcRequest {
  const silent = { show: undefined, view: NO_VIEW } as const;
  switch (task.task) {
    case "change qdisc":
      return { op: `${task.change} a qdisc`, bytes: encodeQdisc(task.change, { ...task.qdisc, ifindex }), ...silent, ...QDISC_REFUSED };
    case "list qdiscs": {
      const { parent, handle } = task;
      const view = { ...NO_VIEW, ifindex, parent, handle };
      return { op: task.task, bytes: encodeQdiscDump(ifindex), show: "qdiscs", view, ...LIST_REFUSED };
    }
    case "change filter": {
      const bytes = encodeFilter(task.change, { ...task.key, ifindex }, task.classifier);
      return { op: `${task.change} a filter`, bytes, ...silent, ...FILTER_REFUSED };
    }
    case "get filter": {
      const bytes = encodeFilterGet({ ...task.key, ifindex }, task.classifier);
      return { op: "get a filter", bytes, show: "filters", view: { ...NO_VIEW, ifindex }, ...FILTER_REFUSED };
    }
    case "list filters": {
      const { parent, preference, protocol, chain } = task;
      const bytes = encodeFilterDump({ ifindex, parent, preference, protocol, chain });
      const view = { ...NO_VIEW, ifindex, parent, preference, protocol, chain };
      return { op: task.task, bytes, show: "filters", view, ...LIST_REFUSED };
    }
    case "change actions":
      return { op: `${task.change} a sample action`, bytes: encodeActions(task.change, task.actions), ...silent, ...ACTION_REFUSED };
    case "delete actions":
      return { op: "delete a sample action", bytes: encodeActionsByIndex("delete", task.indexes), ...silent, ...ACTION_REFUSED };
    case "get actions": {
      const bytes = encodeActionsByIndex("get", task.indexes);
      return { op: "get a sample action", bytes, show: "actions", view: NO_VIEW, ...ACTION_REFUSED };
    }
    case "list actions": {
      const bytes = encodeActionDump(task.usedWithinMs);
      return { op: "list sample actions", bytes, show: "actions", view: NO_VIEW, ...ACTION_LIST_REFUSED };
    }
    case "flush actions":
      return { op: "flush sample actions", bytes: encodeActionFlush(), ...silent, ...FLUSH_REFUSED };
  }
}
