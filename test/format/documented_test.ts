/** docs/json.md describes exactly what the writers write. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { CSV_FIELDS, JsonWriter, Output } from "../../src/format/mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { attributes, bytes, message, number, WIDTHS } from "../psample/build.ts";
import { MADE } from "../packet/made.ts";
import { messageOf } from "../../src/wire/message.ts";

/** The keys in the tables of each section of the page. */
const documented: Map<string, string[]> = new Map(
  readFileSync(new URL("../../docs/json.md", import.meta.url), "utf8").split(/^## /m).slice(1).map((section) => [
    section.slice(0, section.indexOf("\n")).trim(),
    [...section.matchAll(/^\| `(\w+)` +\|/gm)].map(([, key]) => key!),
  ]),
);

const batch = new BatchBuffer();
batch.devices = { find: () => ({ name: "eth0", type: 1, address: undefined }) };
batch.add(viewSample(
  messageOf(
    message([
      ...Object.entries(WIDTHS).map(([type, [size]]) => [Number(type), number(size as 2 | 4 | 8, 0x800)] as const),
      [15, bytes("00")],
      [
        8,
        attributes([
          [0, number(8, 42, false)],
          [1, bytes("c0000201")],
          [2, bytes("c0000202")],
          ...[3, 4].map((type) => [type, number(1, 1)] as const),
          ...[5, 6, 7, 8, 16].map((type) => [type, bytes("")] as const),
          ...[9, 10].map((type) => [type, number(2, 1)] as const),
          ...[11, 15, 20].map((type) => [type, bytes("aa")] as const),
        ]),
      ],
      [17, bytes("dd")],
      [6, bytes("0102")],
    ]),
    true,
  ),
  1,
));
batch.add(
  viewMessage(messageOf(message([[3, number(4, 1)], [7, number(4, 0)], [4, number(4, 0)]], { command: 2 }), true), 1)!,
);

const [sample, event] = [0, 1].map((i) => {
  const output = new Output(16);
  new JsonWriter({ details: true }).write(output, batch, i);
  return JSON.parse(output.takeText());
});

const labels = {
  groups: new Map([[0x800, "edge"], [1, "core"]]),
  cookies: new Map([["00", "web"]]),
  vlans: new Map([[5, "dmz"]]),
};
const LABELS = ["groupLabel", "cookieLabel", "vlanLabels"];

test("docs/json.md has the keys of a sample, with details and labels, and of its tunnel", () => {
  const one = new BatchBuffer();
  one.add(viewSample(messageOf(message([[3, number(4, 1)], [15, bytes("00")], [6, MADE["vlan"]!]]), true), 1));
  const output = new Output(16);
  new JsonWriter({ labels }).write(output, one, 0);
  const labelled = JSON.parse(output.takeText());
  assertEquals(LABELS.map((key) => labelled[key]), ["core", "web", ["dmz"]]);
  assertEquals(documented.get("A sample")!.toSorted(), [...Object.keys(sample), ...LABELS].toSorted());
  assertEquals(documented.get("`tunnel`"), Object.keys(sample.tunnel));
});

/** The output for packets with every known header, complete, cut and broken. */
const packets: Record<string, unknown>[] = Object.values(MADE).flatMap((data) =>
  [data, data.subarray(0, 40), data.subarray(0, 60)].flatMap((captured) =>
    [data.length, captured.length].map((originalBytes) => {
      const one = new BatchBuffer();
      one.add(viewSample(messageOf(message([[2, number(4, originalBytes)], [6, captured]]), true), 1));
      const output = new Output(16);
      new JsonWriter({ details: true }).write(output, one, 0);
      return JSON.parse(output.takeText()).packet;
    })
  )
);
const keysOfPackets = documented.get("`packet`")!;
const keysOfInner = keysOfPackets.filter((key) => !["inner", "cut", "broken"].includes(key));

test("docs/json.md has the keys of packets and of those in tunnels, in their order", () => {
  const keys = (values: readonly unknown[], all: readonly string[]): string[] => {
    const found = new Set(values.flatMap((value) => Object.keys(value as object)));
    for (const value of values) {
      assertEquals(all.filter((key) => key in (value as object)), Object.keys(value as object));
    }
    return all.filter((key) => found.has(key));
  };
  assertEquals(keys(packets, keysOfPackets), keysOfPackets);
  const inner = packets.flatMap((packet) => packet.inner ?? []);
  assert(keys(inner, [...keysOfInner, "inner"]).includes("vlans"));
});

test("docs/json.md has the keys of a group event", () => {
  assertEquals(documented.get("A group event"), Object.keys(event));
});

test("docs/json.md has the columns of CSV", () => {
  const columns = documented.get("A sample")!.flatMap((key) =>
    key === "tunnel"
      ? documented.get("`tunnel`")!.map((inner) => `tunnel.${inner}`)
      : key === "packet"
      ? [...keysOfPackets.flatMap((name) => name === "inner" ? keysOfInner.map((inner) => `packet.inner.${inner}`) : `packet.${name}`)]
      : [key]
  );
  assertEquals(columns.toSorted(), CSV_FIELDS.toSorted());
});

test("the types that docs/json.md gives are those of the values", () => {
  const page = readFileSync(new URL("../../docs/json.md", import.meta.url), "utf8");
  for (const [, key, type] of page.split("## A group event")[0]!.matchAll(/^\| `(\w+)` +\| (\w+)/gm)) {
    for (
      const value of [sample[key!], sample.tunnel[key!], ...packets.map((packet) => packet[key!])].filter((value) => value !== undefined)
    ) {
      const found = Array.isArray(value)
        ? "list"
        : typeof value === "string" && type === "bytes" && /^([0-9a-f]{2})*$/.test(value)
        ? "bytes"
        : typeof value;
      assertEquals(`${key} ${found}`, `${key} ${type}`);
    }
  }
});
