/** The writers against the naive ones, on samples of every kind in random order. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { JsonWriter } from "../../src/format/json.ts";
import { Output } from "../../src/format/output.ts";
import { TextWriter } from "../../src/format/text.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { type Attribute, attributes, bytes, message, number, WIDTHS } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { naiveText } from "./naive.ts";
import { messageOf } from "../../src/wire/message.ts";

/** Numbers that are the same in every run: xorshift32. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A number below `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  /** A number of `size` bytes: any length in digits is as likely as any other, and so are the largest. */
  number(size: number): bigint {
    const most = (1n << BigInt(8 * size)) - 1n;
    const digits = 10n ** BigInt(this.below(String(most).length + 1));
    const value = (BigInt(this.below(0x7fffffff)) * 0x1_0000_0001n + BigInt(this.below(1000))) % digits;
    return [value, digits - 1n, digits, most][Math.max(0, this.below(12) - 8)]! % (most + 1n);
  }

  bytes(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => this.below(256));
  }
}

/** Attributes that are present half of the time; often the same few values, as in real traffic. */
function randomSample(random: Random): SampleView {
  const list: Attribute[] = [];
  for (const [type, widths] of Object.entries(WIDTHS)) {
    if (random.below(4) === 0) continue;
    const size = widths[random.below(widths.length)]! as 2 | 4 | 8;
    const often = Number(type) === 13 ? BigInt(1784000000_000000000 + random.below(3) * 999_999_999) : BigInt(random.below(3));
    list.push([Number(type), number(size, random.below(2) === 0 ? often : random.number(size))]);
  }
  if (random.below(4) === 0) list.push([15, random.bytes(random.below(17))]);
  if (random.below(3) === 0) list.push([16, bytes("")]);
  if (random.below(6) === 0) list.push([8, attributes(randomTunnel(random))]);
  if (random.below(8) === 0) list.push([17 + random.below(5), random.bytes(random.below(9))]);
  if (random.below(6) > 0) list.push([6, random.bytes(random.below(10) === 0 ? random.below(4000) : random.below(80))]);
  const nsid = [undefined, undefined, 0, 7, -1][random.below(5)];
  return viewSample(messageOf(message(list, { portId: Number(random.number(4)) }), true), nsid);
}

/** Sizes of the attributes of a tunnel; Geneve options are a header of 4 bytes and as many words as it says. */
const TUNNEL_WIDTHS: readonly (readonly [type: number, size: number])[] = [
  ...[[0, 8], [1, 4], [12, 16], [2, 4], [13, 16], [3, 1], [4, 1], [5, 0], [6, 0], [7, 0], [9, 2], [10, 2], [11, 4], [15, 300], [16, 0], [
    40,
    5,
  ]] as const,
];

function randomTunnel(random: Random): Attribute[] {
  const list: Attribute[] = TUNNEL_WIDTHS.filter(() => random.below(2) === 0).map(([type, size]) => [type, random.bytes(size)]);
  if (random.below(2) === 0) {
    const options = Array.from({ length: random.below(4) }, () => {
      const words = random.below(32);
      return [random.below(256), random.below(256), random.below(256), words, ...random.bytes(4 * words)];
    });
    list.push([8, Uint8Array.from(options.flat())]);
  }
  return list;
}

function* mixed(): Iterable<SampleView> {
  const random = new Random(20261127);
  const recorded = recordedSamples();
  for (let i = 0; i < 6000; i++) yield random.below(3) === 0 ? recorded[random.below(recorded.length)]! : randomSample(random);
}

/** Compares the lines of a batch with the expected ones, and says which sample has a wrong line. */
function checkWriter(write: (output: Output, batch: BatchBuffer, i: number) => void, expected: (sample: SampleView) => string): void {
  const batch = new BatchBuffer();
  for (const sample of mixed()) batch.add(sample);
  const output = new Output(16);
  for (let i = 0; i < batch.count; i++) {
    write(output, batch, i);
    // Now and then emptied, as by a spool, and by no means at the end of a line.
    if (i % 7 < 4) continue;
    const text = output.takeText();
    const wanted = batch.entries.slice(i - i % 7, i + 1).map((entry) => expected(entry as SampleView)).join("");
    if (i % 7 === 4) assertEquals(text, wanted);
    else assertEquals(text, expected(batch.entries[i] as SampleView));
  }
}

test("text of mixed samples is that of the naive formatter", () => {
  const writer = new TextWriter();
  checkWriter((output, batch, i) => writer.write(output, batch, i), (sample) => naiveText(sample, false));
});

test("text with dumps of mixed samples is that of the naive formatter", () => {
  const writer = new TextWriter({ verbose: true });
  checkWriter((output, batch, i) => writer.write(output, batch, i), (sample) => naiveText(sample, true));
});

test("JSON of mixed samples is that of JSON.stringify", () => {
  const writer = new JsonWriter();
  checkWriter((output, batch, i) => writer.write(output, batch, i), (sample) => `${JSON.stringify(sample)}\n`);
});

test("alternating writers do not disturb each other", () => {
  const samples = [...mixed()].slice(0, 500);
  const [text, json, output] = [new TextWriter(), new JsonWriter(), new Output(16)];
  for (const sample of samples) {
    text.writeSample(output, sample);
    json.writeEntry(output, sample);
  }
  assertEquals(output.takeText(), samples.map((sample) => `${naiveText(sample, false)}${JSON.stringify(sample)}\n`).join(""));
});
