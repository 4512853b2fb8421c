/** Messages while a recording is being read, and after that. */
import type { ListenStats, RecordingSource } from "../mod.ts";
import { printable } from "../src/wire/text.ts";
import type { Io } from "./io.ts";
import type { Recordings } from "./recordings.ts";
import type { Session } from "./session.ts";
import { plural } from "./summary.ts";

/** The losses that a recording shows, of some groups or of all. */
export function lossesOf({ groups, dropped }: ListenStats, chosen: readonly number[] | undefined): string[] {
  const lost = groups.filter(({ group }) => !chosen || chosen.includes(group!)).reduce((sum, { lost }) => sum + lost, 0);
  const parts: string[] = [];
  if (lost > 0) parts.push(`${lost} lost before they were recorded`);
  if (dropped > 0) parts.push(`${plural(dropped, "message")} dropped by the kernel while recording`);
  return parts;
}

/** The same after reading up to a limit of `count` samples, if there is one: whatever is beyond it is not read, or only by chance. */
export function lossesUpTo(
  count: number | undefined,
  written: number,
  stats: ListenStats,
  chosen: readonly number[] | undefined,
): string[] {
  return written < (count ?? Infinity) ? lossesOf(stats, chosen) : [];
}

/** The summary: what was found, lost and skipped. */
export function accountOf(
  { counts }: Pick<RecordingSource, "counts">,
  written: number,
  otherGroups: number,
  losses: readonly string[],
): string {
  const parts = [`read ${plural(written, "sample")}`];
  if (counts.events > 0) parts.push(plural(counts.events, "group event"));
  if (otherGroups > 0) parts.push(`${otherGroups} of other groups`);
  parts.push(...losses, ...skippedOf(counts));
  return parts.join("; ");
}

/** What else a recording contained, which is no sample. */
export function skippedOf(counts: RecordingSource["counts"]): string[] {
  const parts: string[] = [];
  const other = counts.otherPackets + counts.otherProtocols + counts.otherMessages;
  if (other > 0) parts.push(`skipped ${other} of other kinds`);
  if (counts.truncated > 0) parts.push(`${counts.truncated} cut by the recorder`);
  if (counts.malformed > 0) parts.push(`${counts.malformed} malformed`);
  if (counts.lostBeforeFamily > 0) parts.push(`${counts.lostBeforeFamily} lost: they precede the number of the psample family in the file`);
  return parts;
}

/** Tells a user who has to type a recording, or has forgotten where it comes from, what is waited for. */
export function tellTerminal(paths: readonly string[], io: Io, session: Session): void {
  if (!io.inIsTerminal || !paths.includes("-")) return;
  session.notice("waiting for a recording on standard input, which is a terminal: psample read FILE reads a file; Ctrl-C ends this");
}

/** Tells a user who has named a file twice, perhaps by two names, that all figures count it twice. */
export function tellRepeated(paths: readonly string[], { repeated }: Recordings, session: Session): void {
  for (const [i, first] of repeated) {
    const name = paths[i] === paths[first] ? "" : `${printable(paths[i]!)} is the same file: `;
    session.notice(`${name}${printable(paths[first]!)} was given twice, and is read twice`);
  }
}

/** How much has been read, for a terminal; `undefined` if the size is not known. */
export function readingProgress(source: Pick<RecordingSource, "size" | "bytesRead">): (() => string) | undefined {
  const { size } = source;
  return size ? () => `psample: ${Math.floor(100 * source.bytesRead / size)} % read` : undefined;
}
