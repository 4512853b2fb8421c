/** Several recordings as one source, read one after the other. */
import type { RecordingSource } from "../mod.ts";
import type { RecordCounts } from "../src/format/record_counts.ts";
import type { Batch } from "../src/stream/batch.ts";
import type { Source } from "../src/stream/source.ts";
import type { ListenStats } from "../src/stream/stats.ts";

/** Recordings in the order in which they are read. */
export class Recordings implements Source {
  readonly #all: readonly RecordingSource[];
  #at = 0;
  #isOver = false;

  /** Reads all of these, and closes them. */
  constructor(all: readonly RecordingSource[]) {
    this.#all = all;
  }

  /** Which of them are the same file as an earlier one: their indexes, and those of the first of the same. */
  get repeated(): readonly (readonly [number, number])[] {
    const identities = this.#all.map(({ identity }) => identity);
    return identities.flatMap((identity, i) => {
      const first = identity === undefined ? i : identities.indexOf(identity);
      return first < i ? [[i, first] as const] : [];
    });
  }

  /** Their size in bytes; `undefined` if that of one is not known. */
  get size(): number | undefined {
    return this.#all.reduce<number | undefined>((sum, { size }) => sum === undefined || size === undefined ? undefined : sum + size, 0);
  }

  /** How many of them have been read. */
  get bytesRead(): number {
    return this.#sum(({ bytesRead }) => bytesRead);
  }

  /** What became of the packets in all of them. */
  get counts(): Readonly<RecordCounts> {
    const [first, ...more] = this.#all.map(({ counts }) => counts);
    const sum = { ...first! };
    for (const counts of more) for (const key of Object.keys(sum) as (keyof RecordCounts)[]) sum[key] += counts[key];
    return sum;
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    const batch = this.#all[this.#at]!.read();
    return batch instanceof Promise ? batch.then((batch) => this.#or(batch)) : this.#or(batch);
  }

  end(): void {
    this.#isOver = true;
    for (const recording of this.#all) recording.end();
  }

  async close(): Promise<void> {
    this.#isOver = true;
    for (const recording of this.#all) await recording.close();
  }

  stats(): ListenStats {
    const all = this.#all.map((recording) => recording.stats());
    const [first] = all;
    if (all.length === 1) return first!;
    const of = (number: (stats: ListenStats) => number): number => all.reduce((sum, stats) => sum + number(stats), 0);
    return {
      received: of(({ received }) => received),
      events: of(({ events }) => events),
      lost: of(({ lost }) => lost),
      gaps: of(({ gaps }) => gaps),
      dropped: of(({ dropped }) => dropped),
      late: of(({ late }) => late),
      duplicates: of(({ duplicates }) => duplicates),
      malformed: of(({ malformed }) => malformed),
      lastMalformed: all.findLast(({ lastMalformed }) => lastMalformed !== undefined)?.lastMalformed,
      unknown: of(({ unknown }) => unknown),
      filtered: false,
      receiveBufferBytes: 0,
      groups: all.flatMap(({ groups }) => groups),
      others: {
        received: of(({ others }) => others.received),
        lost: of(({ others }) => others.lost),
        late: of(({ others }) => others.late),
        duplicates: of(({ others }) => others.duplicates),
      },
    };
  }

  #or(batch: Batch | undefined): Batch | undefined | Promise<Batch | undefined> {
    if (batch !== undefined || this.#isOver || this.#at === this.#all.length - 1) return batch;
    this.#at++;
    return this.read();
  }

  #sum(of: (recording: RecordingSource) => number): number {
    return this.#all.reduce((sum, recording) => sum + of(recording), 0);
  }
}
