/**
 * What Wireshark's dialog asks for: options of `psample capture`, and of `psample` where others sample. Apart from the tables of options,
 * because Wireshark starts an extcap several times before it shows anything, and those tables come with all that a command can do.
 */

/** How Wireshark asks for an option. */
export interface Field {
  /** Its name beside the field. */
  readonly display: string;
  /** The kind of field. A `string` with a pattern for numbers that have no default, because it may stay empty. */
  readonly type: "unsigned" | "string" | "selector" | "boolflag";
  /** What the help says of the option. */
  readonly tooltip: string;
  /** Limits of a number. Wireshark keeps them in an int. */
  readonly range?: string;
  /** A regular expression, without backslashes. */
  readonly validation?: string;
  /** The values of a selector, and what they are called; the first is the default. */
  readonly values?: readonly (readonly [value: string, display: string])[];
  /** The default of a number. */
  readonly default?: string;
  /** The text in an empty field. */
  readonly placeholder?: string;
}

const NUMBER = "[0-9]*";

/** The fields of a device, by the options of `psample capture`. */
export const DEVICE_FIELDS = {
  rate: { display: "Sample 1 in", type: "unsigned", range: "1,2147483647", default: "1000", tooltip: "Sample 1 in N packets." },
  direction: {
    display: "Direction",
    type: "selector",
    values: [["both", "both: incoming and outgoing"], ["ingress", "ingress: incoming"], ["egress", "egress: outgoing"]],
    tooltip: "Ingress, egress or both.",
  },
  match: {
    display: "Only packets that match",
    type: "string",
    placeholder: "all packets",
    tooltip: "Sample only these packets, such as 'tcp port 443 or icmp'.",
  },
  trunc: {
    display: "Bytes of each packet",
    type: "string",
    validation: NUMBER,
    placeholder: "whole packets",
    tooltip: "Truncate packets to BYTES.",
  },
  group: { display: "Group", type: "string", validation: NUMBER, placeholder: "an unused one", tooltip: "The psample group." },
} as const satisfies Record<string, Field>;

/** The fields of what is sampled already, by the options of `psample`. */
export const SAMPLED_FIELDS = {
  group: {
    display: "Only group",
    type: "string",
    validation: NUMBER,
    placeholder: "all groups",
    tooltip: "Only this group; may be repeated.",
  },
  wait: { display: "Wait for the psample module", type: "boolflag", tooltip: "Wait for the psample module to be loaded." },
} as const satisfies Record<string, Field>;
