/** `psample top`: who talks, how much, and how sure that is. */
import { dropPrivileges, listen, type ListenStats, type SamplingOptions } from "../../mod.ts";
import { Calibration, DEFAULT_KEYS, Estimator } from "../../src/estimate/mod.ts";
import type { Labels } from "../../src/format/labels.ts";
import { UnknownFamilyError } from "../../src/format/unknown_families.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { open } from "../../src/socket/open.ts";
import type { Source } from "../../src/stream/source.ts";
import { printable } from "../../src/wire/text.ts";
import { Asides } from "../asides.ts";
import { withRate } from "../chosen_rate.ts";
import { type Command, command } from "../command.ts";
import { explainStage } from "../explain.ts";
import { checkKeys, KEY_OFFERS, keyColumns, parseKeys } from "../flow_keys.ts";
import type { Io } from "../io.ts";
import { labelsOf } from "../labels.ts";
import { tellLeftovers } from "../leftovers.ts";
import { explainMatches, matchesOf } from "../match.ts";
import { openRecordings } from "../open_recordings.ts";
import { choice, duration, flag, number, several, streamName, UsageError, value, type Values } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { openStdout } from "../outputs.ts";
import { accountOf, lossesOf, readingProgress, tellRepeated, tellTerminal } from "../reading.ts";
import type { Recordings } from "../recordings.ts";
import { Sampled } from "../sampled.ts";
import { inSession, NOTHING, type Session, STATUS } from "../session.ts";
import { received } from "../summary.ts";
import { Tally } from "../tally.ts";
import { Chosen } from "../top/chosen.ts";
import { COUNT_AT_WORDS, countingAt, isWord, knowsDevice } from "../top/count_at.ts";
import { UNITS } from "../top/figures.ts";
import { labelled } from "../top/labels.ts";
import { checkResolving, type HostNames, systemHostNames } from "../top/host_names.ts";
import { Live } from "../top/live.ts";
import { plainReport } from "../top/plain.ts";
import type { Report, ReportContext } from "../top/report.ts";
import { Reports } from "../top/reports.ts";
import { csvHeader, csvLine, jsonLine } from "../top/rows.ts";
import { Speeds } from "../top/speeds.ts";
import { twiceText } from "../top/twice.ts";
import { isFile } from "../words.ts";
import { withRateHint } from "../devices.ts";
import { CAPTURE_OPTIONS, refuseFilter } from "./capture.ts";
import { LISTEN_OPTIONS } from "./listening.ts";
import { groupOption, plansOf, refuseSampling, SAMPLING, truncOption } from "./sampling.ts";

/** Default number of flows in a table. */
const ROWS = 20;
/** Default length of an interval. */
const INTERVAL_MS = 10_000;
/** Width of a table if that of the terminal is not known. */
const COLUMNS = 80;
/** Number of flows told apart exactly in a recording, and while receiving without end. */
const MOST_RECORDED_FLOWS = 1 << 16;
const MOST_FLOWS = 1 << 12;

const OPTIONS = {
  by: value({
    value: "KEYS",
    offers: KEY_OFFERS,
    fallback: DEFAULT_KEYS,
    help: "the keys that tell flows apart, separated by commas",
    details:
      `Keys have the names of sFlow-RT:\n\n${keyColumns()}\n\nipsource, ipdestination, ipprotocol, sourceport and destinationport cover IPv4 and ` +
      "IPv6 and all protocols with ports; narrower names apply only to packets of their kind. .1 after a name means the packet in a " +
      "tunnel: ipsource.1. subnet:/24 means the source and destination networks (for IPv6 with four times as many bits). A flow that " +
      "lacks some of the keys has - in their place, such as ICMP for destinationport; samples that lack all of them count only in the " +
      "totals.",
  }, parseKeys),
  rows: number({
    letter: "n",
    value: "N",
    least: 1,
    fallback: `${ROWS}; with --json and --csv all`,
    help: "the N largest flows",
    details:
      "At most 4096 flows are kept, or 65536 for recordings: up to that number the counts are exact; beyond it the possible error is " +
      "shown.",
  }),
  unit: choice(UNITS, {
    value: "UNIT",
    default: "bits",
    help: "the unit of traffic: bits, bytes or packets",
    details: "Bits and bytes count frames with their headers, without frame check sequences. Prefixes are powers of 1000.",
  }),
  interval: duration({
    value: "TIME",
    default: INTERVAL_MS,
    fallback: "10s",
    help: "how long a report covers: 10s, 500ms, 2m, 1h",
    details: "A report is printed at the end of each interval, and the next one starts from zero; at a terminal, --interval prints " +
      "reports instead of the live screen. A recording is one interval.",
  }),
  once: flag({
    help: "one report, then end",
    details: "It covers the first --interval. A recording always yields only one.",
  }),
  json: flag({
    help: "print one JSON object for each flow and interval",
    details: "Numbers come with their bounds at 95 %: bytes with bytesRange and so on. docs/json.md describes the keys.",
  }),
  csv: flag({
    help: "print comma-separated values for each flow and interval",
    details: "The same values as --json, one line with the names of the columns first.",
  }),
  group: groupOption(" For recordings, use --filter 'group N'."),
  rate: number({
    letter: "r",
    value: "N",
    least: 1,
    fallback: "about 500 samples a second",
    help: "sample 1 in N packets",
    details: "By default the traffic is first measured for a second. Selection is random, not every Nth. In recordings it is the rate " +
      "for packets that have none: for those that tcpdump recorded use --rate 1.",
  }),
  direction: CAPTURE_OPTIONS.direction,
  match: CAPTURE_OPTIONS.match,
  trunc: truncOption("Enough for the headers of packets in tunnels. Sizes are always those of whole packets."),
  hardware: CAPTURE_OPTIONS.hardware,
  device: CAPTURE_OPTIONS.device,
  filter: OUTPUT_OPTIONS.filter,
  countAt: several({
    value: "WHERE",
    offers: { words: COUNT_AT_WORDS, things: ["device"], list: true },
    help: "where to count packets that pass several sampled devices",
    details:
      `A packet that passes a port and its bridge is counted at both, if both are sampled; the table says so. WHERE is the name of a device, to
count there only, or one of these, which leave out the others:

  port     ports, and not their bridge, bond, team or VRF
  bridge   the bridge, and not its ports
  lower    the device below, and not those stacked on it, such as VLANs
  upper    the devices stacked on a device, and not that device
  in       where packets come in, and not also where the same ones leave

It may be repeated, or take several words separated by commas; every word leaves something out, and a device counts if its name is given.`,
  }, (texts) => texts.flatMap((text) => text.split(",")).map((text) => text.trim()).filter(Boolean)),
  resolve: flag({
    help: "look up the names of hosts",
    details:
      "Otherwise no lookups are made. They are made in the background, and names appear in brackets as soon as they are known; a table waits " +
      "up to two seconds for them. In JSON and CSV they are in names. On Deno it requires --allow-net.",
  }),
  label: OUTPUT_OPTIONS.label,
  labels: OUTPUT_OPTIONS.labels,
  explain: CAPTURE_OPTIONS.explain,
  duration: OUTPUT_OPTIONS.duration,
  quiet: OUTPUT_OPTIONS.quiet,
  failOnLoss: OUTPUT_OPTIONS.failOnLoss,
  ...LISTEN_OPTIONS,
};

type Options = Values<typeof OPTIONS>;

/** The command `top`. */
export const top: Command = command({
  name: "top",
  summary: "show who talks and how much, with error bounds",
  usage: "top [OPTION]... [DEVICE|FILE]...",
  about:
    "Estimates from samples how much traffic there is, and who causes it: each sample stands for the N packets that it was picked from; losses " +
    "and segmentation offload are corrected for. ± is the error bound, with a confidence of 95 %. Each DEVICE is sampled as by " +
    "psample capture, and nothing is left behind; any is every device that is up, except lo. For these the kernel's counters give " +
    'the exact number of packets and make the estimate of bytes more precise ("calibrated"); flows are estimated shares of both. Without ' +
    "DEVICE and FILE it counts what is sampled already. A FILE is a recording: its name ends in .pcap or .pcapng, or has a slash. At a " +
    "terminal the figures are live, of the last 2, 10 or 40 seconds, and ? explains the keys; elsewhere, and with --once, they are tables.",
  examples: [
    ["psample top eth0", "who talks through eth0, and how much"],
    ["psample top eth0 --by ipprotocol,destinationport --filter 'not tcp port 22'", "services, without ssh"],
    ["psample top", "what is sampled already"],
    ["psample top eth0 --once --interval 60s --json", "one minute, for a program"],
    ["psample top samples.pcapng --by ipprotocol,destinationport", "a recording"],
    ["psample top --rate 1 packets.pcap", "what tcpdump recorded"],
    ["psample top any --count-at port", "bridges are not counted again"],
    ["psample top --by group --label group:5=edge", "what each group samples, by names"],
    ["psample top --netns blue", "in the network namespace blue"],
  ],
  options: OPTIONS,
  operands: { name: "DEVICE or FILE", least: 0, most: Infinity, offers: { words: ["any"], things: ["device", "file"] } },
  run: async ({ options, given, words }, io) => {
    if (options.json && options.csv) throw new UsageError("--json and --csv are mutually exclusive");
    refuseFilter(words);
    const all = [...options.device ?? [], ...words];
    const files = all.filter(isFile);
    if (files.length > 0 && files.length < all.length) {
      throw new UsageError(`devices and recordings cannot be mixed: ${JSON.stringify(all.find((word) => !isFile(word)))} is a device`);
    }
    if (options.explain) {
      const plans = options.match && files.length === 0 && all.length > 0 ? await plansOf(all, options, given, io) : [];
      const before = plans.length > 0 ? [explainMatches(plans, await matchesOf(plans, io))] : [];
      const why = "To compute shares, top counts all samples: the kernel leaves none out.";
      const behind = options.filter || before.length === 0 ? [explainStage(options.filter, why)] : [];
      await io.print([...before, ...behind].join("\n"));
      return STATUS.done;
    }
    if (files.length > 0) return await read(files, options, given, io);
    if (all.length === 0) refuseSampling(given, top.usage);
    try {
      return await listenTo(options, given, all.length > 0 ? await plansOf(all, options, given, io) : undefined, io);
    } catch (error) {
      throw withRateHint(error, "top");
    }
  },
});

/** Makes the writer of a report's lines. */
async function writerOf({ json, csv, rows, unit, quiet }: Options, io: Io): Promise<(report: Report) => string> {
  if (!json && !csv) {
    const columns = io.outIsTerminal ? (await io.terminal()).columns : () => COLUMNS;
    return (report) => plainReport(report, { rows: rows ?? ROWS, unit, columns: columns() });
  }
  const line = json ? jsonLine : csvLine;
  let isFirst = csv;
  let isTold = !csv || quiet;
  return (report) => {
    // CSV has no column for it.
    if (!isTold && report.twice?.length) {
      io.err(`psample: ${twiceText(report.twice)}\n`);
      isTold = true;
    }
    const header = isFirst ? csvHeader(report) : "";
    isFirst = false;
    return header + report.snapshot.flows.slice(0, rows).map((flow) => line(flow, report)).join("");
  };
}

/** Host names, if looking them up is allowed. */
async function resolving(session: Session): Promise<HostNames> {
  await session.unlessOver(checkResolving());
  return systemHostNames();
}

/** Reports on a recording. */
async function read(words: readonly string[], options: Options, given: ReadonlySet<string>, io: Io): Promise<number> {
  for (const name of ["group", "interval", "netns", "user", ...SAMPLING.filter((name) => name !== "rate")]) {
    if (!given.has(name)) continue;
    const cure = name === "group" ? ": did you mean --filter 'group N'?" : name === "match" ? ": did you mean --filter?" : "";
    throw new UsageError(`--${name} is for samples that are received, not for recordings${cure}`);
  }
  const word = options.countAt?.find((at) => isWord(at) && at !== "in");
  if (word) {
    throw new UsageError(
      `--count-at ${word}: recordings do not contain which device is whose port; name the device, as in --count-at eth0`,
    );
  }
  const paths = words.map((word) => streamName(word, 0));
  return await inSession(io, options, async (session) => {
    let source: Recordings | undefined;
    const labels = await labelsOf(options, io, session);
    const hosts = options.resolve ? await resolving(session) : undefined;
    try {
      tellTerminal(paths, io, session);
      const recordings = source = await openRecordings(paths, io);
      tellRepeated(paths, recordings, session);
      const { twice, stages, leftOut } = countingAt(options.countAt, undefined);
      const chosen = Chosen.by([...options.filter ?? [], ...stages]);
      const estimator = new Estimator({ by: options.by, flows: MOST_RECORDED_FLOWS, oneIn: options.rate, only: chosen });
      const sink = new Reports(estimator, await openStdout(io, paths), await writerOf(options, io), {
        intervalMs: undefined,
        source: recordings,
        recorded: true,
        isFiltered: options.filter !== undefined,
        chosen,
        speeds: () => new Map(),
        twice,
        leftOut,
        hosts,
        labels,
      });
      const account = (stats: ListenStats, written: number): string => accountOf(recordings, written, 0, lossesOf(stats, undefined));
      await session.pump(recordings, { sinks: [sink], account, summary: () => true, progress: readingProgress(recordings) });
    } catch (error) {
      if (error instanceof UnknownFamilyError) error.message += ": psample read --family-id N -w NEW.pcapng FILE records it again with it";
      throw error;
    } finally {
      hosts?.close();
      await source?.close();
    }
  });
}

/** Reports on what is sampled: by others, or as planned. */
async function listenTo(
  options: Options,
  given: ReadonlySet<string>,
  plans: readonly SamplingOptions[] | undefined,
  io: Io,
): Promise<number> {
  const { buffer, latency, group, once, interval, user, by, unit, netns } = options;
  const asides = new Asides(io);
  return await inSession(asides.io, options, async (session) => {
    const labels = await labelsOf(options, io, session);
    const hosts = options.resolve ? await resolving(session) : undefined;
    const devices = new LiveLinks(await open({ netns }));
    const sampled = plans && new Sampled(session);
    const speeds = new Speeds();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let sink: Reports | Live | undefined;
    try {
      devices.watch();
      const missing = options.countAt?.find((at) => !isWord(at) && !knowsDevice(devices, at));
      if (missing !== undefined) {
        throw new UsageError(
          `--count-at: ${JSON.stringify(missing)} is neither a device nor one of ${COUNT_AT_WORDS.join(", ")} (psample help count-at)`,
        );
      }
      if (sampled) await session.unlessOver(tellLeftovers(session, netns));
      const chosen = plans && options.rate === undefined ? await withRate(plans, session) : plans;
      const listener = await session.begin(async (signal) => {
        if (sampled) await sampled.add(chosen!, signal);
        const groups = sampled ? [sampled.group!] : group;
        return await listen({ groups, events: false, receiveBufferBytes: buffer, latency, devices, netns, signal });
      });
      // Nobody else samples into a group that was chosen here. Checked while the network namespace may still be entered.
      const others = listener && sampled && group ? await sampled.findOthers() : undefined;
      await speeds.follow(netns);
      const own = others ? [sampled!.ownSamples(others)] : [];
      const { twice, stages, leftOut } = countingAt(options.countAt, devices);
      const only = [...options.filter ?? [], ...stages];
      if (listener && sampled) {
        session.notice(sampled.description(chosen![0]!));
        await sampled.watch(() => listener.end());
      }
      const counters = sampled?.counters;
      const heard: Source = listener ?? NOTHING;
      const source = counters?.checks.follow(heard) ?? heard;
      const tally = sampled && new Tally();
      if (tally) sampled.counters.enlist(tally.calibration, true);
      const context: ReportContext = {
        isFiltered: options.filter !== undefined || options.match !== undefined,
        speeds: () => speeds.known,
        twice,
        leftOut,
        hosts,
        labels,
      };
      if (listener && !once && !options.json && !options.csv && !given.has("interval")) {
        const live = new Live({
          title: () => titleOf(chosen, sampled?.group, group, options.rate === undefined, labels),
          by: by ?? DEFAULT_KEYS,
          unit,
          flows: MOST_FLOWS,
          only,
          ...context,
          calibration: counters && ((asked, before, isFirst) => {
            counters.discharge(before);
            const calibration = new Calibration({ ...asked, isFiltered: asked.isFiltered || options.filter !== undefined });
            counters.enlist(calibration, isFirst);
            return calibration;
          }),
          checkKeys,
          quit: () => session.hear("SIGINT"),
        });
        const screen = await io.openScreen(live);
        if (screen) {
          sink = live;
          live.show(screen);
          live.start(listener);
          asides.take = (text) => live.isShown && live.tell(text);
        }
      }
      if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: sampled !== undefined });
      const end = async (): Promise<void> => {
        await sampled?.remove();
        source.end();
      };
      if (once) timer = setTimeout(() => void end(), interval);
      const reported = Chosen.by(only);
      const calibration = sampled && new Calibration({ only: reported, isFiltered: options.filter !== undefined });
      if (calibration && !sink) counters!.enlist(calibration, true);
      sink ??= new Reports(
        new Estimator({ by, flows: MOST_FLOWS, only: reported, parts: calibration !== undefined }),
        await openStdout(io, []),
        await writerOf(options, io),
        {
          intervalMs: once ? undefined : interval,
          source,
          recorded: false,
          ...context,
          chosen: reported,
          counted: calibration && { calibration, count: () => sampled.count() },
        },
      );
      await session.pump(source, {
        sinks: [sink],
        stages: tally ? [...own, sampled.counters.checks, tally] : [],
        account: (stats, written) => received(stats, written, buffer, tally && sampled.passing(tally)),
        silence: sampled && ((seconds, stats) => sampled.silence(seconds, stats)),
        summary: () => listener !== undefined,
        settle: async () => await sampled?.remove(),
      });
    } finally {
      sink?.abort();
      hosts?.close();
      clearTimeout(timer);
      speeds.close();
      await sampled?.remove();
      devices.close();
    }
  });
}

/** The title of a screen. */
function titleOf(
  plans: readonly SamplingOptions[] | undefined,
  own: number | undefined,
  groups: readonly number[] | undefined,
  isChosen: boolean,
  labels: Labels | undefined,
): string {
  const name = (group: number | undefined): string => labelled(labels, "group", `${group}`);
  if (!plans) return `psample top: ${groups ? `group ${groups.map(name).join(", ")}` : "all that is sampled"}`;
  const [{ rate, direction }] = plans as [SamplingOptions];
  const devices = plans.map(({ device }) => printable(`${device}`)).join(", ");
  return `psample top ${devices}: 1 in ${rate}${isChosen ? " (chosen)" : ""}, ${direction}, group ${name(own)}`;
}
