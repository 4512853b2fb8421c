/** The stage: conditions about samples, group events, and samples without data. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FilterError } from "../../src/filter/filter_error.ts";
import { filter, packetFilter } from "../../src/filter/stage.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { recordedSamples, recordings } from "../psample/recordings.ts";
import { devices } from "../support/recorded.ts";

const NAMES: Readonly<Record<number, string>> = { 101: "a", 103: "c", 110: "tun0" };

function selected(expression: string, entries: readonly EntryView[]): EntryView[] {
  const batch = new BatchBuffer();
  batch.devices = devices(NAMES);
  for (const entry of entries) batch.add(entry);
  const picked: EntryView[] = [];
  filter(expression).select(batch, (i) => picked.push(batch.entries[i]!));
  return picked;
}

test("the stage selects the samples whose packets match", () => {
  const samples = recordedSamples();
  const udp = samples.filter(({ data }) => data && data.length > 23 && data[12] === 8 && data[13] === 0 && data[23] === 17);
  assert(udp.length > 0 && udp.length < samples.length);
  assertEquals(selected("ether[12:2] = 0x800 and ip proto 17", samples), udp);
});

test("group events pass every filter; an empty filter passes everything", () => {
  const { items } = recordings().find(({ items }) => items.some(({ type }) => type !== "sample"))!;
  const events = items.filter(({ type }) => type !== "sample");
  assert(events.length < items.length);
  assertEquals(selected("tcp and udp", items), events);
  assertEquals(selected("", items), items);
});

test("metadata of samples can be tested", () => {
  const samples = recordedSamples();
  const cases: Record<string, (sample: (typeof samples)[number]) => boolean> = {
    "egress": ({ outIfindex }) => outIfindex !== undefined,
    "ingress": ({ outIfindex }) => outIfindex === undefined,
    "device a": ({ inIfindex, outIfindex }) => (outIfindex ?? inIfindex) === 101,
    "in a": ({ inIfindex }) => inIfindex === 101,
    "out c": ({ outIfindex }) => outIfindex === 103,
    "not in a": ({ inIfindex }) => inIfindex !== 101,
    "rate > 1": ({ oneIn }) => (oneIn ?? 0) > 1,
    "rate = 100": ({ oneIn }) => oneIn === 100,
    "len > 100 and rate 1": ({ originalBytes, oneIn }) => originalBytes! > 100 && oneIn === 1,
  };
  for (const [expression, wanted] of Object.entries(cases)) {
    const picked = selected(expression, samples);
    assertEquals(picked.length, samples.filter(wanted).length, expression);
    assert(picked.length > 0 && picked.length < samples.length, `${expression}: ${picked.length} of ${samples.length}`);
  }
  const { group } = samples[0]!;
  assertEquals(selected(`group ${group}`, samples), samples.filter((sample) => sample.group === group));
  const { cookie } = samples.find(({ cookie }) => cookie)!;
  const hex = Array.from(cookie!, (byte) => byte.toString(16).padStart(2, "0")).join("");
  assertEquals(selected(`cookie ${hex}`, samples), samples.filter((sample) => sample.cookie?.join() === cookie!.join()));
  assertEquals(
    selected("latency >= 0ns or queue >= 0", samples),
    samples.filter(({ latencyNs, outTc }) => (latencyNs ?? outTc) !== undefined),
  );
});

test("a sample without data matches only conditions that need none", () => {
  const sample = recordedSamples().find(({ data }) => !data || data.length === 0)!;
  assertEquals(selected("tcp", [sample]), []);
  assertEquals(selected("not tcp", [sample]), []);
  assertEquals(selected("len >= 0", [sample]), [sample]);
});

test("a packet alone has no metadata", () => {
  const error = assertThrows(() => packetFilter("udp and not (tcp or group 5)"), FilterError);
  assertEquals(error.position, 20);
});
