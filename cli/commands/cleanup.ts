/** `psample cleanup`: removes what a killed `psample capture` left behind. */
import { cleanUpSampling, type FilterSampling, type Kept } from "../../mod.ts";
import { stopLeftMonitor } from "../../src/control/drop_monitor.ts";
import { open } from "../../src/socket/open.ts";
import { commandsIn, printable } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { flag, NETNS, netnsWords } from "../options.ts";
import { answering } from "../session.ts";

const OPTIONS = {
  dryRun: flag({
    help: "show what would be removed",
    details: "One line for each filter, on standard output. Nothing is changed, and no privileges are needed.",
  }),
  netns: NETNS,
  force: flag({
    help: "also remove what is kept because a psample runs, or may run",
    details: "A running psample exits when its filters are removed. Without this option filters are also kept if another process holds " +
      "the netlink port of their psample, and the kernel (without netlink_diag) does not report whose port it is.",
  }),
};

const REASONS: Readonly<Record<Kept["reason"], string>> = {
  "running": "its psample is running",
  "unverified": "a process holds the netlink port of its psample, and this kernel does not say which",
  "in use": "other filters or chains are on it",
  "unmarked": "nothing is on it, so nothing shows whose it is",
};

/** The command `cleanup`. */
export const cleanup: Command = command({
  name: "cleanup",
  summary: "remove what a killed capture left behind",
  usage: "cleanup [OPTION]...",
  about: "Removes filters left behind by psample processes that are no longer running, and the clsact qdiscs that were added for them " +
    "and have nothing else on them. Nothing else is touched. Filters with psample's mark that are kept are listed with the reason. It " +
    "also stops the kernel's monitor of discarded packets, if a killed psample export --drops has left it running and nobody listens to " +
    "it. The kernel has no request that deletes a qdisc only if it is unused: what another program adds to it at that very moment is " +
    "lost, which is reported. To rule that out, add the clsact qdisc yourself: psample never deletes one that existed before.",
  examples: [["psample cleanup", "remove leftovers"], ["psample cleanup --dry-run", "only show them"], [
    "psample cleanup --netns blue",
    "in another network namespace",
  ]],
  options: OPTIONS,
  run: async ({ options: { dryRun, force, netns } }, io) => {
    const onWarning = (message: string): void => io.err(`psample: ${message}\n`);
    const work = (): ReturnType<typeof cleanUpSampling> => cleanUpSampling({ dryRun, force, netns, onWarning });
    const { removed, kept } = await answering(io, "looking for what was left behind", work);
    for (const sampling of removed) await io.print(`${dryRun ? "would remove" : "removed"} ${filterText(sampling)}\n`);
    for (const { device, ifindex, sampling, reason } of kept) {
      const what = sampling ? filterText(sampling) : `the clsact qdisc of ${deviceText(device, ifindex)}`;
      const cure = reason === "unmarked"
        ? `. If nobody needs it: ${commandsIn(netns, `tc qdisc del dev ${deviceText(device, ifindex)} clsact`)}`
        : reason === "unverified"
        ? `. To remove it all the same: psample cleanup${netnsWords(netns)} --force`
        : "";
      io.err(`psample: kept ${what}: ${REASONS[reason]}${cure}\n`);
    }
    const monitor = await stopLeftMonitor(await open({ netns }), { dryRun });
    if (monitor) await io.print(`${dryRun ? "would stop" : "stopped"} the monitor of discarded packets\n`);
    const unverified = kept.some(({ reason }) => reason === "unverified");
    if (removed.length === 0 && !monitor && !unverified) io.err("psample: nothing was left behind\n");
    return unverified ? 1 : 0;
  },
});

function filterText({ device, ifindex, direction, preference, rate, group }: FilterSampling): string {
  return `${deviceText(device, ifindex)} ${direction} pref ${preference} (rate ${rate}, group ${group})`;
}

function deviceText(device: string | undefined, ifindex: number): string {
  return printable(device ?? `if${ifindex}`);
}
