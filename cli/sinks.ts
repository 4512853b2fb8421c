/** Where samples and events go: text, JSON, recordings. Each takes a batch at a time. */
import type { Entry, ListenStats } from "../mod.ts";
import { writeJson } from "../src/format/json.ts";
import { Output } from "../src/format/output.ts";
import { formatGroupEvent, writeText } from "../src/format/text.ts";
import type { Details } from "./names.ts";
import { clock, type Recorder, type Target } from "./recording.ts";
import type { Out } from "./io.ts";

/** What the source of a batch knows beside it. */
export interface Account {
  /** What was received and lost so far, of a source that receives now. */
  stats?(): ListenStats;
  /** When a sample without a time of its own was recorded. */
  recordedNs?(entry: Entry): bigint | undefined;
}

/** Takes what was received, a batch at a time. */
export interface Sink {
  /** Resolves when the batch is written. */
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
  const options = { verbose, details };
  const sink = lines(out, (output, entry) => {
    if (entry.type === "sample") writeText(output, entry, options);
    else output.text(formatGroupEvent(entry));
  });
  if (!details?.prepare) return sink;
  return {
    ...sink,
    write: async (batch) => {
      await details.prepare!(batch);
      await sink.write(batch);
    },
  };
}

/** One JSON object a line. */
export function jsonSink(out: Out): Sink {
  return lines(out, writeJson);
}

/** How much is gathered before it is written: what stays in the processor's cache until the kernel has copied it. */
const MOST_AT_ONCE = 1 << 16;

function lines(out: Out, write: (output: Output, entry: Entry) => void): Sink {
  const output = new Output();
  return {
    write: async (batch) => {
      output.clear();
      for (const entry of batch) {
        write(output, entry);
        if (output.length < MOST_AT_ONCE) continue;
        await out.write(output.written);
        output.clear();
      }
      if (output.length > 0) await out.write(output.written);
    },
    close: () => {},
  };
}

/** A recording. What a file begins with is written at once, so that one that is cut off early can be read. */
export function recordingSink(target: Target, recorder: Recorder): Sink {
  const { rotation } = target;
  const output = new Output();
  let file = target.next();
  let closed = false;
  // Of this file: what is written, when it was begun, and the time of its first sample.
  let fileBytes = 0;
  let entries = 0;
  let startNs = clock();
  let firstNs: bigint | undefined;

  const flush = async (): Promise<void> => {
    if (output.length === 0) return;
    fileBytes += output.length;
    await file.write(output.written);
    output.clear();
  };
  const end = async (account: Account | undefined): Promise<void> => {
    recorder.end(output, account?.stats && { startNs, endNs: clock() });
    await flush();
    file.close();
  };
  const rotate = async (account: Account | undefined): Promise<void> => {
    await end(account);
    file = target.next();
    fileBytes = 0;
    entries = 0;
    startNs = clock();
    firstNs = undefined;
    recorder.begin(output);
  };
  const isFull = (entry: Entry, clockNs: bigint): boolean => {
    const { bytes, periodNs } = rotation!;
    if (bytes !== undefined && entries > 0 && fileBytes + output.length + recorder.mostBytes(entry) > bytes) return true;
    if (periodNs === undefined || entry.type !== "sample") return false;
    const timestampNs = entry.timestampNs ?? clockNs;
    firstNs ??= timestampNs;
    return timestampNs - firstNs >= periodNs;
  };

  recorder.begin(output);
  let begun: Promise<void> | undefined = flush();
  // Whoever writes next is told.
  begun.catch(() => {});
  return {
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
        if (output.length >= MOST_AT_ONCE) await flush();
      }
      await flush();
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
