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
  if (paths.filter((path) => path === "-").length > 1) throw new UsageError("standard input was given twice, it can be read once");
  return paths;
}

/** Opens a recording; if there is none and the name may be that of a device, the error says what may have been meant. */
export async function openRecording(path: string, io: Io): Promise<RecordingInput> {
  try {
    return await io.openRecording(path);
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isMissing && !isFile(path)) error.message += `; to sample a device of that name, psample capture ${path}`;
    throw error;
  }
}

/** Opens recordings, all or none. */
export async function openRecordings(paths: readonly string[], io: Io, familyId?: number): Promise<Recordings> {
  const opened: RecordingFile[] = [];
  try {
    for (const path of paths) opened.push(new RecordingFile(await openRecording(path, io), { familyId }));
    return new Recordings(opened);
  } catch (error) {
    for (const recording of opened) await recording.close();
    throw error;
  }
}
