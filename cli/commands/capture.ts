/** `psample capture`: sets sampling up, shows the samples, and leaves nothing behind. */
import {
  addSampling,
  ArgumentError,
  dropPrivileges,
  listen,
  type Listener,
  listLeftovers,
  listLinks,
  RECEIVE_BUFFER_BYTES,
  type SamplingHandle,
  type SamplingOptions,
} from "../../mod.ts";
import { fromHex } from "../../src/wire/text.ts";
import { type Option, parseCommand, type Parsed, UsageError, wholeNumber } from "../args.ts";
import type { Command } from "../command.ts";
import { consume, OUTPUT_OPTIONS, planOutput, summary } from "../consume.ts";
import type { Io } from "../io.ts";
import { liveDetails } from "../names.ts";
import { tcLines } from "../tc/mod.ts";

const CAPTURE_OPTIONS: readonly Option[] = [
  { name: "rate", letter: "r", value: "N", help: "sample one packet in N" },
  { name: "direction", value: "DIR", help: "ingress, egress or both; both unless given" },
  { name: "match", value: "WORDS", help: "only these packets: 'ip proto tcp dst 10.0.0.0/8 dport 80-90', 'arp', 'vlan 5'" },
  { name: "trunc", value: "BYTES", help: "cut packets to BYTES; the whole packet unless given" },
  { name: "group", letter: "g", value: "N", help: "the psample group; one that nobody uses unless given" },
  { name: "cookie", value: "HEX", help: "up to 16 bytes that come with every sample (Linux 6.11)" },
  {
    name: "user",
    letter: "Z",
    value: "NAME",
    help: "become NAME once all is set up; of root's rights only CAP_NET_ADMIN is kept, to remove it",
  },
  { name: "dry-run", help: "print the tc lines that this stands for, and do nothing" },
  ...OUTPUT_OPTIONS,
];

/** How often it is looked whether the filters are still there. */
const LOOK_MS = 1000;

/** The command `capture`. */
export const capture: Command = {
  name: "capture",
  summary: "sample a device and show the samples; leaves nothing behind",
  usage: "capture DEVICE... --rate N [OPTION]...",
  about: "A sampled tcpdump: adds a sampling filter to each device, prints its samples, and removes what it\n" +
    "added at the end, however that comes. Filters of others are not touched and see every packet.",
  examples: [
    ["psample capture eth0 --rate 1000", "one packet in a thousand, both ways"],
    ["psample capture eth0 -r 100 --direction ingress -w web.pcapng --match 'ip proto tcp dport 443'", ""],
    ["psample capture eth0 eth1 -r 1000 --trunc 128 --json", "two devices into one group"],
    ["psample capture eth0 -r 1000 --dry-run", "what would be done, as tc lines"],
  ],
  options: CAPTURE_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, CAPTURE_OPTIONS);
    const plans = samplingOptions(parsed);
    if (parsed.switches.has("dry-run")) {
      await io.print(plans.flatMap(tcLines).map((line) => `${line}\n`).join(""));
      return 0;
    }
    return await run(parsed, plans, io);
  },
};

function samplingOptions(parsed: Parsed): SamplingOptions[] {
  const { words, values } = parsed;
  const one = (name: string): string | undefined => values.get(name)?.[0];
  if (words.length === 0) throw new UsageError("which device? psample capture DEVICE --rate N");
  if (new Set(words).size < words.length) throw new UsageError("a device is named twice");
  if (!values.has("rate")) throw new UsageError("one packet in how many? --rate N");
  const direction = one("direction") ?? "both";
  if (direction !== "ingress" && direction !== "egress" && direction !== "both") {
    throw new UsageError(`--direction is "${direction}": expected ingress, egress or both`);
  }
  const hex = one("cookie");
  const cookie = hex === undefined ? undefined : fromHex(hex);
  if (hex !== undefined && (!cookie || cookie.length < 1 || cookie.length > 16)) {
    throw new UsageError(`--cookie is "${hex}": expected 2 to 32 hexadecimal digits, an even number of them`);
  }
  const options = {
    direction,
    rate: wholeNumber(one("rate")!, "--rate", 0xffffffff, 1),
    group: values.has("group") ? wholeNumber(one("group")!, "--group") : undefined,
    truncateBytes: values.has("trunc") ? wholeNumber(one("trunc")!, "--trunc") : undefined,
    match: one("match"),
    cookie,
  } as const;
  const plans = words.map((device) => ({ ...options, device }));
  // Compiled here too, so that a wrong match is a wrong call.
  try {
    tcLines(plans[0]!);
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(error.message);
    throw error;
  }
  return plans;
}

async function run(parsed: Parsed, plans: readonly SamplingOptions[], io: Io): Promise<number> {
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
    const plan = planOutput(parsed, io, liveDetails, () => family, "pcapng");
    if (!plan.quiet) await tellLeftovers(io);
    let group = plans[0]!.group;
    for (const options of plans) {
      handles.push(await addSampling({ ...options, group }));
      group = handles[0]!.group;
    }
    const listening = listener = await listen({ groups: [group!], events: false, receiveBufferBytes: RECEIVE_BUFFER_BYTES });
    family = listener.family;
    const user = parsed.values.get("user")?.[0];
    if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: true });
    if (!plan.quiet) {
      const devices = plans.map((options) => options.device).join(", ");
      io.err(`psample: sampling ${devices}, 1 in ${plans[0]!.rate}, ${plans[0]!.direction}, group ${group}; Ctrl-C ends it\n`);
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
    const handed = await consume(listening, plan, io);
    if (handed !== undefined && !plan.quiet) io.err(summary(listening.stats(), handed, RECEIVE_BUFFER_BYTES));
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
    if (link && !link.up) io.err(`psample: ${link.name} is down, no packets pass: ip link set dev ${link.name} up\n`);
  }
}

/** Says of which devices the sampling is gone, and forgets these; true when that was the last. */
async function tellGone(sampled: Map<SamplingHandle, string | number>, io: Io): Promise<boolean> {
  let last = false;
  for (const [handle, device] of sampled) {
    // A kernel that does not answer has not said that something is gone. It is forgotten already where we end.
    if (await handle.isInstalled().catch(() => true) || !sampled.delete(handle)) continue;
    io.err(`psample: ${device} is not sampled any more: the device, or the filter, was removed\n`);
    last = sampled.size === 0;
  }
  return last;
}

async function tellLeftovers(io: Io): Promise<void> {
  const leftovers = await listLeftovers();
  if (leftovers.length === 0) return;
  const where = leftovers.map((sampling) => `${sampling.device} ${sampling.direction} pref ${sampling.preference}`).join(", ");
  io.err(`psample: left behind by a psample that was killed: ${where}. Remove it with: psample cleanup\n`);
}
