/** What is printed and recorded: the only file that knows which option makes which sink. */
import process from "node:process";
import { ArgumentError } from "../mod.ts";
import { CSV_DEFAULT_FIELDS, CSV_FIELDS, CsvWriter } from "../src/format/csv.ts";
import { JsonWriter } from "../src/format/json.ts";
import { RECORDING_FORMATS, type RecordingFormat, recordingFormat } from "../src/format/recorder.ts";
import { createRecorder } from "../src/format/recorders.ts";
import { PacketWriter } from "../src/format/packet_line.ts";
import { TextWriter } from "../src/format/text.ts";
import type { Destination } from "../src/sink/destination.ts";
import { Lines } from "../src/sink/lines.ts";
import { Recording, type Rotation } from "../src/sink/record.ts";
import { Series } from "../src/sink/series.ts";
import { FilterError } from "../src/filter/filter_error.ts";
import { filter } from "../src/filter/stage.ts";
import type { Sink } from "../src/stream/sink.ts";
import type { Stage } from "../src/stream/stage.ts";
import { loadSys } from "../src/sys/load.ts";
import { failureText } from "./failure.ts";
import type { Files, Io } from "./io.ts";
import {
  choice,
  duration,
  flag,
  milliseconds,
  number,
  type Option,
  outputFile,
  several,
  UsageError,
  value,
  type Values,
  wrongValue,
} from "./options.ts";
import type { Session } from "./session.ts";
import { VERSION } from "./version.ts";
import { unknownWord } from "./words.ts";

/** How wide lines about packets are at a terminal: as wide as the narrowest that people use. */
const TERMINAL_COLUMNS = 80;

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

/** What a line about a packet has. */
const PACKET_LINES = "When it was sampled, on which device, < in or > out, its size, and what its headers say in tcpdump's words: " +
  "addresses and ports, types and flags. At a terminal lines fit 80 columns; with --details, and where standard output is no terminal, " +
  "they have lengths, TCP's numbers and its options too. The rate comes first, and again when it changes.";

/** The options about what is printed and recorded, and how much of it. */
export const OUTPUT_OPTIONS = {
  filter: several({
    value: "EXPR",
    help: "only samples of these packets, such as 'tcp port 443 and net 10.0.0.0/8'",
    details: `EXPR is an expression of tcpdump's, and means the same: pcap-filter(7) describes it. Given twice, both have to match.
Ports and protocols may have names; names of hosts are not looked up. A packet that was cut before a byte
that EXPR asks for does not match. Group events are not left out. Also known are:

  device eth0, in eth0, out eth0  sampled there, came in, goes out
  ingress, egress                 the direction it was sampled in
  group 5, rate >= 100, queue 3   numbers of the sample
  latency > 1ms, cookie 0102      what switches measure; the cookie

Samples that do not match count as received, but not for --count.`,
  }, parseFilters),
  verbose: flag({
    letter: "v",
    otherLetters: "xX",
    help: "print each packet's bytes below its line",
    details: "In hexadecimal and as characters, 16 bytes a line, from the link-layer header on. Given twice it means the same.",
  }),
  details: flag({
    help: "add device names, cookie, tunnel, probability, namespace and sender",
    details: "In libpsample's text they follow its fields, each as a name and a value, if the sample has them; below a line about a " +
      "packet stands all of that. To JSON they add when, on which device and in which direction a packet was sampled, and what its " +
      "headers say; the rest is there anyway.",
  }),
  json: flag({
    help: "print one JSON object per line",
    details: "Absent fields are left out. 64-bit numbers are strings of decimal digits, bytes are hexadecimal.",
  }),
  packets: flag({
    help: "print a line about each packet (the default)",
    details: `${PACKET_LINES} That is what is printed anyway, unless --write is used.`,
  }),
  csv: flag({
    help: "print comma-separated values",
    details: "A line with the names of the columns, then one for each sample, as RFC 4180 has it. Group events are left out.",
  }),
  fields: value({
    value: "NAMES",
    help: "the columns of --csv, separated by commas",
    details: `Columns have the names of the keys of JSON:\n\n${columns(CSV_FIELDS)}\n\nWithout it these are printed: ${
      CSV_DEFAULT_FIELDS.join(", ")
    }.`,
  }, parseFields),
  text: flag({
    help: "print the text of libpsample's tool",
    details: "A line for each sample with its metadata, as the command without a name prints it; nothing of what the headers say.",
  }),
  write: outputFile({
    letter: "w",
    help: "record to FILE; - is standard output",
    details: "FILE.pcap has the packets and their times. FILE.pcapng has everything: psample read prints the same samples again, and " +
      "Wireshark opens it. So has a file of any other name. --format chooses, whatever the name is.",
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
      "Both may be given: whichever is reached first counts. The number is put in front of the extension; numbers go on after those " +
      "of earlier runs.",
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
    details: "Counted from the start of the command. A number alone is seconds.",
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
    details: "Understood for the sake of those who are used to tcpdump. Addresses and ports are numbers in any case.",
  }),
};

/** {@linkcode OUTPUT_OPTIONS} of the command without a name, which keeps libpsample's letters, formats and text. */
export const MONITOR_OUTPUT_OPTIONS = {
  ...OUTPUT_OPTIONS,
  packets: flag({ help: "print a line about each packet instead of text", details: PACKET_LINES }),
  text: flag({
    help: "also print text when --write is used",
    details: "Without --write, text is what is printed anyway.",
  }),
  write: outputFile({
    letter: "w",
    help: "record to FILE; - is standard output",
    details: "FILE.pcapng has the packets and what psample knows about them; any other FILE has the netlink messages, as libpsample " +
      "records them. --format chooses, whatever the name is. psample read prints both, and Wireshark opens both.",
  }),
  count: countOption(),
};

/** What was asked for by {@linkcode OUTPUT_OPTIONS}. */
export type OutputValues = Values<typeof OUTPUT_OPTIONS>;

/** What is to be printed and recorded. */
export interface OutputPlan {
  /** Whether devices have to be known: the outputs say something about them, or samples are chosen by their packets. */
  readonly namesDevices: boolean;
  /** What chooses among the samples. */
  readonly stages: readonly Stage[];
  /**
   * Opens what is written to. What is there already stays as it is until the outputs are started, so that a command that cannot
   * do what it is for destroys nothing. `inputs` are files that are read, which cannot be written to.
   */
  open(session: Session, inputs?: readonly string[]): Promise<Outputs>;
}

/** What is written to, open. */
export interface Outputs {
  /** Makes the sinks: from now on what was there before is overwritten. */
  start(): { readonly sinks: readonly Sink[]; readonly reopen: () => void };
  /** Lets go of everything, unless it is started. */
  discard(): void;
}

/** What a command prints and records if no option says so. */
export interface OutputDefaults {
  /** The lines on standard output. */
  readonly lines: "packets" | "text";
  /** The format of a recording whose name does not tell, and of FILE.pcap if it is `"netlink"`. */
  readonly recording: "pcapng" | "netlink";
}

const DEFAULTS: OutputDefaults = { lines: "packets", recording: "pcapng" };

/** Checks what the options ask for. */
export function planOutput(options: OutputValues, io: Io, defaults: OutputDefaults = DEFAULTS): OutputPlan {
  const { write: file, json, packets, csv, text, verbose, details, fields, rotate, keep = Infinity } = options;
  const forms = Object.entries({ json, packets, csv, text }).filter(([, given]) => given).map(([name]) => `--${name}`);
  if (forms.length > 1) throw new UsageError(`${forms[0]} and ${forms[1]} are mutually exclusive`);
  if (fields && !csv) throw new UsageError("--fields requires --csv");
  const printed = json || packets || csv || text || verbose || details;
  const printsPackets = packets || (defaults.lines === "packets" && !(json || csv || text));
  if (file === "-" && printed) throw new UsageError("--write - sends the recording to standard output: no other output can go there");
  if (file === "-" && io.outIsTerminal) {
    throw new UsageError("standard output is a terminal: send the recording to a file or a program, as in psample -w - | tshark -r -");
  }
  for (const [name, value] of file === undefined ? Object.entries({ format: options.format, rotate }) : []) {
    if (value !== undefined) throw new UsageError(`--${name} requires --write FILE`);
  }
  if (rotate && file === "-") throw new UsageError("--rotate cannot be combined with --write -");
  if (keep !== Infinity && !rotate) throw new UsageError("--keep requires --rotate");
  const format = options.format ?? formatOf(file ?? "", defaults.recording);
  const open = async (session: Session, inputs: readonly string[] = []): Promise<Outputs> => {
    const target = file === undefined ? undefined : await openTarget(io, session, { file, inputs, rotate, keep });
    const printsLines = file === undefined || printed;
    const stdout = printsLines ? await orMistake(STDOUT_IS_INPUT, () => io.stdout(inputs)) : undefined;
    const sys = await loadSys();
    let started = false;
    return {
      start: () => {
        started = true;
        const sinks: Sink[] = [];
        let recording: Recording | undefined;
        if (target) {
          const recorder = createRecorder(format, { application: `psample ${VERSION}`, hardware: process.arch, os: "Linux" });
          recording = new Recording(recorder, target.next, { rotation: rotate });
          sinks.push(recording);
        }
        if (stdout) {
          const utcOffset = (seconds: number): number => sys.utcOffset(seconds);
          const writer = json
            ? new JsonWriter({ details })
            : csv
            ? new CsvWriter({ fields })
            : printsPackets
            ? new PacketWriter({ columns: io.outIsTerminal && !details ? TERMINAL_COLUMNS : undefined, verbose, details, utcOffset })
            : new TextWriter({ verbose, details, utcOffset });
          sinks.push(new Lines(stdout, writer));
        }
        return { sinks, reopen: () => recording && target!.reopen(recording) };
      },
      discard: () => {
        if (started) return;
        target?.discard();
        stdout?.close();
      },
    };
  };
  return {
    stages: options.filter ?? [],
    namesDevices: options.filter !== undefined || details || printsPackets || csv || (file !== undefined && format !== "netlink"),
    open,
  };
}

function formatOf(file: string, other: OutputDefaults["recording"]): RecordingFormat {
  return other === "netlink" && !/\.pcapng$/i.test(file) ? other : recordingFormat(file);
}

/** Where a recording goes, open. */
interface Target {
  /** What is open at first, then the next file of the series. */
  readonly next: () => Destination;
  /** Has the recording continue in a new file of the same name. */
  readonly reopen: (recording: Recording) => void;
  /** Closes what is open, which nothing was written to. */
  readonly discard: () => void;
}

interface TargetOptions {
  readonly file: string;
  readonly inputs: readonly string[];
  readonly rotate: Rotation | undefined;
  readonly keep: number;
}

async function openTarget(io: Io, session: Session, { file, inputs, rotate, keep }: TargetOptions): Promise<Target> {
  if (file === "-") {
    const stdout = await orMistake(STDOUT_IS_INPUT, () => io.stdout(inputs));
    return { next: () => stdout, reopen: () => {}, discard: () => stdout.close() };
  }
  const files = await io.openFiles(inputs);
  const problem = (error: unknown): void =>
    session.fail(failureText(error) ?? (error instanceof ArgumentError ? error.message : `${error}`));
  const series = rotate && new Series(file, files, keep, problem);
  let release = (): void => {};
  const create = (): Opened => {
    if (series) return { destination: series.open((name) => files.createNew(name)), isNew: true };
    const opened = createOne(files, file);
    // What is recorded to must not be emptied by opening it again before it was renamed.
    release();
    release = files.guard(file);
    return opened;
  };
  let first: Opened | undefined = await orMistake("--write would overwrite the input file", create);
  return {
    next: () => {
      const { destination } = first ?? create();
      first = undefined;
      return destination;
    },
    reopen: (recording) => {
      try {
        recording.reopen();
      } catch (error) {
        if (error instanceof ArgumentError) return session.notice(`${file} is not reopened: it is still the file that is recorded to`);
        problem(error);
      }
    },
    discard: () => {
      first?.destination.close();
      if (first?.isNew) files.remove(first.destination.name);
    },
  };
}

const STDOUT_IS_INPUT = "standard output is the input file";

/** Opens something, unless that would write into what is read, as `psample read FILE >> FILE` would. */
async function orMistake<Result>(message: string, open: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(message);
    throw error;
  }
}

interface Opened {
  readonly destination: Destination;
  /** There was nothing by that name before. */
  readonly isNew: boolean;
}

function createOne(files: Files, file: string): Opened {
  const made = files.createNew(file);
  return made ? { destination: made, isNew: true } : { destination: files.create(file), isNew: false };
}

/** Names in lines, as the help shows them. */
function columns(names: readonly string[]): string {
  const lines: string[] = [];
  for (const name of names) {
    if (lines.length > 0 && lines.at(-1)!.length + name.length < 66) lines.push(`${lines.pop()} ${name}`);
    else lines.push(`  ${name}`);
  }
  return lines.join("\n");
}

function parseFilters(expressions: readonly string[], option: string): readonly Stage[] {
  try {
    return expressions.map(filter);
  } catch (error) {
    if (error instanceof FilterError) throw new UsageError(error.message.replace("Cannot filter", option));
    throw error;
  }
}

function parseFields(text: string, option: string): readonly string[] {
  const fields = text.split(",");
  const wrong = fields.find((field) => !CSV_FIELDS.includes(field));
  if (wrong !== undefined) throw new UsageError(`${option}: ${unknownWord(wrong, "column", CSV_FIELDS)}`);
  return fields;
}

const UNITS: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, gb: 1e9 };

/** Reads the values of `--rotate`: a size, a time, or both. */
function rotateAt(texts: readonly string[], option: string): Rotation {
  let bytes: number | undefined;
  let periodMs: number | undefined;
  for (const text of texts) {
    const size = /^(\d+(?:\.\d+)?)([kmg]b)$/i.exec(text);
    if ((size ? bytes : periodMs) !== undefined) throw new UsageError(`${option} was given two ${size ? "sizes" : "times"}`);
    if (size) {
      bytes = Math.floor(Number(size[1]) * UNITS[size[2]!.toLowerCase()]!);
      if (bytes < 1 || bytes > Number.MAX_SAFE_INTEGER) throw new UsageError(`${option} is "${text}": invalid file size`);
    } else {
      // A bare number is a time for other options: here it could as well be a size.
      if (!/^[\d.]+(ms|s|m|h)$/.test(text)) throw wrongValue(option, text, "a size such as 100MB or a time such as 1h");
      periodMs = milliseconds(text, option);
    }
  }
  return { bytes, periodMs };
}
