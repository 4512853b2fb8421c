/** `psample export`: sends samples to collectors, as sFlow and IPFIX. */
import type { SamplingOptions } from "../../mod.ts";
import { type Command, command } from "../command.ts";
import { explainSampling } from "../explain.ts";
import type { Io } from "../io.ts";
import { DEVICES } from "../options.ts";
import { STATUS } from "../session.ts";
import { checkExport } from "./export_check.ts";
import { exportRecordings } from "./export_from.ts";
import { exportLive } from "./export_live.ts";
import { EXPORT_OPTIONS, type ExportValues } from "./export_options.ts";
import { type ExportSettings, ExportSettingsReader } from "./export_settings.ts";
import { plansOf } from "./sampling.ts";

const USAGE = "export [DEVICE[:N]...] TARGET... [OPTION]...";

/** The command `export`. */
export const exportCommand: Command = command({
  name: "export",
  summary: "send samples to collectors, as sFlow and IPFIX, and metrics",
  usage: USAGE,
  about: "Makes this machine a source of sFlow version 5, of IPFIX (PSAMP) and of metrics for Prometheus and OTLP, for any number of " +
    "collectors at once: each TARGET is --sflow HOST, --ipfix HOST, --prometheus PORT or --otlp URL. Each DEVICE is sampled as by " +
    "psample capture, 1 in N packets, and nothing is left behind; any is every device that is up, except lo. Patterns such as 'eth*' " +
    "and any include devices that come later, and sampling that another program removes is set up again, also if the module was " +
    "unloaded meanwhile. A device that is renamed out of a pattern is no longer sampled; one given by its name stays sampled under " +
    "another, until another device gets the name. Without DEVICE it exports what is sampled already. A sample is sent within a second. " +
    "Whatever a collector does not accept in time is dropped, counted and reported, and delays nothing else. SIGHUP reads the file of " +
    "--config again, looks host names up again and reopens the recording of --write; but if the terminal that it was started from is " +
    "closed, it ends. SIGUSR1 prints the numbers so far.",
  examples: [
    ["psample export eth0 --sflow 192.0.2.9", "an sFlow agent"],
    ["psample export eth0:1000 eth1:4000 --sflow collector.example.net", "a rate for each device"],
    ["psample export any --rate 1000 --sflow 192.0.2.9 --ipfix '[2001:db8::9]'", "two collectors from one set of samples"],
    ["psample export eth0 --ipfix 192.0.2.9 --flows", "flow records, for nfdump"],
    ["psample export eth0 --ipfix tcp:collector.example.net", "over TCP, which retransmits what is lost on the way"],
    ["psample export eth0 --prometheus 9410 --top 10", "metrics at http://127.0.0.1:9410/metrics, and a page at /"],
    ["psample export eth0 --otlp http://192.0.2.9:4318 --interval 10s", "the same metrics, sent to an OpenTelemetry collector"],
    ["psample export --sflow 192.0.2.9 --agent 198.51.100.7", "what is sampled already, with a fixed agent address"],
    ["psample export eth0 --sflow 192.0.2.9 -w eth0.pcapng --rotate 1h --keep 24", "and keep a day of samples here"],
    ["psample export --sflow 192.0.2.9 --counters all", "the counters of all devices too, also without the right to sample"],
    ["psample export eth0 --sflow 192.0.2.9 --drops", "and the packets that the kernel discards, with their reasons"],
    ["psample export --from samples.pcapng --ipfix 192.0.2.9", "a recording, at its own times"],
    ["psample export --sflow 192.0.2.9 --ipfix 192.0.2.9 --check", "try it, without sampling anything"],
    ["psample export --config /etc/psample/export.conf", "as a service, all options from a file"],
    ["psample export --config /etc/psample/export.conf --check", "show what the file means, and try its collectors"],
    ["psample export eth0 --netns blue --sflow 192.0.2.9", "a device of the network namespace blue, and sent from there"],
  ],
  options: EXPORT_OPTIONS,
  operands: { name: "DEVICE", least: 0, most: Infinity, offers: DEVICES },
  run: async (typed, io) => {
    const reader = new ExportSettingsReader(typed, USAGE, io);
    const settings = await reader.read();
    const { options } = settings;
    try {
      if (options.from) return await exportRecordings(options, io);
      if (options.explain) return await explain(options, await plansFor(settings, io), io);
      if (options.check) return await checkExport(settings, await plansFor(settings, io), io);
      return await exportLive(settings, reader, await plansFor(settings, io), io);
    } catch (error) {
      throw settings.locate(error);
    }
  },
});

/** What to sample now; none if no device is named, or those that are named come later. */
async function plansFor({ options, given, named }: ExportSettings, io: Io): Promise<readonly SamplingOptions[]> {
  if (named.words.length === 0) return [];
  // What is explained is how devices are sampled that there are.
  const plans = await plansOf(named.words, options, given, io, !options.explain);
  // By default by the speed of the link, which is asked for later.
  return plans.map((plan) => ({ ...plan, rate: named.rateOf({ name: `${plan.device}`, up: true }) ?? options.rate }));
}

async function explain(options: ExportValues, plans: readonly SamplingOptions[], io: Io): Promise<number> {
  const { group: groups, filter, match, netns, verbose, allNamespaces } = options;
  await io.print(await explainSampling(plans, { match, filter, groups, allNamespaces, netns, verbose }, io));
  return STATUS.done;
}
