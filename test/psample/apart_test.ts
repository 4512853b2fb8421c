import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { SampleDecoder, viewSample } from "../../src/psample/sample_decoder.ts";
import { SampleView } from "../../src/psample/sample_view.ts";
import { messageOf } from "../../src/wire/message.ts";
import { viewOf } from "../../src/wire/native.ts";
import { type Attribute, bytes, join, message, number } from "./build.ts";
import { recordedSamples } from "./recordings.ts";
import { takeApart } from "./apart.ts";

const FRAME: Attribute = [6, bytes("020000000001 020000000002 0800 45")];
const COOKIE: Attribute = [15, bytes("0102030405")];

/** Messages with everything before and behind their data. */
function messages(): Uint8Array[] {
  const group: Attribute = [3, number(4, 5)];
  return [
    ...recordedSamples().map(({ message }) => message),
    message([group, FRAME]),
    message([FRAME]),
    message([COOKIE, group, FRAME]),
    message([group, FRAME, COOKIE, [16, bytes("")], [17, bytes("aabbcc")]]),
    // Values after the data, two of them, a wrong size, no padding at the end.
    message([FRAME, group, [13, number(8, 77)], COOKIE]),
    message([FRAME, [6, bytes("aabbccdd")], group]),
    message([[3, bytes("05")], FRAME, [5, bytes("050607")]]),
    message([group, [6, bytes("aabbcc")]], {}, false),
    message([group, [6, bytes("")]]),
    message([group]),
    message([[0, number(2, 7, false)], FRAME, [15, bytes("01")]], { little: false }),
  ];
}

test("a message and its separate packet are the same sample as together", () => {
  const decoder = new SampleDecoder();
  const sample = new SampleView();
  // Three times, so that layouts are cached; alternating with whole messages.
  for (let round = 0; round < 3; round++) {
    for (const whole of messages()) {
      for (const littleEndian of [true, false]) {
        let expected: SampleView;
        try {
          expected = viewSample(messageOf(whole, littleEndian), 3);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          continue;
        }
        const apart = takeApart(whole, expected);
        if (apart === undefined) continue;
        const { memory, start, end, packetAt, dataAt, dataBytes } = apart;
        const view = viewOf(memory);
        decoder.viewApart(view, start, end, view, packetAt, dataAt, dataBytes, sample, { littleEndian, nsid: 3 });
        assertEquals(sample.message, whole);
        assertEquals({ ...sample.copy() }, { ...expected.copy() });
        assertEquals(JSON.stringify(sample), JSON.stringify(expected));
        assertEquals([sample.data, sample.cookie, sample.unknown], [expected.data, expected.cookie, expected.unknown]);
        assertEquals(sample.tunnel, expected.tunnel);
        assertEquals([sample.messageBytes, sample.dataOffset, sample.dataBytes, sample.littleEndian, sample.isRare, sample.messageType], [
          whole.length,
          expected.dataOffset,
          expected.dataBytes,
          littleEndian,
          expected.isRare,
          expected.messageType,
        ]);
        // A view is reused for a whole message.
        decoder.view(viewOf(whole), 0, whole.length, sample, { littleEndian, nsid: 3 });
        assertEquals([sample.message, sample.data], [whole, expected.data]);
      }
    }
  }
});

test("parts of a message without its data are copied from any range", () => {
  const [, , , , long] = messages();
  for (const whole of [long!, message([FRAME, COOKIE]), message([COOKIE])]) {
    const together = viewSample(messageOf(whole));
    const rest = join(
      whole.subarray(0, together.dataBytes === 0 ? whole.length : together.dataOffset),
      whole.subarray(together.dataBytes === 0 ? whole.length : together.dataOffset + together.dataBytes),
    );
    for (let from = 0; from < rest.length; from += 5) {
      for (const size of [0, 1, 7, rest.length - from]) {
        if (from + size > rest.length) continue;
        const into = new Uint8Array(rest.length + 8);
        together.writeWithoutData(from, size, into, viewOf(into), 8);
        assertEquals(into.slice(8, 8 + size), rest.slice(from, from + size));
      }
    }
  }
});

test("a packet without a place is an error, and leaves the sample unchanged", () => {
  const decoder = new SampleDecoder();
  const sample = viewSample(messageOf(message([FRAME])));
  const before = JSON.stringify(sample);
  for (const [attributes, dataAt, dataBytes] of [[[COOKIE], 24, 4], [[FRAME], 28, 15], [[[3, number(4, 1)]], 24, 4]] as const) {
    const whole = viewOf(message(attributes as readonly Attribute[]));
    assertThrows(() => decoder.viewApart(whole, 0, whole.byteLength, whole, 0, dataAt, dataBytes, sample), DecodeError);
    assertEquals(JSON.stringify(sample), before);
  }
});
