/** The options of `psample export`. */
import { COLLECTOR_OPTIONS } from "../collectors.ts";
import { DROPS_OPTIONS } from "../drops.ts";
import { parseDevice } from "../export_rates.ts";
import { DEVICES, flag, number, several, text, type Values } from "../options.ts";
import { MONITOR_OUTPUT_OPTIONS, OUTPUT_OPTIONS } from "../output_options.ts";
import { CAPTURE_OPTIONS } from "./capture.ts";
import { FROM_OPTIONS } from "./export_from.ts";
import { allNamespacesOption, LISTEN_OPTIONS, WAIT } from "./listening.ts";
import { groupOption, truncOption } from "./sampling.ts";

const { sflow, ipfix, prometheus, otlp, ...DETAILS } = COLLECTOR_OPTIONS;

/** An example of a configuration file, for the help. */
export const CONFIG_EXAMPLE = `# /etc/psample/export.conf
device eth0:1000            # one packet in 1000
device eth1                 # by the speed of its link
match tcp port 443 or icmp
sflow 192.0.2.9
sflow [2001:db8::9]:6343
ipfix collector.example.net
flows
prometheus 9410`;

const CONFIG_DETAILS =
  `FILE has the long options of this command without dashes, one per line: the name, a blank, and the value up to the end
of the line. Nothing needs quotes, except for a value that contains " #". Options that may be repeated are repeated,
and each device has its own line. Lines that begin with # are comments, and so is the rest of a line after a blank and
#.

${CONFIG_EXAMPLE.replaceAll(/^/gm, "  ")}

An option on the command line replaces all its values in the file, and DEVICE replaces all devices in it. --config,
--check, --explain, --from, --speed and --loop are for the command line only. Nothing is set up before all of FILE has
been read and checked. If psample is started as root, nobody else may have write access to FILE.

SIGHUP reads FILE again. If it has an error, that is reported, and the old settings stay in force. Otherwise changes
to devices, rates and other settings of sampling, collectors, counters and metrics are applied. Devices and collectors
that stay are not interrupted. All other changes take effect at the next start, which is reported. With --user, NAME
must be able to read FILE. The SIGHUP of a terminal that is closed ends psample export, like other commands; started
without a terminal, as a service is, it reloads.`;

/** Options that a configuration file cannot have, and why. */
export const NOT_IN_CONFIG: ReadonlyMap<string, string> = new Map([
  ["config", "it names the file, and a file does not include others"],
  ["check", "it is for trying out, on the command line"],
  ["explain", "it is for trying out, on the command line"],
  ["from", "recordings are exported by the command line"],
  ["loop", "recordings are exported by the command line"],
  ["speed", "it is for recordings, which are exported by the command line"],
]);

/** The options of `psample export`. */
export const EXPORT_OPTIONS = {
  sflow,
  ipfix,
  prometheus,
  otlp,
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
  trunc: truncOption("How much of a packet the kernel copies; --header limits how much of that is sent."),
  group: groupOption(),
  hardware: CAPTURE_OPTIONS.hardware,
  device: several({
    letter: CAPTURE_OPTIONS.device.letter,
    value: "DEVICE[:N]",
    offers: DEVICES,
    help: CAPTURE_OPTIONS.device.help,
    details: `${CAPTURE_OPTIONS.device.details} In a file of --config it is the only way to name one.`,
  }, (words) => (words.forEach(parseDevice), words)),
  allNamespaces: allNamespacesOption("Without DEVICE only. "),
  wait: WAIT,
  ...FROM_OPTIONS,
  ...DETAILS,
  ...DROPS_OPTIONS,
  config: text({
    value: "FILE",
    offers: { things: ["file"] },
    help: "read options from FILE, one per line; SIGHUP reads it again",
    details: CONFIG_DETAILS,
  }),
  check: flag({
    help: "send one of everything to each collector, report the result, and exit",
    details:
      "The sample is one of psample demo, of a packet between addresses for documentation (192.0.2.0/24). Nothing is sampled. sFlow " +
      "collectors are also sent counters, which are real: those of the host, of devices that are or would be sampled and of --counters " +
      "(of the first eight if there are more); --polling 0 leaves them out. With --drops they are sent the same packet as a discarded " +
      "one, with psample_check as the function that discarded it. The exit " +
      "status is 1 if anything could not be sent, or an error came back within a second. UDP does not confirm delivery. For tcp: psample " +
      "reports whether it could connect and the operating system at the other end has confirmed the sample, which does not mean that " +
      "the collector has read it. For --prometheus it reports whether it can listen; the receiver of --otlp is sent one report, and " +
      "must accept it. With --config it also prints what the file means. Missing devices, files that cannot " +
      "be written and everything else that would prevent a start are errors here too; psample doctor checks privileges and the kernel.",
  }),
  ...LISTEN_OPTIONS,
  ...OUTPUT_OPTIONS,
  packets: flag({ help: "also print a line about each packet", details: MONITOR_OUTPUT_OPTIONS.packets.details }),
  explain: CAPTURE_OPTIONS.explain,
};

/** Their values. */
export type ExportValues = Values<typeof EXPORT_OPTIONS>;
