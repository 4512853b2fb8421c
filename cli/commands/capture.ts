/** `psample capture`: sets sampling up, shows the samples, and leaves nothing behind. */
import {
  addSampling,
  ArgumentError,
  type Control,
  dropPrivileges,
  listen,
  type Listener,
  listLeftovers,
  listLinks,
  type SamplingHandle,
  type SamplingOptions,
} from "../../mod.ts";
import { fromHex, printable } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { consume, liveSource, summary } from "../consume.ts";
import type { Io } from "../io.ts";
import { liveDetails } from "../names.ts";
import { choice, flag, number, text, texts, UsageError, value, type Values, wholeNumber, wrongValue } from "../options.ts";
import { OUTPUT_OPTIONS, planOutput } from "../outputs.ts";
import { tcLines } from "../tc/mod.ts";
import { filterStart, isFile } from "../words.ts";
import { LISTEN_OPTIONS } from "./listening.ts";

/** Samples one packet in so many. */
const RATE = 1000;

const OPTIONS = {
  rate: number({
    letter: "r",
    value: "N",
    least: 1,
    fallback: `${RATE}`,
    help: "sample 1 in N packets",
    details: "Selection is random, not every Nth.",
  }),
  direction: choice(["ingress", "egress", "both"], {
    value: "DIR",
    default: "both",
    help: "ingress, egress or both",
    details: "ingress is incoming packets, egress outgoing ones.",
  }),
  match: text({
    value: "WORDS",
    help: "only these packets, such as 'ip proto tcp dst 10.0.0.0/8 dport 80-90'",
    details: `WORDS select the packets to sample from, in the kernel; all of them have to hold:

  arp                       an EtherType, by name or number
  ip src 192.0.2.0/24       addresses: src and dst, with a prefix
  ip proto tcp dport 80-90  ports: sport and dport, alone or a range,
                            of tcp, udp or sctp
  udp dport 53              the protocol without ip is IPv4,
  ipv6 udp dport 53         and with ipv6 is IPv6
  vlan 5 ip dst 192.0.2.1   in a VLAN; vlan 5 alone is all of it

There is no "or", no "not" and no "either end". Without vlan, only untagged packets match.`,
  }),
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
};

type Options = Values<typeof OPTIONS>;

/** How often it is looked whether the filters are still there. */
const LOOK_MS = 1000;

/** The command `capture`. */
export const capture: Command = command({
  name: "capture",
  summary: "sample a device and show the samples; leaves nothing behind",
  usage: "capture DEVICE... [OPTION]...",
  about: "A sampled tcpdump: adds a sampling filter to each device, prints its samples, and removes the filters again on exit, whatever " +
    "ends the program. Filters of others are not touched and see every packet. DEVICE may be any: every device that is up at the " +
    "start, except lo.",
  examples: [
    ["psample capture eth0", "one packet in a thousand, both ways"],
    ["psample capture eth0 -r 100 --direction ingress -w web.pcapng --match 'ip proto tcp dport 443'", ""],
    ["psample capture eth0 eth1 --trunc 128 --json", "two devices into one group"],
    ["psample capture eth0 --dry-run", "what would be done, as tc commands"],
  ],
  options: OPTIONS,
  operands: { name: "DEVICE", least: 0, most: Infinity },
  run: async ({ options, given, words }, io) => {
    const devices = await expandAny(checkDevices([...options.device ?? [], ...words], words));
    const plans = samplingOptions(options, given, devices);
    if (options.dryRun) {
      await io.print(plans.flatMap(tcLines).map((line) => `${line}\n`).join(""));
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
function checkDevices(devices: readonly string[], words: readonly string[]): readonly string[] {
  if (devices.length === 0) throw new UsageError(`missing DEVICE (usage: psample ${capture.usage})`);
  const start = filterStart(words);
  if (start > 0) {
    const expression = words.slice(start).join(" ");
    throw new UsageError(`a filter goes into one option: did you mean --match '${expression}'? (psample help match lists its words)`);
  }
  const file = devices.find(isFile);
  if (file !== undefined) {
    throw new UsageError(`${JSON.stringify(file)} is a file, not a device: to print a recording, psample read ${file}`);
  }
  if (new Set(devices).size < devices.length) throw new UsageError("the same device was given twice");
  return devices;
}

/** `any` is every device that is up, without lo. */
async function expandAny(devices: readonly string[]): Promise<readonly string[]> {
  if (!devices.includes("any")) return devices;
  if (devices.length > 1) throw new UsageError("any is every device: no other can be named with it");
  const links = [...(await listLinks()).links()].filter(({ up, name }) => up && name !== undefined && name !== "lo");
  if (links.length === 0) throw new UsageError("no device is up but lo");
  return links.map((link) => link.name);
}

function samplingOptions(options: Options, given: ReadonlySet<string>, devices: readonly string[]): SamplingOptions[] {
  const { direction, match, control, hardware, index, cookie, group, trunc } = options;
  const shares = index !== undefined && !given.has("rate");
  for (const name of shares ? ["group", "trunc", "cookie", "control"] : []) {
    if (given.has(name)) throw new UsageError(`--index without --rate shares an existing action: --${name} cannot change it`);
  }
  const rate = shares ? undefined : options.rate ?? RATE;
  const plans = devices.map((device) => ({
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
  }));
  // Compiled here too, so that a wrong match is a wrong call.
  try {
    tcLines(plans[0]!);
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(`--match: ${error.message}`);
    throw error;
  }
  return plans;
}

async function run(options: Options, plans: readonly SamplingOptions[], io: Io): Promise<number> {
  const { user, buffer, latency } = options;
  let family = 0;
  let ended = false;
  // Until everything is removed a signal must not end the process: it only ends the capture.
  const deaf = io.onSignal(() => ended = true);
  const handles: SamplingHandle[] = [];
  let listener: Listener | undefined;
  const sampled = new Map<SamplingHandle, string | number>();
  let look: ReturnType<typeof setInterval> | undefined;
  let gone = false;
  try {
    const plan = planOutput(options, io, liveDetails, () => family, "pcapng");
    if (!plan.quiet) await tellLeftovers(io);
    const { index } = plans[0]!;
    let { group } = plans[0]!;
    for (const options of plans) {
      // The first makes the action, the others share it, if it is to have an index.
      const { device, direction, match, hardware } = options;
      const shares = index !== undefined && handles.length > 0;
      handles.push(await addSampling(shares ? { device, direction, match, hardware, index } : { ...options, group }));
      group = handles[0]!.group;
    }
    const listening = listener = await listen({ groups: [group!], events: false, receiveBufferBytes: buffer, latency });
    family = listener.family;
    if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: true });
    if (!plan.quiet) {
      const devices = plans.map(({ device }) => printable(`${device}`)).join(", ");
      const rate = handles[0]!.installed[0]?.rate ?? plans[0]!.rate;
      io.err(`psample: sampling ${devices}, 1 in ${rate}, ${plans[0]!.direction}, group ${group}; Ctrl-C ends it\n`);
    }
    if (!plan.quiet) await tellDown(handles, io);
    handles.forEach((handle, i) => sampled.set(handle, plans[i]!.device));
    look = setInterval(() => {
      void tellGone(sampled, io).then((all) => {
        if (!all) return;
        gone = true;
        listening.end();
      });
    }, LOOK_MS);
    if (ended) listening.end();
    const handed = await consume(liveSource(listening), plan, io);
    if (handed !== undefined && !plan.quiet) io.err(summary(listening.stats(), handed, buffer));
    return gone ? 1 : 0;
  } finally {
    clearInterval(look);
    sampled.clear();
    await listener?.close();
    // One that fails must not keep the others.
    const removals = await Promise.allSettled(handles.map((handle) => handle.remove()));
    deaf();
    for (const removal of removals) {
      if (removal.status === "rejected") io.err(`psample: ${removal.reason instanceof Error ? removal.reason.message : removal.reason}\n`);
    }
  }
}

/** Says which devices cannot have packets. */
async function tellDown(handles: readonly SamplingHandle[], io: Io): Promise<void> {
  const links = await listLinks();
  for (const ifindex of new Set(handles.flatMap((handle) => handle.installed.map((sampling) => sampling.ifindex)))) {
    const link = links.get(ifindex);
    if (!link || link.up) continue;
    const name = printable(link.name);
    io.err(`psample: ${name} is down, no packets pass: ip link set dev ${name} up\n`);
  }
}

/** Says of which devices the sampling is gone, and forgets these; true when that was the last. */
async function tellGone(sampled: Map<SamplingHandle, string | number>, io: Io): Promise<boolean> {
  let last = false;
  for (const [handle, device] of sampled) {
    // A kernel that does not answer has not said that something is gone. It is forgotten already where we end.
    if (await handle.isInstalled().catch(() => true) || !sampled.delete(handle)) continue;
    io.err(`psample: ${printable(`${device}`)} is no longer sampled: the device or the filter was removed\n`);
    last = sampled.size === 0;
  }
  return last;
}

async function tellLeftovers(io: Io): Promise<void> {
  const leftovers = await listLeftovers();
  if (leftovers.length === 0) return;
  const where = leftovers.map(({ device, direction, preference }) => `${printable(device)} ${direction} pref ${preference}`).join(", ");
  io.err(`psample: left behind by a psample that was killed: ${where}. Remove it with: psample cleanup\n`);
}
