import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { InjectedMessages, type InjectedPacketOptions } from "../../src/format/injected_messages.ts";
import type { SampleFields } from "../../src/psample/sample.ts";
import { createRecorder } from "../../src/format/recorders.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import { readRecording } from "../../src/receive/recording.ts";
import { messageOf } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { toHex } from "../../src/wire/text.ts";
import { message, number } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { netlinkRecord, pcapFile } from "../support/capture_files.ts";
import { familyMessage } from "../support/messages.ts";
import { record } from "../support/recorded.ts";
import { pieces } from "../support/reading.ts";

/** The messages of a recording, as they are sent in so many rounds. */
async function sent(file: Uint8Array, options?: InjectedPacketOptions, rounds = 1): Promise<Uint8Array<ArrayBuffer>[]> {
  const messages = new InjectedMessages(options);
  const all: Uint8Array<ArrayBuffer>[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round > 0) messages.nextRound();
    await using source = await readRecording(pieces(file));
    for await (const batch of source.lentBatches()) {
      for (let i = 0; i < batch.count; i++) {
        const entry = batch.entries[i]!;
        if (entry.type !== "sample") continue;
        const bytes = memory(messages.mostBytes(entry) + 8).fill(0xee);
        const size = messages.write(batch, i, bytes, viewOf(bytes), 4);
        assertEquals([toHex(bytes.slice(0, 4)), toHex(bytes.slice(4 + messages.mostBytes(entry)))], ["eeeeeeee", "eeeeeeee"]);
        all.push(bytes.slice(4, 4 + size));
      }
    }
  }
  return all;
}

/** A recording of these messages of psample, which has the number 30. */
function recording(...messages: Uint8Array[]): Uint8Array {
  const family = familyMessage(1, { id: 30, name: "psample", groups: {} });
  return pcapFile([family, ...messages].map((bytes) => ({ bytes: netlinkRecord(bytes) })));
}

/** A sample of a group with a number; native but for what is not. */
function sample(group: number, sequence: number | undefined, portId = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const little = LITTLE;
  return message([
    [5, number(4, 100, little)],
    [3, number(4, group, little)],
    ...sequence === undefined ? [] : [
      [4, number(4, sequence, little)] as const,
    ],
    [6, new Uint8Array(6)],
  ], { little, portId, flags });
}

const GOLDEN = new URL("../golden/", import.meta.url).pathname;

test("what the kernel sent stays as it is, byte for byte", async () => {
  for (const name of ["mixed.new", "vxlan6.old", "cookie.new", "ovs.new", "trunc0.new", "gso.old"]) {
    const file = new Uint8Array(readFileSync(`${GOLDEN}${name}.pcap`));
    const recorded: string[] = [];
    await using source = await readRecording(pieces(file));
    for await (const batch of source.lentBatches()) {
      for (const entry of batch.entries) if (entry.type === "sample") recorded.push(toHex(entry.message));
    }
    assertEquals((await sent(file)).map(toHex), recorded, name);
  }
});

test("of a recording of packets, in which packets are apart from the rest, the messages are put together again", async () => {
  const samples = recordedSamples();
  const file = record(createRecorder("pcapng", {}), samples, { batch: 7 });
  assertEquals((await sent(file)).map(toHex), samples.map(({ message }) => toHex(message)));
});

test("a sample of a machine of the other byte order is sent in this machine's", async () => {
  const [bytes] = await sent(new Uint8Array(readFileSync(`${GOLDEN}odd/be.pcap`)));
  const [entry] = await all(new Uint8Array(readFileSync(`${GOLDEN}odd/be.pcap`)));
  assertEquals({ ...decodeSample(messageOf(bytes!)) }, entry!);
});

async function all(file: Uint8Array): Promise<object[]> {
  const samples: object[] = [];
  await using source = await readRecording(pieces(file));
  for await (const batch of source.lentBatches()) {
    for (const entry of batch.entries) if (entry.type === "sample") samples.push({ ...entry.copy() });
  }
  return samples;
}

test("nothing is sent that the kernel would take for a request to itself", async () => {
  const [one] = await sent(recording(sample(1, 5, 0, 0x0305)));
  assertEquals(messageOf(one!).flags, 0x0300);
});

test("the next round continues the numbers of each producer, over the end of their range too", async () => {
  const file = recording(sample(1, 0xffff_fffe), sample(2, 7), sample(1, 0xffff_ffff), sample(1, 3), sample(2, 9, 4711), sample(2, 8));
  const numbers = (await sent(file, {}, 3)).map((bytes) => decodeSample(messageOf(bytes))).map(({ group, portId, sequence }) => {
    return `${group}${portId ? "*" : ""}:${sequence}`;
  });
  assertEquals(numbers.slice(0, 6), ["1:4294967294", "2:7", "1:4294967295", "1:3", "2*:9", "2:8"]);
  assertEquals(numbers.slice(6, 12), ["1:4", "2:9", "1:5", "1:9", "2*:10", "2:10"]);
  assertEquals(numbers.slice(12), ["1:10", "2:11", "1:11", "1:15", "2*:11", "2:12"]);
});

test("a producer that numbers nothing still numbers nothing in the next round, and one without numbers gets none", async () => {
  const samples = (await sent(recording(sample(1, 0), sample(1, 0), sample(2, undefined)), {}, 2)).map((bytes) =>
    decodeSample(messageOf(bytes))
  );
  assertEquals(samples.map(({ sequence }) => sequence), [0, 0, undefined, 0, 0, undefined]);
});

const FRAME = Uint8Array.from({ length: 17 }, (_, i) => i === 12 ? 0x08 : i === 13 ? 0x06 : i);

test("a packet that psample did not record becomes a numbered sample, with all that the recording knows", async () => {
  const file = pcapFile([
    { seconds: 1784000000, fraction: 5, bytes: FRAME, originalBytes: 60 },
    { seconds: 1784000001, fraction: 6, bytes: FRAME.slice(0, 13) },
  ], { linkType: 1, magic: 0xa1b23c4d });
  const common = { group: 1, rate: 1, oneIn: 1, inIfindex: undefined, portId: 0, unknown: [] };
  const read = (messages: Uint8Array<ArrayBuffer>[]): SampleFields[] => messages.map((bytes) => ({ ...decodeSample(messageOf(bytes)) }));
  const samples = read(await sent(file, undefined, 2));
  assertEquals(samples.map((sample) => ({ ...sample, ...common })), samples);
  assertEquals(
    samples.map(({ sequence, originalBytes, timestampNs, protocol, data }) => {
      return [sequence, originalBytes, timestampNs, protocol, data?.length];
    }),
    [
      [0, 60, 1784000000_000000005n, 0x0806, 17],
      [1, 13, 1784000001_000000006n, undefined, 13],
      [2, 60, 1784000000_000000005n, 0x0806, 17],
      [3, 13, 1784000001_000000006n, undefined, 13],
    ],
  );
  const [chosen] = read(await sent(file, { packetGroup: 7, packetRate: 512 }));
  assertEquals([chosen!.group, chosen!.oneIn], [7, 512]);
});

test("packets without a frame are told by their protocol, and frames of IEEE 802.3 by theirs", async () => {
  const raw = await sent(pcapFile([{ bytes: Uint8Array.of(0x45, 0, 0, 20) }, { bytes: Uint8Array.of(0x60, 0, 0, 0) }], { linkType: 101 }));
  const framed = await sent(pcapFile([{ bytes: FRAME.map((byte, i) => i === 12 ? 0 : byte) }], { linkType: 1 }));
  assertEquals([...raw, ...framed].map((bytes) => decodeSample(messageOf(bytes)).protocol), [0x0800, 0x86dd, 4]);
});
