/** Runs the sFlow encoder without a socket. */
import { Datagrams } from "../../../src/export/datagrams.ts";
import { SflowEncoder } from "../../../src/export/sflow/encoder.ts";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";
import type { Device } from "../../../src/link/device.ts";
import { viewMessage } from "../../../src/psample/group.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { BatchBuffer, type EntryView } from "../../../src/stream/batch.ts";
import { messageOf } from "../../../src/wire/message.ts";
import { type Attribute, type Headers, message, number } from "../../psample/build.ts";

/** The time of everything that has none of its own. */
export const NOW_NS = 1_700_000_000_000_000_000n;

/** A datagram that was sent, and how many samples the encoder says are in it. */
export interface Sent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly samples: number;
}

/** What `use` makes an encoder send; it is flushed at the end. */
export function sent(
  options: Partial<SflowOptions>,
  use: (encoder: SflowEncoder) => void,
  block: { readonly bytes?: number; readonly most?: number } = {},
): Sent[] {
  const all: Sent[] = [];
  const datagrams = new Datagrams(new Uint8Array(block.bytes ?? 65_536), block.most ?? 16);
  const encoder = new SflowEncoder(datagrams, () => {
    for (let i = 0; i < datagrams.count; i++) {
      const start = i === 0 ? 0 : datagrams.ends[i - 1]!;
      all.push({ bytes: datagrams.bytes.slice(start, datagrams.ends[i]), samples: datagrams.samples[i]! });
    }
    // What was in the memory before must not show.
    datagrams.bytes.fill(0xee);
    datagrams.clear();
  }, { agent: "192.0.2.10", startNs: NOW_NS, ...options });
  use(encoder);
  encoder.flush(NOW_NS);
  return all;
}

/** What is known about entries besides themselves. */
export interface BatchParts {
  readonly devices?: readonly Device[];
  readonly atNs?: bigint;
  readonly dropped?: number;
  /** The losses before each entry. Defaults to 0. */
  readonly lost?: readonly (number | undefined)[];
  readonly recorded?: boolean;
}

/** A batch of entries. */
export function batchOf(entries: readonly EntryView[], parts: BatchParts = {}): BatchBuffer {
  const batch = new BatchBuffer();
  batch.clear();
  batch.readAtNs = parts.atNs ?? NOW_NS;
  batch.dropped = parts.dropped ?? 0;
  batch.recorded = parts.recorded ?? false;
  batch.devices = {
    find: (ifindex, nsid) => nsid === undefined ? parts.devices?.find(({ index }) => (index! & 0xffff) === ifindex) : undefined,
  };
  entries.forEach((entry, i) => {
    batch.add(entry, parts.lost && i < parts.lost.length ? parts.lost[i] : 0);
    batch.recordedAt(1_600_000_000, 5);
  });
  return batch;
}

/** An Ethernet device. */
export function ethernet(index: number, address?: string, type = 1): Device {
  return { index, name: `if${index}`, type, address: address === undefined ? undefined : hex(address) };
}

/** Bytes of hexadecimal digits, blanks aside. */
export function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.replace(/[\s|:]/g, "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** Fields of a sample that tests choose. */
export interface SampleParts {
  readonly input?: number | undefined;
  readonly output?: number | undefined;
  readonly bytes?: number | undefined;
  readonly oneIn?: number | undefined;
  /** In units of 1/4294967295. */
  readonly probability?: number | undefined;
  readonly data?: Uint8Array | undefined;
  readonly more?: readonly Attribute[] | undefined;
  readonly nsid?: number | undefined;
  readonly headers?: Headers | undefined;
}

/** A sample as a kernel would send it. */
export function sampleOf(parts: SampleParts): SampleView {
  const { input, output, data, oneIn, probability, bytes = data?.length ?? 0, more = [], nsid, headers } = parts;
  const list: Attribute[] = [];
  if (input !== undefined) list.push([0, number(input > 0xffff ? 4 : 2, input)]);
  if (output !== undefined) list.push([1, number(output > 0xffff ? 4 : 2, output)]);
  const rate = probability ?? oneIn;
  if (rate !== undefined) list.push([5, number(4, rate)]);
  list.push([2, number(4, bytes)], [3, number(4, 1)], [4, number(4, 0)], ...more);
  if (data) list.push([6, data]);
  if (probability !== undefined) list.push([16, new Uint8Array(0)]);
  return viewMessage(messageOf(message(list, headers)), nsid) as SampleView;
}
