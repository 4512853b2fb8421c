/** Where samples and events go: text, JSON, recordings. Each takes a batch and writes once. */
import type { Entry } from "../mod.ts";
import { writeJson } from "../src/format/json.ts";
import { Output } from "../src/format/output.ts";
import { writePcapFamily, writePcapHeader, writePcapRecord } from "../src/format/pcap.ts";
import { formatGroupEvent, writeText } from "../src/format/text.ts";
import type { Details } from "./names.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";
import type { Out } from "./io.ts";

/** Takes what was received, a batch at a time. */
export interface Sink {
  /** Resolves when the batch is written. */
  write(batch: readonly Entry[]): Promise<void>;
  /** Called once at the end. */
  close(): Promise<void> | void;
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

function lines(out: Out, write: (output: Output, entry: Entry) => void): Sink {
  const output = new Output();
  return {
    write: async (batch) => {
      output.clear();
      for (const entry of batch) write(output, entry);
      await out.write(output.written);
    },
    close: () => {},
  };
}

/**
 * A recording of the netlink messages themselves (pcap, link type 253). `family` is asked for the number that a
 * recording without messages names.
 */
export function pcapSink(out: Out, family: () => number, close: () => void = () => {}): Sink {
  const output = new Output();
  let named = -1;
  const name = (id: number, now: bigint): void => {
    if (named < 0) writePcapHeader(output);
    writePcapFamily(output, id, now);
    named = id;
  };
  return {
    write: async (batch) => {
      const now = clock();
      output.clear();
      for (const entry of batch) {
        const { message } = entry;
        if (!message) continue;
        // The number changes when the module is loaded anew.
        const id = viewOf(message).getUint16(4, LITTLE);
        if (id !== named) name(id, now);
        writePcapRecord(output, message, (entry.type === "sample" ? entry.timestampNs : undefined) ?? now);
      }
      await out.write(output.written);
    },
    close: async () => {
      // A recording of nothing is still a recording.
      if (named < 0) {
        output.clear();
        name(Math.max(family(), 0), clock());
        await out.write(output.written);
      }
      close();
    },
  };
}

/** Now, in nanoseconds since 1970, for messages without a time of their own. */
function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
