/** `psample export` of what is sampled here and now. */
import {
  dropPrivileges,
  listen,
  type ListenStats,
  listSampling,
  type PassedHook,
  type SamplingOptions,
  type Sink,
  SinkSet,
  type Source,
  type Stage,
} from "../../mod.ts";
import { LinkSpeeds } from "../../src/control/link_speeds.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { open } from "../../src/socket/open.ts";
import type { Sys } from "../../src/sys/sys.ts";
import { printable } from "../../src/wire/text.ts";
import { type Collectors, contextOf, openCollectors } from "../collectors.ts";
import { notYet, present } from "../devices.ts";
import { Drops } from "../drops.ts";
import { withRates } from "../export_rates.ts";
import { FollowedDevices } from "../followed_devices.ts";
import { MemoryTrimmer } from "../memory_trimmer.ts";
import type { Io } from "../io.ts";
import { failureText } from "../failure.ts";
import { tellLeftovers } from "../leftovers.ts";
import { UsageError } from "../options.ts";
import { type OutputPlan, planOutput } from "../outputs.ts";
import { listenUnlessOnlyCounters, Polling } from "../polling.ts";
import { Sampled } from "../sampled.ts";
import { asService, type Service } from "../service.ts";
import { endedByItself, inSession, NOTHING, type Session } from "../session.ts";
import { received } from "../summary.ts";
import type { ExportValues } from "./export_options.ts";
import { ExportInForce } from "./export_reload.ts";
import { type ExportSettings, type ExportSettingsReader, planFor } from "./export_settings.ts";
import { tellWaiting, WAITING } from "./listening.ts";

/** Samples and receives here and now, and sends it to collectors. Resolves to the exit status. */
export async function exportLive(
  settings: ExportSettings,
  reader: ExportSettingsReader,
  plans: readonly SamplingOptions[],
  io: Io,
): Promise<number> {
  const planOf = (options: ExportValues): OutputPlan => planOutput(options, io, { lines: "none", recording: "pcapng" });
  // Options that do not go together are refused before anything is opened.
  const outputPlan = planOf(settings.options);
  return await inSession(io, { ...settings.options, reloads: true }, (session) =>
    asService(session, async (service) => {
      const sys = await open({ netns: settings.options.netns });
      const live = new LiveExport({ settings, reader, plans, outputPlan, planOf, session, service, sys });
      try {
        await live.run();
      } finally {
        await live.close();
      }
    }));
}

/** What an export is started with. */
interface Start {
  readonly settings: ExportSettings;
  readonly reader: ExportSettingsReader;
  /** What is sampled at the start. */
  readonly plans: readonly SamplingOptions[];
  readonly outputPlan: OutputPlan;
  /** The outputs that options ask for, refused if they do not go together. */
  readonly planOf: (options: ExportValues) => OutputPlan;
  readonly session: Session;
  readonly service: Service;
  readonly sys: Sys;
}

/** An export while it is set up, runs, and is taken down. */
class LiveExport {
  readonly #start: Start;
  readonly #devices: LiveLinks;
  readonly #speeds: LinkSpeeds;
  readonly #trimmer: MemoryTrimmer;
  /** `undefined` if nothing is sampled, only what others sample received. */
  readonly #sampled: Sampled | undefined;
  #source: Source = NOTHING;
  /** The sinks that metrics report. */
  readonly #shown: Sink[] = [];
  #inForce: ExportInForce | undefined;
  #drops: Drops | undefined;
  #polling: Polling | undefined;
  /** How often the kernel's module was unloaded. */
  #unloads = 0;
  #outputs: Awaited<ReturnType<OutputPlan["open"]>> | undefined;

  constructor(start: Start) {
    const { settings, session, sys } = start;
    this.#start = start;
    this.#devices = new LiveLinks(sys);
    this.#speeds = new LinkSpeeds(sys);
    this.#trimmer = new MemoryTrimmer(sys);
    this.#sampled = settings.named.words.length > 0 ? new Sampled(session) : undefined;
  }

  /** Exports until something ends it. */
  async run(): Promise<void> {
    const { settings, plans, outputPlan, reader, session, service, sys } = this.#start;
    const { options } = settings;
    const { user, netns, wait } = options;
    const sampled = this.#sampled;
    this.#devices.watch();
    // Before anything is set up. A name server that does not answer must not keep a signal from ending this.
    const opened = await session.unlessOver(this.#openCollectors(options));
    if (!opened) return;
    const current = this.#inForce = new ExportInForce(settings, opened);
    // Files are opened as the new user, everything else before there is anything to lose.
    if (user === undefined) this.#outputs = await outputPlan.open(session);
    if (sampled) await session.unlessOver(tellLeftovers(session, netns));
    if (wait && await tellWaiting(session, netns)) service.ready(WAITING);
    const rated = await withRates(sys, plans);
    const listener = await session.begin((signal) => this.#listen(rated.plans, signal));
    if (listener) this.#source = service.follow(listener);
    // Nobody else samples into a group that was chosen here. Checked while the network namespace may still be entered.
    const others = listener && sampled && options.group ? await sampled.findOthers() : undefined;
    const own = others ? [sampled!.ownSamples(others)] : [];
    const already = sampled ? [] : await sampledInputs(options);
    if (listener) this.#drops = await Drops.start(options, session, () => current.collectors.sflow, this.#devices);
    // Removing what was added, stopping what was started, and joining again when the module is back, require it.
    if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: sampled !== undefined || this.#drops?.isOn === true || wait });
    const outputs = this.#outputs ??= await outputPlan.open(session);
    if (user !== undefined) await tellUnreadable(reader, session, user);
    const tellInputs = (): void => {
      if (choosesPlaces(options)) return;
      for (const { encoder } of current.collectors.sinks) encoder.setSampledInputs?.(sampled?.inputs ?? already);
    };
    tellInputs();
    if (listener) {
      if (rated.chosen !== undefined) session.notice(rated.chosen);
      if (sampled) await this.#keep(sampled, rated.plans, { current, tellInputs, end: () => listener.end() });
      session.notice(`exporting to ${opened.names}${sampled ? "" : "; Ctrl-C ends it"}`);
      service.ready(`exporting to ${opened.names}`);
    }
    const running = outputs.start();
    const sinks = this.#follow(current, running, tellInputs);
    await this.#pump(current, { ...running, sinks, own, isReceiving: listener !== undefined });
  }

  /** Takes down what is there. A bug in one must not leave the other behind in the kernel. */
  async close(): Promise<void> {
    this.#trimmer.close();
    try {
      await this.#drops?.stop(this.#start.session);
    } finally {
      await this.#sampled?.remove();
    }
    await this.#inForce?.settled();
    this.#inForce?.collectors.abort();
    this.#polling?.poller?.close();
    this.#devices.close();
    this.#speeds.close();
    this.#outputs?.discard();
  }

  /** Opens the collectors of these options that are not open yet. */
  async #openCollectors(options: ExportValues, before?: Collectors): Promise<Collectors> {
    const { settings: { options: { latency } }, reader, session, sys } = this.#start;
    const links = this.#devices;
    const sampled = this.#sampled;
    const isHeard = (index: number): boolean => this.#inForce?.collectors.sflow.some(({ encoder }) => encoder.hasSampled(index)) ?? false;
    await this.#polling?.prepare(sys, options);
    this.#polling ??= await Polling.open(sys, options, { links, session, sampled, isHeard, changes: reader.path !== undefined });
    const { poller } = this.#polling;
    const source = { stats: () => this.#source.stats() };
    const metrics = {
      source,
      sinks: this.#shown,
      samplers: () => sampled?.counters.samplers ?? [],
      discards: () => this.#drops?.stats(),
    };
    return await openCollectors(sys, options, contextOf({ latency }, { links, session, poller, metrics }), before);
  }

  /** Samples what is there already, and listens to the samples; to none if only counters are to be sent. */
  async #listen(plans: readonly SamplingOptions[], signal: AbortSignal): Promise<Source> {
    const { settings: { options }, session } = this.#start;
    const { buffer: receiveBufferBytes, latency, group, match, netns, allNamespaces } = options;
    const sampled = this.#sampled;
    // What is sampled for this run is set up again, which loads the module if it can be loaded.
    const wait = options.wait || sampled !== undefined;
    const onFamily = (isThere: boolean): void => this.#tellFamily(isThere);
    if (plans.length > 0) await sampled?.add(plans, signal);
    else await sampled?.addLater({ group: group?.[0], match, netns });
    const filter = options.filter?.map(({ expression }) => expression);
    const groups = sampled ? [sampled.group!] : group;
    const devices = this.#devices;
    return await listenUnlessOnlyCounters(
      sampled ? undefined : options.counters,
      session,
      () => listen({ groups, filter, events: false, wait, onFamily, allNamespaces, receiveBufferBytes, latency, devices, netns, signal }),
    );
  }

  /** The module was unloaded, or is back. */
  #tellFamily(isThere: boolean): void {
    const { session } = this.#start;
    if (isThere) {
      session.notice("the psample module is loaded again");
      this.#sampled?.retry();
    } else {
      this.#unloads++;
      session.notice("the psample module was unloaded: nothing is sampled until it is loaded again");
    }
  }

  /** Samples whatever devices come, and says what is sampled. `end` is called if that is not possible any more. */
  async #keep(sampled: Sampled, plans: readonly SamplingOptions[], { current, tellInputs, end }: Kept): Promise<void> {
    const { settings, session, sys } = this.#start;
    const devices = this.#devices;
    // What a filter leaves out is missing from the samples, and so must be from the pool.
    if (settings.options.filter) sampled.counters.distrust();
    sampled.onCount = (hooks) => countPools(current.collectors, hooks);
    for (const text of notYet(settings.named.words, present(devices))) session.notice(text);
    const [first] = plans;
    session.notice(first ? sampled.description(first) : `sampling nothing yet, group ${sampled.group}; Ctrl-C ends it`);
    const followed = new FollowedDevices(devices);
    sampled.keep({
      devices: (sampled) => followed.meant(current.sampling.named, sampled),
      nameOf: (index) => followed.nameOf(index),
      version: () => followed.version,
      plan: (device) => planFor(current.sampling, device),
      rated: async (plan) => (await withRates(sys, [plan], () => this.#speeds.read())).plans[0]!,
      changed: () => {
        tellInputs();
        // Its counters begin again.
        sampled.counters.checks.restart();
      },
    });
    await sampled.watch(end);
  }

  /** Lets collectors change from now on. Returns all sinks of the pump. */
  #follow(current: ExportInForce, { sinks, reopen }: StartedOutputs, tellInputs: () => void): SinkSet {
    const { reader, session, planOf } = this.#start;
    const all = new SinkSet([...current.collectors.all, ...sinks]);
    const show = (): void => {
      const { sinks: collectors, otlp } = current.collectors;
      this.#shown.splice(0, this.#shown.length, ...collectors, ...otlp, ...sinks);
    };
    show();
    current.begin({
      session,
      links: this.#devices,
      sampled: this.#sampled,
      sinks: all,
      reader,
      check: planOf,
      open: (options, before) => this.#openCollectors(options, before),
      changed: (options) => {
        show();
        tellInputs();
        this.#polling?.adopt(options);
      },
      reopen: () => reopen("if-moved"),
    });
    return all;
  }

  /** Moves samples to the sinks until something ends that, and says what became of them. */
  async #pump(current: ExportInForce, { sinks, reopen, recordedBytes, own, isReceiving }: Moved): Promise<void> {
    const { settings: { options: { buffer, count } }, reader, session, service } = this.#start;
    const sampled = this.#sampled;
    const drops = this.#drops;
    // Only metrics show whether samplers keep to their rates; those of a file may come later.
    const checks = (current.collectors.numbers || reader.path !== undefined) && sampled ? sampled.counters.checks : undefined;
    const summary = await session.pump(checks ? checks.follow(this.#source) : this.#source, {
      sinks,
      reopen,
      recordedBytes,
      reload: () => void service.reload(() => current.reload()),
      stages: checks ? [...own, checks] : own,
      count,
      account: (stats: ListenStats, written) => {
        const { collectors } = current;
        const numbers = received(stats, written, buffer, sampled?.passing(), "exported", collectors.drops);
        const times = this.#unloads === 1 ? "once" : `${this.#unloads} times`;
        const unloads = this.#unloads > 0 ? [`the psample module was unloaded ${times}`] : [];
        return [numbers, ...unloads, ...drops ? [drops.account()] : [], ...collectors.accounts()].join("; ");
      },
      silence: sampled && ((seconds, stats) => sampled.silence(seconds, stats)),
      settle: async () => void await Promise.all([sampled?.remove(), drops?.stop(session)]),
      summary: () => isReceiving,
    });
    if (summary && endedByItself(summary)) current.collectors.reportUnreached(session);
  }
}

/** What {@linkcode LiveExport} needs to sample whatever comes. */
interface Kept {
  readonly current: ExportInForce;
  /** Tells collectors which interfaces are sampled where packets arrive. */
  readonly tellInputs: () => void;
  readonly end: () => void;
}

type StartedOutputs = ReturnType<Awaited<ReturnType<OutputPlan["open"]>>["start"]>;

/** What {@linkcode LiveExport} moves, and where. */
interface Moved extends Omit<StartedOutputs, "sinks"> {
  readonly sinks: SinkSet;
  /** Stages that tell samples of our own from those of others in the same group. */
  readonly own: readonly Stage[];
  readonly isReceiving: boolean;
}

/** Reports that the configuration cannot be read again with the rights that are left. */
async function tellUnreadable(reader: ExportSettingsReader, session: Session, user: string): Promise<void> {
  if (reader.path === undefined) return;
  try {
    await reader.read();
  } catch (error) {
    const text = error instanceof UsageError ? error.message : failureText(error);
    if (text === undefined) throw error;
    session.notice(`SIGHUP will not be able to read the configuration again as the user ${printable(user)}: ${text}`);
  }
}

/** The interfaces whose arriving packets are sampled in software already, every one of them, as far as it can be seen. */
async function sampledInputs({ group, netns }: ExportValues): Promise<number[]> {
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
function choosesPlaces({ filter }: ExportValues): boolean {
  try {
    if (filter) compileMatch(filter.map(({ expression }) => expression), "ethernet");
    return false;
  } catch (error) {
    // It has conditions on samples, such as the device, or is more than a match can be.
    if (error instanceof FilterError) return true;
    throw error;
  }
}

/** Tells collectors how many packets have reached the samplers of each interface: of sFlow those of both directions together. */
function countPools({ sinks, sflow }: Collectors, hooks: readonly PassedHook[]): void {
  const totals = new Map<number, bigint | undefined>();
  for (const { ifindex, trials } of hooks) {
    const total = totals.has(ifindex) ? totals.get(ifindex) : 0n;
    totals.set(ifindex, total === undefined || trials === undefined ? undefined : total + trials);
  }
  for (const { ifindex, direction, trials } of hooks) {
    if (trials === undefined) continue;
    for (const { encoder } of sinks) encoder.setObserved?.(ifindex, direction, trials);
  }
  for (const { encoder } of sflow) {
    for (const [ifindex, total] of totals) encoder.setTrials(ifindex, total);
  }
}
