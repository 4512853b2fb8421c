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
} from "../../mod.ts";
import { LinkSpeeds } from "../../src/control/link_speeds.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { open } from "../../src/socket/open.ts";
import { printable } from "../../src/wire/text.ts";
import { type Collectors, contextOf, openCollectors } from "../collectors.ts";
import { notYet, present } from "../devices.ts";
import { Drops } from "../drops.ts";
import { withRates } from "../export_rates.ts";
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
  const { options } = settings;
  const { user, buffer, latency, count, netns, allNamespaces, wait } = options;
  const planOf = (options: ExportValues): OutputPlan => planOutput(options, io, { lines: "none", recording: "pcapng" });
  const plan = planOf(options);
  const serve = async (session: Session, service: Service): Promise<void> => {
    const sys = await open({ netns });
    const devices = new LiveLinks(sys);
    const speeds = new LinkSpeeds(sys);
    const sampled = settings.named.words.length > 0 ? new Sampled(session) : undefined;
    let inForce: ExportInForce | undefined;
    let drops: Drops | undefined;
    let polling: Polling | undefined;
    let outputs: Awaited<ReturnType<typeof plan.open>> | undefined;
    try {
      devices.watch();
      // Before anything is set up. A name server that does not answer must not keep a signal from ending this.
      let source: Source = NOTHING;
      const shown: Sink[] = [];
      const metrics = { source: { stats: () => source.stats() }, sinks: shown, samplers: () => sampled?.counters.samplers ?? [] };
      const isHeard = (index: number): boolean => inForce?.collectors.sflow.some(({ encoder }) => encoder.hasSampled(index)) ?? false;
      const openWanted = async (options: ExportValues, before?: Collectors): Promise<Collectors> => {
        await polling?.prepare(sys, options);
        polling ??= await Polling.open(sys, options, { links: devices, session, sampled, isHeard, changes: reader.path !== undefined });
        const { poller } = polling;
        return await openCollectors(sys, options, contextOf({ latency }, { links: devices, session, poller, metrics }), before);
      };
      const opened = await session.unlessOver(openWanted(options));
      if (!opened) return;
      const current = inForce = new ExportInForce(settings, opened);
      // Files are opened as the new user, everything else before there is anything to lose.
      outputs = user === undefined ? await plan.open(session) : undefined;
      if (sampled) await session.unlessOver(tellLeftovers(session, netns));
      if (wait && await tellWaiting(session, netns)) service.ready(WAITING);
      const rated = await withRates(sys, plans);
      const listener = await session.begin(async (signal) => {
        if (rated.plans.length > 0) await sampled?.add(rated.plans, signal);
        else await sampled?.addLater({ group: options.group?.[0], match: options.match, netns });
        const filter = options.filter?.map(({ expression }) => expression);
        const groups = sampled ? [sampled.group!] : options.group;
        const receiveBufferBytes = buffer;
        const open = (): Promise<Source> =>
          listen({ groups, filter, events: false, wait, allNamespaces, receiveBufferBytes, latency, devices, netns, signal });
        return await listenUnlessOnlyCounters(sampled ? undefined : options.counters, session, open);
      });
      if (listener) source = service.follow(listener);
      // Nobody else samples into a group that was chosen here. Checked while the network namespace may still be entered.
      const others = listener && sampled && options.group ? await sampled.findOthers() : undefined;
      const own = others ? [sampled!.ownSamples(others)] : [];
      const already = sampled ? [] : await sampledInputs(options);
      if (listener) drops = await Drops.start(options, session, () => current.collectors.sflow, devices);
      // Removing what was added, stopping what was started, and joining again when the module is back, require it.
      if (user !== undefined) await dropPrivileges(user, { keepNetAdmin: sampled !== undefined || drops?.isOn === true || wait });
      outputs ??= await plan.open(session);
      if (user !== undefined) await tellUnreadable(reader, session, user);
      const tellInputs = (): void => {
        if (choosesPlaces(options)) return;
        for (const { encoder } of current.collectors.sinks) encoder.setSampledInputs?.(sampled?.inputs ?? already);
      };
      tellInputs();
      if (listener) {
        if (rated.chosen !== undefined) session.notice(rated.chosen);
        if (sampled) {
          // What a filter leaves out is missing from the samples, and so must be from the pool.
          if (options.filter) sampled.counters.distrust();
          sampled.onCount = (hooks) => countPools(current.collectors, hooks);
          for (const text of notYet(settings.named.words, present(devices))) session.notice(text);
          const [first] = rated.plans;
          session.notice(first ? sampled.description(first) : `sampling nothing yet, group ${sampled.group}; Ctrl-C ends it`);
          sampled.keep({
            devices: () => present(devices).filter((device) => current.sampling.named.has(device)),
            plan: (device) => planFor(current.sampling, device),
            rated: async (plan) => (await withRates(sys, [plan], () => speeds.read())).plans[0]!,
            changed: () => {
              tellInputs();
              // Its counters begin again.
              sampled.counters.checks.restart();
            },
          });
          await sampled.watch(() => listener.end());
        }
        session.notice(`exporting to ${opened.names}${sampled ? "" : "; Ctrl-C ends it"}`);
        service.ready(`exporting to ${opened.names}`);
      }
      const { sinks, reopen, recordedBytes } = outputs.start();
      const all = new SinkSet([...opened.all, ...sinks]);
      const show = (): void => {
        const { sinks: collectors, otlp } = current.collectors;
        shown.splice(0, shown.length, ...collectors, ...otlp, ...sinks);
      };
      show();
      current.begin({
        session,
        links: devices,
        sampled,
        sinks: all,
        reader,
        check: planOf,
        open: openWanted,
        changed: (options) => {
          show();
          tellInputs();
          polling?.adopt(options);
        },
        reopen: () => reopen("if-moved"),
      });
      // Only metrics show whether samplers keep to their rates; those of a file may come later.
      const checks = (opened.numbers || reader.path !== undefined) && sampled ? sampled.counters.checks : undefined;
      const summary = await session.pump(checks ? checks.follow(source) : source, {
        sinks: all,
        reopen,
        recordedBytes,
        reload: () => void service.reload(() => current.reload()),
        stages: checks ? [...own, checks] : own,
        count,
        account: (stats: ListenStats, written) => {
          const { collectors } = current;
          const numbers = received(stats, written, buffer, sampled?.passing(), "exported", collectors.drops);
          return [numbers, ...drops ? [drops.account()] : [], ...collectors.accounts()].join("; ");
        },
        silence: sampled && ((seconds, stats) => sampled.silence(seconds, stats)),
        settle: async () => void await Promise.all([sampled?.remove(), drops?.stop(session)]),
        summary: () => listener !== undefined,
      });
      if (summary && endedByItself(summary)) current.collectors.reportUnreached(session);
    } finally {
      // A bug in one must not leave the other behind in the kernel.
      try {
        await drops?.stop(session);
      } finally {
        await sampled?.remove();
      }
      await inForce?.settled();
      inForce?.collectors.abort();
      polling?.poller?.close();
      devices.close();
      speeds.close();
      outputs?.discard();
    }
  };
  return await inSession(io, { ...options, reloads: true }, (session) => asService(session, (service) => serve(session, service)));
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
