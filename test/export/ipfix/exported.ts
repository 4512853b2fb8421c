/** What an encoder makes of batches. */
import type { Device } from "../../../src/link/device.ts";
import { type DatagramEncoder, Datagrams, type SendDatagrams } from "../../../src/export/datagrams.ts";
import type { GroupEvent } from "../../../src/psample/group.ts";
import { viewMessage } from "../../../src/psample/group.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { Ledger } from "../../../src/receive/ledger.ts";
import { BatchBuffer } from "../../../src/stream/batch.ts";
import { messageOf } from "../../../src/wire/message.ts";
import { bytes, join, message, number } from "../../psample/build.ts";
import { IpfixDecoder, type IpfixMessage, type IpfixRecord } from "./decoder.ts";

/** When batches are read unless told otherwise. */
export const READ_NS = 1_784_000_000_000_000_000n;

/** An encoder and what it sends. */
export class Exported<Encoder extends DatagramEncoder> {
  readonly encoder: Encoder;
  /** Datagrams that were sent, each with its number of samples. */
  readonly datagrams: { readonly bytes: Uint8Array; readonly samples: number }[] = [];
  readonly #batch = new BatchBuffer();
  readonly #ledger = new Ledger();
  readonly #decoder = new IpfixDecoder();
  #read = 0;

  /** @param devices The devices of the machine. */
  constructor(
    make: (datagrams: Datagrams, send: SendDatagrams) => Encoder,
    devices: (ifindex: number) => Device | undefined = () => undefined,
    blockBytes = 1 << 16,
  ) {
    this.#batch.devices = { find: devices };
    this.encoder = make(new Datagrams(new Uint8Array(blockBytes), 16), (datagrams) => {
      for (let i = 0; i < datagrams.count; i++) {
        const bytes = datagrams.bytes.slice(i === 0 ? 0 : datagrams.ends[i - 1]!, datagrams.ends[i]!);
        this.datagrams.push({ bytes, samples: datagrams.samples[i]! });
      }
      datagrams.clear();
    });
  }

  /** Gives it a batch; before it the socket has dropped some. */
  take(entries: readonly (SampleView | GroupEvent)[], atNs: bigint = READ_NS, { dropped = 0, recorded = false } = {}): this {
    const batch = this.#batch;
    batch.clear();
    batch.readAtNs = atNs;
    batch.dropped = dropped;
    batch.recorded = recorded;
    for (const entry of entries) {
      if (entry.type !== "sample") this.#ledger.event(entry);
      batch.add(entry, entry.type === "sample" ? this.#ledger.sample(entry) : undefined);
      batch.recordedAt(Number(atNs / 1_000_000_000n), Number(atNs % 1_000_000_000n));
    }
    this.encoder.take(batch);
    return this;
  }

  flush(atNs: bigint = READ_NS): this {
    this.encoder.flush(atNs);
    return this;
  }

  /** The messages sent since this was last asked. */
  messages(): IpfixMessage[] {
    const messages = this.datagrams.slice(this.#read).map(({ bytes }) => this.#decoder.read(bytes));
    this.#read = this.datagrams.length;
    return messages;
  }

  /** Their records of data; of options with `scope` as the first field instead, if it is given. */
  records(scope?: string): IpfixRecord[] {
    return this.messages().flatMap(({ records }) => records).filter((record) =>
      scope === undefined ? record.scopes === 0 : record.scopes > 0 && [...record.fields.keys()][0] === scope
    );
  }
}

/** What a sample has. */
export interface SampleParts {
  in?: number;
  out?: number;
  originalBytes?: number;
  group?: number;
  sequence?: number;
  rate?: number;
  isProbability?: boolean;
  timestampNs?: bigint;
  protocol?: number;
  data?: Uint8Array;
  cookie?: Uint8Array;
  outTc?: number;
  occupancy?: bigint;
  latencyNs?: bigint;
  portId?: number;
  tunnel?: Uint8Array;
}

/** A sample by hand, of this network namespace or another; it has nothing that is not given. */
export function sampleOf(parts: SampleParts, nsid?: number): SampleView {
  const { data, cookie, tunnel } = parts;
  const numbers = [
    [0, 2, parts.in],
    [1, 2, parts.out],
    [5, 4, parts.rate],
    [2, 4, parts.originalBytes],
    [3, 4, parts.group],
    [4, 4, parts.sequence],
    [10, 2, parts.outTc],
    [11, 8, parts.occupancy],
    [12, 8, parts.latencyNs],
    [13, 8, parts.timestampNs],
    [14, 2, parts.protocol],
  ] as const;
  const attributes = numbers.filter(([, , value]) => value !== undefined)
    .map(([type, size, value]) => [type, number(size, value!)] as const);
  const sample = viewMessage(
    messageOf(message([
      ...attributes,
      ...(data ? [[6, data] as const] : []),
      ...(tunnel ? [[8, tunnel] as const] : []),
      ...(cookie ? [[15, cookie] as const] : []),
      ...(parts.isProbability ? [[16, new Uint8Array(0)] as const] : []),
    ], parts.portId === undefined ? {} : { portId: parts.portId })),
    nsid,
  );
  if (sample?.type !== "sample") throw new Error("not a sample");
  return sample;
}

/** An IPv4 packet with the first 8 bytes of UDP or TCP. */
export function ipPacket(source: string, destination: string, sourcePort: number, destinationPort: number, ipBytes: number): Uint8Array {
  const packet = new Uint8Array(28);
  const view = new DataView(packet.buffer);
  view.setUint16(0, 0x4500);
  view.setUint16(2, ipBytes);
  view.setUint8(8, 64);
  view.setUint8(9, 17);
  packet.set(source.split(".").map(Number), 12);
  packet.set(destination.split(".").map(Number), 16);
  view.setUint16(20, sourcePort);
  view.setUint16(22, destinationPort);
  view.setUint16(24, ipBytes - 20);
  return packet;
}

/** The same in a frame. */
export function ipFrame(...fields: Parameters<typeof ipPacket>): Uint8Array {
  return join(bytes("020000000002 020000000001 0800"), ipPacket(...fields));
}
