/** The formats, used by a program through the package's entry points. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type Batch, CSV_FIELDS, CsvWriter, formatJson, formatText, JsonWriter, Output, TextWriter } from "@psample/psample/format";
import { decodeMessage, viewSample } from "@psample/psample/decode";
import { PacketView } from "@psample/psample/packet";
import { messageOf } from "../../src/wire/message.ts";

const RECORDED = "3000000000000000000000000000000000010000" + // the two headers
  "0800030001000000" + "0800050064000000" + "0a000600aabbccddeeff0000"; // group 1, rate 100, 6 bytes of data

const message = Uint8Array.from(RECORDED.match(/../g)!, (byte) => parseInt(byte, 16));
const sample = decodeMessage(messageOf(message, true));

test("a single sample is formatted as a string", () => {
  if (sample?.type !== "sample") throw new Error("not a sample");
  assertEquals(formatText(sample), "group 1 sample-rate 100 \n");
  assertEquals(
    formatText(sample, { verbose: true }),
    "group 1 sample-rate 100 data len 6\n0x0000:  aa bb cc dd ee ff                                ......\n\n",
  );
  assertEquals(JSON.parse(formatJson(sample)), JSON.parse(JSON.stringify(sample)));
});

/** A custom batch, for a program that has its samples from elsewhere. */
const batch: Batch = {
  entries: [viewSample(messageOf(message, true))],
  count: 1,
  samples: 1,
  more: false,
  recorded: true,
  readAtNs: 0n,
  lost: 0,
  dropped: 0,
  timeNs: () => 1_784_000_000_000_000_000n,
  hasTime: () => true,
  readTime: (_i, clock) => clock.split(1_784_000_000_000_000_000n),
  lostBefore: () => 0,
  device: () => ({ name: "eth0", type: 1, address: undefined }),
  packet: () => new PacketView(),
  devicesOf: () => ({ find: () => undefined }),
};

test("writers write the entries of a batch into an output", () => {
  const output = new Output();
  const columns = ["at", "device", "oneIn"];
  assertEquals(columns.filter((name) => !CSV_FIELDS.includes(name)), []);
  const csv = new CsvWriter({ fields: columns });
  csv.begin(output);
  csv.write(output, batch, 0);
  assertEquals(output.takeText(), "at,device,oneIn\r\n2026-07-14T03:33:20.000000000Z,eth0,100\r\n");
  new TextWriter().write(output, batch, 0);
  new JsonWriter({ details: true }).write(output, batch, 0);
  const [text, json] = output.takeText().split("\n");
  assertEquals(text, "group 1 sample-rate 100 ");
  assertEquals(JSON.parse(json!).at, "2026-07-14T03:33:20.000000000Z");
  assertEquals(JSON.parse(json!).device, "eth0");
});
