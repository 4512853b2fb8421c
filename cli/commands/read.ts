/** `psample read`: what a recording has. */
import { DecodeError, type Entry } from "../../mod.ts";
import { PcapReader, type RecordedInterface } from "../../src/format/pcap.ts";
import { RecordDecoder } from "../../src/format/netlink_record.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { type Command, command } from "../command.ts";
import { consume, type Source } from "../consume.ts";
import type { Io } from "../io.ts";
import { recordedDetails } from "../names.ts";
import { number, numbers, streamName, UsageError } from "../options.ts";
import { OUTPUT_OPTIONS, planOutput, planRecording } from "../outputs.ts";
import { writesTo } from "../recording.ts";

const OPTIONS = {
  group: numbers({
    letter: "g",
    value: "N",
    help: "only this group; may be repeated",
    details: "Leaves out samples and events of all other groups; the summary counts them.",
  }),
  familyId: number({
    value: "N",
    least: 16,
    most: 0xffff,
    help: "the psample family's number, if the file does not contain it",
    details: "The kernel chooses the number of a generic netlink family when it is registered. Recordings that were begun after that do " +
      "not contain it; genl ctrl get name psample tells it on the machine that was recorded on.",
  }),
  ...OUTPUT_OPTIONS,
};

/** The command `read`. */
export const read: Command = command({
  name: "read",
  summary: "print the samples in a recording",
  usage: "read [OPTION]... FILE|-",
  about: "Decodes a recording: of packets, as psample -w FILE.pcapng writes it, or of netlink messages (pcap or pcapng, link type 253), " +
    "as psample -w FILE.pcap, libpsample, and tcpdump or dumpcap on an nlmon device do. Other traffic in it is skipped.",
  examples: [
    ["psample read samples.pcap", "print its samples"],
    ["psample read --json samples.pcap", "as JSON"],
    ["psample read -g 5 -w five.pcap all.pcap", "keep group 5 only"],
    ["psample read -w packets.pcapng messages.pcap", "the packets, for Wireshark"],
    ["tcpdump -i nlmon0 -w - | psample read -", "while it is recorded"],
  ],
  options: OPTIONS,
  operands: { name: "FILE", least: 1, most: 1 },
  run: async ({ options, words }, io) => {
    const path = streamName(words[0]!, 0);
    const { write: file, group } = options;
    if (file !== undefined && path !== "-" && writesTo(planRecording(options, "pcap"), file, path)) {
      throw new UsageError("--write would overwrite the input file");
    }
    const source = new Recording(io, path, group && new Set(group), options.familyId, file !== undefined);
    const plan = planOutput(options, io, () => recordedDetails(source.device), () => source.decoder.familyId ?? 0);
    const handed = await consume(source, plan, io);
    if (source.error) throw source.error;
    if (handed !== undefined && !plan.quiet) io.err(source.summary());
    return 0;
  },
});

const PROGRESS_MS = 500;

/** A file as a source. Damage is remembered and not thrown, so that what is before it is printed first. */
class Recording implements Source {
  readonly decoder: RecordDecoder;
  error: Error | undefined;
  readonly device = (ifindex: number, nsid: number | undefined): RecordedInterface | undefined => {
    return this.#reader.recordedInterface(ifindex, nsid);
  };
  readonly #reader = new PcapReader();
  readonly #times = new WeakMap<Entry, bigint>();
  readonly #io: Io;
  readonly #path: string;
  readonly #groups: ReadonlySet<number | undefined> | undefined;
  readonly #rewrites: boolean;
  #ended = false;
  #filtered = 0;

  constructor(io: Io, path: string, groups: ReadonlySet<number> | undefined, familyId: number | undefined, rewrites: boolean) {
    this.#io = io;
    this.#path = path;
    this.#groups = groups;
    this.#rewrites = rewrites;
    this.decoder = new RecordDecoder({ familyId });
  }

  end(): void {
    this.#ended = true;
  }

  close(): Promise<void> {
    this.#ended = true;
    return Promise.resolve();
  }

  recordedNs(entry: Entry): bigint | undefined {
    return this.#times.get(entry);
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
      if (this.#rewrites && record.littleEndian !== LITTLE) {
        throw new UsageError(
          "this recording was made on a machine with the opposite byte order; it can be printed but not rewritten here",
        );
      }
      for (const entry of this.decoder.decode(record)) {
        if (!this.#groups || this.#groups.has(entry.group)) batch.push(entry);
        else this.#filtered++;
        if (record.timestampNs !== undefined && (entry.type !== "sample" || entry.timestampNs === undefined)) {
          this.#times.set(entry, record.timestampNs);
        }
      }
    }
    return batch;
  }
}
