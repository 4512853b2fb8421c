/** Opens the recordings that arguments name. */
import { RecordingFile } from "../src/receive/recording.ts";
import type { RecordingInput } from "../src/receive/recording_input.ts";
import type { Io } from "./io.ts";
import { streamName, UsageError } from "./options.ts";
import { Recordings } from "./recordings.ts";
import { isFile } from "./words.ts";

/** The names of recordings; `-` is standard input, which can be read once. */
export function recordingPaths(words: readonly string[]): readonly string[] {
  const paths = words.map((word) => streamName(word, 0));
  if (paths.filter((path) => path === "-").length > 1) throw new UsageError("standard input was given twice, but can be read only once");
  return paths;
}

/**
 * Opens a recording; if there is none and the name may be that of a device, the error says what may have been meant: the `command` that
 * does with a device what is done here with a recording, or false.
 */
export async function openRecording(path: string, io: Io, command: string | false = "psample capture"): Promise<RecordingInput> {
  try {
    return await io.openRecording(path);
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isMissing && !isFile(path) && command) error.message += `; to sample a device of that name, ${command} ${path}`;
    throw error;
  }
}

/** How {@linkcode openRecordings} opens. */
export interface OpeningOptions {
  /** The number of the psample family, for recordings that do not contain it. */
  readonly familyId?: number | undefined;
  /** The command for a device of the name of a missing file: see {@linkcode openRecording}. */
  readonly command?: string | false | undefined;
}

/** Opens recordings, all or none. */
export async function openRecordings(paths: readonly string[], io: Io, { familyId, command }: OpeningOptions = {}): Promise<Recordings> {
  const opened: RecordingFile[] = [];
  try {
    for (const path of paths) opened.push(new RecordingFile(await openRecording(path, io, command), { familyId }));
    return new Recordings(opened);
  } catch (error) {
    for (const recording of opened) await recording.close();
    throw error;
  }
}
