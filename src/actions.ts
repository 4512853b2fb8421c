/**
 * Shared sample actions: made by themselves, and used by filters through their index (the second form of
 * tc-sample(8)).
 *
 * @module
 */
import { NetlinkError } from "./errors.ts";
import { loadSys } from "./sys/load.ts";
import { EPERM } from "./sys/sys.ts";
import { type Action, decodeActions, encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "./tc/action.ts";
import type { ActionSpec } from "./tc/action.ts";
import { RTM_GETACTION, RTM_NEWACTION } from "./tc/tcmsg.ts";
import { TrafficControl } from "./traffic_control.ts";
import type { Message } from "./wire/message.ts";

/** What a shared action is to be, for {@linkcode addAction} and {@linkcode replaceAction}. */
export type { ActionSpec } from "./tc/action.ts";

/** All sample actions of this network namespace, those of filters included, more than 32 too. */
export async function listActions(): Promise<Action[]> {
  return await withTrafficControl(async (tc) => actionsIn(await tc.change(encodeActionDump(), "list sample actions")));
}

/**
 * The sample action with this index.
 *
 * @throws {NetlinkError} `ENOENT` where there is none.
 */
export async function getAction(index: number): Promise<Action> {
  checkIndex(index);
  const op = `get the sample action ${index}`;
  return await withTrafficControl(async (tc) => actionsIn(await tc.change(encodeActionsByIndex("get", [index]), op))[0]!);
}

/**
 * Makes a sample action that no filter uses yet. It takes `rate` and `group`; the kernel chooses the index unless
 * one is given.
 *
 * @returns The action as the kernel has it, its index among it; `undefined` from kernels that do not echo it.
 * @throws {NetlinkError} `EEXIST` where the index is taken.
 */
export async function addAction(action: ActionSpec): Promise<Action | undefined> {
  checkSpec(action, true);
  return await change("add", action);
}

/**
 * Changes the sample action with this index for all filters that use it, or makes it.
 *
 * What is absent keeps its old value, the kernel's rule: a truncation can be widened (4294967295 cuts nothing)
 * and a cookie changed, but neither taken away; for that delete the action and add it anew.
 */
export async function replaceAction(action: ActionSpec): Promise<Action | undefined> {
  checkSpec(action, false);
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
  await withTrafficControl((tc) => tc.change(encodeActionsByIndex("delete", [index]), op, hint));
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
    for (const { sample } of actionsIn(await tc.change(encodeActionDump(), op))) {
      if (sample!.bindCount === 0) await tc.change(encodeActionsByIndex("delete", [sample!.index]), op);
    }
  });
}

async function change(how: "add" | "replace", action: ActionSpec): Promise<Action | undefined> {
  const { index } = action.sample;
  const op = `${how} the sample action${index === undefined ? "" : ` ${index}`}`;
  const request = encodeActions(how, [action]);
  return await withTrafficControl(async (tc) => {
    const [echoed] = actionsIn(await tc.echo(request, op));
    if (echoed || index === undefined) return echoed;
    return actionsIn(await tc.change(encodeActionsByIndex("get", [index]), op))[0];
  });
}

// A get is answered by its own type, everything else by NEWACTION or DELACTION.
function actionsIn(messages: readonly Message[]): Action[] {
  return messages.filter((message) => message.type >= RTM_NEWACTION && message.type <= RTM_GETACTION)
    .flatMap((message) => decodeActions(message).actions)
    .filter((action) => action.sample !== undefined);
}

async function withTrafficControl<T>(work: (tc: TrafficControl) => Promise<T>): Promise<T> {
  const tc = new TrafficControl(await loadSys());
  try {
    return await work(tc);
  } finally {
    tc.close();
  }
}

function checkSpec({ sample }: ActionSpec, complete: boolean): void {
  const { rate, group, truncateBytes, index } = sample;
  if (complete && (rate === undefined || group === undefined)) {
    throw new TypeError("Cannot add a sample action: it takes a rate and a group");
  }
  if (!complete && index === undefined) throw new TypeError("Cannot replace a sample action: which index?");
  if (rate === 0) throw new RangeError("Cannot sample with rate 0: one packet in how many?");
  for (const [what, value] of Object.entries({ rate, group, truncateBytes, index })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value <= 0xffffffff)) {
      throw new RangeError(`Cannot make a sample action with ${what} ${value}: expected a whole number from 0 to 4294967295`);
    }
  }
}

function checkIndex(index: number): void {
  if (!Number.isInteger(index) || index < 1 || index > 0xffffffff) {
    throw new RangeError(`There is no sample action ${index}: an index is a whole number from 1 to 4294967295`);
  }
}
