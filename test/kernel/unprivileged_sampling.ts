/** What actions_test.ts runs as a user without privilege: it reads everything, and tries to change it. */
import {
  addAction,
  addSampling,
  cleanUpSampling,
  deleteAction,
  flushActions,
  listActions,
  listLeftovers,
  listSampling,
  type NetlinkError,
  replaceAction,
} from "../../mod.ts";

const attempts: Record<string, () => Promise<unknown>> = {
  addSampling: () => addSampling({ device: "d0", rate: 1 }),
  "addSampling on lo": () => addSampling({ device: "lo", direction: "both", rate: 1 }),
  addAction: () => addAction({ sample: { rate: 1, group: 1 } }),
  replaceAction: () => replaceAction({ sample: { rate: 1, group: 1, index: 19 } }),
  deleteAction: () => deleteAction(20),
  flushActions: () => flushActions(),
  cleanUpSampling: () => cleanUpSampling(),
};
const said: Record<string, unknown> = {};
for (const [what, attempt] of Object.entries(attempts)) {
  said[what] = await attempt().then(() => ["", "not refused"], ({ code, message }: NetlinkError) => [code, message]);
}
const samplings = (await listSampling()).map(({ device, direction, rate, group, index }) => [device, direction, rate, group, index]);
const leftovers = (await listLeftovers()).length;
const actions = (await listActions()).map(({ sample }) => sample!.index);
// deno-lint-ignore no-console
console.log(JSON.stringify({ samplings, leftovers, actions, attempts: said }));
