/**
 * A message with the layout of an earlier one takes a shortcut through the decoder. The result must be that of the full
 * decoder, whatever came before; it is compared with a simple reader without a shortcut.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { DecodeError, decodeSample, SampleDecoder, SampleView } from "../../src/psample/mod.ts";
import { type Attribute, bytes, message, number, WIDTHS } from "./build.ts";
import { recordedSamples } from "./recordings.ts";
import { messageOf } from "../../src/wire/message.ts";

/** The last value of each attribute; `undefined` if the attributes do not fill the message. */
function plain(message: Uint8Array, little: boolean): Record<string, unknown> | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const values = new Map<number, Uint8Array>();
  const unknown: number[] = [];
  for (let at = 20; at < message.length;) {
    if (message.length - at < 4) return undefined;
    const size = view.getUint16(at, little);
    if (size < 4 || size > message.length - at) return undefined;
    const type = view.getUint16(at + 2, little) & 0x3fff;
    if (type > 16 || WIDTHS[type]?.includes(size - 4) === false) unknown.push(type);
    else values.set(type, message.slice(at + 4, at + size));
    at += Math.ceil(size / 4) * 4;
  }
  const value = (type: number): number | undefined =>
    values.get(type)?.reduce((sum, byte, i, all) => sum + byte * 256 ** (little ? i : all.length - 1 - i), 0);
  return {
    group: value(3),
    sequence: value(4),
    rate: value(5),
    rateIsProbability: values.has(16),
    inIfindex: value(0),
    outIfindex: value(1),
    originalBytes: value(2),
    protocol: value(14),
    outTc: value(10),
    timestampNs: values.get(13),
    latencyNs: values.get(12),
    outTcOccupancyBytes: values.get(11),
    cookie: values.get(15),
    data: values.get(6),
    unknown,
  };
}

function ours(message: Uint8Array, littleEndian: boolean): Record<string, unknown> | undefined {
  try {
    const sample = decodeSample(messageOf(message, littleEndian));
    const u64 = (value: bigint | undefined): Uint8Array | undefined => value === undefined ? undefined : number(8, value, littleEndian);
    const { timestampNs, latencyNs, outTcOccupancyBytes, unknown, data } = sample;
    assertEquals(sample.dataBytes, data?.length ?? 0);
    return {
      group: sample.group,
      sequence: sample.sequence,
      rate: sample.rate,
      rateIsProbability: sample.rateIsProbability,
      inIfindex: sample.inIfindex,
      outIfindex: sample.outIfindex,
      originalBytes: sample.originalBytes,
      protocol: sample.protocol,
      outTc: sample.outTc,
      timestampNs: u64(timestampNs),
      latencyNs: u64(latencyNs),
      outTcOccupancyBytes: u64(outTcOccupancyBytes),
      cookie: sample.cookie,
      data,
      unknown: unknown.map(({ type }) => type),
    };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

const POOL: readonly (readonly [type: number, size: number])[] = [
  [0, 2],
  [0, 4],
  [1, 2],
  [2, 4],
  [3, 4],
  [4, 4],
  [5, 4],
  [6, 0],
  [6, 5],
  [6, 64],
  [9, 0],
  [10, 2],
  [11, 8],
  [12, 8],
  [13, 8],
  [14, 2],
  [15, 4],
  [16, 0],
  [17, 3],
  [14, 3],
];

test("earlier messages make no difference to how a sample is read", () => {
  let state = 1;
  const random = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
  let read = 0;
  let refused = 0;
  for (let round = 0; round < 4000; round++) {
    // Rarely attributes in any order, including invalid ones; mostly the kernel's order with a few left out.
    const wild = random(4) === 0;
    const kept = wild
      ? Array.from({ length: random(12) }, () => POOL[random(POOL.length)]!)
      : POOL.slice(0, 19).filter(() => random(5) > 0);
    const list = kept.map(([type, size]): Attribute => [type, Uint8Array.from({ length: size }, () => random(256))]);
    const little = random(3) > 0;
    const built = message(list, { little }, random(4) > 0);
    // Cut off, and with one wrong bit in a header: nearly the previous layout.
    const damaged = built.slice(0, random(3) ? built.length : random(built.length + 1));
    if (random(3) === 0 && damaged.length > 20) damaged[20 + random(damaged.length - 20)]! ^= 1 << random(8);
    for (const bytes of [built, damaged, built]) {
      const expected = bytes.length < 20 || hasTunnel(bytes, little) ? "skip" : plain(bytes, little);
      if (expected === "skip") continue;
      assertEquals(ours(bytes, little), expected);
      if (expected) read++;
      else refused++;
    }
  }
  assertEquals([read > 3000, refused > 500], [true, true]);
});

/** Damage turned something into a tunnel: its contents are the subject of another test. */
function hasTunnel(message: Uint8Array, little: boolean): boolean {
  for (let at = 20; at + 4 <= message.length; at += 4) {
    const type = (little ? message[at + 2]! | message[at + 3]! << 8 : message[at + 2]! << 8 | message[at + 3]!) & 0x3fff;
    if (type === 7 || type === 8) return true;
  }
  return false;
}

test("messages from kernels are read the same in any order", () => {
  const messages = recordedSamples().map(({ message }) => message);
  const alone = messages.map((message) => decodeSample(messageOf(message)));
  for (const step of [1, 3, 7, 11]) {
    for (let i = 0; i < messages.length; i++) {
      const at = (i * step) % messages.length;
      assertEquals(decodeSample(messageOf(messages[at]!)), alone[at]);
    }
  }
});

test("data of another size, and what follows it, is the same layout", () => {
  const decoder = new SampleDecoder();
  const sample = new SampleView();
  for (const size of [0, 1, 2, 3, 4, 5, 127, 128, 4, 0]) {
    const data = Uint8Array.from({ length: size }, (_, i) => i + 1);
    const cookie = bytes("c0ffee00").fill(size, 3);
    const one = message([[3, number(4, 9)], [4, number(4, size)], [6, data], [15, cookie], [16, bytes("")]]);
    decoder.view(new DataView(one.buffer), 0, one.length, sample, { littleEndian: true });
    assertEquals([sample.sequence, sample.data, sample.cookie, sample.rateIsProbability], [size, data, cookie, true]);
  }
});
