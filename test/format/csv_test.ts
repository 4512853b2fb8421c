import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { CSV_DEFAULT_FIELDS, CSV_FIELDS, CsvWriter } from "../../src/format/csv.ts";
import { Output } from "../../src/format/output.ts";
import type { Devices } from "../../src/link/device.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { type Batch, BatchBuffer } from "../../src/stream/batch.ts";
import { type Attribute, attributes, bytes, message, number } from "../psample/build.ts";
import { MADE } from "../packet/made.ts";
import { messageOf } from "../../src/wire/message.ts";

function named(name: string): Devices {
  return { find: (index) => index === 3 ? { name, type: 1, address: undefined } : undefined };
}

function batchOf(samples: readonly (readonly Attribute[])[], devices: Devices = named("eth3")): BatchBuffer {
  const batch = new BatchBuffer();
  batch.devices = devices;
  for (const list of samples) batch.add(viewSample(messageOf(message(list), true)));
  return batch;
}

/** The whole file. */
function csv(batch: Batch, fields?: readonly string[]): string {
  const writer = new CsvWriter({ fields });
  const output = new Output(1);
  writer.begin(output);
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  return output.takeText();
}

/** A reader of RFC 4180 by its grammar: records of fields. */
function parse(text: string): string[][] {
  const records: string[][] = [[]];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/gy;
  for (let match = field.exec(text); match && match.index < text.length; match = field.exec(text)) {
    records.at(-1)!.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
    if (match[3] === "\r\n") records.push([]);
  }
  assertEquals(records.pop(), [], "every line has an end");
  return records;
}

const PLAIN: readonly Attribute[] = [
  [0, number(2, 3)],
  [5, number(4, 1000)],
  [2, number(4, 1514)],
  [3, number(4, 5)],
  [13, number(8, 1784000000_000000042n)],
  [14, number(2, 0x0800)],
];

test("CSV has a header, and by default the most important columns", () => {
  assertEquals(
    csv(batchOf([PLAIN])),
    "at,device,direction,originalBytes,protocolName,packet.source,packet.sourcePort,packet.destination,packet.destinationPort," +
      "packet.protocolName,packet.tcpFlags,oneIn\r\n" +
      "2026-07-14T03:33:20.000000042Z,eth3,in,1514,ipv4,,,,,,,1000\r\n",
  );
  assertEquals(
    csv(batchOf([[...PLAIN, [6, MADE["tcp4"]!]]])).split("\r\n")[1],
    "2026-07-14T03:33:20.000000042Z,eth3,in,1514,ipv4,192.0.2.7,443,10.0.0.1,51514,tcp,P.,1000",
  );
});

test("CSV has every key of a packet and of the one in its tunnel, lists joined by blanks", () => {
  const packetFieldsOf = (name: string, ...fields: string[]): string | undefined =>
    csv(batchOf([[[6, MADE[name]!]]]), fields).split("\r\n")[1];
  assertEquals(packetFieldsOf("qinq", "packet.vlans", "packet.source", "packet.ttl"), "100:1:34984 4095:0:33024,2001:db8::1,64");
  assertEquals(packetFieldsOf("mpls", "packet.mplsLabels", "packet.cut"), "100 200,");
  assertEquals(
    packetFieldsOf("vlan in vxlan in vlan", "packet.vlans", "packet.tunnelId", "packet.inner.vlans", "packet.inner.destinationPort"),
    "5:0:33024,42,6:1:33024,9999",
  );
});

test("CSV has a header even without samples", () => {
  const batch = batchOf([]);
  batch.add({ type: "group-created", group: 1, refcount: 0, sequence: 0, nsid: undefined, portId: 0 });
  assertEquals(csv(batch), `${CSV_DEFAULT_FIELDS.join(",")}\r\n`);
});

test("CSV has the requested columns, in that order, and leaves absent ones empty", () => {
  const rows = batchOf([PLAIN, [[1, number(2, 3)]], []]);
  assertEquals(parse(csv(rows, ["group", "direction", "device", "cookie", "group"])), [
    ["group", "direction", "device", "cookie", "group"],
    ["5", "in", "eth3", "", "5"],
    ["", "out", "eth3", "", ""],
    ["", "", "", "", ""],
  ]);
});

test("CSV of one empty column has a line for each sample", () => {
  assertEquals(csv(batchOf([[], []]), ["cookie"]), "cookie\r\n\r\n\r\n");
});

test("CSV has every field of a sample", () => {
  const list: readonly Attribute[] = [
    ...PLAIN,
    [1, number(2, 4)],
    [4, number(4, 7)],
    [10, number(2, 2)],
    [11, number(8, 0xffff_ffff_ffff_ffffn)],
    [12, number(8, 12)],
    [15, bytes("00ff")],
    [
      8,
      attributes([
        [0, number(8, 42, false)],
        [1, bytes("c0000201")],
        [2, bytes("c0000202")],
        [3, number(1, 16)],
        [4, number(1, 64)],
        [5, bytes("")],
        [8, bytes("0102 80 01 00800022 0103 03 00")],
        [9, number(2, 50000, false)],
        [10, number(2, 6081, false)],
        [11, bytes("aa")],
        [15, bytes("bb")],
        [20, bytes("cc")],
        [21, bytes("")],
      ]),
    ],
    [17, bytes("dd")],
    [18, bytes("")],
    [6, bytes("0102")],
  ];
  const batch = new BatchBuffer();
  batch.add(viewSample(messageOf(message(list, { portId: 9 }), true), -1));
  const [header, row] = parse(csv(batch, CSV_FIELDS));
  assertEquals(header, [...CSV_FIELDS]);
  const cells = header!.map((name, i) => [name, row![i]!] as const);
  // Two bytes are not even a frame's header.
  assertEquals(cells.filter(([name, cell]) => name.startsWith("packet.") && cell !== ""), [["packet.cut", "eth"]]);
  assertEquals(Object.fromEntries(cells.filter(([name]) => !name.startsWith("packet."))), {
    type: "sample",
    group: "5",
    sequence: "7",
    rate: "1000",
    rateIsProbability: "false",
    oneIn: "1000",
    inIfindex: "3",
    outIfindex: "4",
    originalBytes: "1514",
    protocol: "2048",
    timestampNs: "1784000000000000042",
    latencyNs: "12",
    outTc: "2",
    outTcOccupancyBytes: "18446744073709551615",
    cookie: "00ff",
    "tunnel.id": "42",
    "tunnel.source": "192.0.2.1",
    "tunnel.destination": "192.0.2.2",
    "tunnel.tos": "16",
    "tunnel.ttl": "64",
    "tunnel.dontFragment": "true",
    "tunnel.checksum": "false",
    "tunnel.oam": "false",
    "tunnel.sourcePort": "50000",
    "tunnel.destinationPort": "6081",
    "tunnel.geneveOptions": "0102:80:00800022 0103:03",
    "tunnel.vxlanOptions": "aa",
    "tunnel.erspanOptions": "bb",
    "tunnel.ipv4InfoBridge": "false",
    "tunnel.unknown": "20:cc 21:",
    unknown: "17:dd 18:",
    nsid: "-1",
    portId: "9",
    at: "2026-07-14T03:33:20.000000042Z",
    device: "",
    direction: "out",
    protocolName: "ipv4",
    groupLabel: "",
    cookieLabel: "",
    vlanLabels: "",
    data: "0102",
  });
});

test("CSV quotes commas and quotes, and escapes what could break a line or control a terminal", () => {
  for (
    const [name, text] of [['a,b"c', '"a,b""c"'], ['"', '""""'], ["a b", "a\\x20b"], ["a\r\nb", "a\\x0d\\x0ab"], ["é", "é"], [
      "\u009b2J",
      "\\xc2\\x9b2J",
    ]]
  ) {
    assertEquals(csv(batchOf([PLAIN], named(name!)), ["device", "group"]), `device,group\r\n${text},5\r\n`);
  }
  assertEquals(parse(csv(batchOf([PLAIN], named('a,b"c')), ["device"]))[1], ['a,b"c']);
});

test("CSV makes room for the longest values", () => {
  const data = new Uint8Array(65_000).fill(0xa5);
  const batch = batchOf([[[6, data]], [[6, data]]]);
  assertEquals(parse(csv(batch, ["data", "at", "data"])).map((row) => row.map((value) => value.length))[2], [130_000, 30, 130_000]);
});

test("a CsvWriter refuses fields that do not exist, and none", () => {
  for (const fields of [["group", "packet.nosuch"], ["constructor"], ["Group"], [" group"], [""]]) {
    const error = assertThrows(() => new CsvWriter({ fields }), ArgumentError);
    assertEquals(error.message, `Cannot write CSV: there is no field ${JSON.stringify(fields.at(-1))}`);
  }
  assertThrows(() => new CsvWriter({ fields: [] }), ArgumentError, "there are no fields");
});
