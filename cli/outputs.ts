/**
 * What is printed and recorded: the only file that makes sinks of the options about that. Collectors have collectors.ts, `inject` and `top`
 * have their own.
 */
import process from "node:process";
import { ArgumentError } from "../mod.ts";
import { CsvWriter } from "../src/format/csv.ts";
import { Output } from "../src/format/output.ts";
import { JsonWriter } from "../src/format/json.ts";
import { type Recorder, type RecordingFormat, recordingFormat } from "../src/format/recorder.ts";
import { createRecorder } from "../src/format/recorders.ts";
import { PacketWriter } from "../src/format/packet_line.ts";
import type { PacketTimeForm } from "../src/format/packet_time.ts";
import { TextWriter } from "../src/format/text.ts";
import type { Destination } from "../src/sink/destination.ts";
import { Lines } from "../src/sink/lines.ts";
import type { Pipe } from "../src/sink/pipes.ts";
import { Recording, type Rotation } from "../src/sink/record.ts";
import { Series } from "../src/sink/series.ts";
import type { Sink } from "../src/stream/sink.ts";
import type { Stage } from "../src/stream/stage.ts";
import { loadSys } from "../src/sys/load.ts";
import { failureText } from "./failure.ts";
import type { Files, Io } from "./io.ts";
import { labelsOf } from "./labels.ts";
import { longName, UsageError } from "./options.ts";
import type { OutputValues } from "./output_options.ts";
import type { PumpPlan, Session } from "./session.ts";
import { VERSION } from "./version.ts";

/** What is to be printed and recorded. */
export interface OutputPlan {
  /** Whether devices must be known: because the outputs mention them, or because samples are chosen by their packets. */
  readonly namesDevices: boolean;
  /** The stages that choose among the samples. */
  readonly stages: readonly Stage[];
  /**
   * Opens the outputs. Existing files stay as they are until the outputs are started, so that a command that fails before destroys nothing.
   * `inputs` are files that are being read, and must not be written to.
   */
  open(session: Session, inputs?: readonly string[]): Promise<Outputs>;
  /** Finds out whether the outputs can be opened: throws what `open` would throw. Nothing is written, emptied or removed. */
  probe(session: Session): Promise<void>;
}

/** What is written to, open. */
export interface Outputs {
  /** Makes the sinks: from now on existing files are overwritten. */
  start(): Pick<PumpPlan, "recordedBytes"> & {
    readonly sinks: readonly Sink[];
    /** Reopens the recording, for USR2. With `"if-moved"` it says nothing of a file that was not moved away: HUP asks for more than that. */
    readonly reopen: (when?: "if-moved") => void;
  };
  /** Closes everything, unless it is started. */
  discard(): void;
}

/** The time at the beginning of a line, by how often the option is given. */
const TIMES: readonly PacketTimeForm[] = ["time", "none", "epoch", "previous", "date", "first"];

/** What a command prints and records by default. */
export interface OutputDefaults {
  /** The lines on standard output; `"none"` unless options ask for some. */
  readonly lines: "packets" | "text" | "none";
  /** The format of a recording whose name does not imply one, and of FILE.pcap if this is `"netlink"`. */
  readonly recording: "pcapng" | "netlink";
}

const DEFAULTS: OutputDefaults = { lines: "packets", recording: "pcapng" };

/** Checks what the options ask for. */
export function planOutput(options: OutputValues, io: Io, defaults: OutputDefaults = DEFAULTS): OutputPlan {
  const { write: file, json, packets, csv, text, verbose, details, fields, color, rotate, keep = Infinity } = options;
  const forms = Object.entries({ json, packets, csv, text }).filter(([, given]) => given).map(([name]) => name);
  if (forms.length > 1) throw new UsageError(`--${forms[0]} and --${forms[1]} are mutually exclusive`, { keys: forms });
  const asked = json || packets || csv || text || verbose || details;
  const printsLines = asked || (defaults.lines !== "none" && file === undefined);
  const printsPackets = packets || (defaults.lines !== "text" && !(json || csv || text) && (defaults.lines !== "none" || asked));
  const others = Object.entries({ times: options.times > 0, linkLevel: options.linkLevel }).filter(([, given]) => given);
  if (others.length > 0 && !printsPackets) {
    const without = forms[0] ?? (defaults.lines === "text" ? "text" : undefined);
    throw new UsageError(
      `${longName(others[0]![0])} applies to lines about packets: it requires --packets${
        without === undefined ? "" : `, without --${without}`
      }`,
      { keys: [others[0]![0], ...forms] },
    );
  }
  if (fields && !csv) throw new UsageError("--fields requires --csv", { keys: ["fields"] });
  if (file === "-" && asked) {
    throw new UsageError("--write - sends the recording to standard output: no other output can go there", { keys: ["write"] });
  }
  if (file === "-" && io.outIsTerminal) {
    throw new UsageError("standard output is a terminal: send the recording to a file or a program, as in psample -w - | tshark -r -", {
      keys: ["write"],
    });
  }
  for (const [name, value] of file === undefined ? Object.entries({ format: options.format, rotate }) : []) {
    if (value !== undefined) throw new UsageError(`--${name} requires --write FILE`, { keys: [name] });
  }
  if (rotate && file === "-") {
    throw new UsageError("--rotate cannot be combined with --write -", { keys: ["rotate", "write"] });
  }
  if (keep !== Infinity && !rotate) throw new UsageError("--keep requires --rotate", { keys: ["keep"] });
  const format = options.format ?? formatOf(file ?? "", defaults.recording);
  const open = async (session: Session, inputs: readonly string[] = []): Promise<Outputs> => {
    // Before anything is opened that would have to be closed again.
    const labels = await labelsOf(options, io, session);
    const target = file === undefined ? undefined : await openTarget(io, session, { file, inputs, rotate, keep });
    let stdout: Destination | undefined;
    try {
      if (printsLines) stdout = await openStdout(io, inputs);
    } catch (error) {
      target?.discard();
      throw error;
    }
    const sys = await loadSys();
    const terminal = io.outIsTerminal ? await io.terminal() : undefined;
    // If something else continues, as with the collectors of export, that is reported when something is written.
    const only = file === undefined ? stdout : target!.stdout;
    const unwatch = defaults.lines === "none" || terminal ? () => {} : endUnread(session, only);
    let started = false;
    return {
      start: () => {
        started = true;
        const sinks: Sink[] = [];
        let recording: Recording | undefined;
        if (target) {
          recording = new Recording(recorderOf(format), target.next, { rotation: rotate });
          sinks.push(recording);
        }
        if (stdout) {
          const utcOffset = (seconds: number): number => sys.utcOffset(seconds);
          const writer = json
            ? new JsonWriter({ details, labels })
            : csv
            ? new CsvWriter({ fields, labels })
            : printsPackets
            ? new PacketWriter({
              columns: details ? undefined : terminal?.columns,
              color: color === "always" || (color === "auto" && terminal?.hasColors === true),
              time: TIMES[options.times],
              linkLevel: options.linkLevel,
              verbose,
              details,
              utcOffset,
              labels,
            })
            : new TextWriter({ verbose, details, utcOffset, labels });
          sinks.push(new Lines(stdout, writer));
        }
        // It must not be mixed with lines that are printed.
        const showsProgress = recording && file !== "-" && !(stdout && io.outIsTerminal);
        return {
          sinks,
          reopen: (when) => recording && target!.reopen(recording, when !== "if-moved"),
          recordedBytes: showsProgress ? () => recording!.bytes : undefined,
        };
      },
      discard: () => {
        unwatch();
        if (started) return;
        target?.discard();
        stdout?.close();
      },
    };
  };
  const probe = async (session: Session): Promise<void> => {
    await labelsOf(options, io, session);
    if (file !== undefined && file !== "-") {
      const files = await io.openFiles([]);
      files.probe(rotate ? new Series(file, files).next() : file);
    }
  };
  return {
    stages: options.filter ?? [],
    // Where the headers of a packet begin depends on the device, and so do the names of VLANs.
    namesDevices: options.filter !== undefined || options.label !== undefined || options.labels !== undefined || details || printsPackets ||
      csv || (file !== undefined && format !== "netlink"),
    open,
    probe,
  };
}

/** How often to look whether a pipe is still read: without samples, nothing is written that would show it. */
const READER_LOOK_MS = 500;

/**
 * Ends the run when nobody reads its only output any more, such as `ssh HOST psample capture eth0 -w -` whose client is gone: with a match
 * that no packet satisfies, it would sample forever. Returns a function that ends the watch.
 */
function endUnread(session: Session, output: Destination | undefined): () => void {
  if (output?.isAbandoned === undefined) return () => {};
  const timer = setInterval(() => output.isAbandoned && session.hear("SIGTERM"), READER_LOOK_MS);
  const unwatch = (): void => clearInterval(timer);
  session.over.addEventListener("abort", unwatch, { once: true });
  return unwatch;
}

/**
 * A recording into a pipe that its reader has made, such as Wireshark. If nobody reads it any more, the run ends, also if there is nothing to
 * write. If the run fails before it begins, the pipe gets a recording without samples: its reader waits for one, and reports the failure by
 * itself.
 */
export function planPipe(openPipe: (signal: AbortSignal) => Promise<Pipe>): OutputPlan {
  const open = async (session: Session): Promise<Outputs> => {
    const pipe = await session.begin(openPipe) ?? NOWHERE;
    const recorder = recorderOf("pcapng");
    let started = false;
    const unwatch = endUnread(session, pipe);
    return {
      start: () => {
        started = true;
        return { sinks: [new Recording(recorder, () => pipe)], reopen: () => {} };
      },
      discard: () => {
        unwatch();
        if (!started) writeNothing(pipe);
      },
    };
  };
  return { stages: [], namesDevices: true, open, probe: () => Promise.resolve() };
}

/** Writes a recording without samples, and closes the pipe. */
export function writeNothing(pipe: Pipe): void {
  const output = new Output(4096);
  const recorder = recorderOf("pcapng");
  recorder.begin(output);
  recorder.end(output, {});
  try {
    pipe.write(output.bytes.subarray(0, output.length));
  } catch {
    // Nobody reads it any more: then nobody waits for it.
  } finally {
    pipe.close();
  }
}

/** The pipe of a run that ended before it had one. */
const NOWHERE: Pipe = {
  name: "nothing",
  isAbandoned: false,
  write: ({ length }) => length,
  writable: () => Promise.resolve(),
  close: () => {},
};

function recorderOf(format: RecordingFormat): Recorder {
  return createRecorder(format, { application: `psample ${VERSION}`, hardware: process.arch, os: "Linux" });
}

function formatOf(file: string, other: OutputDefaults["recording"]): RecordingFormat {
  return other === "netlink" && !/\.pcapng$/i.test(file) ? other : recordingFormat(file);
}

/** Where a recording goes, open. */
interface Target {
  /** The destination that is open at first, then the next file of the series. */
  readonly next: () => Destination;
  /** Continues the recording in a new file of the same name; says so if there is none, if that is to be reported. */
  readonly reopen: (recording: Recording, tells: boolean) => void;
  /** Closes the open destination, to which nothing was written. */
  readonly discard: () => void;
  /** Standard output, if it goes there. */
  readonly stdout?: Destination;
}

interface TargetOptions {
  readonly file: string;
  readonly inputs: readonly string[];
  readonly rotate: Rotation | undefined;
  readonly keep: number;
}

async function openTarget(io: Io, session: Session, { file, inputs, rotate, keep }: TargetOptions): Promise<Target> {
  if (file === "-") {
    const stdout = await openStdout(io, inputs);
    return { next: () => stdout, reopen: () => {}, discard: () => stdout.close(), stdout };
  }
  const files = await io.openFiles(inputs);
  const problem = (error: unknown): void =>
    session.fail(failureText(error) ?? (error instanceof ArgumentError ? error.message : `${error}`));
  const series = rotate && new Series(file, files, keep, problem);
  let release = (): void => {};
  const create = (): Opened => {
    if (series) return { destination: series.open((name) => files.createNew(name)), isNew: true };
    const opened = createOne(files, file);
    // A file that is being recorded to must not be emptied by opening it again before it was renamed.
    release();
    release = files.guard(file);
    return opened;
  };
  let first: Opened | undefined = await orMistake(new UsageError("--write would overwrite the input file", { keys: ["write"] }), create);
  return {
    next: () => {
      const { destination } = first ?? create();
      first = undefined;
      return destination;
    },
    reopen: (recording, tells) => {
      try {
        recording.reopen();
      } catch (error) {
        if (error instanceof ArgumentError) {
          return tells ? session.notice(`${file} is not reopened: it is still the file being recorded to`) : undefined;
        }
        problem(error);
      }
    },
    discard: () => {
      first?.destination.close();
      release();
      if (!first?.isNew) return;
      try {
        files.removeEmpty(first.destination.name);
      } catch (error) {
        problem(error);
      }
    },
  };
}

/** Standard output; refused if it is one of the files that are being read. */
export async function openStdout(io: Io, inputs: readonly string[]): Promise<Destination> {
  return await orMistake(new UsageError("standard output is the input file"), () => io.stdout(inputs));
}

/** Opens something; refused if that would write into what is being read, as `psample read FILE >> FILE` would. */
async function orMistake<Result>(mistake: UsageError, open: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof ArgumentError) throw mistake;
    throw error;
  }
}

interface Opened {
  readonly destination: Destination;
  /** There was no file of that name before. */
  readonly isNew: boolean;
}

function createOne(files: Files, file: string): Opened {
  const made = files.createNew(file);
  return made ? { destination: made, isNew: true } : { destination: files.create(file), isNew: false };
}
