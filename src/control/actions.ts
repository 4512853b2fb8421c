/**
 * Shared sample actions: created on their own, and used by filters through their index (the second form of tc-sample(8)).
 *
 * @module
 */
import { ArgumentError, NetlinkError } from "../errors.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import { EEXIST, EPERM, type Sys } from "../sys/sys.ts";
import { type Action, type ActionSpec, encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "../tc/action.ts";
import { addFlags, NLM_F_ECHO } from "../wire/message.ts";
import { checkNumber } from "./arguments.ts";
import { type TrafficControl, withTrafficControl } from "./traffic_control.ts";

/** Specification of a shared action, for {@linkcode addAction} and {@linkcode replaceAction}. */
export type { ActionSpec } from "../tc/action.ts";

/**
 * All sample actions of a network namespace, those of filters included. No privileges needed.
 *
 * @category Sampling
 */
export async function listActions(options: NetnsOptions = {}): Promise<Action[]> {
  return await listActionsWith(await open(options));
}

/** {@linkcode listActions} on a given seam. */
export async function listActionsWith(sys: Sys): Promise<Action[]> {
  return await withTrafficControl(sys, (tc) => tc.sampleActions(encodeActionDump(), "list sample actions"));
}

/**
 * The sample action with this index. No privileges needed.
 *
 * @throws {NetlinkError} `ENOENT` if there is none.
 * @category Sampling
 */
export async function getAction(index: number, options: NetnsOptions = {}): Promise<Action> {
  return await getActionWith(await open(options), index);
}

/** {@linkcode getAction} on a given seam. */
export async function getActionWith(sys: Sys, index: number): Promise<Action> {
  checkNumber("index", index, 1);
  return await withTrafficControl(sys, async (tc) => (await get(tc, index, `get the sample action ${index}`))!);
}

/**
 * Creates a sample action that no filter uses yet. Requires `rate` and `group`; the kernel chooses the index if none is
 * given.
 *
 * @returns The action as the kernel reports it, with its index; `undefined` from kernels that do not report it.
 * @throws {NetlinkError} `EEXIST` if there is an action with this index.
 * @category Sampling
 */
export async function addAction(action: ActionSpec, options: NetnsOptions = {}): Promise<Action | undefined> {
  return await addActionWith(await open(options), action);
}

/** {@linkcode addAction} on a given seam. */
export async function addActionWith(sys: Sys, action: ActionSpec): Promise<Action | undefined> {
  checkSpec(action);
  return await change(sys, "add", action);
}

/**
 * Changes the sample action with this index for all filters that use it, or creates it. Requires `index`, `rate` and `group`.
 *
 * Without truncation or cookie the old value stays; that is the kernel's rule. So a truncation can be widened (4294967295
 * truncates nothing) and a cookie changed, but neither removed: for that, delete the action and add it again.
 *
 * @category Sampling
 */
export async function replaceAction(action: ActionSpec, options: NetnsOptions = {}): Promise<Action | undefined> {
  return await replaceActionWith(await open(options), action);
}

/** {@linkcode replaceAction} on a given seam. */
export async function replaceActionWith(sys: Sys, action: ActionSpec): Promise<Action | undefined> {
  if (action.sample.index === undefined) throw new ArgumentError("index is required: which action is to be replaced");
  checkSpec(action);
  return await change(sys, "replace", action);
}

/**
 * Deletes the sample action with this index.
 *
 * @throws {NetlinkError} `ENOENT` if there is none, `EPERM` if a filter uses it.
 * @category Sampling
 */
export async function deleteAction(index: number, options: NetnsOptions = {}): Promise<void> {
  return await deleteActionWith(await open(options), index);
}

/** {@linkcode deleteAction} on a given seam. */
export async function deleteActionWith(sys: Sys, index: number): Promise<void> {
  checkNumber("index", index, 1);
  const op = `delete the sample action ${index}`;
  const cures = { [EPERM]: "A filter uses it: remove that first" };
  await withTrafficControl(sys, (tc) => tc.change(encodeActionsByIndex("delete", [index]), op, cures));
}

/**
 * Deletes all sample actions that no filter uses.
 *
 * @category Sampling
 */
export async function flushActions(options: NetnsOptions = {}): Promise<void> {
  return await flushActionsWith(await open(options));
}

/** {@linkcode flushActions} on a given seam. */
export async function flushActionsWith(sys: Sys): Promise<void> {
  const op = "flush sample actions";
  await withTrafficControl(sys, async (tc) => {
    try {
      await tc.change(encodeActionFlush(), op);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EPERM)) throw error;
    }
    // The kernel stops at the first action that a filter uses, with or without an error: delete the rest one by one. Without
    // the privilege the first of these is refused too.
    for (const { sample } of await tc.sampleActions(encodeActionDump(), op)) {
      if (sample!.bindCount === 0) await tc.change(encodeActionsByIndex("delete", [sample!.index]), op);
    }
  });
}

async function get(tc: TrafficControl, index: number, op: string): Promise<Action | undefined> {
  const [action] = await tc.sampleActions(encodeActionsByIndex("get", [index]), op);
  return action;
}

async function change(sys: Sys, how: "add" | "replace", action: ActionSpec): Promise<Action | undefined> {
  const { index } = action.sample;
  const op = `${how} the sample action${index === undefined ? "" : ` ${index}`}`;
  const request = encodeActions(how, [action]);
  addFlags(request, NLM_F_ECHO);
  return await withTrafficControl(sys, async (tc) => {
    const [echoed] = await tc.sampleActions(request, op, { [EEXIST]: "Choose another index, or replace the action" });
    // The echo of a replace counts one reference too many: the one that the kernel holds during the change.
    return index === undefined ? echoed : await get(tc, index, op);
  });
}

function checkSpec({ sample }: ActionSpec): void {
  const { rate, group, truncateBytes, index } = sample;
  if (rate === undefined || group === undefined) {
    throw new ArgumentError("rate and group are required: sample 1 in rate packets into group");
  }
  checkNumber("rate", rate, 1);
  checkNumber("group", group);
  if (truncateBytes !== undefined) checkNumber("truncateBytes", truncateBytes);
  if (index !== undefined) checkNumber("index", index);
}
