/** `psample cleanup`: removes what a killed `psample capture` left behind. */
import { cleanUpSampling, listLeftovers } from "../../mod.ts";
import { printable } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { flag } from "../options.ts";

const OPTIONS = {
  dryRun: flag({
    help: "show what would be removed",
    details: "One line for each filter, on standard output. Nothing is changed, and no privileges are needed.",
  }),
};

/** The command `cleanup`. */
export const cleanup: Command = command({
  name: "cleanup",
  summary: "remove what a killed capture left behind",
  usage: "cleanup [OPTION]...",
  about: "Removes filters left behind by psample processes that are no longer running, and the clsact qdiscs " +
    "that were added for them and are unused. Nothing else is touched.",
  examples: [["psample cleanup", "remove it"], ["psample cleanup --dry-run", "only look"]],
  options: OPTIONS,
  run: async ({ options: { dryRun } }, io) => {
    const found = dryRun ? await listLeftovers() : await cleanUpSampling();
    for (const { device, ifindex, direction, preference, rate, group } of found) {
      const what = `${printable(device ?? `if${ifindex}`)} ${direction} pref ${preference} (rate ${rate}, group ${group})`;
      await io.print(`${dryRun ? "would remove" : "removed"} ${what}\n`);
    }
    if (found.length === 0) io.err("psample: nothing was left behind\n");
    return 0;
  },
});
