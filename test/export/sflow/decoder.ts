/** A decoder of sFlow version 5 that shares nothing with the encoder, and is as strict as it can be. */

/** A datagram. */
export interface DecodedDatagram {
  agent: string;
  subAgent: number;
  sequence: number;
  uptimeMs: number;
  samples: DecodedSample[];
}

/** A record: its number, and its body. */
export interface DecodedRecord {
  format: number;
  body: Uint8Array<ArrayBuffer>;
}

/** A sample of any kind; what a kind does not have is undefined. */
export interface DecodedSample {
  format: number;
  sequence: number;
  sourceType: number;
  sourceIndex: number;
  rate?: number;
  pool?: number;
  drops?: number;
  input?: number;
  output?: number;
  reason?: number;
  records: DecodedRecord[];
}

/** A packet as the record of its header has it. */
export interface DecodedHeader {
  protocol: number;
  frameLength: number;
  stripped: number;
  header: Uint8Array<ArrayBuffer>;
}

class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  at = 0;
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4);
  }
  fixed(size: number): Uint8Array<ArrayBuffer> {
    if (this.at + size > this.#bytes.length) throw new Error(`${size} bytes at ${this.at} exceed ${this.#bytes.length}`);
    const value = this.#bytes.slice(this.at, this.at + size);
    this.at += size;
    while (this.at % 4 !== 0) if (this.#bytes[this.at++] !== 0) throw new Error(`padding at ${this.at - 1} is not 0`);
    return value;
  }
  opaque(): Uint8Array<ArrayBuffer> {
    return this.fixed(this.u32());
  }
  end(): void {
    if (this.at !== this.#bytes.length) throw new Error(`${this.#bytes.length - this.at} bytes left`);
  }
}

/** Reads a datagram; throws at anything that the standard does not have. */
export function decodeDatagram(bytes: Uint8Array<ArrayBuffer>): DecodedDatagram {
  const reader = new Reader(bytes);
  if (reader.u32() !== 5) throw new Error("not version 5");
  const type = reader.u32();
  if (type !== 1 && type !== 2) throw new Error(`address type ${type}`);
  const address = reader.fixed(type === 1 ? 4 : 16);
  const agent = type === 1 ? address.join(".") : [...address].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const [subAgent, sequence, uptimeMs, count] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const samples = Array.from({ length: count }, () => decodeSample(reader.u32(), reader.opaque()));
  reader.end();
  return { agent, subAgent, sequence, uptimeMs, samples };
}

function decodeSample(format: number, body: Uint8Array<ArrayBuffer>): DecodedSample {
  const reader = new Reader(body);
  const sequence = reader.u32();
  const isExpanded = format >= 3;
  const [sourceType, sourceIndex] = isExpanded ? [reader.u32(), reader.u32()] : split(reader.u32(), 24);
  const sample: DecodedSample = { format, sequence, sourceType, sourceIndex, records: [] };
  if (format === 1 || format === 3) {
    sample.rate = reader.u32();
    sample.pool = reader.u32();
    sample.drops = reader.u32();
    for (const side of ["input", "output"] as const) {
      const [kind, index] = isExpanded ? [reader.u32(), reader.u32()] : split(reader.u32(), 30);
      if (kind !== 0) throw new Error(`${side} of format ${kind}`);
      sample[side] = index;
    }
  } else if (format === 5) {
    sample.drops = reader.u32();
    sample.input = reader.u32();
    sample.output = reader.u32();
    sample.reason = reader.u32();
  } else if (format !== 2 && format !== 4) {
    throw new Error(`sample of format ${format}`);
  }
  const count = reader.u32();
  for (let i = 0; i < count; i++) sample.records.push({ format: reader.u32(), body: reader.opaque() });
  reader.end();
  return sample;
}

function split(word: number, bits: number): [number, number] {
  return [Math.floor(word / 2 ** bits), word % 2 ** bits];
}

/** The body of a record of this number; undefined if the sample has none. */
export function recordOf(sample: DecodedSample, format: number): Uint8Array<ArrayBuffer> | undefined {
  return sample.records.find((record) => record.format === format)?.body;
}

/** The words of a record. */
export function wordsOf(sample: DecodedSample, format: number): number[] | undefined {
  const body = recordOf(sample, format);
  if (!body) return undefined;
  const reader = new Reader(body);
  return Array.from({ length: body.length / 4 }, () => reader.u32());
}

/** The sampled header of a sample. */
export function headerOf(sample: DecodedSample): DecodedHeader {
  const reader = new Reader(recordOf(sample, 1)!);
  const header = { protocol: reader.u32(), frameLength: reader.u32(), stripped: reader.u32(), header: reader.opaque() };
  reader.end();
  return header;
}
