/** `psample cleanup`: removes what a killed `psample capture` left behind. */
import { cleanUpSampling, listLeftovers } from "../../mod.ts";
import { type Option, parseCommand, UsageError } from "../args.ts";
import type { Command } from "../command.ts";

const CLEANUP_OPTIONS: readonly Option[] = [
  { name: "dry-run", help: "say what would be removed, and remove nothing" },
];

/** The command `cleanup`. */
export const cleanup: Command = {
  name: "cleanup",
  summary: "remove what a killed capture left behind",
  usage: "cleanup [OPTION]...",
  about: "Removes the filters that carry our mark and whose psample does not run any more, and the clsact\n" +
    "qdiscs that were made for them and that nobody uses. Nothing else is touched.",
  examples: [["psample cleanup", "remove it"], ["psample cleanup --dry-run", "only look"]],
  options: CLEANUP_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, CLEANUP_OPTIONS);
    if (parsed.words.length > 0) throw new UsageError(`unexpected word ${JSON.stringify(parsed.words[0])}`);
    const dry = parsed.switches.has("dry-run");
    const found = dry ? await listLeftovers() : await cleanUpSampling();
    for (const { device, ifindex, direction, preference, rate, group } of found) {
      const what = `${device ?? `if${ifindex}`} ${direction} pref ${preference} (rate ${rate}, group ${group})`;
      await io.print(`${dry ? "would remove" : "removed"} ${what}\n`);
    }
    if (found.length === 0) io.err("psample: nothing was left behind\n");
    return 0;
  },
};
