/** `psample` without a subcommand: libpsample's tool, option for option and line for line, and more. */
import { dropPrivileges, listen, type Listener, listGroups, RECEIVE_BUFFER_BYTES } from "../../mod.ts";
import { formatGroups } from "../../src/format/text.ts";
import { type Option, parseCommand, type Parsed, UsageError, wholeNumber } from "../args.ts";
import type { Command } from "../command.ts";
import { consume, OUTPUT_OPTIONS, planOutput, summary } from "../consume.ts";
import type { Io } from "../io.ts";
import { liveDetails } from "../names.ts";

const MONITOR_OPTIONS: readonly Option[] = [
  { name: "monitor", letter: "m", help: "print samples and group events as they come (the default)" },
  { name: "list-groups", letter: "l", help: "list the psample groups of this network namespace" },
  { name: "no-config", letter: "c", help: "no group events" },
  { name: "no-sample", letter: "s", help: "no samples: that takes no privilege" },
  { name: "group", letter: "g", value: "N", repeats: true, help: "only this group; may be repeated" },
  { name: "wait", help: "wait for the psample module where it is not loaded" },
  { name: "all-namespaces", help: "from every network namespace that has an nsid in this one" },
  { name: "user", letter: "Z", value: "NAME", help: "once the sockets are open, give up root and become NAME" },
  { name: "buffer", value: "BYTES", help: "how much the kernel may queue; 33554432 unless given" },
  ...OUTPUT_OPTIONS,
];

/** The options that libpsample's tool has too: with only these, the same pairs of them are refused. */
const LIBPSAMPLE = new Set(["monitor", "list-groups", "no-config", "no-sample", "group", "verbose", "write"]);
/** Pairs that libpsample's tool refuses. */
const CONFLICTS: readonly (readonly [string, string])[] = [
  ["monitor", "list-groups"],
  ["monitor", "write"],
  ["list-groups", "write"],
  ["no-config", "no-sample"],
  ["no-config", "list-groups"],
  ["no-sample", "list-groups"],
  ["no-config", "write"],
  ["no-sample", "write"],
  ["verbose", "write"],
  ["group", "write"],
];
/** Of those the ones that can mean nothing. The others work where an option that libpsample does not have is given. */
const MEANINGLESS = CONFLICTS.filter(([a, b]) => a.startsWith("no-") ? b !== "write" : b === "list-groups" || a === "list-groups");

function checkConflicts({ switches, values }: Parsed): void {
  const given = new Set([...switches, ...values.keys()]);
  // libpsample knows no pcapng: whoever names one wants what only we have.
  if (/\.pcapng$/i.test(values.get("write")?.[0] ?? "")) given.add("format");
  const conflicts = [...given].every((name) => LIBPSAMPLE.has(name)) ? CONFLICTS : MEANINGLESS;
  for (const [a, b] of conflicts) {
    if (!given.has(a) || !given.has(b)) continue;
    const cure = conflicts === CONFLICTS && !MEANINGLESS.some(([c, d]) => a === c && b === d)
      ? "; with --text or --json they go together"
      : "";
    throw new UsageError(`--${a} and --${b} exclude each other${cure}`);
  }
}

/** The command without a name. */
export const monitor: Command = {
  name: "",
  summary: "print samples as they come",
  usage: "[OPTION]...",
  about: "Prints what the kernel samples: one line a packet, until Ctrl-C. Then one line on standard\n" +
    "error says what was received and what was lost.",
  examples: [
    ["psample", "print all samples and group events"],
    ["psample -g 5 -v", "group 5 only, with the packets' bytes"],
    ["psample -g 5 --details", "with interface names, cookie and tunnel"],
    ["psample --json --count 100 | jq .", "a hundred samples as JSON"],
    ["psample -w samples.pcap", "record, for psample read or Wireshark"],
    ["psample -l", "list the groups"],
  ],
  options: MONITOR_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, MONITOR_OPTIONS);
    if (parsed.words.length > 0) throw new UsageError(`unexpected word ${JSON.stringify(parsed.words[0])}`);
    checkConflicts(parsed);
    const groups = parsed.values.get("group")?.map((group) => wholeNumber(group, "--group"));
    const receiveBufferBytes = parsed.values.has("buffer")
      ? wholeNumber(parsed.values.get("buffer")![0]!, "--buffer", 0x3fffffff, 1)
      : RECEIVE_BUFFER_BYTES;
    return parsed.switches.has("list-groups") ? await list(parsed, io) : await run(parsed, io, groups, receiveBufferBytes);
  },
};

async function list(parsed: Parsed, io: Io): Promise<number> {
  const groups = await listGroups();
  if (parsed.switches.has("json")) await io.out.write(groups.map((group) => `${JSON.stringify(group)}\n`).join(""));
  else await io.out.write(formatGroups(groups));
  return 0;
}

async function run(parsed: Parsed, io: Io, groups: number[] | undefined, receiveBufferBytes: number): Promise<number> {
  const { switches } = parsed;
  const abort = new AbortController();
  let listener: Listener | undefined;
  let ended = false;
  const plan = planOutput(parsed, io, liveDetails, () => listener?.family ?? 0);
  const wait = switches.has("wait");
  if (wait && !plan.quiet) io.err("psample: waiting for the psample module, where it is not loaded yet\n");
  // Until the end somebody hears signals: here what comes before there is anything to end.
  const deaf = io.onSignal(() => {
    ended = true;
    if (!listener) abort.abort();
  });
  try {
    listener = await listen({
      groups,
      samples: !switches.has("no-sample"),
      events: !switches.has("no-config"),
      wait,
      allNamespaces: switches.has("all-namespaces"),
      receiveBufferBytes,
      signal: abort.signal,
    });
    const user = parsed.values.get("user")?.[0];
    if (user !== undefined) await dropPrivileges(user);
    if (ended) listener.end();
    const handed = await consume(listener, plan, io);
    if (handed !== undefined && !plan.quiet) io.err(summary(listener.stats(), handed, receiveBufferBytes));
    return 0;
  } catch (error) {
    if (abort.signal.aborted) return 0;
    throw error;
  } finally {
    deaf();
    await listener?.close();
  }
}
