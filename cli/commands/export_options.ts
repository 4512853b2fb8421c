/** The options of `psample export`. */
import { COLLECTOR_OPTIONS } from "../collectors.ts";
import { flag, number, type Values } from "../options.ts";
import { MONITOR_OUTPUT_OPTIONS, OUTPUT_OPTIONS } from "../output_options.ts";
import { CAPTURE_OPTIONS } from "./capture.ts";
import { FROM_OPTIONS } from "./export_from.ts";
import { allNamespacesOption, LISTEN_OPTIONS, WAIT } from "./listening.ts";
import { groupOption, truncOption } from "./sampling.ts";

const { sflow, ipfix, prometheus, ...DETAILS } = COLLECTOR_OPTIONS;

/** The options of `psample export`. */
export const EXPORT_OPTIONS = {
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

/** Their values. */
export type ExportValues = Values<typeof EXPORT_OPTIONS>;
