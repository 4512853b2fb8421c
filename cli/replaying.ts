/** What commands have in common that send recordings at their own times. */
import { RecordingFile } from "../src/receive/recording.ts";
import { openRecording } from "./commands/read.ts";
import type { Io } from "./io.ts";
import { type Option, streamName, UsageError, value, wrongValue } from "./options.ts";
import { Recordings } from "./recordings.ts";

/** How fast: `undefined` is as it was recorded. */
export type Speed = number | "max" | undefined;

/** The option for the speed; `max` is as fast as what follows it says. */
export function speedOption(help: string, details: string): Option<Speed> {
  return value({ value: "X|max", fallback: "1", help, details }, parseSpeed);
}

function parseSpeed(text: string, option: string): number | "max" {
  if (text === "max") return text;
  const speed = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : 0;
  if (!(speed > 0 && speed < Infinity)) throw wrongValue(option, text, "a number above 0 such as 1, 0.5 or 10, or max");
  return speed;
}

/** The names of recordings; `-` is standard input, which can be read once. */
export function recordingPaths(words: readonly string[]): readonly string[] {
  const paths = words.map((word) => streamName(word, 0));
  if (paths.filter((path) => path === "-").length > 1) throw new UsageError("standard input was given twice, it can be read once");
  return paths;
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
