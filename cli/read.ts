/** `psample read`: what a recording has. */
import { DecodeError, type Entry } from "../mod.ts";
import { PcapReader } from "../src/format/pcap.ts";
import { RecordDecoder } from "../src/format/netlink_record.ts";
import { type Option, parseCommand, UsageError, wholeNumber } from "./args.ts";
import type { Command } from "./command.ts";
import { consume, OUTPUT_OPTIONS, planOutput, type Source } from "./consume.ts";
import type { Io } from "./io.ts";
import { recordedDetails } from "./names.ts";

const READ_OPTIONS: readonly Option[] = [
  { name: "group", letter: "g", value: "N", repeats: true, help: "only this group; may be repeated" },
  { name: "family-id", value: "N", help: "the number of the psample family, where the file does not tell" },
  ...OUTPUT_OPTIONS,
];

/** The command `read`. */
export const read: Command = {
  name: "read",
  summary: "print what a recording has",
  usage: "read [OPTION]... FILE|-",
  about: "Decodes a recording of netlink messages (pcap or pcapng, link type 253), as psample -w,\n" +
    "libpsample, and tcpdump or dumpcap on an nlmon device write it. Other netlink traffic in it is\n" +
    "passed over.",
  examples: [
    ["psample read samples.pcap", "print its samples"],
    ["psample read --json samples.pcap", "as JSON"],
    ["psample read -g 5 -w five.pcap all.pcap", "keep group 5 only"],
    ["tcpdump -i nlmon0 -w - | psample read -", "as it is recorded"],
  ],
  options: READ_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, READ_OPTIONS);
    const [path, more] = parsed.words;
    if (path === undefined) throw new UsageError("which file? psample read FILE, or - for standard input");
    if (more !== undefined) throw new UsageError(`one file at a time: unexpected ${JSON.stringify(more)}`);
    const groups = parsed.values.get("group")?.map((group) => wholeNumber(group, "--group"));
    const family = parsed.values.get("family-id");
    const familyId = family && wholeNumber(family[0]!, "--family-id", 0xffff, 16);
    if (path !== "-" && parsed.values.get("write")?.[0] === path) throw new UsageError("--write names the file that is read");
    const source = new Recording(io, path, groups && new Set(groups), familyId);
    const plan = planOutput(parsed, io, recordedDetails, () => source.decoder.familyId ?? 0);
    const told = await consume(source, plan, io);
    if (source.error) throw source.error;
    if (told && !plan.quiet) io.err(source.summary());
    return 0;
  },
};

const PROGRESS_MS = 500;

/** A file as a source. Damage is remembered and not thrown, so that what is before it is printed first. */
class Recording implements Source {
  readonly decoder: RecordDecoder;
  error: Error | undefined;
  readonly #reader = new PcapReader();
  readonly #io: Io;
  readonly #path: string;
  readonly #groups: ReadonlySet<number | undefined> | undefined;
  #ended = false;
  #filtered = 0;

  constructor(io: Io, path: string, groups: ReadonlySet<number> | undefined, familyId: number | undefined) {
    this.#io = io;
    this.#path = path;
    this.#groups = groups;
    this.decoder = new RecordDecoder({ familyId });
  }

  end(): void {
    this.#ended = true;
  }

  close(): Promise<void> {
    this.#ended = true;
    return Promise.resolve();
  }

  async *batches(): AsyncGenerator<Entry[]> {
    const size = this.#io.errIsTerminal ? this.#io.size(this.#path) : undefined;
    let done = 0;
    let shown = performance.now();
    let visible = false;
    try {
      for await (const chunk of this.#io.read(this.#path)) {
        if (this.#ended) return;
        const batch = this.#decode(chunk);
        if (batch.length > 0) yield batch;
        done += chunk.length;
        if (size && performance.now() - shown > PROGRESS_MS) {
          shown = performance.now();
          visible = true;
          this.#io.err(`\rpsample: ${Math.floor(100 * done / size)} % read`);
        }
      }
      if (this.#ended) return;
      this.#reader.end();
      this.decoder.end();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.error = error;
    } finally {
      if (visible) this.#io.err("\r\x1b[K");
    }
  }

  /** What was found, and what was passed over. */
  summary(): string {
    const counts = this.decoder.counts;
    const parts = [`read ${counts.samples} samples, ${counts.events} group events`];
    if (this.#filtered > 0) parts.push(`${this.#filtered} of other groups`);
    const other = counts.otherProtocols + counts.otherMessages + this.#reader.skipped;
    if (other > 0) parts.push(`passed over ${other} of other kinds`);
    if (counts.truncated > 0) parts.push(`${counts.truncated} cut by the recorder`);
    if (counts.malformed > 0) parts.push(`${counts.malformed} malformed`);
    if (counts.lostBeforeFamily > 0) parts.push(`${counts.lostBeforeFamily} lost: they came before the file told the family's number`);
    return `psample: ${parts.join("; ")}\n`;
  }

  #decode(chunk: Uint8Array): Entry[] {
    const bytes = chunk.buffer instanceof ArrayBuffer ? chunk as Uint8Array<ArrayBuffer> : new Uint8Array(chunk);
    const batch: Entry[] = [];
    for (const record of this.#reader.push(bytes)) {
      for (const entry of this.decoder.decode(record)) {
        if (!this.#groups || this.#groups.has(entry.group)) batch.push(entry);
        else this.#filtered++;
      }
    }
    return batch;
  }
}
