/** The collectors that `psample export` sends to: their options, their sinks, and what they have to say. */
import {
  ArgumentError,
  type ExportSink,
  type MetricsServer,
  type MetricsSourceOptions,
  type OtlpSink,
  type SharedMetrics,
  type Sink,
  SystemError,
} from "../mod.ts";
import type { SflowEncoder } from "../src/export/mod.ts";
import type { LiveLinks } from "../src/receive/live_links.ts";
import type { CounterPoller } from "../src/sink/counter_poller.ts";
import type { DatagramSink } from "../src/sink/datagram_sink.ts";
import { ipfixFlowsToWith, ipfixToWith, type SflowToOptions, sflowToWith } from "../src/sink/export.ts";
import { splitTransport } from "../src/socket/target.ts";
import type { Sys } from "../src/sys/sys.ts";
import { ipv4Bytes, ipv6Bytes } from "../src/wire/text.ts";
import { failureText } from "./failure.ts";
import { checkMetrics, METRICS_OPTIONS, openMetrics } from "./metrics.ts";
import { OpenSinks } from "./open_sinks.ts";
import { choice, duration, flag, longName, number, several, UsageError, value, type Values, wholeNumber, wrongValue } from "./options.ts";
import { checkOtlp, openOtlp, OTLP_OPTIONS, reportedTo, sharedNumbers } from "./otlp.ts";
import { nameOf, reasonsOf, sentTo, whyUnreached } from "./collector_accounts.ts";
import type { Session } from "./session.ts";
import { checkStreams, collectorName, parseDatagramTargets, parseTargets, STREAM_OPTIONS } from "./stream_targets.ts";
import { checkPolling, POLLING_OPTIONS } from "./polling.ts";

/** The largest datagram that the encoders make, and the smallest (RFC 768; what one sample needs). */
const MOST_DATAGRAM = 65_507;
const LEAST_DATAGRAM = 512;
const DATAGRAM = 1400;
const HEADER = 128;
const REFRESH_MS = 30_000;
/** Interfaces from this index on do not fit into sFlow's compact form. */
const LARGE_INDEX = 1 << 24;

/** The options about collectors. */
export const COLLECTOR_OPTIONS = {
  sflow: several({
    value: "HOST[:PORT]",
    offers: { things: ["host"] },
    help: "send samples to this sFlow collector; may be repeated",
    details:
      "As flow samples of sFlow version 5 with the packet's header, by UDP; the port is 6343 by default. HOST is an address or a name: " +
      "192.0.2.9, [2001:db8::9], [fe80::9%eth0], collector.example.net. Names are looked up at the start, and again when sending fails " +
      "or no name server answered; a name that does not exist is an error at the start. On Deno names require --allow-net. udp:HOST is " +
      "the same.",
  }, parseDatagramTargets),
  ipfix: several({
    value: "[tcp:]HOST[:PORT]",
    offers: { words: ["tcp:"], things: ["host"] },
    help: "send samples to this IPFIX collector; may be repeated",
    details: "As packet reports (PSAMP, RFC 5476) with the packet's header, or with --flows as flow records, by UDP; the port is 4739 by " +
      "default. HOST is as for --sflow. tcp:HOST sends over a TCP connection, which is re-established whenever it ends; --ipfix-spool " +
      "limits how much may wait for it. Confirmed data has reached the operating system at the other end, and is lost if the collector " +
      "exits before reading it.",
  }, parseTargets),
  agent: value({
    value: "ADDRESS",
    fallback: "the most public one of this machine",
    help: "the address that sFlow collectors know this machine by",
    details: "IPv4 or IPv6. Collectors identify a machine by this address, so it should never change, and no other machine should use " +
      "it. By default a public IPv4 address, else a private one, else one of IPv6; if there are several, that of the device with the " +
      "lowest index.",
  }, parseAddress),
  agentFor: several({
    value: "NSID=ADDRESS",
    help: "the same for another network namespace, by its nsid",
    details:
      "For --all-namespaces. Namespaces without an address are sub-agents; many collectors ignore those and confuse their interfaces. ip " +
      "netns list-id lists the numbers.",
  }, parseAgents),
  subAgent: number({
    value: "N",
    default: 0,
    help: "the sFlow sub-agent",
    details: "Tells several exporters with the same agent address apart.",
  }),
  header: number({
    value: "BYTES",
    most: MOST_DATAGRAM,
    default: HEADER,
    help: "send up to BYTES of each packet",
    details: "Collectors read addresses and ports from them. --trunc, which limits what the kernel copies, must not be less.",
  }),
  maxDatagram: number({
    value: "BYTES",
    least: LEAST_DATAGRAM,
    most: MOST_DATAGRAM,
    default: DATAGRAM,
    help: "the maximum size of a datagram",
    details: "Without its IP and UDP headers. Datagrams larger than the path's MTU are fragmented; psample reports that, with the size " +
      "that fits.",
  }),
  sflowTunnels: flag({
    help: "describe tunnels to sFlow collectors",
    details:
      "Adds the records of the tunnel that a packet came through or goes into, and its VNI, for packets of tunnel devices with external " +
      "keys. Off by default: nfdump mistakes the tunnel's addresses and ports for the packet's.",
  }),
  domain: number({
    value: "N",
    least: 1,
    default: 1,
    help: "the first IPFIX observation domain",
    details: "Each sampling rate has its own domain, numbered from N on, because some collectors know only one rate per domain.",
  }),
  templateRefresh: duration({
    value: "TIME",
    default: REFRESH_MS,
    fallback: "30s",
    help: "how often IPFIX templates and rates are sent again",
    details: "This is the maximum: each interval is randomly up to a quarter shorter, so that many exporters do not send them together. " +
      "A collector that starts later understands nothing until it has them.",
  }),
  psamp: choice(["basic", "strict"], {
    value: "HOW",
    default: "basic",
    help: "send IPFIX collectors PSAMP's own reports too: basic or strict",
    details: "Selection sequences, their statistics and accuracy, as in RFC 5476, section 6.5. Most collectors do not read them.",
  }),
  enterprise: number({
    value: "PEN",
    least: 1,
    help: "send cookies, queues and latencies as elements of this enterprise",
    details: "Your IANA private enterprise number. Elements in IPFIX reports: 1 the cookie, 2 the queue, 3 its occupancy in bytes, 4 the " +
      "latency in nanoseconds. The standard defines none for these.",
  }),
  flows: flag({
    help: "send flow records to IPFIX collectors instead of packets",
    details:
      "Samples are added up by addresses, ports, protocol, VLAN, VNI and interfaces. A flow is sent at least every 10 seconds, and when it has " +
      "been idle for 5. For nfdump and others that do not look into packets.",
  }),
  scale: flag({
    help: "multiply the numbers of --flows by the rate",
    details: "For collectors that do not do so themselves; the records then say that nothing was sampled. Do not use it with one that " +
      "does.",
  }),
  ...STREAM_OPTIONS,
  ...POLLING_OPTIONS,
  ...METRICS_OPTIONS,
  ...OTLP_OPTIONS,
};

/** The values of {@linkcode COLLECTOR_OPTIONS}. */
export type CollectorValues = Values<typeof COLLECTOR_OPTIONS>;

function parseAddress(text: string, option: string): string {
  const bytes = ipv4Bytes(text) ?? ipv6Bytes(text);
  if (bytes?.some((byte) => byte !== 0)) return text;
  throw wrongValue(option, text, "an IPv4 or IPv6 address of this machine, without a port");
}

function parseAgents(texts: readonly string[], option: string): ReadonlyMap<number, string> {
  const agents = new Map<number, string>();
  for (const text of texts) {
    const [, nsid, address] = /^(\d+)=(.*)$/.exec(text) ?? [];
    if (nsid === undefined) throw wrongValue(option, text, "an nsid and an address, such as 3=192.0.2.1");
    const number = wholeNumber(nsid, option, 0x7fff_ffff);
    if (agents.has(number)) throw new UsageError(`${option} was given twice for nsid ${number}`);
    agents.set(number, parseAddress(address!, option));
  }
  return agents;
}

/** Refuses options that have no effect. */
export function checkCollectors(options: CollectorValues, given: ReadonlySet<string>): void {
  const { sflow, ipfix, flows, prometheus, otlp } = options;
  if (!sflow && !ipfix && prometheus === undefined && !otlp) {
    throw new UsageError("nowhere to export to: give --sflow HOST, --ipfix HOST, --prometheus PORT or --otlp URL");
  }
  checkMetrics(options, otlp !== undefined, given);
  checkOtlp(options, given);
  checkPolling(options, sflow !== undefined, given);
  checkStreams(options, given);
  const needs: readonly (readonly [string, readonly (keyof CollectorValues)[], unknown])[] = [
    ["sflow", ["agent", "agentFor", "subAgent", "sflowTunnels"], sflow],
    ["ipfix", ["domain", "templateRefresh", "psamp", "enterprise", "flows"], ipfix],
    ["flows", ["scale"], flows || undefined],
  ];
  for (const [needed, names, has] of needs) {
    const name = names.find((name) => given.has(name));
    if (name !== undefined && has === undefined) {
      throw new UsageError(`${longName(name)} requires ${longName(needed)}`, { keys: [name, needed] });
    }
  }
  if (flows && options.enterprise !== undefined) {
    throw new UsageError("--enterprise is about packets: it cannot be combined with --flows", { keys: ["enterprise", "flows"] });
  }
}

/** How to open collectors, besides what the options say. */
export interface CollectorContext {
  readonly latency: "batch" | "low";
  /** Whether an interface has an index that sFlow's compact form cannot hold. */
  readonly expanded: boolean;
  readonly session: Session;
  /** What polls counters for sFlow. Defaults to nothing. */
  readonly poller?: CounterPoller | undefined;
  /** What metrics are about. */
  readonly metrics: Pick<MetricsSourceOptions, "source" | "sinks" | "samplers" | "discards" | "devices">;
}

/** How to open collectors on a machine that has these links. */
export function contextOf(
  { latency }: Pick<CollectorContext, "latency">,
  { links, session, poller, metrics }: {
    readonly links: LiveLinks;
    readonly session: Session;
    readonly poller?: CounterPoller | undefined;
    readonly metrics: Omit<CollectorContext["metrics"], "devices">;
  },
): CollectorContext {
  const expanded = [...links.links()].some(({ index }) => index >= LARGE_INDEX);
  return { latency, expanded, session, poller, metrics: { ...metrics, devices: links } };
}

/** The options that change what is sent to every collector, to those of sFlow, and to those of IPFIX: a sink is opened with them. */
const OF_DATAGRAMS = ["header", "maxDatagram"] as const;
const OF_SFLOW = ["agent", "agentFor", "subAgent", "sflowTunnels"] as const;
const OF_IPFIX = ["domain", "templateRefresh", "psamp", "enterprise", "flows", "scale", "ipfixSpool"] as const;

/** The options that may change while collectors are open. */
export const RELOADED_COLLECTORS: readonly string[] = [
  "sflow",
  "ipfix",
  ...OF_DATAGRAMS,
  ...OF_SFLOW,
  ...OF_IPFIX,
  ...Object.keys(POLLING_OPTIONS),
  ...Object.keys(METRICS_OPTIONS),
  ...Object.keys(OTLP_OPTIONS),
];

/**
 * Opens a sink for each collector; either all of them or none.
 *
 * @param before Collectors that are open: those that are wanted as they are, are not opened again.
 */
export async function openCollectors(
  sys: Sys,
  options: CollectorValues,
  context: CollectorContext,
  before?: Collectors,
): Promise<Collectors> {
  const { header: headerBytes, maxDatagram: maxDatagramBytes, domain, templateRefresh: templateRefreshMs, scale } = options;
  const { ipfixSpool: spoolBytes } = options;
  const { latency, expanded, session } = context;
  const opening = new OpenSinks(before?.opened);
  const sinks: ExportSink[] = [];
  const sflows: DatagramSink<SflowEncoder>[] = [];
  const chosen = (names: readonly (keyof CollectorValues)[]): unknown[] => [latency, ...names.map((name) => options[name])];
  try {
    for (const target of options.sflow ?? []) {
      const sflow: SflowToOptions = {
        ...reporting(session, collectorName("sFlow", target), maxDatagramBytes),
        latency,
        agent: options.agent,
        agents: options.agentFor,
        subAgent: options.subAgent,
        headerBytes,
        maxDatagramBytes,
        tunnels: options.sflowTunnels,
        expanded,
      };
      const sink = await opening.take(
        ["sFlow", target, chosen([...OF_DATAGRAMS, ...OF_SFLOW])],
        () => sflowToWith(sys, target, sflow, context.poller),
      );
      sinks.push(sink);
      sflows.push(sink);
    }
    for (const target of options.ipfix ?? []) {
      const ipfix = {
        ...reporting(
          session,
          collectorName("IPFIX", target),
          maxDatagramBytes,
          splitTransport(target).transport === "tcp" ? spoolBytes : undefined,
        ),
        latency,
        maxDatagramBytes,
        domain,
        templateRefreshMs,
        strict: options.psamp === "strict",
        spoolBytes,
      };
      const sink = await opening.take(
        ["IPFIX", target, chosen([...OF_DATAGRAMS, ...OF_IPFIX])],
        async (): Promise<ExportSink> =>
          options.flows
            ? await ipfixFlowsToWith(sys, target, { ...ipfix, scale })
            : await ipfixToWith(sys, target, { ...ipfix, headerBytes, enterprise: options.enterprise }),
      );
      sinks.push(sink);
    }
    const { prometheus } = options;
    const numbers = sharedNumbers(options, context.metrics, before?.numbers);
    const metrics = prometheus === undefined
      ? undefined
      : await opening.take(["Prometheus", prometheus], () => openMetrics(prometheus, options, numbers!));
    const otlp = await openOtlp(sys, options, numbers, session, opening);
    tellSame(sinks, before?.sinks ?? [], session);
    return new Collectors(sinks, sflows, metrics, otlp, opening.sinks);
  } catch (error) {
    opening.abort();
    if (error instanceof ArgumentError) throw asRefused(error);
    throw error;
  }
}

/**
 * Says which collectors have the address of another one: a collector that is sent everything twice counts it twice. Names with several
 * addresses may differ again later, so this is not an error. Collectors that were open before have been reported.
 */
function tellSame(sinks: readonly ExportSink[], before: readonly ExportSink[], session: Session): void {
  sinks.forEach((sink, i) => {
    const other = sinks.slice(0, i).find((other) => isSame(sink, other));
    if (other === undefined || (before.includes(sink) && before.includes(other))) return;
    session.notice(`${nameOf(sink)} is the same collector as ${nameOf(other)}: it is sent everything twice`);
  });
}

function isSame(one: ExportSink, other: ExportSink): boolean {
  const [protocol] = one.name.split(" ");
  return one.address !== undefined && one.address === other.address && other.name.startsWith(`${protocol} `) &&
    (one.connection === undefined) === (other.connection === undefined);
}

/** The options by what the library calls them. */
const NAMES: Readonly<Record<string, keyof CollectorValues>> = {
  headerBytes: "header",
  maxDatagramBytes: "maxDatagram",
  templateRefreshMs: "templateRefresh",
  spoolBytes: "ipfixSpool",
  agent: "agent",
};

/** What the library refuses, as an error about an option. */
function asRefused({ message, argument = "", why }: ArgumentError): UsageError {
  const key = NAMES[argument];
  if (key === undefined) return new UsageError(message);
  const unit = argument.endsWith("Ms") ? " in milliseconds" : "";
  return new UsageError(`${longName(key)}${unit} ${why}`, { keys: [key] });
}

/** Reports problems of a collector when they begin and when they are over. */
function reporting(session: Session, name: string, bytes: number, spoolBytes?: number): Pick<SflowToOptions, "onProblem" | "onRecovery"> {
  return {
    onProblem: (error) => {
      const code = error instanceof SystemError ? error.code : undefined;
      const cure = code === "EMSGSIZE"
        ? ` (--max-datagram, now ${bytes})`
        : code === "EAGAIN" && spoolBytes !== undefined
        ? `, or let more wait (--ipfix-spool, now ${spoolBytes})`
        : "";
      session.notice(`${failureText(error) ?? error.message}${cure}`);
    },
    onRecovery: () => session.notice(`${name} accepts ${spoolBytes === undefined ? "datagrams" : "messages"} again`),
  };
}

/** The collectors, open. */
export class Collectors {
  readonly sinks: readonly ExportSink[];
  /** Those of them that speak sFlow. */
  readonly sflow: readonly DatagramSink<SflowEncoder>[];
  /** The metrics, which are fetched instead of sent. */
  readonly metrics: MetricsServer | undefined;
  /** Those that metrics are sent to. */
  readonly otlp: readonly OtlpSink[];

  /** All of them, by what they were opened with. */
  readonly opened: ReadonlyMap<string, Sink>;

  constructor(
    sinks: readonly ExportSink[],
    sflow: readonly DatagramSink<SflowEncoder>[],
    metrics: MetricsServer | undefined,
    otlp: readonly OtlpSink[],
    opened: ReadonlyMap<string, Sink>,
  ) {
    this.opened = opened;
    this.sinks = sinks;
    this.sflow = sflow;
    this.metrics = metrics;
    this.otlp = otlp;
  }

  /** All sinks, for the pump. */
  get all(): readonly Sink[] {
    return [...this.sinks, ...this.metrics ? [this.metrics] : [], ...this.otlp];
  }

  /** The numbers that metrics show; `undefined` if none are shown. */
  get numbers(): SharedMetrics | undefined {
    return this.metrics?.numbers ?? this.otlp[0]?.numbers;
  }

  /** The names of the collectors, each with the address that it has. */
  get names(): string {
    return [...this.sinks.map(nameOf), ...this.metrics ? [this.metrics.name] : [], ...this.otlp.map(({ name }) => name)].join(", ");
  }

  /** What was sent to each collector. */
  accounts(): readonly string[] {
    return [...this.sinks, ...this.otlp].map((sink) => `${sink.name}: ${this.accountOf(sink)}`);
  }

  /** What was sent to one of them; `undefined` if it is fetched instead. */
  accountOf(sink: Sink): string | undefined {
    const [sent, reported] = [this.sinks.find((one) => one === sink), this.otlp.find((one) => one === sink)];
    return sent ? sentTo(sent) : reported && reportedTo(reported);
  }

  /** Whether some collector does not get all samples. */
  get drops(): boolean {
    return this.sinks.some(({ skipped }) => skipped > 0);
  }

  /** Reports the collectors that got nothing of what was for them: that is no loss of a part, but something that was not done. */
  reportUnreached(session: Session): void {
    for (const sink of this.sinks) {
      const why = whyUnreached(sink);
      if (why !== undefined) session.fail(why);
    }
    for (const { name, reports: { sent, failed, failedBy } } of this.otlp) {
      if (sent === 0 && failed > 0) session.fail(`no report was delivered to ${name}${reasonsOf(failedBy)}`);
    }
  }

  /** Looks all names up again, and reopens the recording, if there is one. */
  reload(session: Session, reopen?: () => void): void {
    this.renew(this.all);
    reopen?.();
    session.notice("host names are looked up again, and templates sent again");
  }

  /** Looks the names of those among these sinks up again, and sends templates again. */
  renew(among: readonly Sink[]): void {
    for (const sink of [...this.sinks, ...this.otlp]) if (among.includes(sink)) void sink.renew();
  }

  /** Has sinks that stay open with other options work with these from now on. */
  adopt({ top, by, prometheusHost: hosts }: CollectorValues): void {
    this.numbers?.metrics.show({ top, by });
    this.metrics?.configure({ top, by, hosts });
  }

  /** Closes everything; what was not sent never will be. */
  abort(): void {
    for (const sink of this.all) sink.abort();
  }
}
