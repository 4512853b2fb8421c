/**
 * One run of a command: which signals it handles and how, how long it may take, its messages and its exit status. It covers one pump, and
 * everything that has to be waited for before that.
 *
 * - INT, TERM and HUP end it: what is queued is still delivered, within a time limit. The second of them ends it at once. That is so until
 *   everything is delivered, also after the end of the source or a limit. A command that is a service reloads at HUP instead, unless that
 *   means that its terminal was closed.
 * - USR1 prints the numbers so far; USR2 reopens the recording.
 * - Every other signal that would end the process ends it as INT does, and then the process dies of it.
 */
import { pump, type PumpOptions, type Summary } from "../src/stream/pump.ts";
import type { Sink } from "../src/stream/sink.ts";
import { SinkSet } from "../src/stream/sink_set.ts";
import type { Source } from "../src/stream/source.ts";
import type { Stage } from "../src/stream/stage.ts";
import { StageChain } from "../src/stream/stage_chain.ts";
import type { ListenStats } from "../src/stream/stats.ts";
import { failureText } from "./failure.ts";
import type { Io } from "./io.ts";
import { StatusLine } from "./status_line.ts";
import { plural } from "./summary.ts";
import type { Tally } from "./tally.ts";
import { scaled } from "./top/figures.ts";

/** The exit statuses. */
export const STATUS = {
  /** Done. */
  done: 0,
  /** Something was not done. */
  failure: 1,
  /** Usage error. */
  usage: 2,
  /** Samples were lost, and `--fail-on-loss` was given. */
  loss: 3,
} as const;

/** How to run. */
export interface SessionOptions {
  /** No notices and no summary. */
  readonly quiet: boolean;
  /** Where notices and the summary go. Defaults to standard error. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Time limit in milliseconds, from now on. Defaults to none. */
  readonly duration?: number | undefined;
  /** Whether losses are a failure. Defaults to false. */
  readonly failOnLoss?: boolean | undefined;
  /** Whether it is a service, which reloads at HUP: one that comes before it can is answered as soon as it can. Defaults to false. */
  readonly reloads?: boolean | undefined;
}

/** What a sink has delivered; `missed` is how many samples came while it was not there. */
type Delivered = Pick<Sink, "name" | "written" | "skipped"> & { readonly left?: boolean; readonly missed: number };

/** What to pump, besides the source. */
export interface PumpPlan {
  readonly sinks: readonly Sink[] | SinkSet;
  /** Defaults to none. */
  readonly stages?: readonly Stage[];
  /** Stop after this many samples. Defaults to no limit. */
  readonly count?: number | undefined;
  /** The numbers so far in one line, for USR1 and for the end; `written` is the number of samples delivered. */
  readonly account: (stats: ListenStats, written: number) => string;
  /** Whether the numbers at the end are informative: if not, they are printed only at a terminal. */
  readonly summary: (stats: ListenStats) => boolean;
  /** Ends what makes the samples. Resolves when nothing more is made, and the numbers are final. Defaults to doing nothing. */
  readonly settle?: (() => Promise<void>) | undefined;
  /** Reopens the recording, for USR2. Defaults to doing nothing. */
  readonly reopen?: (() => void) | undefined;
  /** Reloads, for HUP. Defaults to ending. */
  readonly reload?: (() => void) | undefined;
  /** Size of the recording in bytes, if its progress is to be shown at a terminal. */
  readonly recordedBytes?: (() => number) | undefined;
  /** The progress, to be shown at a terminal. Defaults to that of the recording. */
  readonly progress?: (() => string) | undefined;
  /** The tally that the progress line takes the traffic from; one of the stages. */
  readonly tally?: Tally | undefined;
  /** The message for a user at a terminal who has seen nothing for this many seconds from the start. */
  readonly silence?: ((seconds: number, stats: ListenStats) => string | undefined | Promise<string | undefined>) | undefined;
}

/** How long to count, at most, what comes after a limit: normally that is what one receive buffer holds. */
const COUNT_MS = 2000;

/** After how many seconds psample says at a terminal why nothing arrives. */
const SILENCE_S = 5;

/** An empty source, for sessions that were over before they began. */
export const NOTHING: Source = {
  read: () => undefined,
  end: () => {},
  close: () => Promise.resolve(),
  stats: () => ({
    received: 0,
    events: 0,
    lost: 0,
    gaps: 0,
    dropped: 0,
    late: 0,
    duplicates: 0,
    malformed: 0,
    lastMalformed: undefined,
    unknown: 0,
    filtered: false,
    receiveBufferBytes: 0,
    groups: [],
    others: { received: 0, lost: 0, late: 0, duplicates: 0 },
  }),
};

/** These end the process without an error; it dies of all others. */
const ORDERLY: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP"]);

/** Runs `work` and resolves to the exit status, when it and everything that it started is over. */
export async function inSession(io: Io, options: SessionOptions, work: (session: Session) => Promise<void>): Promise<number> {
  const session = new Session(io, options, await io.watchTerminal());
  const deaf = await io.hearSignals((signal) => session.hear(signal));
  let status: number;
  try {
    await work(session);
    session.tellIfLate();
    status = session.status();
  } finally {
    session.close();
    const { deadly } = session;
    // Before the handlers are removed: the process must not die of another signal on its way.
    if (deadly !== undefined) await io.dieOf(deadly);
    deaf();
  }
  return status;
}

/**
 * Answers USR1 with `account` until the function that it resolves to is called, for what takes a while and pumps nothing: there is nothing
 * to reopen for USR2, and every other signal does what it does to any program.
 */
export async function answer(io: Io, account: () => string): Promise<() => void> {
  return await io.hearSignals((signal) => {
    if (signal === "SIGUSR1") io.err(`psample: ${account()}\n`);
    else if (signal !== "SIGUSR2") void io.dieOf(signal);
  });
}

/** Does something that takes a while and pumps nothing, and answers USR1 with `account` meanwhile. */
export async function answering<Result>(io: Io, account: string, work: () => Promise<Result>): Promise<Result> {
  const deaf = await answer(io, () => account);
  try {
    return await work();
  } finally {
    deaf();
  }
}

/** Shows how a recording grows. */
function progressOf(source: Source, recordedBytes: () => number, tally: Tally | undefined): () => string {
  let [before, beforeMs] = [source.stats().received, performance.now()];
  return () => {
    const { received, lost } = source.stats();
    const nowMs = performance.now();
    const perSecond = (received - before) / (nowMs - beforeMs) * 1000;
    [before, beforeMs] = [received, nowMs];
    const traffic = tally?.recent();
    const parts = [
      `${Math.round(perSecond).toLocaleString("en")} samples/s`,
      ...traffic === undefined ? [] : [`about ${traffic}`],
      `${scaled(recordedBytes(), "B")} recorded`,
      `lost ${lost}`,
    ];
    return parts.join(", ");
  };
}

/** Whether a run came to its own end, or to a limit: no signal ended it, and no reader that did not take everything in time. */
export function endedByItself({ end }: Summary): boolean {
  return end === "source" || end === "count" || end === "duration";
}

/** A command's view of its run. */
export class Session {
  /** Aborts when the run is to end: at a signal, at the time limit, at the end of the pump. */
  readonly over: AbortSignal;
  /** Called whenever something that may take long, such as setting up ten thousand devices, has got further. */
  onProgress: () => void = () => {};
  /** The signal that the process has to die of, as soon as everything is cleaned up. */
  deadly: string | undefined;
  readonly #io: Io;
  readonly #options: SessionOptions;
  readonly #isTerminalClosed: () => boolean;
  readonly #over = new AbortController();
  readonly #signalled = new AbortController();
  readonly #cut = new AbortController();
  readonly #deadline: number | undefined;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #line: StatusLine;
  #account = (): string => "nothing was received yet";
  #reopen = (): void => {};
  #reload: (() => void) | undefined;
  #isReloadWanted = false;
  /** What was not done, as it was reported last. */
  failure: string | undefined;
  #lost = false;
  #hasPumped = false;
  /** Whether the time limit ended it while it was still starting. */
  #isLate = false;
  /** Whether something that was to be delivered was not, because nobody read it. */
  #short = false;

  constructor(io: Io, options: SessionOptions, isTerminalClosed: () => boolean) {
    this.#io = io;
    this.#isTerminalClosed = isTerminalClosed;
    this.#line = new StatusLine(io);
    this.#options = options;
    this.over = this.#over.signal;
    const { duration, reloads } = options;
    if (reloads) this.#reload = () => this.#isReloadWanted = true;
    if (duration === undefined) return;
    this.#deadline = performance.now() + duration;
    this.#timer = setTimeout(() => {
      this.#isLate = !this.#hasPumped && !this.over.aborted;
      this.#over.abort();
    }, duration);
  }

  /** Prints what a user asked for, also if notices are off: an answer to a signal. */
  tell(text: string): void {
    this.#tell(text);
  }

  /** The numbers so far in one line. */
  get account(): string {
    return this.#account();
  }

  /** Prints something that is good to know. */
  notice(text: string): void {
    const { quiet, onNotice } = this.#options;
    if (onNotice) onNotice(text);
    else if (!quiet) this.#tell(text);
  }

  /** Reports what was not done. */
  fail(text: string): void {
    this.failure = text;
    this.#tell(text);
  }

  /** Does something. If that fails, it is reported as something that was not done, and everything else continues. */
  async attempt(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const text = failureText(error);
      if (text === undefined) throw error;
      this.fail(text);
    }
  }

  #tell(text: string): void {
    this.#line.clear();
    this.#io.err(`psample: ${text}\n`);
  }

  /**
   * Does something that may take long, or forever, before there is anything to pump. Resolves to `undefined` if the run is to end before it
   * is done; its signal then tells `start` to release what it holds.
   */
  async begin<Result>(start: (signal: AbortSignal) => Promise<Result>): Promise<Result | undefined> {
    const starting = new AbortController();
    const stop = (): void => starting.abort();
    if (this.over.aborted) return undefined;
    this.over.addEventListener("abort", stop, { once: true });
    try {
      return await start(starting.signal);
    } catch (error) {
      if (starting.signal.aborted && error === starting.signal.reason) return undefined;
      throw error;
    } finally {
      this.over.removeEventListener("abort", stop);
    }
  }

  /** Waits for something that leaves nothing behind. Resolves to `undefined` if the run is to end before it is done. */
  async unlessOver<Result>(work: Promise<Result>): Promise<Result | undefined> {
    let stop = (): void => {};
    const over = new Promise<undefined>((resolve) => stop = () => resolve(undefined));
    if (this.over.aborted) stop();
    this.over.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([work, over]);
    } finally {
      this.over.removeEventListener("abort", stop);
    }
  }

  /** Moves everything from the source to the sinks. Resolves to `undefined` if every sink failed, which is reported already. */
  async pump(source: Source, plan: PumpPlan): Promise<Summary | undefined> {
    this.#hasPumped = true;
    const { stages = [], count, account } = plan;
    const sinks = plan.sinks instanceof SinkSet ? plan.sinks : new SinkSet(plan.sinks);
    const failures = new Set<unknown>();
    const options: PumpOptions = {
      signal: this.#signalled.signal,
      cut: this.#cut.signal,
      count,
      durationMs: this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - performance.now()),
      onSinkEnd: (sink, error) => {
        if (error === undefined) return this.#left(sink, sinks.sinks);
        const text = failureText(error);
        if (text === undefined) return;
        failures.add(error);
        this.fail(text);
      },
      onWait: (waiting, leftMs) => {
        const readers = waiting.map(({ name }) => name).join(" and ");
        this.notice(`waiting for the reader of ${readers} for up to ${Math.ceil(leftMs / 1000)} s; a second signal ends at once`);
      },
    };
    const numbers = (stats: ListenStats, delivered: readonly Delivered[]): string => {
      // A reader that went away does not count, unless there is no other.
      const present = delivered.filter(({ left }) => !left);
      const counted = present.length > 0 ? present : delivered;
      const most = Math.max(0, ...counted.map(({ written, missed }) => written + missed));
      // That nothing was delivered is said by what was dropped.
      const isBehind = ({ written, skipped, missed }: Delivered): boolean => written + missed < most && (written > 0 || skipped === 0);
      const behind = present.filter(isBehind).map(({ name, written }) => `; ${plural(written, "sample")} to ${name}`);
      return account(stats, most) + behind.join("");
    };
    const missed = (samples: number): number => sinks.samples - samples;
    this.#account = () => {
      const delivered = sinks.sinks.map((sink) => ({
        name: sink.name,
        written: sink.written,
        skipped: sink.skipped,
        missed: missed(sinks.samplesFor(sink)),
      }));
      return numbers(source.stats(), delivered);
    };
    this.#reopen = plan.reopen ?? this.#reopen;
    this.#reload = plan.reload;
    if (this.#isReloadWanted) this.#reload?.();
    const forTerminal = this.#forTerminal(source, sinks, plan);
    try {
      const summary = await pump(this.#watched(source, plan), stages, sinks, options);
      // A bug in a sink.
      const bug = summary.sinks.find(({ error }) => error !== undefined && !failures.has(error));
      if (bug) throw bug.error;
      await plan.settle?.();
      const { stats } = summary;
      // Samples that were cut off because nobody read them are lost too.
      for (const { name, samples, written, skipped, left, error, cut } of summary.sinks) {
        // What a sink has skipped because it makes nothing wait is a loss, and was reported by it.
        if (left || error !== undefined || !(cut || written + skipped < samples)) continue;
        this.#short = true;
        this.#tell(`${name} is incomplete: ${this.#whyShort(sinks.sinks.find((sink) => sink.name === name))}`);
      }
      this.#lost = stats.lost > 0 || stats.dropped > 0 || this.#short || summary.sinks.some(({ skipped }) => skipped > 0);
      if (plan.summary(stats) || this.#io.errIsTerminal) {
        this.notice(numbers(stats, summary.sinks.map((sink) => ({ ...sink, missed: missed(sink.samples) }))));
      }
      return summary;
    } catch (error) {
      if (failures.has(error)) {
        await plan.settle?.();
        this.notice(this.#account());
        return undefined;
      }
      // The source has failed. Before it says why: what came until then, and went on.
      if (failureText(error) !== undefined && sinks.samples > 0) this.notice(this.#account());
      throw error;
    } finally {
      forTerminal.end();
      if (sinks.samples > 0) this.#isLate = false;
      // From here on HUP ends it.
      this.#reload = undefined;
      this.#over.abort();
    }
  }

  /** Why not everything was delivered: only what can wait for a reader has one. */
  #whyShort(sink: Sink | undefined): string {
    if (!sink || sink.isWaiting !== undefined) return "its reader did not take everything in time";
    return this.#cut.signal.aborted
      ? "a second signal ended it before everything was delivered"
      : "not everything could be delivered in time";
  }

  /** Shows at a terminal the progress, or why nothing comes. */
  #forTerminal(source: Source, sinks: SinkSet, { silence, recordedBytes, progress, tally }: PumpPlan): { end(): void } {
    if (!this.#io.errIsTerminal || this.#options.quiet) return { end: () => {} };
    const text = progress ?? (recordedBytes && progressOf(source, recordedBytes, tally));
    if (text) this.#line.start(text);
    const timer = silence && setTimeout(async () => {
      if (sinks.sinks.some(({ written }) => written > 0)) return;
      const text = await silence(SILENCE_S, source.stats());
      if (text !== undefined && !this.over.aborted) this.notice(text);
    }, SILENCE_S * 1000);
    return {
      end: () => {
        clearTimeout(timer);
        this.#line.end();
      },
    };
  }

  /** What a signal does. */
  hear(signal: string): void {
    if (signal === "SIGUSR1") return this.#tell(this.#account());
    if (signal === "SIGUSR2") return this.#reopen();
    // Whoever closes the terminal that it was started at does not ask for a reload: nobody could end it with Ctrl-C any more.
    if (signal === "SIGHUP" && this.#reload && !this.#isTerminalClosed()) return this.#reload();
    if (!ORDERLY.has(signal)) this.deadly ??= signal;
    if (this.#signalled.signal.aborted) return this.#cut.abort();
    this.#over.abort();
    this.#signalled.abort();
  }

  /** Says so if nothing was done because the time limit was over too soon. */
  tellIfLate(): void {
    if (this.#isLate) this.notice("the time limit was over before anything was received: it counts from the start of the command");
  }

  /** The exit status so far. */
  status(): number {
    if (this.failure !== undefined) return STATUS.failure;
    if (this.#lost && this.#options.failOnLoss) return STATUS.loss;
    return this.#short ? STATUS.failure : STATUS.done;
  }

  /** Releases everything. */
  close(): void {
    clearTimeout(this.#timer);
  }

  /**
   * The source; asking it to end ends the run too. If samples are made for this run, that is ended first, and samples that came after a
   * limit, or that no sink was left for, are counted: so they match the counters of what passed.
   */
  #watched(source: Source, { settle, stages = [] }: PumpPlan): Source {
    let reading: unknown;
    let ending: Promise<void> | undefined;
    const end = (): Promise<void> => {
      this.#over.abort();
      return ending ??= settle!().finally(() => source.end());
    };
    return {
      read: () => {
        const read = source.read();
        reading = read;
        return read;
      },
      end: () => {
        if (settle) return void end().catch(() => {});
        this.#over.abort();
        source.end();
      },
      close: async () => {
        if (settle && !this.#cut.signal.aborted) {
          await end();
          // A source that has failed has nothing more.
          const isFine = await Promise.resolve(reading).then(() => true, () => false);
          if (isFine) await this.#count(source, stages);
        }
        await source.close();
      },
      stats: () => source.stats(),
    };
  }

  /** Counts what is left in the source. */
  async #count(source: Source, stages: readonly Stage[]): Promise<void> {
    const chain = new StageChain(stages);
    const deadline = performance.now() + COUNT_MS;
    while (!this.#cut.signal.aborted && performance.now() < deadline) {
      const batch = await source.read();
      if (!batch) return;
      chain.choose(batch);
    }
  }

  /** The reader of one of several sinks has gone. */
  #left(sink: Sink, sinks: readonly Sink[]): void {
    const others = sinks.filter((other) => other !== sink).map(({ name }) => name);
    if (others.length > 0) this.notice(`nobody reads ${sink.name} any more; ${others.join(", ")} continues`);
  }
}
