/** The options about what is printed and recorded, and how much of it. */
import { CSV_DEFAULT_FIELDS, CSV_FIELDS } from "../src/format/csv.ts";
import { RECORDING_FORMATS } from "../src/format/recorder.ts";
import type { Rotation } from "../src/sink/record.ts";
import { FilterError } from "../src/filter/filter_error.ts";
import { filter } from "../src/filter/stage.ts";
import type { Stage } from "../src/stream/stage.ts";
import {
  bytesOf,
  choice,
  duration,
  flag,
  milliseconds,
  number,
  type Option,
  outputFile,
  repeated,
  several,
  SIZE_UNITS,
  text,
  UsageError,
  value,
  type Values,
  wrongValue,
} from "./options.ts";
import { parseLabels } from "./labels.ts";
import { unknownWord } from "./words.ts";

/** The option that ends a command after a number of samples. */
function countOption(letter?: string): Option<number | undefined> {
  return number({
    letter,
    value: "N",
    least: 1,
    most: Number.MAX_SAFE_INTEGER,
    help: "stop after N samples",
    details: "Only samples that are printed or recorded count: not group events, and not what other options leave out.",
  });
}

/** What a line about a packet contains. */
const PACKET_LINES = "The time, the device, < in or > out, the size, and the headers in tcpdump's notation: addresses and ports, types " +
  "and flags. At a terminal lines fit its width, except with --link-level or --details: in narrow terminals lengths are left out first, " +
  "then blanks, the date, the size, and the end of the device's name, but never addresses and flags. From 120 columns on, with " +
  "--link-level or --details, and if standard output is not a terminal, they have TCP's numbers and options too. The rate comes first, " +
  "and again when it changes.";

/** The options about what is printed and recorded, and how much of it. */
export const OUTPUT_OPTIONS = {
  filter: several({
    value: "EXPR",
    help: "only samples of these packets, such as 'tcp port 443 and net 10.0.0.0/8'",
    details: `EXPR is a tcpdump expression, with the same meaning: pcap-filter(7) describes it. Given twice, both must match.
Ports and protocols may be names; host names are not looked up. A packet that was cut before a byte
that EXPR needs does not match. Group events always pass. In addition there are:

  device eth0, in eth0, out eth0  sampled there, came in, goes out
  ingress, egress                 the direction it was sampled in
  group 5, rate >= 100, queue 3   numbers of the sample
  latency > 1ms, cookie 0102      what switches measure; the cookie
  vni 42, inner (tcp port 443)    a tunnel's network; the packet inside

While receiving, the kernel drops what does not match, as far as it can decide; psample does the rest. Losses
are then known only from the socket's drop counter. --explain shows what runs where.`,
  }, parseFilters),
  explain: flag({
    help: "show where --filter runs, in the kernel or here, and exit",
    details: "With --verbose also the program for the kernel, in the form of tcpdump -d. Nothing is changed, and no privileges are needed.",
  }),
  verbose: flag({
    letter: "v",
    otherLetters: "xX",
    help: "print each packet's bytes below its line",
    details: "In hexadecimal and as characters, 16 bytes per line, from the link-layer header on. Giving it twice makes no difference.",
  }),
  details: flag({
    help: "add device names, cookie, tunnel, probability, namespace and sender",
    details: "In libpsample's text they follow its fields, each as a name and a value, if the sample has them; with packet " +
      "lines they are printed below each line. To JSON they add when, on which device and in which direction a packet was sampled, and " +
      "its decoded headers; JSON contains the rest anyway.",
  }),
  json: flag({
    help: "print one JSON object per line",
    details: "Absent fields are left out. 64-bit numbers are strings of decimal digits, bytes are hexadecimal.",
  }),
  packets: flag({
    help: "print a line about each packet (the default)",
    details: `${PACKET_LINES} This is the default, unless --write is used.`,
  }),
  linkLevel: flag({
    letter: "e",
    help: "add link-layer addresses and TCP's numbers to lines about packets",
    details: "As tcpdump -e: source and destination address and EtherType come before the network addresses. Lines are then as long as " +
      "necessary, whatever the width of the terminal.",
  }),
  times: repeated(5, {
    letter: "t",
    help: "-t: lines without time; -tt, -ttt, -tttt, -ttttt: other times",
    details: `As in tcpdump, for lines about packets:

  -t      no time
  -tt     seconds since 1970, in UTC
  -ttt    time since the line before
  -tttt   date and time
  -ttttt  time since the first line`,
  }),
  color: choice(["auto", "always", "never"], {
    value: "WHEN",
    default: "auto",
    help: "colours in lines about packets: auto, always or never",
    details: "auto means at a terminal, unless NO_COLOR is set in the environment or TERM is dumb.",
  }),
  csv: flag({
    help: "print comma-separated values",
    details: "A line with the names of the columns, then one for each sample, as in RFC 4180. Group events are left out.",
  }),
  fields: value({
    value: "NAMES",
    offers: { words: CSV_FIELDS, list: true },
    help: "the columns of --csv, separated by commas",
    details: `Columns have the names of the keys of JSON:\n\n${columns(CSV_FIELDS)}\n\nWithout it these are printed: ${
      CSV_DEFAULT_FIELDS.join(", ")
    }.`,
  }, parseFields),
  label: several({
    value: "KIND:N=NAME",
    offers: { words: ["cookie:", "group:", "vlan:"] },
    help: "call a cookie, group or VLAN NAME, as in group:5=edge",
    details: `KIND is cookie, group or vlan, and may be given again for each name:

  cookie:0102=web   the cookie, in hexadecimal digits
  group:5=edge      the psample group
  vlan:7=dmz        the identifier of the VLAN

Lines about packets and tables of top show names in brackets, JSON and CSV as groupLabel, cookieLabel and vlanLabels. Recordings do not have them.`,
  }, parseLabels),
  labels: text({
    value: "FILE",
    offers: { things: ["file"] },
    help: "read labels from FILE, one per line",
    details: "Each line has the form of --label; empty lines are skipped, and # begins a comment. --label takes precedence. " +
      "- is standard input.",
  }),
  text: flag({
    help: "print the text of libpsample's tool",
    details: "A line for each sample with its metadata, as the command without a name prints it, without the packet's headers.",
  }),
  write: outputFile({
    letter: "w",
    help: "record to FILE: .pcapng keeps all, .pcap packets only; - is stdout",
    details:
      "FILE.pcapng contains everything: psample read prints the same samples again, and Wireshark opens it. So does a file of any other " +
      "name. FILE.pcap keeps only the packets and their times: group, rate, device and all else are dropped, and packets of a second " +
      "link type are refused. --format chooses, whatever the name is. FILE is locked (flock) while it is written, so that a second " +
      "psample is refused instead of overwriting it.",
  }),
  format: choice(RECORDING_FORMATS, {
    value: "FORMAT",
    help: "recording format, overriding the file extension",
    details: "pcapng: the packets with everything that is known about them. pcap: the packets and their times, all of one link type. " +
      "netlink: the netlink messages as the kernel sent them, as libpsample records them (pcap with link type 253).",
  }),
  rotate: several({
    value: "SIZE|TIME",
    help: "start a new file (FILE-00001, FILE-00002, ...) every SIZE or TIME",
    details: "SIZE such as 100MB limits the size of each file, TIME such as 1h the time that it covers. " +
      `${SIZE_UNITS} A small m is minutes. Both may be given: whichever is reached first counts. The number goes before the extension; ` +
      "numbers continue after those of earlier runs.",
  }, rotateAt),
  keep: number({
    value: "N",
    least: 1,
    help: "keep only the last N of the files that --rotate makes",
    details: "Older ones are removed as soon as there are more, also those of earlier runs.",
  }),
  count: countOption("c"),
  duration: duration({
    value: "TIME",
    help: "stop after TIME: 10s, 500ms, 2m, 1h",
    details: "Counted from the start of the command. A number without a unit is seconds.",
  }),
  quiet: flag({
    letter: "q",
    help: "no summary and no notices",
    details: "Errors are still reported on standard error, and by the exit status.",
  }),
  failOnLoss: flag({
    help: "exit with status 3 if samples were lost",
    details: "Lost samples never change the exit status otherwise; the summary reports them.",
  }),
  numeric: flag({
    letter: "n",
    help: "never look up names of hosts and ports (always so)",
    details: "Accepted for people used to tcpdump. Addresses and ports are always numbers.",
  }),
};

/** {@linkcode OUTPUT_OPTIONS} of the command without a name, which keeps libpsample's letters, formats and text. */
export const MONITOR_OUTPUT_OPTIONS = {
  ...OUTPUT_OPTIONS,
  packets: flag({ help: "print a line about each packet instead of text", details: PACKET_LINES }),
  linkLevel: { ...OUTPUT_OPTIONS.linkLevel, letter: undefined },
  times: { ...OUTPUT_OPTIONS.times, letter: undefined, help: "given once to five times: no time, or another one, as tcpdump -t to -ttttt" },
  text: flag({
    help: "also print text when --write is used",
    details: "Without --write, text is the default.",
  }),
  write: outputFile({
    letter: "w",
    help: "record to FILE; - is standard output",
    details: "FILE.pcapng has the packets and what psample knows about them; any other FILE has the netlink messages, as libpsample " +
      "records them. --format chooses, whatever the name is. psample read prints both, and Wireshark opens both.",
  }),
  count: countOption(),
};

/** The values of {@linkcode OUTPUT_OPTIONS}. */
export type OutputValues = Values<typeof OUTPUT_OPTIONS>;

/** Names in lines, as the help shows them. */
function columns(names: readonly string[]): string {
  const lines: string[] = [];
  for (const name of names) {
    if (lines.length > 0 && lines.at(-1)!.length + name.length < 66) lines.push(`${lines.pop()} ${name}`);
    else lines.push(`  ${name}`);
  }
  return lines.join("\n");
}

/** A filter as it was typed, and as a stage. */
export interface Filter extends Stage {
  readonly expression: string;
}

function parseFilters(expressions: readonly string[], option: string): readonly Filter[] {
  try {
    return expressions.map((expression) => {
      const stage = filter(expression);
      return { expression, select: (batch, pick) => stage.select(batch, pick) };
    });
  } catch (error) {
    if (error instanceof FilterError) throw new UsageError(`${option}: ${error.why}\n${error.mark}`);
    throw error;
  }
}

/** Names of columns elsewhere, and those here. */
const OTHER_COLUMNS: ReadonlyMap<string, string> = new Map(
  ([
    ["time date when", "at"],
    ["interface ifname dev", "device"],
    ["size length len bytes", "originalBytes"],
    ["source src ip.src", "packet.source"],
    ["destination dst ip.dst", "packet.destination"],
    ["sport sourcePort", "packet.sourcePort"],
    ["dport destinationPort", "packet.destinationPort"],
    ["proto", "packet.protocolName"],
    ["vlan vlans", "packet.vlans"],
  ] as const).flatMap(([words, meant]) => words.split(" ").map((word) => [word, meant] as const)),
);

function parseFields(text: string, option: string): readonly string[] {
  const fields = text.split(",");
  const wrong = fields.find((field) => !CSV_FIELDS.includes(field));
  if (wrong !== undefined) {
    const meant = OTHER_COLUMNS.get(wrong);
    const why = meant ? `unknown column ${JSON.stringify(wrong)}; did you mean ${meant}?` : unknownWord(wrong, "column", CSV_FIELDS);
    throw new UsageError(`${option}: ${why} (psample help fields lists them)`);
  }
  return fields;
}

/** Reads the values of `--rotate`: a size, a time, or both. */
function rotateAt(texts: readonly string[], option: string): Rotation {
  let bytes: number | undefined;
  let periodMs: number | undefined;
  for (const text of texts) {
    // A small m is minutes, as for other times.
    const size = /\d([bB]|m)$/.test(text) ? undefined : bytesOf(text);
    const isSize = size !== undefined;
    if ((isSize ? bytes : periodMs) !== undefined) throw new UsageError(`${option} was given two ${isSize ? "sizes" : "times"}`);
    if (isSize) {
      bytes = size;
      if (bytes < 1 || bytes > Number.MAX_SAFE_INTEGER) throw new UsageError(`${option} is "${text}": invalid file size`);
    } else {
      // A bare number is a time for other options: here it could as well be a size.
      if (!/^[\d.]+(ms|s|m|h)$/.test(text)) throw wrongValue(option, text, "a size such as 100MB or a time such as 1h");
      periodMs = milliseconds(text, option);
    }
  }
  return { bytes, periodMs };
}
