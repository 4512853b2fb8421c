/** What docs/scale.md says of bandwidth is what the encoders make. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../../src/export/datagrams.ts";
import { IpfixPacketEncoder } from "../../src/export/ipfix/packet_encoder.ts";
import { SflowEncoder } from "../../src/export/sflow/encoder.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { Exported, READ_NS, sampleOf, type SampleParts } from "../export/ipfix/exported.ts";
import { join } from "../psample/build.ts";
import { hex } from "../export/sflow/encoding.ts";

/** The headers of IPv4 and UDP. */
const HEADERS = 28;
const RECORDING = new URL("../golden/ingress.new.pcap", import.meta.url).pathname;
/** The first 128 bytes of a frame of TCP. */
const CAPTURED = join(hex("020000000002 020000000001 0800 450005dc 00004000 40060000 c0000201 c0000202 01bb9c40"), new Uint8Array(90));
const SAMPLE: SampleParts = {
  in: 2,
  group: 1,
  sequence: 1,
  rate: 1000,
  originalBytes: 1514,
  protocol: 0x0800,
  data: CAPTURED,
  timestampNs: READ_NS,
};

/** Bytes of IP for each of many samples of which so many share a flush. */
function bytesEach(together: number, make: (datagrams: Datagrams, send: SendDatagrams) => DatagramEncoder): number {
  const output = new Exported(make, (index) => ({ index, name: `eth${index}`, type: 1, address: undefined, mtu: 1500 }));
  const samples = Array.from({ length: together }, () => sampleOf(SAMPLE));
  output.take(samples).flush();
  // What comes only at the start.
  output.datagrams.length = 0;
  output.take(samples).flush();
  return Math.round(output.datagrams.reduce((sum, { bytes }) => sum + bytes.length + HEADERS, 0) / together);
}

test("bandwidth is as documented", async () => {
  assertEquals(CAPTURED.length, 128);
  const sflow = (datagrams: Datagrams, send: SendDatagrams) => new SflowEncoder(datagrams, send, { agent: "192.0.2.1", forwards: false });
  const ipfix = (datagrams: Datagrams, send: SendDatagrams) => new IpfixPacketEncoder(datagrams, send);
  // Packets of 142 bytes that a kernel sampled.
  const io = fakeIo();
  assertEquals(await main(["read", RECORDING, "--json", "--details"], io), 0);
  const lines = io.text().split("\n").filter((line) => line.startsWith('{"type":"sample"') && line.includes('"originalBytes":142'));
  const figures = {
    "sFlow, many samples a second": bytesEach(600, sflow),
    "sFlow, a sample a second": bytesEach(1, sflow),
    "IPFIX packet reports, many samples a second": bytesEach(600, ipfix),
    "IPFIX packet reports, a sample a second": bytesEach(1, ipfix),
    "JSON of a packet of 142 bytes, with `--details`": Math.round(lines.reduce((sum, { length }) => sum + length + 1, 0) / lines.length),
  };
  const page = readFileSync(new URL("../../docs/scale.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| ((?:sFlow|IPFIX|JSON)[^|]*?) +\| +(\d+) /gm)];
  assertEquals(Object.fromEntries(documented.map(([, name, bytes]) => [name, Number(bytes)])), figures);
});
