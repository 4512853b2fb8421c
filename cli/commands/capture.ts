/** `psample capture`: sets sampling up, shows the samples, and leaves nothing behind. */
import { type Control, dropPrivileges, listen, type ListenStats, type SamplingOptions, watchLinks } from "../../mod.ts";
import { fromHex, printable } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { expandDevices, withRateHint } from "../devices.ts";
import { explainSampling } from "../explain.ts";
import type { Face } from "../face.ts";
import type { Io } from "../io.ts";
import { tellLeftovers } from "../leftovers.ts";
import { matchesOf, parseMatches } from "../match.ts";
import { choice, DEVICES, flag, number, several, texts, UsageError, value, type Values, wholeNumber, wrongValue } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { inSession, NOTHING } from "../session.ts";
import { Sampled } from "../sampled.ts";
import { received } from "../summary.ts";
import { Tally } from "../tally.ts";
import { tcLines } from "../tc/mod.ts";
import { filterHint, filterStart, isFile } from "../words.ts";
import { LISTEN_OPTIONS } from "./listening.ts";

/** The default rate: 1 in 1000 packets is sampled. */
const RATE = 1000;

const CONTROLS = ["continue", "pass", "pipe", "reclassify", "drop", "stolen", "queued", "repeat", "redirect", "trap"] as const;

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
    details: `EXPR is a tcpdump expression, as for --filter, but it selects packets before they are sampled: all others are ignored,
and --rate counts only those that match. Given twice, one of them must match. Conditions on samples, such as group 5,
go into --filter.

  arp                             an EtherType
  ip src net 192.0.2.0/24         an address or a network
  ip and tcp dst portrange 80-90  ports of one version of IP
  tcp port 443 or icmp            anything else in tcpdump's language
  vlan 5 and ip host 192.0.2.1    in a VLAN

It becomes one tc filter in each direction. The first three become filters of the classifier flower, which hardware can
run; the others become programs for the classifier bpf, and run in software. vlan sees tags stripped by the network
card. Flower differs in rare cases: it sees no ports in fragments, finds protocols after IPv6 extension headers, and
takes vlan 5 to mean 802.1Q only. With --hardware never it is used only if it means the same.`,
  }, parseMatches),
  trunc: number({
    letter: "s",
    value: "BYTES",
    fallback: "whole packets",
    help: "truncate packets to BYTES",
    details: "There is less to copy, queue and write: 128 bytes contain the headers of nearly every packet. 0 gives samples without data.",
  }),
  group: number({
    letter: "g",
    value: "N",
    fallback: "an unused one",
    offers: { things: ["group"] },
    help: "the psample group",
    details: "Samples that others send to the same group are shown too.",
  }),
  cookie: value({
    value: "HEX",
    help: "up to 16 bytes to add to every sample (Linux 6.11)",
    details: "2 to 32 hexadecimal digits. By default it is a mark by which psample cleanup recognises the filter.",
  }, parseCookie),
  control: value({
    value: "WORD",
    offers: { words: CONTROLS },
    fallback: "continue",
    help: "what happens to the packet after it was sampled",
    details: "continue, pass, pipe, reclassify, drop, stolen, queued, repeat, redirect, trap, 'jump N' or 'goto chain N', as in tc. " +
      "With continue, later filters see the packet unchanged; with any other they may not.",
  }, parseControl),
  index: number({
    value: "N",
    least: 1,
    help: "the index of the tc action; without --rate, share an existing one",
    details: "With --rate, the new action gets this index. Without --rate, the existing action with this index is used unchanged, so " +
      "--group, --trunc, --cookie and --control cannot be given.",
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
    offers: DEVICES,
    help: "same as the argument DEVICE; may be repeated",
    details: "For devices whose name is also a word of the filter language, and for people used to tcpdump.",
  }),
  dryRun: flag({
    help: "print the equivalent tc commands and exit",
    details: "Nothing is changed, and no privileges are needed.",
  }),
  ...LISTEN_OPTIONS,
  ...OUTPUT_OPTIONS,
  explain: flag({
    help: "show where --match and --filter run, in the kernel or here, and exit",
    details: "Of --match: the tc filter on each device, why it is this one, and how it differs from the expression if it does. Of " +
      "--filter: what the kernel decides, with --verbose also its program. Programs have the form of tcpdump -d. Nothing is changed, " +
      "and no privileges are needed.",
  }),
};

/** Their values. */
export type CaptureValues = Values<typeof CAPTURE_OPTIONS>;
/** The options that say what is sampled. */
export type SamplingValues =
  & Partial<Pick<CaptureValues, "rate" | "control" | "hardware" | "index" | "cookie" | "group" | "trunc" | "match" | "netns">>
  & Pick<CaptureValues, "direction">;

/** The command `capture`. */
export const capture: Command = command({
  name: "capture",
  summary: "sample a device and show the samples; leaves nothing behind",
  usage: "capture DEVICE... [OPTION]...",
  about: "A sampled tcpdump: adds a sampling filter to each device, prints its samples, and removes the filters again on exit, whatever " +
    "ends the program. Other programs' filters are not touched and still see every packet. DEVICE may be a pattern such as 'eth*', or " +
    "any: every device that is up, except lo. Both mean the devices that exist at the start.",
  examples: [
    ["psample capture eth0", "one packet in a thousand, both ways"],
    ["psample capture eth0 -r 100 -w web.pcapng --match 'ip and tcp dst port 443'", "record what goes to port 443"],
    ["psample capture 'eth*' --match 'not port 22'", "all devices whose names begin with eth; the quotes are for the shell"],
    ["psample capture eth0 eth1 --trunc 128 --json", "two devices into one group"],
    ["psample capture eth0 --filter 'udp port 53' --explain", "which part of the filter the kernel decides"],
    ["psample capture eth0 --match 'tcp port 443 or icmp' --explain", "what the match becomes in tc, and why"],
    ["psample capture eth0 --dry-run", "what would be done, as tc commands"],
    ["psample capture eth0 --netns blue", "a device of the network namespace blue"],
  ],
  options: CAPTURE_OPTIONS,
  operands: { name: "DEVICE", least: 0, most: Infinity, offers: DEVICES },
  run: async ({ options, given, words }, io) => {
    const devices = await expandDevices(checkDevices([...options.device ?? [], ...words], words), options.netns, io);
    const plans = samplingOptions(options, given, devices);
    if (options.explain) {
      const { group, match, filter, netns, verbose } = options;
      const groups = group === undefined ? undefined : [group];
      await io.print(await explainSampling(plans, { match, filter, groups, netns, verbose }, io));
      return 0;
    }
    if (options.dryRun) {
      const matches = await matchesOf(plans, io);
      await io.print(plans.flatMap((plan, i) => tcLines(plan, matches[i]!)).map((line) => `${line}\n`).join(""));
      return 0;
    }
    try {
      return await runCapture(options, plans, io);
    } catch (error) {
      throw withRateHint(error, "capture");
    }
  },
});

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
    throw wrongValue(name, text, "an even number of hexadecimal digits, from 2 to 32");
  }
  return cookie;
}

/** Refuses a filter in several words. */
export function refuseFilter(words: readonly string[]): void {
  const start = filterStart(words);
  if (start > 0) throw new UsageError(filterHint(words.slice(start)));
}

/** Refuses arguments that are not devices, with what they may have been meant to be. */
export function checkDevices(devices: readonly string[], words: readonly string[]): readonly string[] {
  if (devices.length === 0) throw new UsageError(`missing DEVICE (usage: psample ${capture.usage})`);
  refuseFilter(words);
  const file = devices.find(isFile);
  if (file !== undefined) {
    throw new UsageError(`${JSON.stringify(file)} is a file, not a device: to print a recording, psample read ${file}`);
  }
  const again = devices.find((device, i) => devices.indexOf(device) < i);
  if (again !== undefined) {
    throw new UsageError(`the same device was given twice: ${printable(again)}`, { keys: ["device"], value: again });
  }
  return devices;
}

/** What to sample on each device, according to the options. */
export function samplingOptions(options: SamplingValues, given: ReadonlySet<string>, devices: readonly string[]): SamplingOptions[] {
  const { direction, match, control, hardware, index, cookie, group, trunc, netns } = options;
  const shares = index !== undefined && !given.has("rate");
  for (const name of shares ? ["group", "trunc", "cookie", "control"] : []) {
    if (given.has(name)) {
      throw new UsageError(`--index without --rate shares an existing action: --${name} cannot change it`, { keys: [name, "index"] });
    }
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

/** Samples, and resolves to the exit status; `face` shows it, if that is not what the options say. */
export async function runCapture(options: CaptureValues, plans: readonly SamplingOptions[], io: Io, face?: Face): Promise<number> {
  const { user, buffer, latency, count, netns } = options;
  const plan = face?.plan ?? planOutput(options, io);
  return await inSession(io, { ...options, onNotice: face?.onNotice }, async (session) => {
    // Files are opened as the new user, everything else before there is anything to lose.
    let outputs = user === undefined ? await plan.open(session) : undefined;
    const devices = plan.namesDevices ? await watchLinks({ netns }) : undefined;
    const sampled = new Sampled(session);
    let unfollow = (): void => {};
    try {
      await session.unlessOver(tellLeftovers(session, netns));
      const listener = await session.begin(async (signal) => {
        await sampled.add(plans, signal);
        const filter = options.filter?.map(({ expression }) => expression);
        const groups = [sampled.group!];
        return await listen({ groups, filter, events: false, receiveBufferBytes: buffer, latency, devices, netns, signal });
      });
      // Nobody else samples into a group that was chosen here. Checked while the network namespace may still be entered.
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
      const resample = (rate: number): Promise<void> => sampled.resample(rate);
      if (listener && face) unfollow = face.follow({ stats: () => listener.stats(), tally, rate: plans[0]!.rate, resample });
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
      unfollow();
      await sampled.remove();
      devices?.close();
      outputs?.discard();
    }
  });
}
