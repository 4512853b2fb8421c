/**
 * Shared sample actions: made by themselves, and used by filters through their index (the second form of
 * tc-sample(8)).
 *
 * @module
 */
import { ArgumentError, NetlinkError } from "../errors.ts";
import { loadSys } from "../sys/load.ts";
import { EEXIST, EPERM } from "../sys/sys.ts";
import { type Action, encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "../tc/action.ts";
import type { ActionSpec } from "../tc/action.ts";
import { TrafficControl } from "./traffic_control.ts";
import { addFlags, NLM_F_ECHO } from "../wire/message.ts";

/** What a shared action is to be, for {@linkcode addAction} and {@linkcode replaceAction}. */
export type { ActionSpec } from "../tc/action.ts";

/** All sample actions of this network namespace, those of filters included, more than 32 too. */
export async function listActions(): Promise<Action[]> {
  return await withTrafficControl((tc) => tc.sampleActions(encodeActionDump(), "list sample actions"));
}

/**
 * The sample action with this index.
 *
 * @throws {NetlinkError} `ENOENT` where there is none.
 */
export async function getAction(index: number): Promise<Action> {
  checkIndex(index);
  const op = `get the sample action ${index}`;
  return await withTrafficControl(async (tc) => (await tc.sampleActions(encodeActionsByIndex("get", [index]), op))[0]!);
}

/**
 * Makes a sample action that no filter uses yet. It takes `rate` and `group`; the kernel chooses the index unless
 * one is given.
 *
 * @returns The action as the kernel has it, its index among it; `undefined` from kernels that do not echo it.
 * @throws {NetlinkError} `EEXIST` where the index is taken.
 */
export async function addAction(action: ActionSpec): Promise<Action | undefined> {
  checkSpec("add", action);
  return await change("add", action);
}

/**
 * Changes the sample action with this index for all filters that use it, or makes it. It takes `rate` and `group`.
 *
 * An absent truncation or cookie keeps its old value, the kernel's rule: a truncation can be widened (4294967295 cuts
 * nothing) and a cookie changed, but neither taken away; for that delete the action and add it anew.
 */
export async function replaceAction(action: ActionSpec): Promise<Action | undefined> {
  checkSpec("replace", action);
  return await change("replace", action);
}

/**
 * Removes the sample action with this index.
 *
 * @throws {NetlinkError} `ENOENT` where there is none, `EPERM` where a filter uses it.
 */
export async function deleteAction(index: number): Promise<void> {
  checkIndex(index);
  const op = `delete the sample action ${index}`;
  const hint = "A filter uses it: remove that first (psample list shows which)";
  await withTrafficControl((tc) => tc.change(encodeActionsByIndex("delete", [index]), op, { [EPERM]: hint }));
}

/** Removes all sample actions that no filter uses. */
export async function flushActions(): Promise<void> {
  const op = "flush sample actions";
  await withTrafficControl(async (tc) => {
    try {
      await tc.change(encodeActionFlush(), op);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EPERM)) throw error;
    }
    // The kernel stops at the first action that a filter uses, with or without an error: go on behind it. Without the
    // privilege the first of these is refused too.
    for (const { sample } of await tc.sampleActions(encodeActionDump(), op)) {
      if (sample!.bindCount === 0) await tc.change(encodeActionsByIndex("delete", [sample!.index]), op);
    }
  });
}

async function change(how: "add" | "replace", action: ActionSpec): Promise<Action | undefined> {
  const { index } = action.sample;
  const op = `${how} the sample action${index === undefined ? "" : ` ${index}`}`;
  const request = encodeActions(how, [action]);
  addFlags(request, NLM_F_ECHO);
  return await withTrafficControl(async (tc) => {
    const [echoed] = await tc.sampleActions(request, op, { [EEXIST]: "Choose another index, or replace the action" });
    // The echo of a replace counts one who holds the action for the time of the change.
    if (index === undefined) return echoed;
    return (await tc.sampleActions(encodeActionsByIndex("get", [index]), op))[0];
  });
}

async function withTrafficControl<T>(work: (tc: TrafficControl) => Promise<T>): Promise<T> {
  const tc = new TrafficControl(await loadSys());
  try {
    return await work(tc);
  } finally {
    tc.close();
  }
}

function checkSpec(how: "add" | "replace", { sample }: ActionSpec): void {
  const { rate, group, truncateBytes, index } = sample;
  if (rate === undefined || group === undefined) throw new ArgumentError(`Cannot ${how} a sample action: it takes a rate and a group`);
  if (how === "replace" && index === undefined) throw new ArgumentError("Cannot replace a sample action: which index?");
  if (rate === 0) throw new ArgumentError("Cannot sample with rate 0: one packet in how many?");
  for (const [what, value] of Object.entries({ rate, group, truncateBytes, index })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value <= 0xffffffff)) {
      throw new ArgumentError(`Cannot make a sample action with ${what} ${value}: expected a whole number from 0 to 4294967295`);
    }
  }
}

function checkIndex(index: number): void {
  if (!Number.isInteger(index) || index < 1 || index > 0xffffffff) {
    throw new ArgumentError(`There is no sample action ${index}: an index is a whole number from 1 to 4294967295`);
  }
}
