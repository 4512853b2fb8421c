/** `psample` without a subcommand: libpsample's tool, option for option and line for line, and more. */
import { dropPrivileges, listen, type ListenStats, listGroups, watchLinks } from "../../mod.ts";
import { formatGroups } from "../../src/format/text.ts";
import { type Command, command } from "../command.ts";
import type { Io } from "../io.ts";
import { explainSocket } from "../explain.ts";
import type { Face } from "../face.ts";
import { flag, longName, netnsWords, numbers, UsageError, type Values } from "../options.ts";
import { MONITOR_OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { answering, inSession, NOTHING, type Session, STATUS } from "../session.ts";
import { isTelling, received } from "../summary.ts";
import { Tally } from "../tally.ts";
import { allNamespacesOption, LISTEN_OPTIONS, tellWaiting, WAIT } from "./listening.ts";

/** The options of {@linkcode monitor}. */
export const MONITOR_OPTIONS = {
  monitor: flag({
    letter: "m",
    help: "print samples and group events as they come (the default)",
    details: "The default; the option exists because libpsample's tool has it.",
  }),
  listGroups: flag({
    letter: "l",
    help: "list the psample groups of the network namespace",
    details: "One line for each group that somebody samples into: its number, how many use it, and the number of its next sample.",
  }),
  noConfig: flag({
    letter: "c",
    help: "no group events",
    details: "Group events report that a group was created or deleted.",
    meant: (value) => /^\d+$/.test(value) ? `to stop after ${value} samples, --count ${value}` : undefined,
  }),
  noSample: flag({
    letter: "s",
    help: "group events only (needs no privileges)",
    details: "Receiving samples requires CAP_NET_ADMIN on kernels since December 2023; receiving group events does not.",
    meant: (value) => `to truncate packets, psample capture DEVICE --trunc ${value}`,
  }),
  group: numbers({
    letter: "g",
    value: "N",
    offers: { things: ["group"] },
    help: "only this group; may be repeated",
    details: "The kernel leaves out samples and events of all other groups before they are queued.",
  }),
  wait: WAIT,
  allNamespaces: allNamespacesOption(),
  ...LISTEN_OPTIONS,
  ...MONITOR_OUTPUT_OPTIONS,
};

type Options = Values<typeof MONITOR_OPTIONS>;

/** The options that libpsample's tool has too: if only these are used, the same pairs of them are refused. */
const LIBPSAMPLE: ReadonlySet<string> = new Set(["monitor", "listGroups", "noConfig", "noSample", "group", "verbose", "write"]);
/** Pairs that libpsample's tool refuses. */
const CONFLICTS: readonly (readonly [keyof Options, keyof Options])[] = [
  ["monitor", "listGroups"],
  ["monitor", "write"],
  ["listGroups", "write"],
  ["noConfig", "noSample"],
  ["noConfig", "listGroups"],
  ["noSample", "listGroups"],
  ["noConfig", "write"],
  ["noSample", "write"],
  ["verbose", "write"],
  ["group", "write"],
];
/** Those of them that cannot make sense. The others work together with an option that libpsample does not have. */
const MEANINGLESS = CONFLICTS.filter(([a, b]) => a.startsWith("no") ? b !== "write" : b === "listGroups" || a === "listGroups");

function checkConflicts(write: string | undefined, options: ReadonlySet<string>): void {
  const given = new Set(options);
  // libpsample does not know pcapng: naming such a file asks for what only we have.
  if (/\.pcapng$/i.test(write ?? "")) given.add("format");
  const conflicts = [...given].every((name) => LIBPSAMPLE.has(name)) ? CONFLICTS : MEANINGLESS;
  for (const [a, b] of conflicts) {
    if (!given.has(a) || !given.has(b)) continue;
    const cure = conflicts === CONFLICTS && !MEANINGLESS.some(([c, d]) => a === c && b === d)
      ? "; add --text or --json to combine them"
      : "";
    throw new UsageError(`${longName(a)} and ${longName(b)} are mutually exclusive${cure}`);
  }
}

/** The command without a name. */
export const monitor: Command = command({
  name: "",
  summary: "print samples as they arrive",
  usage: "[OPTION]...",
  about: "Prints what the kernel samples, one line per packet, until Ctrl-C. Then one line on standard error says what was received and " +
    "what was lost; if nothing was, it is printed only at a terminal.",
  examples: [
    ["psample", "print all samples and group events"],
    ["psample -g 5 -v", "group 5 only, with the packets' bytes"],
    ["psample --filter 'tcp port 443 and net 10.0.0.0/8'", "filtered in the kernel; --explain shows how"],
    ["psample -g 5 --details", "with interface names, cookie and tunnel"],
    ["psample --json --count 100 | jq .", "a hundred samples as JSON"],
    ["psample -w samples.pcap", "record, for psample read or Wireshark"],
    ["psample -l", "list the groups"],
    ["psample --netns blue", "in the network namespace blue"],
  ],
  options: MONITOR_OPTIONS,
  run: async ({ options, given }, io) => {
    checkConflicts(options.write, given);
    if (options.explain) {
      const { group: groups, allNamespaces, netns, verbose, filter } = options;
      await io.print(await explainSocket(filter, { groups, allNamespaces, netns, verbose }, io));
      return STATUS.done;
    }
    return options.listGroups ? await list(options, io) : await runMonitor(options, io);
  },
});

async function list({ json, netns }: Options, io: Io): Promise<number> {
  const groups = await answering(io, "asking the kernel for the groups", () => listGroups({ netns }));
  if (groups.length === 0 && io.errIsTerminal) {
    io.err("psample: there are no groups: nothing samples in this network namespace (psample capture DEVICE does it)\n");
  }
  await io.data(json ? groups.map((group) => `${JSON.stringify(group)}\n`).join("") : formatGroups(groups));
  return STATUS.done;
}

/** Receives what is sampled already, and resolves to the exit status; `face` shows it, if that is not what the options say. */
export async function runMonitor(options: Options, io: Io, face?: Face): Promise<number> {
  const { user, buffer, wait, netns } = options;
  const plan = face?.plan ?? planOutput(options, io, { lines: "text", recording: "netlink" });
  return await inSession(io, { ...options, onNotice: face?.onNotice }, async (session) => {
    // Files are opened as the user that is to be, all others before there is anything to lose.
    let outputs = user === undefined ? await plan.open(session) : undefined;
    const devices = plan.namesDevices ? await watchLinks({ netns }) : undefined;
    let unfollow = (): void => {};
    try {
      if (wait) await tellWaiting(session, netns);
      const listener = await session.begin((signal) =>
        listen({
          groups: options.group,
          filter: options.noSample ? undefined : options.filter?.map(({ expression }) => expression),
          samples: !options.noSample,
          events: options.noConfig ? false : undefined,
          wait,
          allNamespaces: options.allNamespaces,
          receiveBufferBytes: buffer,
          latency: options.latency,
          devices,
          netns,
          signal,
        })
      );
      // Only for people who wait for samples that cannot come; a script may start the sampling later.
      if (listener && options.group && !options.allNamespaces && io.errIsTerminal) await tellMissing(options.group, session, netns);
      // Joining again when the module is back requires it.
      if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: wait });
      outputs ??= await plan.open(session);
      const started = outputs.start();
      // It costs something: only if it is shown.
      const tally = face || (started.recordedBytes && io.errIsTerminal) ? new Tally() : undefined;
      if (listener && face && tally) unfollow = face.follow({ stats: () => listener.stats(), tally });
      const account = (stats: ListenStats, written: number): string => received(stats, written, buffer);
      await session.pump(listener ?? NOTHING, {
        ...started,
        stages: tally ? [tally] : [],
        tally,
        count: options.count,
        silence: (seconds) => options.noSample ? undefined : silenceOf(seconds, netns, options.filter !== undefined),
        account,
        summary: isTelling,
      });
    } finally {
      unfollow();
      devices?.close();
      outputs?.discard();
    }
  });
}

/** The message for somebody who sees nothing. */
function silenceOf(seconds: number, netns: string | undefined, isFiltered: boolean): string {
  const there = netnsWords(netns);
  const what = isFiltered ? "nothing that --filter matches" : "nothing";
  return `${what} arrived in ${seconds} s: psample list${there} shows what is sampled and how many packets pass, psample doctor${there} why ` +
    `no samples arrive, and psample capture DEVICE${there} samples one`;
}

/** Reports the groups from which no samples can be expected for now. */
async function tellMissing(wanted: readonly number[], session: Session, netns: string | undefined): Promise<void> {
  const sampled = (await listGroups({ netns }).catch(() => undefined))?.map(({ group }) => group);
  const missing = sampled && wanted.filter((group) => !sampled.includes(group));
  if (!missing || missing.length === 0) return;
  const others = sampled.length === 0 ? "" : `; sampled groups: ${sampled.join(", ")}`;
  session.notice(`nothing listed by the kernel samples into group ${missing.join(", ")} now (Open vSwitch and mlx5 never are)${others}`);
}
