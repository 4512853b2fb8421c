/** What is printed and recorded: the only file that knows which option makes which sink. */
import type { Io } from "./io.ts";
import type { Details } from "./names.ts";
import { choice, duration, flag, number, type Option, outputFile, several, UsageError, type Values } from "./options.ts";
import { fileTarget, formatOf, pcapngRecorder, pcapRecorder, type RecordingFormat, type RecordingPlan, rotateAt } from "./recording.ts";
import { jsonSink, recordingSink, type Sink, textSink } from "./sinks.ts";

/** The option that ends a command after so many samples. */
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

/** The options about what is printed and recorded, and how much of it. */
export const OUTPUT_OPTIONS = {
  verbose: flag({
    letter: "v",
    otherLetters: "xX",
    help: "print each packet's bytes below its line",
    details: "In hexadecimal and as characters, 16 bytes a line, from the link-layer header on. Given twice it means the same.",
  }),
  details: flag({
    help: "add device names, cookie, tunnel, probability, namespace and sender",
    details: "They follow the fields that libpsample prints, each as a name and a value, if the sample has them.",
  }),
  json: flag({
    help: "print one JSON object per line instead of text",
    details: "Absent fields are left out. 64-bit numbers are strings of decimal digits, bytes are hexadecimal.",
  }),
  text: flag({
    help: "also print text when --write is used",
    details: "Without --write, text is what is printed anyway.",
  }),
  write: outputFile({
    letter: "w",
    help: "record to FILE; - is standard output",
    details: "FILE.pcapng has the packets and what psample knows about them, FILE.pcap the netlink messages, as libpsample records them. " +
      "--format chooses whatever the name is. psample read prints both, and Wireshark opens both.",
  }),
  format: choice(["pcapng", "pcap"], {
    value: "FORMAT",
    help: "recording format, overriding the file extension: pcapng or pcap",
    details: "pcapng records packets, pcap records netlink messages.",
  }),
  rotate: several({
    value: "SIZE|TIME",
    help: "start a new file (FILE-00001, FILE-00002, ...) every SIZE or TIME",
    details: "SIZE such as 100MB limits the size of each file, TIME such as 1h the time between its first packet and its last. " +
      "Both may be given: whichever is reached first counts. The number is put in front of the extension.",
  }, rotateAt),
  keep: number({
    value: "N",
    least: 1,
    help: "keep only the last N of the files that --rotate makes",
    details: "Older ones are removed as soon as there are more. Files of an earlier run are not touched.",
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
  numeric: flag({
    letter: "n",
    help: "never look up names of hosts and ports (always so)",
    details: "Understood for the sake of those who are used to tcpdump. Addresses and ports are numbers in any case.",
  }),
};

/** {@linkcode OUTPUT_OPTIONS} for the command in which the letter `c` means something else. */
export const OUTPUT_OPTIONS_WITHOUT_C = { ...OUTPUT_OPTIONS, count: countOption() };

/** What was asked for by {@linkcode OUTPUT_OPTIONS}. */
export type OutputValues = Values<typeof OUTPUT_OPTIONS>;

/** What is printed, and how much of it. */
export interface OutputPlan {
  /** Opens what is written to. Only once there is something to write: an old recording is not emptied by a start that fails. */
  open(): readonly Sink[];
  readonly count: number;
  readonly durationMs: number | undefined;
  readonly quiet: boolean;
}

/**
 * Checks what the options ask for. `format` is that of a recording whose name does not tell.
 */
export function planOutput(
  options: OutputValues,
  io: Io,
  details: () => Details,
  _family: () => number,
  format: RecordingFormat = "pcap",
): OutputPlan {
  const { write: file, json, text, verbose } = options;
  if (json && text) throw new UsageError("--json and --text are mutually exclusive");
  const printed = json || text || verbose || options.details;
  if (file === "-" && printed) throw new UsageError("--write - sends the recording to standard output: no other output can go there");
  if (file === "-" && io.outIsTerminal) {
    throw new UsageError("standard output is a terminal: send the recording to a file or a program, as in psample -w - | tshark -r -");
  }
  const recording = planRecording(options, format);
  let known: Details | undefined;
  const names = (): Details => known ??= details();
  const open = (): Sink[] => {
    const sinks: Sink[] = [];
    if (file !== undefined) {
      const recorder = recording.format === "pcapng" ? pcapngRecorder(names()) : pcapRecorder();
      const out = { write: (data: Uint8Array | string) => io.out.write(data), close: () => {} };
      sinks.push(recordingSink(file === "-" ? { next: () => out } : fileTarget(io, file, recording.rotation), recorder));
    }
    if (json) {
      sinks.push(jsonSink(io.out));
    } else if (file === undefined || printed) {
      sinks.push(textSink(io.out, { verbose, details: options.details ? names() : undefined }));
    }
    return sinks;
  };
  return { open, count: options.count ?? Infinity, durationMs: options.duration, quiet: options.quiet };
}

/** What the options say about a recording. */
export function planRecording(
  { write: file, format, rotate, keep = Infinity }: OutputValues,
  defaultFormat: RecordingFormat,
): RecordingPlan {
  for (const [name, value] of file === undefined ? Object.entries({ format, rotate }) : []) {
    if (value !== undefined) throw new UsageError(`--${name} requires --write FILE`);
  }
  if (rotate && file === "-") throw new UsageError("--rotate cannot be combined with --write -");
  if (keep !== Infinity && !rotate) throw new UsageError("--keep requires --rotate");
  return { format: format ?? formatOf(file) ?? defaultFormat, rotation: rotate && { ...rotate, keep } };
}
