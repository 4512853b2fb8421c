/** Where samples and events go: text, JSON, recordings. Each takes a batch at a time. */
import type { Entry, ListenStats } from "../mod.ts";
import { JsonWriter } from "../src/format/json.ts";
import type { Output } from "../src/format/output.ts";
import { formatGroupEvent, TextWriter } from "../src/format/text.ts";
import { loadSys } from "../src/sys/load.ts";
import { type Details, namedDevices } from "./names.ts";
import { clock, type Recorder, type Target } from "./recording.ts";
import type { Out } from "./io.ts";
import { Spool } from "./spool.ts";

/** What the source of a batch knows beside it. */
export interface Account {
  /** What was received and lost so far, of a source that receives now. */
  stats?(): ListenStats;
  /** When a sample without a time of its own was recorded. */
  recordedNs?(entry: Entry): bigint | undefined;
  /** True while more is there at once: what is gathered need not be written yet. */
  readonly more?: boolean;
}

/** Takes what was received, a batch at a time. */
export interface Sink {
  /** How many samples are written. */
  readonly samples: number;
  /** Resolves when the batch is written, or gathered where more is there at once. */
  write(batch: readonly Entry[], account?: Account): Promise<void>;
  /** Called at the end, also of what failed; again it does nothing. */
  close(account?: Account): Promise<void> | void;
}

/** How {@linkcode textSink} prints. */
export interface TextSinkOptions {
  /** Each packet's bytes below its line. */
  verbose: boolean;
  /** What libpsample does not print, behind its fields. */
  details: Details | undefined;
}

/** libpsample's lines. */
export function textSink(out: Out, { verbose, details }: TextSinkOptions): Sink {
  const devices = details && namedDevices(details);
  let writer: TextWriter | undefined;
  const write = (output: Output, entry: Entry): void => {
    if (entry.type === "sample") writer!.writeSample(output, entry, devices);
    else output.text(formatGroupEvent(entry));
  };
  return lines(out, write, async (batch) => {
    if (!writer) {
      const sys = await loadSys();
      writer = new TextWriter({ verbose, details: details !== undefined, utcOffset: (seconds) => sys.utcOffset(seconds) });
    }
    await details?.prepare?.(batch);
  });
}

/** One JSON object a line. */
export function jsonSink(out: Out): Sink {
  const writer = new JsonWriter();
  return lines(out, (output, entry) => writer.writeEntry(output, entry));
}

function lines(
  out: Out,
  write: (output: Output, entry: Entry) => void,
  prepare?: (batch: readonly Entry[]) => Promise<void> | undefined,
): Sink {
  const spool = new Spool(out);
  return {
    get samples() {
      return spool.samples;
    },
    write: async (batch, account) => {
      await prepare?.(batch);
      for (const entry of batch) {
        write(spool.output, entry);
        if (spool.gathered(entry)) await spool.writeBlocks();
      }
      await spool.settle(account?.more);
    },
    close: () => spool.writeAll(),
  };
}

/** A recording. What a file begins with is written at once, so that one that is cut off early can be read. */
export function recordingSink(target: Target, recorder: Recorder): Sink {
  const { rotation } = target;
  let file = target.next();
  const spool = new Spool(file);
  const { output } = spool;
  let closed = false;
  // Of this file: how many entries it has, when it was begun, and the time of its first sample.
  let entries = 0;
  let startNs = clock();
  let firstNs: bigint | undefined;

  const end = async (account: Account | undefined): Promise<void> => {
    recorder.end(output, account?.stats && { startNs, endNs: clock() });
    await spool.writeAll();
    file.close();
  };
  const rotate = async (account: Account | undefined): Promise<void> => {
    await end(account);
    file = target.next();
    spool.changeTo(file);
    entries = 0;
    startNs = clock();
    firstNs = undefined;
    recorder.begin(output);
  };
  const isFull = (entry: Entry, clockNs: bigint): boolean => {
    const { bytes, periodNs } = rotation!;
    if (bytes !== undefined && entries > 0 && spool.bytes + output.length + recorder.mostBytes(entry) > bytes) return true;
    if (periodNs === undefined || entry.type !== "sample") return false;
    const timestampNs = entry.timestampNs ?? clockNs;
    firstNs ??= timestampNs;
    return timestampNs - firstNs >= periodNs;
  };

  recorder.begin(output);
  let begun: Promise<void> | undefined = spool.writeAll();
  // Whoever writes next is told.
  begun.catch(() => {});
  return {
    get samples() {
      return spool.samples;
    },
    write: async (batch, account) => {
      await begun;
      begun = undefined;
      await recorder.prepare?.(batch);
      const now = clock();
      if (recorder.drops && account?.stats) recorder.drops(account.stats().dropped);
      for (const entry of batch) {
        const clockNs = account?.recordedNs?.(entry) ?? now;
        if (rotation && isFull(entry, clockNs)) {
          await rotate(account);
          if (entry.type === "sample") firstNs = entry.timestampNs ?? clockNs;
        }
        recorder.write(output, entry, clockNs);
        entries++;
        if (spool.gathered(entry)) await spool.writeBlocks();
      }
      await spool.settle(account?.more);
    },
    close: async (account) => {
      if (closed) return;
      closed = true;
      try {
        await begun;
        if (recorder.drops && account?.stats) recorder.drops(account.stats().dropped);
      } catch (error) {
        file.close();
        throw error;
      }
      await end(account);
    },
  };
}
