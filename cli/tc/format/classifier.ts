/** What all classifiers print. */
import type { Action } from "../../../src/tc/action.ts";
import { TCA_ACT_MAX_PRIO } from "../../../src/tc/action.ts";
import { TCA_CLS_FLAGS_IN_HW, TCA_CLS_FLAGS_NOT_IN_HW, TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW } from "../../../src/tc/tcmsg.ts";
import { writeActions } from "./action.ts";
import { hex } from "./values.ts";
import type { TcOptions } from "../command.ts";
import type { DocumentWriter } from "./document.ts";

/** The handle, unless it is 0. */
export function writeHandle(out: DocumentWriter, handle: number): void {
  if (handle) out.field("handle", handle, `handle 0x${hex(handle)} `);
}

/** The words for a filter's flags, in iproute2's order. */
export function flagWords(flags: number): string[] {
  const words: string[] = [];
  if (flags & TCA_CLS_FLAGS_SKIP_HW) words.push("skip_hw");
  if (flags & TCA_CLS_FLAGS_SKIP_SW) words.push("skip_sw");
  if (flags & TCA_CLS_FLAGS_IN_HW) words.push("in_hw");
  else if (flags & TCA_CLS_FLAGS_NOT_IN_HW) words.push("not_in_hw");
  return words;
}

/** The actions of a filter, if it has any. */
export function writeFilterActions(out: DocumentWriter, actions: readonly Action[] | undefined, options: TcOptions): void {
  if (actions) writeActions(out, actions, TCA_ACT_MAX_PRIO, options, true);
}
