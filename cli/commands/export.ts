/** `psample export`: sends samples to collectors, as sFlow and IPFIX. */
import {
  dropPrivileges,
  type ExportSink,
  listen,
  type ListenStats,
  listSampling,
  type PassedHook,
  type SamplingOptions,
  type Sink,
  type Source,
} from "../../mod.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { open } from "../../src/socket/open.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { nowNs } from "../../src/stream/clock.ts";
import type { Sys } from "../../src/sys/sys.ts";
import { messageOf } from "../../src/wire/message.ts";
import { fromHex } from "../../src/wire/text.ts";
import {
  checkCollectors,
  COLLECTOR_OPTIONS,
  type CollectorContext,
  type Collectors,
  nameOf,
  openCollectors,
  sentTo,
} from "../collectors.ts";
import { type Command, command } from "../command.ts";
import { DEMO_MESSAGES } from "../demo_messages.ts";
import { expandDevices, type Known, means } from "../devices.ts";
import { explainSampling } from "../explain.ts";
import { type DeviceRate, parseDevice, withRates } from "../export_rates.ts";
import type { Io } from "../io.ts";
import { tellLeftovers } from "../leftovers.ts";
import { flag, longName, number, UsageError, type Values } from "../options.ts";
import { MONITOR_OUTPUT_OPTIONS, OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { Sampled } from "../sampled.ts";
import { inSession, NOTHING, type Session, STATUS } from "../session.ts";
import { received } from "../summary.ts";
import { CAPTURE_OPTIONS, refuseFilter } from "./capture.ts";
import { checkFrom, exportRecordings, FROM_OPTIONS } from "./export_from.ts";
import { allNamespacesOption, LISTEN_OPTIONS, tellWaiting, WAIT } from "./listening.ts";
import { groupOption, plansOf, refuseSampling, truncOption } from "./sampling.ts";

/** Interfaces from this index on do not fit into sFlow's compact form. */
const LARGE_INDEX = 1 << 24;
/** How long `--check` waits for errors to come back, and how often it looks. */
const CHECK_MS = 1000;
const LOOK_MS = 20;

const { sflow, ipfix, prometheus, ...DETAILS } = COLLECTOR_OPTIONS;

const OPTIONS = {
  sflow,
  ipfix,
  prometheus,
  rate: number({
    letter: "r",
    value: "N",
    least: 1,
    fallback: "by the link's speed",
    help: "sample 1 in N packets",
    details:
      "By default the speed in bit/s divided by a million, so that links give about as many samples whatever their speed, but at least " +
      "100; 400 if the speed is unknown. DEVICE:N sets it for one device. Selection is random, not every Nth.",
  }),
  direction: CAPTURE_OPTIONS.direction,
  match: CAPTURE_OPTIONS.match,
  trunc: truncOption("How much of a packet the kernel copies; --header is how much of that is sent."),
  group: groupOption(),
  hardware: CAPTURE_OPTIONS.hardware,
  device: CAPTURE_OPTIONS.device,
  allNamespaces: allNamespacesOption("Without DEVICE only. "),
  wait: WAIT,
  ...FROM_OPTIONS,
  ...DETAILS,
  check: flag({
    help: "send one sample to each collector, say what left, and exit",
    details:
      "The sample is one of psample demo, of a packet between addresses for documentation (192.0.2.0/24). Nothing is sampled. The exit " +
      "status is 1 if it could not be sent, or an error came back within a second. UDP does not confirm that something has arrived. Of " +
      "--prometheus it says whether it can listen.",
  }),
  ...LISTEN_OPTIONS,
  ...OUTPUT_OPTIONS,
  packets: flag({ help: "also print a line about each packet", details: MONITOR_OUTPUT_OPTIONS.packets.details }),
  explain: CAPTURE_OPTIONS.explain,
};

type Options = Values<typeof OPTIONS>;

/** The command `export`. */
export const exportCommand: Command = command({
  name: "export",
  summary: "send samples to collectors, as sFlow and IPFIX, and serve metrics",
  usage: "export [DEVICE[:N]...] TARGET... [OPTION]...",
  about:
    "Makes this machine a source of sFlow version 5, of IPFIX (PSAMP) and of metrics for Prometheus, for any number of collectors at " +
    "once: each TARGET is --sflow HOST, --ipfix HOST or --prometheus PORT. Each DEVICE is sampled as by psample capture, 1 in N packets, " +
    "and nothing is left behind; any is every device that is up, except lo. Patterns such as 'eth*' and any include devices that come " +
    "later, and sampling that somebody removes is set up again. Without DEVICE it exports what is sampled already. A sample is sent within " +
    "a second. What a collector does not take is dropped, counted and reported, and holds up nothing. SIGHUP looks host names up again and " +
    "reopens the recording of --write.",
  examples: [
    ["psample export eth0 --sflow 192.0.2.9", "an sFlow agent"],
    ["psample export eth0:1000 eth1:4000 --sflow collector.example.net", "a rate for each device"],
    ["psample export any --rate 1000 --sflow 192.0.2.9 --ipfix '[2001:db8::9]'", "two collectors from one set of samples"],
    ["psample export eth0 --ipfix 192.0.2.9 --flows", "flow records, for nfdump"],
    ["psample export eth0 --prometheus 9410 --top 10", "metrics at http://127.0.0.1:9410/metrics, and a page at /"],
    ["psample export --sflow 192.0.2.9 --agent 198.51.100.7", "what is sampled already, with a fixed agent address"],
    ["psample export eth0 --sflow 192.0.2.9 -w eth0.pcapng --rotate 1h --keep 24", "and keep a day of samples here"],
    ["psample export --from samples.pcapng --ipfix 192.0.2.9", "a recording, at its own times"],
    ["psample export --sflow 192.0.2.9 --ipfix 192.0.2.9 --check", "try it, without sampling anything"],
    ["psample export eth0 --netns blue --sflow 192.0.2.9", "a device of the network namespace blue, and sent from there"],
  ],
  options: OPTIONS,
  operands: { name: "DEVICE", least: 0, most: Infinity },
  run: async ({ options, given, words }, io) => {
    refuseFilter(words);
    checkFrom(options, given, words);
    if (options.from && !options.explain) checkCollectors(options, given);
    if (options.from) return await exportRecordings(options, io);
    const named = [...options.device ?? [], ...words].map(parseDevice);
    if (options.explain) return await explain(options, await namedPlans(named, options, given, io), io);
    checkCollectors(options, given);
    if (options.check) return await check(options, io);
    return await run(options, await namedPlans(named, options, given, io), named, io);
  },
});

/** What to sample; none if no device is named. */
async function namedPlans(
  named: readonly DeviceRate[],
  options: Options,
  given: ReadonlySet<string>,
  io: Io,
): Promise<readonly SamplingOptions[]> {
  if (named.length === 0) {
    refuseSampling(given, exportCommand.usage);
    return [];
  }
  for (const name of ["allNamespaces", "wait"] as const) {
    if (options[name]) throw new UsageError(`${longName(name)} is about what is sampled already: no DEVICE can be given with it`);
  }
  const plans = await plansOf(named.map(({ device }) => device), options, given, io);
  const devices = plans.map(({ device }) => `${device}`);
  const rates = new Map<string, number>();
  for (const { device, rate } of named.filter(({ rate }) => rate !== undefined)) {
    for (const name of named.length === 1 ? devices : await expandDevices([device], options.netns, io)) rates.set(name, rate!);
  }
  // By default by the speed of the link, which is asked for later.
  return plans.map((plan) => ({ ...plan, rate: rates.get(`${plan.device}`) ?? options.rate }));
}

async function explain(options: Options, plans: readonly SamplingOptions[], io: Io): Promise<number> {
  const { group: groups, filter, match, netns, verbose, allNamespaces } = options;
  await io.print(await explainSampling(plans, { match, filter, groups, allNamespaces, netns, verbose }, io));
  return STATUS.done;
}

function contextOf(
  options: Options,
  links: LiveLinks,
  session: Session,
  metrics: Omit<CollectorContext["metrics"], "devices">,
): CollectorContext {
  const expanded = [...links.links()].some(({ index }) => index >= LARGE_INDEX);
  return { latency: options.latency, expanded, session, metrics: { ...metrics, devices: links } };
}

async function run(options: Options, plans: readonly SamplingOptions[], named: readonly DeviceRate[], io: Io): Promise<number> {
  const { user, buffer, latency, count, netns, allNamespaces, wait } = options;
  const plan = planOutput(options, io, { lines: "none", recording: "pcapng" });
  return await inSession(io, options, async (session) => {
    const sys = await open({ netns });
    const devices = new LiveLinks(sys);
    const sampled = plans.length > 0 ? new Sampled(session) : undefined;
    let collectors: Collectors | undefined;
    let outputs: Awaited<ReturnType<typeof plan.open>> | undefined;
    try {
      devices.watch();
      // Before anything is set up. A name server that does not answer must not keep a signal from ending this.
      let source: Source = NOTHING;
      const shown: Sink[] = [];
      const metrics = { source: { stats: () => source.stats() }, sinks: shown, samplers: () => sampled?.counters.samplers ?? [] };
      collectors = await session.unlessOver(openCollectors(sys, options, contextOf(options, devices, session, metrics)));
      if (!collectors) return;
      // Files are opened as the new user, everything else before there is anything to lose.
      outputs = user === undefined ? await plan.open(session) : undefined;
      if (sampled) await session.unlessOver(tellLeftovers(session, netns));
      if (wait) await tellWaiting(session, netns);
      const rated = await withRates(sys, plans);
      const listener = await session.begin(async (signal) => {
        await sampled?.add(rated.plans, signal);
        const filter = options.filter?.map(({ expression }) => expression);
        const groups = sampled ? [sampled.group!] : options.group;
        const receiveBufferBytes = buffer;
        return await listen({ groups, filter, events: false, wait, allNamespaces, receiveBufferBytes, latency, devices, netns, signal });
      });
      if (listener) source = listener;
      // Nobody else samples into a group that was chosen here. Checked while the network namespace may still be entered.
      const others = listener && sampled && options.group ? await sampled.findOthers() : undefined;
      const own = others ? [sampled!.ownSamples(others)] : [];
      const already = sampled ? [] : await sampledInputs(options);
      // Removing what was added, and joining again when the module is back, require it.
      if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: sampled !== undefined || wait });
      outputs ??= await plan.open(session);
      const tellInputs = ({ sinks }: Collectors): void => {
        if (choosesPlaces(options)) return;
        for (const { encoder } of sinks) encoder.setSampledInputs?.(sampled?.inputs ?? already);
      };
      tellInputs(collectors);
      if (listener) {
        if (rated.chosen !== undefined) session.notice(rated.chosen);
        if (sampled) {
          // What a filter leaves out is missing from the samples, and so must be from the pool.
          if (options.filter) sampled.counters.distrust();
          sampled.onCount = (hooks) => countPools(collectors!, hooks);
          session.notice(sampled.description(rated.plans[0]!));
          sampled.keep({
            devices: () => present(devices).filter((link) => named.some(({ device }) => means(device, link))),
            plan: async ({ index, name }) => {
              const link = present(devices).find((link) => link.index === index);
              const rate = link && named.find(({ device, rate }) => rate !== undefined && means(device, link))?.rate;
              return (await withRates(sys, [{ ...plans[0]!, device: name, rate: rate ?? options.rate }])).plans[0]!;
            },
            added: () => {
              tellInputs(collectors!);
              // Its counters begin again.
              sampled.counters.checks.restart();
            },
          });
          await sampled.watch(() => listener.end());
        }
        session.notice(`exporting to ${collectors.names}${sampled ? "" : "; Ctrl-C ends it"}`);
      }
      const { sinks, reopen, recordedBytes } = outputs.start();
      const sent = collectors;
      shown.push(...sent.sinks, ...sinks);
      // Only metrics show whether samplers keep to their rates.
      const checks = sent.metrics && sampled?.counters.checks;
      await session.pump(checks ? checks.follow(source) : source, {
        sinks: [...sent.all, ...sinks],
        reopen,
        recordedBytes,
        reload: () => sent.reload(session, reopen),
        stages: checks ? [...own, checks] : own,
        count,
        account: (stats: ListenStats, written) => {
          return [received(stats, written, buffer, sampled?.passing(), "exported"), ...sent.accounts()].join("; ");
        },
        silence: sampled && ((seconds, stats) => sampled.silence(seconds, stats)),
        settle: async () => await sampled?.remove(),
        summary: () => listener !== undefined,
      });
    } finally {
      await sampled?.remove();
      collectors?.abort();
      devices.close();
      outputs?.discard();
    }
  });
}

/** The devices that there are now. */
function present(devices: LiveLinks): (Known & { readonly index: number })[] {
  devices.watch();
  return [...devices.links()].map(({ name, alternativeNames, index, up }) => ({ name: name ?? "", alternativeNames, index, up }));
}

/** The interfaces whose arriving packets are sampled in software already, every one of them, as far as it can be seen. */
async function sampledInputs({ group, netns }: Options): Promise<number[]> {
  const samplings = await listSampling({ netns });
  return samplings.flatMap(({ ifindex, direction, kind, where, group: own }) => {
    const isHeard = group === undefined || (own !== undefined && group.includes(own));
    return ifindex !== undefined && direction === "ingress" && kind === "matchall" && where !== "hardware" && isHeard ? [ifindex] : [];
  });
}

/**
 * Whether --filter may let a packet through where it leaves, and not where it arrived. Then that it was sampled when it arrived is no reason
 * to leave it out.
 */
function choosesPlaces({ filter }: Options): boolean {
  try {
    if (filter) compileMatch(filter.map(({ expression }) => expression), "ethernet");
    return false;
  } catch (error) {
    // It has conditions on samples, such as the device, or is more than a match can be.
    if (error instanceof FilterError) return true;
    throw error;
  }
}

/** Tells sFlow collectors how many packets have reached the samplers of each interface, in both directions. */
function countPools({ sflow }: Collectors, hooks: readonly PassedHook[]): void {
  const totals = new Map<number, bigint | undefined>();
  for (const { ifindex, trials } of hooks) {
    const total = totals.has(ifindex) ? totals.get(ifindex) : 0n;
    totals.set(ifindex, total === undefined || trials === undefined ? undefined : total + trials);
  }
  for (const { encoder } of sflow) {
    for (const [ifindex, total] of totals) if (total !== undefined) encoder.setTrials(ifindex, total);
  }
}

/** Sends one sample to each collector, and says what became of it. */
async function check(options: Options, io: Io): Promise<number> {
  const { netns, user } = options;
  return await inSession(io, options, async (session) => {
    const sys: Sys = await open({ netns });
    const links = new LiveLinks(sys);
    let collectors: Collectors | undefined;
    try {
      links.watch();
      const metrics = { source: NOTHING };
      collectors = await session.unlessOver(openCollectors(sys, options, contextOf(options, links, session, metrics)));
      if (!collectors) return;
      if (user !== undefined) await dropPrivileges(user);
      const batch = new BatchBuffer();
      batch.readAtNs = nowNs();
      const sample = DEMO_MESSAGES.map((hex) => viewMessage(messageOf(fromHex(hex)!))!).find(({ type }) => type === "sample")!;
      batch.add(sample, 0);
      for (const sink of collectors.sinks) {
        sink.take(batch);
        await sink.flush();
        // Flows are otherwise sent when they have been idle for a while.
        sink.encoder.end(nowNs());
      }
      if (collectors.sinks.length > 0) await session.unlessOver(errorsComeBack(collectors.sinks));
      if (collectors.metrics) await io.print(`${collectors.metrics.name}: it can listen there\n`);
      for (const sink of collectors.sinks) {
        const isSent = sink.written === 1 && sink.datagrams.returned === 0;
        const line = `${nameOf(sink)}: ${sentTo(sink)}`;
        if (isSent) await io.print(`${line}; no error came back\n`);
        else session.fail(`${line}: not delivered`);
      }
    } finally {
      collectors?.abort();
      links.close();
    }
  });
}

/** Waits until every sink has had an error, or a second has passed. */
async function errorsComeBack(sinks: readonly ExportSink[]): Promise<void> {
  const failed = new Set<ExportSink>();
  for (const deadlineMs = performance.now() + CHECK_MS; performance.now() < deadlineMs && failed.size < sinks.length;) {
    for (const sink of sinks) if (sink.checkReturned() || sink.datagrams.dropped > 0) failed.add(sink);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
