/** Recordings: their formats, and files that follow one another. */
import type { Entry } from "../mod.ts";
import type { Output } from "../src/format/output.ts";
import { NetlinkWriter } from "../src/format/pcap/netlink_writer.ts";
import { PcapngWriter } from "../src/format/pcapng/writer.ts";
import type * as formats from "../src/format/recorder.ts";
import { type Device, type Devices, NO_DEVICES } from "../src/link/device.ts";
import { Ledger } from "../src/receive/ledger.ts";
import { BatchBuffer } from "../src/stream/batch.ts";
import process from "node:process";
import type { Io, OutFile } from "./io.ts";
import type { Details } from "./names.ts";
import { milliseconds, UsageError, wrongValue } from "./options.ts";
import { VERSION } from "./version.ts";

/** `pcap` is the netlink messages, as libpsample records them; `pcapng` the packets themselves. */
export type RecordingFormat = "pcap" | "pcapng";

/** Writes files in one format, one after the other. */
export interface Recorder {
  /** What a file begins with. */
  begin(output: Output): void;
  /** Resolves when what the batch needs to be known is known; `undefined` where it is already. */
  prepare?(batch: readonly Entry[]): Promise<void> | undefined;
  /** Enters how many messages the socket has dropped so far. */
  drops?(total: number): void;
  /** By how much one entry and the end make the file longer, at most. */
  mostBytes(entry: Entry): number;
  /** Writes one entry; `clockNs` is the time of a sample that has none of its own. */
  write(output: Output, entry: Entry, clockNs: bigint): void;
  /** What a file ends with. `time` is from when to when it was recorded, where that is now. */
  end(output: Output, time?: { readonly startNs: bigint; readonly endNs: bigint }): void;
}

/** The netlink messages themselves (pcap, link type 253). */
export function pcapRecorder(): Recorder {
  return entryByEntry(new NetlinkWriter(), NO_DEVICES);
}

/** The sampled packets (pcapng). */
export function pcapngRecorder(details: Details): Recorder {
  const find = (ifindex: number, nsid: number | undefined): Device | undefined => {
    const device = details.device?.(ifindex, nsid);
    const name = device?.name ?? details.interfaceName(ifindex, nsid);
    return device || name !== undefined ? { name, type: device?.type, address: device?.address } : undefined;
  };
  return {
    ...entryByEntry(new PcapngWriter({ application: `psample ${VERSION}`, hardware: process.arch, os: "Linux" }), { find }),
    prepare: (batch) => details.prepare?.(batch),
  };
}

/** A recorder that gets one entry at a time. */
function entryByEntry(recorder: formats.Recorder, devices: Devices): Recorder {
  const batch = new BatchBuffer();
  const ledger = new Ledger();
  batch.recorded = true;
  batch.devices = devices;
  let dropped = 0;
  return {
    begin: (output) => recorder.begin(output),
    drops: (total) => {
      batch.clear();
      batch.dropped = total - dropped;
      dropped = total;
      recorder.enter(batch);
    },
    mostBytes: (entry) => recorder.mostBytes(entry),
    write: (output, entry, clockNs) => {
      batch.clear();
      if (entry.type === "sample") {
        batch.add(entry, ledger.sample(entry));
      } else {
        batch.add(entry);
        ledger.event(entry);
      }
      batch.recordedAt(Number(clockNs / 1_000_000_000n), Number(clockNs % 1_000_000_000n));
      recorder.enter(batch);
      recorder.write(output, batch, 0);
    },
    end: (output, period) => recorder.end(output, { period }),
  };
}

/** When a recording goes on in a new file. */
export interface Rotation {
  /** No file gets longer, unless by its first packet. */
  readonly bytes: number | undefined;
  /** No file has packets that are farther apart. */
  readonly periodNs: bigint | undefined;
  /** So many files are kept, of those that this run wrote. */
  readonly keep: number;
}

/** Where a recording goes. */
export interface Target {
  /** Opens the next file; the one before is closed. */
  next(): OutFile;
  /** When that is; never unless given. */
  readonly rotation?: Rotation | undefined;
}

/** What the options say about a recording. */
export interface RecordingPlan {
  readonly format: RecordingFormat;
  readonly rotation: Rotation | undefined;
}

/** The format that the name of a file means. */
export function formatOf(file: string | undefined): RecordingFormat | undefined {
  const extension = /\.(pcapng|pcap)$/i.exec(file ?? "")?.[1]?.toLowerCase();
  return extension as RecordingFormat | undefined;
}

const UNITS: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, gb: 1e9 };

/** Reads the values of `--rotate`: a size, a time, or both. */
export function rotateAt(texts: readonly string[], option: string): Pick<Rotation, "bytes" | "periodNs"> {
  let bytes: number | undefined;
  let periodNs: bigint | undefined;
  for (const text of texts) {
    const size = /^(\d+(?:\.\d+)?)([kmg]b)$/i.exec(text);
    if ((size ? bytes : periodNs) !== undefined) throw new UsageError(`${option} was given two ${size ? "sizes" : "times"}`);
    if (size) {
      bytes = Math.floor(Number(size[1]) * UNITS[size[2]!.toLowerCase()]!);
      if (bytes < 1 || bytes > Number.MAX_SAFE_INTEGER) throw new UsageError(`${option} is "${text}": invalid file size`);
    } else {
      // A bare number is a time for other options: here it could as well be a size.
      if (/^[\d.]*$/.test(text)) throw wrongValue(option, text, "a size such as 100MB or a time such as 1h");
      periodNs = BigInt(Math.round(milliseconds(text, option) * 1e6));
    }
  }
  return { bytes, periodNs };
}

/** The name of the file with this number, from 1: `FILE-00001.pcapng`. */
export function rotatedName(file: string, number: number): string {
  const [, stem, extension] = /^(.*?)(\.[^./]*)?$/s.exec(file)!;
  return `${stem}-${String(number).padStart(5, "0")}${extension ?? ""}`;
}

/** Whether a recording to `file` writes to `path`. */
export function writesTo({ rotation }: RecordingPlan, file: string, path: string): boolean {
  if (!rotation) return file === path;
  const [, number] = /-(\d{5,})(?:\.[^./]*)?$/.exec(path) ?? [];
  return number !== undefined && rotatedName(file, Number(number)) === path;
}

/** The files of a recording. The first is made at once. */
export function fileTarget(io: Io, file: string, rotation: Rotation | undefined): Target {
  if (!rotation) {
    const only = io.create(file);
    return { next: () => only };
  }
  const names: string[] = [];
  let number = 0;
  const create = (): OutFile => {
    const name = rotatedName(file, ++number);
    const out = io.create(name);
    names.push(name);
    if (names.length > rotation.keep) io.remove(names.shift()!);
    return out;
  };
  let first: OutFile | undefined = create();
  return {
    rotation,
    next: () => {
      const out = first ?? create();
      first = undefined;
      return out;
    },
  };
}

/** Now, in nanoseconds since 1970, for messages without a time of their own. */
export function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
