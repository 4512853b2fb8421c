/** `psample capture`: sets sampling up, shows the samples, and leaves nothing behind. */
import { type Control, dropPrivileges, listen, type ListenStats, listLeftovers, type SamplingOptions, watchLinks } from "../../mod.ts";
import { fromHex, printable } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { expandDevices } from "../devices.ts";
import { explainSocket } from "../explain.ts";
import type { Io } from "../io.ts";
import { explainMatches, matchesOf, parseMatches } from "../match.ts";
import { choice, flag, netnsWords, number, several, texts, UsageError, value, type Values, wholeNumber, wrongValue } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { inSession, NOTHING, type Session } from "../session.ts";
import { Sampled } from "../sampled.ts";
import { received } from "../summary.ts";
import { Tally } from "../tally.ts";
import { tcLines } from "../tc/mod.ts";
import { filterHint, filterStart, isFile } from "../words.ts";
import { LISTEN_OPTIONS } from "./listening.ts";

/** The default rate: 1 in 1000 packets is sampled. */
const RATE = 1000;

/** The options of {@linkcode capture}. */
export const CAPTURE_OPTIONS = {
  rate: number({
    letter: "r",
    value: "N",
    least: 1,
    fallback: `${RATE}`,
    help: "sample 1 in N packets",
    details: "Selection is random, not every Nth.",
    meant: (text) => isFile(text) ? `to print a recording, psample read ${text}` : undefined,
  }),
  direction: choice(["ingress", "egress", "both"], {
    value: "DIR",
    default: "both",
    help: "ingress, egress or both",
    details: "ingress is incoming packets, egress outgoing ones.",
  }),
  match: several({
    value: "EXPR",
    help: "sample only these packets, such as 'tcp port 443 or icmp'",
    details: `EXPR is an expression of tcpdump's, as --filter takes it, but selects packets before they are sampled: the rest is never
looked at, and --rate counts only what matches. Given twice, one of them has to match. What only samples have,
such as group 5, goes into --filter.

  arp                             an EtherType
  ip src net 192.0.2.0/24         an address, or the first part of one
  ip and tcp dst portrange 80-90  ports of one version of IP
  tcp port 443 or icmp            all else that tcpdump can say
  vlan 5 and ip host 192.0.2.1    in a VLAN

It becomes one filter of tc in each direction. The first three are filters of the classifier flower, which hardware can
do; the others are programs for the classifier bpf, and run in software. vlan sees tags that the card took off.
Flower differs in rare cases: it sees no ports in fragments, finds protocols behind extension headers of IPv6, and
takes vlan 5 for 802.1Q alone. With --hardware never it is used only where it means the same.`,
  }, parseMatches),
  trunc: number({
    letter: "s",
    value: "BYTES",
    fallback: "whole packets",
    help: "truncate packets to BYTES",
    details: "Less to copy, to queue and to write: 128 bytes have the headers of nearly every packet. 0 gives samples without data.",
  }),
  group: number({
    letter: "g",
    value: "N",
    fallback: "one that nobody uses",
    help: "the psample group",
    details: "Samples of others in the same group are shown too.",
  }),
  cookie: value({
    value: "HEX",
    help: "up to 16 bytes that come with every sample (Linux 6.11)",
    details: "2 to 32 hexadecimal digits. By default it is a mark by which psample cleanup knows the filter.",
  }, parseCookie),
  control: value({
    value: "WORD",
    fallback: "continue",
    help: "what happens to the packet after it was sampled",
    details: "continue, pass, pipe, reclassify, drop, stolen, queued, repeat, redirect, trap, 'jump N' or 'goto chain N', as in tc. " +
      "With continue, later filters see the packet unchanged; with any other they may not.",
  }, parseControl),
  index: number({
    value: "N",
    least: 1,
    help: "the index of the tc action; without --rate, share an existing one",
    details: "With --rate, the new action gets this index. Without, the existing action with this index is used as it is: " +
      "--group, --trunc, --cookie and --control are then refused.",
  }),
  hardware: choice(["only", "never"], {
    value: "WHERE",
    fallback: "if the device can",
    help: "only in hardware, or never",
    details: "only sets skip_sw: it fails if the device cannot sample in hardware. never sets skip_hw.",
  }),
  device: texts({
    letter: "i",
    value: "DEVICE",
    help: "the same as the word DEVICE; may be repeated",
    details: "For devices whose name is also a word of a filter, and for those who are used to tcpdump.",
  }),
  dryRun: flag({
    help: "print the equivalent tc commands and exit",
    details: "Nothing is changed, and no privileges are needed.",
  }),
  ...LISTEN_OPTIONS,
  ...OUTPUT_OPTIONS,
  explain: flag({
    help: "tell where --match and --filter run, in the kernel or here, and exit",
    details: "Of --match: the filter of tc on each device, why it is this one, and how it differs from the expression if it does. Of " +
      "--filter: what the kernel decides, with --verbose also its program. Programs have the form of tcpdump -d. Nothing is changed, " +
      "and no privileges are needed.",
  }),
};

type Options = Values<typeof CAPTURE_OPTIONS>;
/** Those of them that say what is sampled. */
type SamplingValues =
  & Partial<Pick<Options, "rate" | "control" | "hardware" | "index" | "cookie" | "group" | "trunc" | "match" | "netns">>
  & Pick<Options, "direction">;

/** The command `capture`. */
export const capture: Command = command({
  name: "capture",
  summary: "sample a device and show the samples; leaves nothing behind",
  usage: "capture DEVICE... [OPTION]...",
  about: "A sampled tcpdump: adds a sampling filter to each device, prints its samples, and removes the filters again on exit, whatever " +
    "ends the program. Filters of others are not touched and see every packet. DEVICE may be a pattern such as 'eth*', or any: every " +
    "device that is up, except lo. Both mean the devices that there are at the start.",
  examples: [
    ["psample capture eth0", "one packet in a thousand, both ways"],
    ["psample capture eth0 -r 100 -w web.pcapng --match 'ip and tcp dst port 443'", "record what goes to port 443"],
    ["psample capture 'eth*' --match 'not port 22'", "all devices whose names begin with eth; quotes keep the shell from it"],
    ["psample capture eth0 eth1 --trunc 128 --json", "two devices into one group"],
    ["psample capture eth0 --filter 'udp port 53' --explain", "what of the filter the kernel decides"],
    ["psample capture eth0 --match 'tcp port 443 or icmp' --explain", "what the match becomes in tc, and why"],
    ["psample capture eth0 --dry-run", "what would be done, as tc commands"],
    ["psample capture eth0 --netns blue", "a device of the network namespace blue"],
  ],
  options: CAPTURE_OPTIONS,
  operands: { name: "DEVICE", least: 0, most: Infinity },
  run: async ({ options, given, words }, io) => {
    const devices = await expandDevices(checkDevices([...options.device ?? [], ...words], words), options.netns);
    const plans = samplingOptions(options, given, devices);
    if (options.explain) {
      const { group, filter, netns, verbose } = options;
      if (!filter && !options.match) throw new UsageError("--explain requires --match EXPR or --filter EXPR");
      const before = options.match ? explainMatches(plans, await matchesOf(plans)) : "";
      const groups = group === undefined ? undefined : [group];
      const behind = filter ? await explainSocket(filter, { groups, netns, verbose }) : "";
      await io.print(`${before}${before && behind ? "\n" : ""}${behind}`);
      return 0;
    }
    if (options.dryRun) {
      const matches = await matchesOf(plans);
      await io.print(plans.flatMap((plan, i) => tcLines(plan, matches[i]!)).map((line) => `${line}\n`).join(""));
      return 0;
    }
    return await run(options, plans, io);
  },
});

const CONTROLS = ["continue", "pass", "pipe", "reclassify", "drop", "stolen", "queued", "repeat", "redirect", "trap"] as const;

function parseControl(text: string, name: string): Control {
  const word = CONTROLS.find((word) => word === text);
  if (word !== undefined) return word;
  const [, kind, number] = /^(jump|goto chain) +(\d+)$/.exec(text) ?? [];
  if (number === undefined) throw wrongValue(name, text, `${CONTROLS.join(", ")}, jump N or goto chain N`);
  const most = 0x0fffffff;
  return kind === "jump" ? { jump: wholeNumber(number, name, most) } : { gotoChain: wholeNumber(number, name, most) };
}

function parseCookie(text: string, name: string): Uint8Array {
  const cookie = fromHex(text);
  if (!cookie || cookie.length < 1 || cookie.length > 16) {
    throw wrongValue(name, text, "2 to 32 hexadecimal digits, an even number of them");
  }
  return cookie;
}

/** Refuses what is no device, with what it may be. */
export function checkDevices(devices: readonly string[], words: readonly string[]): readonly string[] {
  if (devices.length === 0) throw new UsageError(`missing DEVICE (usage: psample ${capture.usage})`);
  const start = filterStart(words);
  if (start > 0) {
    throw new UsageError(filterHint(words.slice(start)));
  }
  const file = devices.find(isFile);
  if (file !== undefined) {
    throw new UsageError(`${JSON.stringify(file)} is a file, not a device: to print a recording, psample read ${file}`);
  }
  if (new Set(devices).size < devices.length) throw new UsageError("the same device was given twice");
  return devices;
}

/** What is to be sampled on each device, as the options say it. */
export function samplingOptions(options: SamplingValues, given: ReadonlySet<string>, devices: readonly string[]): SamplingOptions[] {
  const { direction, match, control, hardware, index, cookie, group, trunc, netns } = options;
  const shares = index !== undefined && !given.has("rate");
  for (const name of shares ? ["group", "trunc", "cookie", "control"] : []) {
    if (given.has(name)) throw new UsageError(`--index without --rate shares an existing action: --${name} cannot change it`);
  }
  const rate = shares ? undefined : options.rate ?? RATE;
  return devices.map((device) => ({
    device,
    direction,
    rate,
    group,
    truncateBytes: trunc,
    index,
    cookie,
    control,
    match,
    hardware,
    netns,
  }));
}

async function run(options: Options, plans: readonly SamplingOptions[], io: Io): Promise<number> {
  const { user, buffer, latency, count, netns } = options;
  const plan = planOutput(options, io);
  return await inSession(io, options, async (session) => {
    // Files are opened as the user that is to be, all others before there is anything to lose.
    let outputs = user === undefined ? await plan.open(session) : undefined;
    const devices = plan.namesDevices ? await watchLinks({ netns }) : undefined;
    const sampled = new Sampled(session);
    try {
      await session.unlessOver(tellLeftovers(session, netns));
      const listener = await session.begin(async (signal) => {
        await sampled.add(plans, signal);
        const filter = options.filter?.map(({ expression }) => expression);
        const groups = [sampled.group!];
        return await listen({ groups, filter, events: false, receiveBufferBytes: buffer, latency, devices, netns, signal });
      });
      // Into a group that was chosen here nobody else samples. Looked at while the network namespace may be entered.
      const others = listener && plans[0]!.group !== undefined ? await sampled.findOthers() : undefined;
      if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: true });
      outputs ??= await plan.open(session);
      if (listener) {
        session.notice(sampled.description(plans[0]!));
        await sampled.watch(() => listener.end());
      }
      const tally = new Tally();
      // Of what the kernel leaves out nobody knows how much there was.
      if (options.filter) sampled.counters.distrust();
      sampled.counters.enlist(tally.calibration, true);
      const account = (stats: ListenStats, written: number): string => received(stats, written, buffer, sampled.passing(tally));
      const settle = (): Promise<void> => sampled.remove();
      const own = others ? [sampled.ownSamples(others)] : [];
      await session.pump(sampled.counters.checks.follow(listener ?? NOTHING), {
        ...outputs.start(),
        stages: [...own, sampled.counters.checks, tally],
        tally,
        count,
        account,
        silence: (seconds, stats) => sampled.silence(seconds, stats),
        settle,
        summary: () => listener !== undefined,
      });
    } finally {
      await sampled.remove();
      devices?.close();
      outputs?.discard();
    }
  });
}

/** Tells what a psample that was killed has left behind. */
export async function tellLeftovers(session: Session, netns: string | undefined): Promise<void> {
  const leftovers = await listLeftovers({ netns });
  if (leftovers.length === 0) return;
  const where = leftovers.map(({ device, direction, preference }) => `${printable(device)} ${direction} pref ${preference}`).join(", ");
  session.notice(`left behind by a psample that was killed: ${where}. Remove it with: psample cleanup${netnsWords(netns)}`);
}
