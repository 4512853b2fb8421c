/** Opens sinks for programs, through the runtime that they run on. */
import { ArgumentError } from "../errors.ts";
import type { PcapngOptions } from "../format/pcapng/writer.ts";
import { RECORDING_FORMATS, type RecordingFormat, recordingFormat } from "../format/recorder.ts";
import { createRecorder } from "../format/recorders.ts";
import { loadSys } from "../sys/load.ts";
import type { Sys } from "../sys/sys.ts";
import type { Destination } from "./destination.ts";
import { openDescriptor, OutputFiles } from "./files.ts";
import type { Sink } from "../stream/sink.ts";
import { Lines, type LinesOptions, type LineWriter } from "./lines.ts";
import { Recording, type RecordingOptions, type RecordingSink } from "./record.ts";
import { Series } from "./series.ts";

const STDOUT = 1;
const STDOUT_NAME = "standard output";

/**
 * How to {@linkcode linesTo}.
 *
 * @category Pump
 */
export interface LinesToOptions extends LinesOptions {
  /** The file to write, which is emptied; `"-"` is standard output, and the default. */
  path?: string | undefined;
}

/**
 * A sink that writes a line for each sample and group event, for {@linkcode pump}.
 *
 * @example Print what is sampled as JSON
 * ```ts ignore
 * import { linesTo, listen, pump } from "@psample/psample";
 * import { JsonWriter } from "@psample/psample/format";
 *
 * await pump(await listen(), [], [await linesTo(new JsonWriter())], { count: 10 });
 * ```
 *
 * @param writer Writes entries as lines, such as a `TextWriter` or a `JsonWriter`.
 * @throws {SystemError} if the file cannot be written; `EBUSY` if another program writes to it.
 * @category Pump
 */
export async function linesTo(writer: LineWriter, options: LinesToOptions = {}): Promise<Sink> {
  return linesToWith(await loadSys(), writer, options);
}

/** {@linkcode linesTo} on a given seam. */
export function linesToWith(sys: Sys, writer: LineWriter, { path = "-", ...options }: LinesToOptions = {}): Lines {
  const destination = path === "-" ? openDescriptor(sys, STDOUT, STDOUT_NAME) : new OutputFiles(sys).create(path);
  return new Lines(destination, writer, options);
}

/**
 * How to {@linkcode recordTo}.
 *
 * @category Recordings
 */
export interface RecordToOptions extends RecordingOptions, PcapngOptions {
  /** The format. Defaults to `"pcap"` for a name that ends in `.pcap`, else to `"pcapng"`. */
  format?: RecordingFormat | undefined;
  /** With rotation, keep only this many of the latest files, including those of earlier runs. Defaults to all. */
  keep?: number | undefined;
  /** Identities of files that must not be written because they are being read: see {@linkcode RecordingSource.identity}. */
  guarded?: Iterable<string> | undefined;
  /** Called with problems that do not end the recording: an old file that could not be removed. */
  onProblem?: ((error: unknown) => void) | undefined;
}

/**
 * A sink that records samples, for {@linkcode pump}: into `path`, which is emptied, or into `PATH-00001`, `PATH-00002` and so on if there
 * is a rotation, after those of earlier runs. `"-"` is standard output; a named pipe is opened as soon as it has a reader.
 *
 * @example Record samples in hourly files, and keep those of the last day
 * ```ts ignore
 * import { endOnSignals, listen, pump, recordTo } from "@psample/psample";
 *
 * const sink = await recordTo("samples.pcapng", { rotation: { periodMs: 3_600_000 }, keep: 24 });
 * await pump(await listen(), [], [sink], { signal: await endOnSignals(), count: 1_000 });
 * ```
 *
 * @throws {ArgumentError} if it is one of the guarded files, or the rotation is invalid.
 * @throws {SystemError} if the file cannot be written; `EBUSY` if another program writes to it.
 * @category Recordings
 */
export async function recordTo(path: string, options: RecordToOptions = {}): Promise<RecordingSink> {
  return recordToWith(await loadSys(), path, options);
}

/** {@linkcode recordTo} on a given seam. */
export function recordToWith(sys: Sys, path: string, options: RecordToOptions = {}): Recording {
  const { format = recordingFormat(path), keep, guarded, onProblem, rotation } = options;
  if (!RECORDING_FORMATS.includes(format)) {
    throw new ArgumentError(`Cannot record as ${format}: expected ${RECORDING_FORMATS.join(", ")}`);
  }
  if (keep !== undefined && !(Number.isInteger(keep) && keep > 0)) {
    throw new ArgumentError(`Cannot keep ${keep} files: expected a whole number from 1`);
  }
  for (const [what, value] of Object.entries(rotation ?? {})) {
    if (value !== undefined && !(value > 0)) throw new ArgumentError(`Cannot rotate files by ${what} ${value}: expected a number above 0`);
  }
  if (rotation && path === "-") throw new ArgumentError("Cannot rotate standard output: it is one file");
  if (keep !== undefined && !rotation) throw new ArgumentError("Cannot keep the last files of a recording without rotation");
  const files = new OutputFiles(sys, guarded);
  const series = rotation && new Series(path, files, keep, onProblem);
  let release = (): void => {};
  const next = (): Destination => {
    if (path === "-") return files.descriptor(STDOUT, STDOUT_NAME);
    if (series) return series.open((name) => files.createNew(name));
    const file = files.create(path);
    release();
    release = files.guard(path);
    return file;
  };
  return new Recording(createRecorder(format, options), next, options);
}
