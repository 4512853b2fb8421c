/** Estimates as text, one report per interval: for files, pipes and plain terminals. */
import { calibrate, type Calibration, type Estimator } from "../../src/estimate/mod.ts";
import type { Destination } from "../../src/sink/destination.ts";
import { Spool } from "../../src/sink/spool.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { Clock, nowNs } from "../../src/stream/clock.ts";
import type { Closing, Sink } from "../../src/stream/sink.ts";
import type { Source } from "../../src/stream/source.ts";
import type { Chosen } from "./chosen.ts";
import { hostOf } from "./host_names.ts";
import { type Report, type ReportContext, reportOf } from "./report.ts";

/** How long a report waits for host names. */
const NAMES_MS = 2000;

/** Turns a report into text. */
export type ReportWriter = (report: Report) => string;

/** What to report. */
export interface ReportsOptions extends ReportContext {
  /** Length of an interval; `undefined` for everything in one. */
  readonly intervalMs: number | undefined;
  /** The source of the samples, which knows what was lost. */
  readonly source: Source;
  /** Whether the source is a recording: then time is that of its samples. */
  readonly recorded: boolean;
  /** The samples that count, for the estimator and the calibration. */
  readonly chosen?: Chosen | undefined;
  /** Takes what the kernel counts, if it counts anything; `count` has that done. */
  readonly counted?: { readonly calibration: Calibration; count(): Promise<void> } | undefined;
}

/** Counts samples, and writes a report at the end of each interval and at the very end. */
export class Reports implements Sink {
  readonly skipped = 0;
  readonly #name: string;
  readonly #estimator: Estimator;
  readonly #spool: Spool;
  readonly #write: ReportWriter;
  readonly #options: ReportsOptions;
  readonly #clock = new Clock();
  readonly #halves = { high: 0, low: 0 };
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #failed: Promise<unknown>;
  #fail!: (error: unknown) => void;
  /** The earliest and the latest time in a recording, in seconds and nanoseconds. */
  #first: Moment | undefined;
  #last: Moment | undefined;
  /** Losses before this interval. */
  #lostBefore = 0;
  #written = 0;
  /** The readings of the counters so far. */
  #counted: Promise<unknown> = Promise.resolve();
  #isOver = false;
  /** Reports that wait for names are printed one after the other. */
  #printed: Promise<void> = Promise.resolve();

  /** Reports to `destination`; the first interval begins now. */
  constructor(estimator: Estimator, destination: Destination, write: ReportWriter, options: ReportsOptions) {
    this.#name = destination.name;
    this.#estimator = estimator;
    this.#spool = new Spool(destination);
    this.#write = write;
    this.#options = options;
    this.#failed = new Promise((resolve) => this.#fail = resolve);
    if (options.recorded) return;
    estimator.snapshot(nowNs(), 0);
    if (options.intervalMs === undefined) return;
    this.#timer = setInterval(() =>
      this.#end(() => {
        this.#report(nowNs());
        estimator.restart();
        options.counted?.calibration.restart();
        estimator.snapshot(nowNs(), 0);
        this.#lostBefore = options.source.stats().lost;
      }), options.intervalMs);
  }

  /** Ends an interval, with the counters as they are then. */
  #end(report: () => void): void {
    const { counted } = this.#options;
    const safely = (): void => {
      try {
        report();
      } catch (error) {
        this.#fail(error);
      }
    };
    if (!counted) return safely();
    this.#counted = this.#counted.then(() => counted.count()).catch(this.#fail).then(() => this.#isOver || safely());
  }

  get name(): string {
    return this.#name;
  }
  get written(): number {
    return this.#written;
  }
  get ended(): Promise<unknown> {
    return Promise.race([this.#spool.ended, this.#failed]);
  }
  get isWaiting(): boolean {
    return this.#spool.isWaiting;
  }

  take(batch: Batch): void {
    this.#written += batch.samples;
    this.#options.chosen?.take(batch);
    this.#estimator.take(batch);
    this.#options.counted?.calibration.take(batch);
    this.#options.twice?.take(batch);
    if (this.#options.recorded) this.#timeOf(batch);
  }

  full(): Promise<void> | undefined {
    return this.#spool.full();
  }

  flush(): Promise<void> {
    return this.#spool.flush();
  }

  async close({ failed = false }: Closing): Promise<void> {
    clearInterval(this.#timer);
    const { counted, recorded } = this.#options;
    if (counted) {
      await this.#counted;
      await counted.count();
    }
    // About nothing there is nothing to report if the source says why there is nothing.
    if (!failed || this.#written > 0) this.#report(recorded ? nanoseconds(this.#last) : nowNs());
    await this.#printed;
    await this.#spool.close();
  }

  abort(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#spool.abort();
  }

  #report(atNs: bigint): void {
    const { source, recorded, counted, hosts } = this.#options;
    const estimated = this.#estimator.snapshot(atNs);
    const snapshot = counted ? calibrate(estimated, counted.calibration) : estimated;
    const lost = source.stats().lost - this.#lostBefore;
    const estimates = reportOf(snapshot, atNs, lost, this.#options);
    const report = recorded ? { ...estimates, seconds: between(this.#first, this.#last) } : estimates;
    if (!hosts) return this.#print(report);
    // Names looked up now are in this report if they arrive soon; meanwhile the next interval has begun.
    for (const flow of snapshot.flows) flow.by.forEach((text, i) => hostOf(hosts, snapshot.by[i]!, text));
    this.#printed = this.#printed.then(() => hosts.settled(NAMES_MS)).then(() => this.#print(report)).catch(this.#fail);
  }

  #print(report: Report): void {
    this.#spool.output.text(this.#write(report));
    this.#spool.entered(0);
    this.#spool.settle(false);
  }

  /** Takes note of when the samples of a batch were taken. */
  #timeOf(batch: Batch): void {
    const clock = this.#clock;
    const { entries, count } = batch;
    const halves = this.#halves;
    // Time stamps are compared as they are: only the earliest and the latest of a batch are worth a division.
    let [firstHigh, firstLow, lastHigh, lastLow] = [-1, 0, -1, 0];
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      // Group events have no time of their own: that of their record may be of another clock.
      if (entry.type !== "sample") continue;
      if (entry.readTimestamp(halves)) {
        const { high, low } = halves;
        if (high > lastHigh || (high === lastHigh && low > lastLow)) {
          lastHigh = high;
          lastLow = low;
        }
        if (firstHigh < 0 || high < firstHigh || (high === firstHigh && low < firstLow)) {
          firstHigh = high;
          firstLow = low;
        }
        continue;
      }
      if (!batch.hasTime(i)) continue;
      batch.readTime(i, clock);
      this.#note(clock);
    }
    if (firstHigh < 0) return;
    clock.splitHalves(firstHigh, firstLow);
    this.#note(clock);
    clock.splitHalves(lastHigh, lastLow);
    this.#note(clock);
  }

  #note({ seconds, nanoseconds }: Clock): void {
    if (!this.#last || isLater(seconds, nanoseconds, this.#last)) {
      this.#last = set(this.#last, seconds, nanoseconds);
      this.#first ??= { seconds, nanoseconds };
    } else if (!isLater(seconds, nanoseconds, this.#first!)) {
      this.#first = set(this.#first, seconds, nanoseconds);
    }
  }
}

/** A time since 1970. */
interface Moment {
  seconds: number;
  nanoseconds: number;
}

function isLater(seconds: number, nanoseconds: number, than: Moment): boolean {
  return seconds > than.seconds || (seconds === than.seconds && nanoseconds > than.nanoseconds);
}

function set(moment: Moment | undefined, seconds: number, nanoseconds: number): Moment {
  if (!moment) return { seconds, nanoseconds };
  moment.seconds = seconds;
  moment.nanoseconds = nanoseconds;
  return moment;
}

function between(first: Moment | undefined, last: Moment | undefined): number {
  return first && last ? last.seconds - first.seconds + (last.nanoseconds - first.nanoseconds) / 1e9 : 0;
}

function nanoseconds(moment: Moment | undefined): bigint {
  return moment ? BigInt(moment.seconds) * 1_000_000_000n + BigInt(moment.nanoseconds) : 0n;
}
