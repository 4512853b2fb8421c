/** docs/ipfix.md names the elements and templates that there are. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../../../src/export/datagrams.ts";
import { IpfixFlowEncoder } from "../../../src/export/ipfix/flow_encoder.ts";
import { IpfixPacketEncoder } from "../../../src/export/ipfix/packet_encoder.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { attributes, bytes, join, number } from "../../psample/build.ts";
import { recordedSamples } from "../../psample/recordings.ts";
import type { IpfixRecord } from "./decoder.ts";
import { Exported, ipFrame, ipPacket, READ_NS, sampleOf } from "./exported.ts";

const text = readFileSync(new URL("../../../docs/ipfix.md", import.meta.url), "utf8");

/** The rows of the tables of a section, as their first two cells. */
function rows(section: string): [string, string][] {
  const [, body] = new RegExp(`^## ${section}\n([^]*?)(?=^## |$(?![^]))`, "m").exec(text)!;
  return [...body!.matchAll(/^\| (\d[\d, ]*?) +\| ([^|]*?) +\|/gm)].map(([, first, second]) => [first!, second!]);
}

const numbers = (cell: string): number[] => cell.split(", ").map(Number);
const sorted = (all: Iterable<number>): number[] => [...new Set(all)].sort((a, b) => a - b);

/** What makes every field of a record come up. */
const SAMPLES: SampleView[] = [
  ...recordedSamples(),
  sampleOf({ in: 2, rate: 1, originalBytes: 100_000, data: ipFrame("192.0.2.1", "192.0.2.2", 1, 2, 60) }),
  sampleOf({ in: 2, rate: 1, data: join(bytes("020000000002 020000000001 8100 0007 0800"), ipPacket("192.0.2.1", "192.0.2.2", 1, 2, 60)) }),
  sampleOf({ in: 2, rate: 1, data: bytes("020000000002 020000000001 88cc 0000") }),
  sampleOf({ in: 9, rate: 1, protocol: 0x800, data: ipPacket("192.0.2.3", "192.0.2.4", 1, 2, 60) }),
  sampleOf({
    in: 9,
    rate: 1,
    protocol: 0x86dd,
    data: bytes(`60000000 0000 3b 40 ${"20010db8".padEnd(32, "0")} ${"20010db8".padEnd(32, "1")}`),
  }),
  sampleOf({
    in: 2,
    rate: 1000,
    isProbability: true,
    cookie: bytes("0000000100000002"),
    data: ipFrame("192.0.2.1", "192.0.2.2", 1, 2, 60),
  }),
  sampleOf({
    in: 2,
    out: 3,
    rate: 1,
    originalBytes: 74,
    timestampNs: READ_NS,
    tunnel: attributes([[0, number(8, 42, false)], [1, bytes("c0000201")], [10, number(2, 4789, false)]]),
    data: ipFrame("192.0.2.1", "192.0.2.2", 1, 2, 60),
  }),
];

/** The records of everything; devices are of Ethernet, except the ninth. */
function recordsOf<Encoder extends DatagramEncoder>(make: (datagrams: Datagrams, send: SendDatagrams) => Encoder): IpfixRecord[] {
  const exported = new Exported(make, (index) => ({ index, name: `eth${index}`, type: index === 9 ? 65534 : 1, address: undefined }));
  exported.take(SAMPLES);
  exported.encoder.end(READ_NS);
  return exported.messages().flatMap(({ records }) => records);
}

/** Elements of IANA's, of the records of data. */
function elementsOf(records: readonly IpfixRecord[]): number[] {
  const data = records.filter(({ scopes }) => scopes === 0);
  return sorted(data.flatMap(({ fields }) => [...fields.keys()].filter((key) => !key.includes("/")).map(Number)));
}

test("the elements of packet reports are those in the table, and all of them", () => {
  const records = recordsOf((datagrams, send) => new IpfixPacketEncoder(datagrams, send, { strict: true }));
  assertEquals(elementsOf(records), sorted(rows("Packet reports").flatMap(([elements]) => numbers(elements))));
});

test("the elements of flow records are those in the table, and all of them", () => {
  const records = recordsOf((datagrams, send) => new IpfixFlowEncoder(datagrams, send));
  assertEquals(elementsOf(records), sorted(rows("Flow records").flatMap(([elements]) => numbers(elements))));
});

test("the templates of options are those in the tables, with their elements in this order, and all of them", () => {
  const records = recordsOf((datagrams, send) => new IpfixPacketEncoder(datagrams, send, { strict: true }));
  const options = records.filter(({ scopes }) => scopes > 0);
  assertEquals(new Set(options.map(({ scopes }) => scopes)), new Set([1]));
  const found = new Map(options.map(({ template, fields }) => [template, [...fields.keys()].map(Number)]));
  assertEquals(
    [...found].sort(([a], [b]) => a - b),
    rows("Options").map(([template, elements]): [number, number[]] => [Number(template), numbers(elements)]).sort(([a], [b]) => a - b),
  );
});
