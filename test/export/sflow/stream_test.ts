/** Whatever the samples are, a decoder that knows only the standard gets back what is in them. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";
import type { Device } from "../../../src/link/device.ts";
import { linkTypeOf } from "../../../src/link/link_type.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { attributes, number } from "../../psample/build.ts";
import { recordings } from "../../psample/recordings.ts";
import { random } from "../../estimate/random.ts";
import { decodeDatagram, type DecodedSample, headerOf, recordOf, wordsOf } from "./decoder.ts";
import { batchOf, ethernet, sampleOf, type SampleParts, sent } from "./encoding.ts";

/** Encodes samples in batches of this size, checks each datagram by itself, and returns the samples in them. */
function through(
  samples: readonly SampleView[],
  options: Partial<SflowOptions>,
  devices: readonly Device[],
  size: number,
): DecodedSample[] {
  const { maxDatagramBytes = 1400 } = options;
  const all = sent(options, (encoder) => {
    for (let i = 0; i < samples.length; i += size) encoder.take(batchOf(samples.slice(i, i + size), { devices }));
  });
  return all.flatMap(({ bytes, samples }, i) => {
    assert(bytes.length <= maxDatagramBytes && bytes.length % 4 === 0, `${bytes.length} bytes`);
    const datagram = decodeDatagram(bytes);
    assertEquals(datagram.sequence, i + 1);
    assertEquals(datagram.samples.length, samples);
    return datagram.samples;
  });
}

/** What a sample must have become. */
function assertSame(decoded: DecodedSample, sample: SampleView, options: Partial<SflowOptions>, devices: readonly Device[]): void {
  const { data = new Uint8Array(0), originalBytes = data.length, inIfindex, outIfindex, outTc, latencyNs, outTcOccupancyBytes } = sample;
  const deviceOf = (index: number | undefined): Device | undefined => devices.find((device) => (device.index! & 0xffff) === index);
  const whole = (index: number | undefined): number | undefined => deviceOf(index)?.index ?? index;
  const { headerBytes = 128 } = options;
  assertEquals(decoded.sourceType, 0);
  assertEquals(decoded.sourceIndex, whole(outIfindex ?? inIfindex) ?? 0);
  assertEquals(decoded.input, whole(inIfindex) ?? (outIfindex === undefined ? 0 : 0x3fffffff));
  if (outIfindex !== undefined) assertEquals(decoded.output, whole(outIfindex));
  else assert(decoded.output === 0 || decoded.output === 0x3fffffff);
  assert(Math.abs(decoded.rate! - (sample.oneIn ?? 1)) < 1, `${decoded.rate} for ${sample.oneIn}`);
  const { protocol, frameLength, stripped, header } = headerOf(decoded);
  assertEquals(header, data.slice(0, headerBytes));
  const isFrame = linkTypeOf(deviceOf(outIfindex ?? inIfindex)?.type, sample.protocol, data) === "ethernet";
  assertEquals(frameLength - stripped, originalBytes);
  assertEquals(stripped, isFrame ? 4 : 0);
  if (isFrame) assertEquals(protocol, 1);
  else if (data.length > 0) assertEquals(protocol, data[0]! >> 4 === 6 ? 12 : 11);
  const tag = isFrame && data.length >= 16 && [0x8100, 0x88a8, 0x9100, 0x9200].includes(data[12]! << 8 | data[13]!)
    ? data[14]! << 8 | data[15]!
    : undefined;
  const side = tag === undefined ? undefined : [tag & 0xfff, tag >> 13];
  const expected = side && (outIfindex === undefined ? [...side, 0, 0] : [0, 0, ...side]);
  assertEquals(wordsOf(decoded, 1001), expected);
  assertEquals(wordsOf(decoded, 1036)?.[0], outTc);
  const capped = (value: bigint | undefined): number | undefined =>
    value === undefined ? undefined : value > 0xffff_ffffn ? 0xffff_ffff : Number(value);
  assertEquals(wordsOf(decoded, 1039)?.[0], capped(latencyNs));
  assertEquals(wordsOf(decoded, 1040)?.[0], outTc === undefined ? undefined : capped(outTcOccupancyBytes));
  const time = recordOf(decoded, 1043);
  assertEquals(time && new DataView(time.buffer).getBigUint64(0), sample.timestampNs);
  const known = options.tunnels ? sample.tunnel?.source ?? sample.tunnel?.destination : undefined;
  const tunnelRecord = (known?.includes(":") ? 1025 : 1023) + (outIfindex === undefined ? 1 : 0);
  assertEquals(
    decoded.records.filter(({ format }) => format >= 1021 && format <= 1026).map(({ format }) => format),
    known ? [tunnelRecord] : [],
  );
  // What every collector knows is before what some do not.
  const order = [1, 3, 4, 1001, 1012, 1036, 1040, 1039, 1023, 1024, 1025, 1026, 1029, 1030, 1043];
  const places = decoded.records.map(({ format }) => order.indexOf(format));
  assertEquals(places, [...new Set(places)].sort((a, b) => a - b));
  assert(!places.includes(-1));
}

/** The devices of the recordings. */
const RECORDED: readonly Device[] = [
  ethernet(101, "020000000001"),
  ethernet(103, "020000000003"),
  ethernet(110, undefined, 0xfffe),
  ethernet(120, "020000000011"),
];

test("what kernels sent", () => {
  for (const { name, items } of recordings()) {
    const samples = items.filter((item) => item.type === "sample");
    for (const devices of [RECORDED, []]) {
      for (
        const options of [{}, { headerBytes: 64, expanded: true }, { tunnels: true, agent: "2001:db8::1" }, {
          headerBytes: 0,
          maxDatagramBytes: 512,
        }]
      ) {
        const decoded = through(samples, options, devices, 3);
        assertEquals(decoded.length, samples.length, name);
        decoded.forEach((one, i) => assertSame(one, samples[i]!, options, devices));
        assert(decoded.every(({ format }) => format === (options.expanded ? 3 : 1)));
      }
    }
  }
});

test("what the scenes of the recordings set up", () => {
  const of = (scene: string, options: Partial<SflowOptions> = {}): DecodedSample[] => {
    const { items } = recordings().find(({ name }) => name === `${scene}.new.pcap`)!;
    return through(items.filter((item) => item.type === "sample"), options, RECORDED, 100);
  };
  const passed = ({ input, output }: DecodedSample): unknown => [input, output];
  const INTERNAL = 0x3fffffff;
  assertEquals(of("ingress").map(passed), Array(5).fill([101, INTERNAL]));
  assertEquals(of("egress").map(passed), Array(3).fill([INTERNAL, 101]));
  assertEquals(of("forward").map(passed), Array(3).fill([101, 103]));
  for (const [scene, bytes] of [["trunc0", 0], ["trunc1", 1], ["trunc13", 13], ["trunc64", 64]] as const) {
    const headers = of(scene).map(headerOf).map((
      { protocol, frameLength, stripped, header },
    ) => [protocol, frameLength, stripped, header.length]);
    assertEquals(headers, Array(2).fill([1, 146, 4, bytes]), scene);
  }
  assertEquals(of("gso").map(headerOf).map(({ frameLength, header }) => [frameLength, header.length]), [[65_218, 128]]);
  assertEquals(of("vlan").map((sample) => wordsOf(sample, 1001)), [undefined, [42, 0, 0, 0]]);
  const tun = of("tun");
  assertEquals(tun.map((sample) => headerOf(sample).protocol), [11, 12]);
  assertEquals(wordsOf(tun[0]!, 3)!, [128, 17, 0xc0000202, 0xc0000201, 4000, 5000, 0, 0]);
  assertEquals(wordsOf(tun[1]!, 4)!.slice(0, 2), [148, 17]);
  assertEquals(wordsOf(tun[1]!, 4)!.slice(10), [4000, 5000, 0, 0]);
  // 142 bytes in VXLAN, UDP and IPv4, or in Geneve with 20 bytes of options.
  assertEquals(of("vxlan4", { tunnels: true }).map((sample) => wordsOf(sample, 1024) ?? wordsOf(sample, 1023)), [
    [178, 17, 0xc0000202, 0xc0000201, 50000, 4789, 0, 0x10],
    [178, 17, 0xc0000202, 0xc0000201, 50000, 4789, 0, 0x10],
    [178, 17, 0xc0000201, 0xc0000202, 0, 4789, 0, 0x20],
  ]);
  assertEquals(of("vxlan6", { tunnels: true }).map((sample) => wordsOf(sample, 1030) ?? wordsOf(sample, 1029)), [[42], [16_777_215]]);
  assertEquals(wordsOf(of("geneve", { tunnels: true })[0]!, 1024)!.slice(0, 2), [198, 17]);
  assertEquals(of("ovs").map(({ rate }) => rate), [...Array(8).fill(4), 1, 1], "a probability of a quarter, and of one");
});

test("samples of every shape", () => {
  const draw = random(20_240_607);
  const next = (): number => Math.floor(0x1_0000_0000 * draw());
  const pick = <T>(...values: readonly T[]): T => values[next() % values.length]!;
  const devices = [
    ethernet(2, "020000000001"),
    ethernet(0x10003, "020000000002"),
    ethernet(4, undefined, 0xfffe),
    ethernet(5, undefined, 512),
  ];
  const samples = Array.from({ length: 1500 }, () => {
    const data = pick(undefined, 0, 1, 6, 13, 14, 15, 16, 20, 54, 127, 128, 129, 600);
    const bytes = data === undefined ? undefined : Uint8Array.from({ length: data }, () => next() & 0xff);
    if (bytes && bytes.length > 16 && pick(true, false)) bytes.set(pick([0x81, 0], [0x88, 0xa8], [8, 0]), 12);
    if (bytes && bytes.length > 0 && pick(true, false)) bytes[0] = pick(0x45, 0x60, 0x02, 0x01);
    const isIpv6 = pick(true, false);
    const address = (): Uint8Array<ArrayBuffer> => Uint8Array.from({ length: isIpv6 ? 16 : 4 }, () => next() & 0xff);
    const tunnel = pick<SampleParts["more"]>([], [[
      8,
      attributes([
        [isIpv6 ? 12 : 1, address()],
        ...(pick(true, false) ? [[isIpv6 ? 13 : 2, address()] as const] : []),
        ...(pick(true, false) ? [[0, number(8, next(), false)] as const] : []),
        ...(pick(true, false) ? [[10, number(2, 4789, false)] as const] : []),
      ]),
    ]])!;
    const rate = pick<SampleParts>({ oneIn: pick(1, 7, 1000, 0xffff_ffff) }, { probability: next() || 1 }, {});
    return sampleOf({
      input: pick(undefined, 2, 3, 4, 5, 6),
      output: pick(undefined, undefined, 2, 3, 4, 77),
      bytes: pick(data ?? 0, 1500, 65_226, 300_000),
      data: bytes,
      ...rate,
      more: [
        ...pick<NonNullable<SampleParts["more"]>>([], [[10, number(2, next() & 0xffff)]]),
        ...pick<NonNullable<SampleParts["more"]>>([], [[11, number(8, BigInt(next()) * 16n)]]),
        ...pick<NonNullable<SampleParts["more"]>>([], [[12, number(8, BigInt(next()) * 16n)]]),
        ...pick<NonNullable<SampleParts["more"]>>([], [[13, number(8, BigInt(next()) * 0x1_0000_0001n)]]),
        ...pick<NonNullable<SampleParts["more"]>>([], [[14, number(2, pick(0x0800, 0x86dd, 0x8100, 0x88b5))]]),
        ...tunnel,
      ],
    });
  });
  for (
    const options of [{}, { tunnels: true, headerBytes: 300, agent: "::1" }, { expanded: true, maxDatagramBytes: 512, headerBytes: 20 }]
  ) {
    const decoded = through(samples, options, devices, 1 + (next() >>> 1) % 200);
    assertEquals(decoded.length, samples.length);
    const sequences = new Map<number, number>();
    for (const [i, one] of decoded.entries()) {
      assertSame(one, samples[i]!, options, devices);
      const sequence = (sequences.get(one.sourceIndex) ?? 0) + 1;
      sequences.set(one.sourceIndex, sequence);
      assertEquals(one.sequence, sequence);
    }
  }
});
