/** `psample export --check`: sends one of everything to each collector. */
import { dropPrivileges, type ExportSink, type SampleView, type SamplingOptions } from "../../mod.ts";
import { withTrafficControl } from "../../src/control/traffic_control.ts";
import type { Discard } from "../../src/export/sflow/discard.ts";
import { discardOf } from "../../src/export/sflow/discard_of.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { open } from "../../src/socket/open.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { nowNs } from "../../src/stream/clock.ts";
import type { Sys } from "../../src/sys/sys.ts";
import { messageOf } from "../../src/wire/message.ts";
import { fromHex } from "../../src/wire/text.ts";
import { nameOf, sentTo } from "../collector_accounts.ts";
import { type Collectors, contextOf, openCollectors } from "../collectors.ts";
import { DEMO_MESSAGES } from "../demo_messages.ts";
import { notYet, present } from "../devices.ts";
import { checkMonitor } from "../drops.ts";
import { withRates } from "../export_rates.ts";
import type { Io } from "../io.ts";
import { matchesOf } from "../match.ts";
import { checkReceivers } from "../otlp.ts";
import { planOutput } from "../outputs.ts";
import { openCounters, sendCounters } from "../polling.ts";
import { inSession, NOTHING } from "../session.ts";
import { isConfirmed } from "../stream_targets.ts";
import { meaningOf } from "./export_meaning.ts";
import type { ExportSettings } from "./export_settings.ts";

/** How often `--check` looks whether an error has come back, and how many times: for a second. */
const LOOK_MS = 20;
const LOOKS = 50;

/** What seems to have discarded the packet that `--check` sends: no function of a kernel has this name. */
const DISCARDED_BY = "psample_check";

/** Says what a configuration file means, sends one of everything to each collector, and says what became of it. */
export async function checkExport(settings: ExportSettings, plans: readonly SamplingOptions[], io: Io): Promise<number> {
  const { options, path, named } = settings;
  const { netns, user, drops } = options;
  // What the start would refuse is refused here, in the same words.
  const output = planOutput(options, io, { lines: "none", recording: "pcapng" });
  await matchesOf(plans, io);
  return await inSession(io, options, async (session) => {
    const sys: Sys = await open({ netns });
    const links = new LiveLinks(sys);
    let collectors: Collectors | undefined;
    let poller: Awaited<ReturnType<typeof openCounters>>;
    try {
      links.watch();
      if (path !== undefined) {
        await io.print(meaningOf(settings, await withRates(sys, plans)));
      } else {
        for (const text of notYet(named.words, present(links))) session.notice(text);
      }
      await withTrafficControl(sys, async (tc) => {
        for (const { device } of plans) await session.attempt(() => tc.link(device));
      });
      const metrics = { source: NOTHING };
      collectors = await session.unlessOver(openCollectors(sys, options, contextOf(options, { links, session, metrics })));
      if (!collectors) return;
      const wanted = present(links).filter((device) => named.has(device));
      const sampled = named.words.length > 0 ? { indexes: new Set(wanted.map(({ index }) => index)) } : undefined;
      // As in a run, with the privileges that it begins with.
      poller = await openCounters(sys, options, { links, session, sampled });
      if (user !== undefined) await dropPrivileges(user);
      await session.attempt(() => output.probe(session));
      await checkMonitor(options, session, io);
      const batch = new BatchBuffer();
      batch.readAtNs = nowNs();
      const sample = DEMO_MESSAGES.map((hex) => viewMessage(messageOf(fromHex(hex)!))!).find((entry) => entry.type === "sample")!;
      batch.add(sample, 0);
      if (drops) { for (const { encoder } of collectors.sflow) encoder.discard(discardedFrom(sample), nowNs()); }
      for (const sink of collectors.sinks) {
        sink.take(batch);
        await sink.flush();
        // Flows are otherwise sent when they have been idle for a while.
        sink.encoder.end(nowNs());
      }
      await session.unlessOver(sendCounters(poller, collectors.sflow));
      if (collectors.sinks.length > 0) await session.unlessOver(errorsComeBack(collectors.sinks));
      if (collectors.metrics) await io.print(`${collectors.metrics.name}: it can listen there\n`);
      await checkReceivers(collectors.otlp, (line) => io.print(line), session);
      for (const sink of collectors.sinks) {
        const { connection, datagrams } = sink;
        const isSent = connection
          ? isConfirmed(sink, connection) === true
          : sink.written === 1 && datagrams.dropped === 0 && datagrams.returned === 0;
        const line = `${nameOf(sink)}: ${sentTo(sink)}`;
        if (isSent) {
          const discarded = drops && collectors.sflow.some((one) => one === sink) ? ", a made-up discarded packet too" : "";
          await io.print(
            `${line}${discarded}; ${
              connection ? "a connection was made, and the system at its other end has confirmed it" : "no error came back"
            }\n`,
          );
        } else session.fail(`${line}: not delivered`);
      }
    } finally {
      collectors?.abort();
      poller?.close();
      links.close();
    }
  });
}

/** A discarded packet that never was one: that of a sample of `psample demo`. */
function discardedFrom({ inIfindex, data, originalBytes = 0, protocol }: SampleView): Discard {
  const packet = { inIfindex, data, originalBytes, protocol, symbol: DISCARDED_BY, reason: "NOT_SPECIFIED", trap: undefined };
  return discardOf(packet, undefined, 0);
}

/** Waits until every sink has had an error, or confirmation if there is any, or all checks were in vain. */
async function errorsComeBack(sinks: readonly ExportSink[]): Promise<void> {
  const done = new Set<ExportSink>();
  // Not until a time: if this process was stopped, or had no processor, that may pass before a sink has looked at its connection once.
  for (let looks = 0; looks < LOOKS && done.size < sinks.length; looks++) {
    for (const sink of sinks) {
      const { connection } = sink;
      if (sink.checkReturned() || sink.datagrams.dropped > 0) done.add(sink);
      if (connection && isConfirmed(sink, connection) !== undefined) done.add(sink);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
