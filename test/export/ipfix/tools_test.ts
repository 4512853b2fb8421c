/** What tshark, nfacctd and nfcapd make of our IPFIX. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ipfixTo, pump } from "../../../mod.ts";
import { IpfixFlowEncoder } from "../../../src/export/ipfix/flow_encoder.ts";
import type { IpfixFlowOptions, IpfixPacketOptions } from "../../../src/export/ipfix/options.ts";
import { IpfixPacketEncoder } from "../../../src/export/ipfix/packet_encoder.ts";
import type { Device } from "../../../src/link/device.ts";
import { linkTypeOf } from "../../../src/link/link_type.ts";
import { type PacketFields, parsePacket } from "../../../src/packet/mod.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { toHex } from "../../../src/wire/text.ts";
import { recordedSamples } from "../../psample/recordings.ts";
import { bytes, join, number } from "../../psample/build.ts";
import { BatchesSource } from "../../support/batches.ts";
import { inDirectory } from "../../support/directory.ts";
import { output, programs } from "../../support/programs.ts";
import { TcpReceiver } from "../../support/tcp_receiver.ts";
import { until } from "../../support/waiting.ts";
import { collect, collectors } from "../collectors.ts";
import { Exported, ipFrame, ipPacket, READ_NS, sampleOf, type SampleParts } from "./exported.ts";

const PORT = 4739;
const DEVICES = (index: number): Device => ({
  index,
  name: `eth${index}`,
  type: index === 9 || index === 110 ? 65534 : 1,
  address: undefined,
});

/** Two selectors of different rates on two devices, and a third on one without frames. */
const SAMPLES: SampleView[] = [
  ...times(10, { in: 2, group: 5, rate: 1000, originalBytes: 1014, data: ipFrame("192.0.2.1", "198.51.100.1", 1000, 53, 1000) }),
  ...times(4, { in: 3, out: 2, group: 6, rate: 10, originalBytes: 514, data: ipFrame("192.0.2.2", "198.51.100.2", 2000, 443, 500) }),
  ...times(3, { in: 9, group: 7, rate: 1, originalBytes: 300, data: ipPacket("192.0.2.3", "198.51.100.3", 3000, 123, 300) }),
];

function times(count: number, parts: SampleParts): SampleView[] {
  return [...Array(count).keys()].map((sequence) => sampleOf({ timestampNs: READ_NS + 123_000_000n, protocol: 0x800, sequence, ...parts }));
}

function sent(samples: readonly SampleView[], options: IpfixPacketOptions = {}): Uint8Array[] {
  return finish(new Exported((datagrams, send) => new IpfixPacketEncoder(datagrams, send, options), DEVICES), samples);
}

function sentFlows(samples: readonly SampleView[], options: IpfixFlowOptions = {}): Uint8Array[] {
  return finish(new Exported((datagrams, send) => new IpfixFlowEncoder(datagrams, send, options), DEVICES), samples);
}

function finish(output: Exported<IpfixPacketEncoder | IpfixFlowEncoder>, samples: readonly SampleView[]): Uint8Array[] {
  // One by one, with a flush between: several messages of each domain.
  for (const sample of samples) output.take([sample]).flush();
  output.encoder.end(READ_NS + 1_000_000_000n);
  return output.datagrams.map(({ bytes }) => bytes);
}

/** A pcap file of IPv4 packets of a protocol, without frames: DLT_RAW. */
function pcapOf(protocol: number, payloads: readonly Uint8Array[]): Uint8Array {
  const header = join(number(4, 0xa1b2c3d4), number(2, 2), number(2, 4), number(8, 0), number(4, 65535), number(4, 101));
  const records = payloads.map((payload) => {
    const length = 20 + payload.length;
    const addresses = [192, 0, 2, 1, 192, 0, 2, 2];
    const ip = join(Uint8Array.of(0x45, 0), number(2, length, false), Uint8Array.of(0, 0, 0x40, 0, 64, protocol, 0, 0, ...addresses));
    return join(number(4, 1), number(4, 0), number(4, length), number(4, length), ip, payload);
  });
  return join(header, ...records);
}

/** Datagrams in UDP. */
function pcapOfDatagrams(datagrams: readonly Uint8Array[]): Uint8Array {
  const port = number(2, PORT, false);
  return pcapOf(17, datagrams.map((datagram) => join(port, port, number(2, 8 + datagram.length, false), number(2, 0), datagram)));
}

/** The same of a TCP connection, in segments of this size: messages begin and end anywhere in them. */
function pcapOfStream(stream: Uint8Array, segmentBytes: number): Uint8Array {
  const ports = join(number(2, 40_000, false), number(2, PORT, false));
  const segment = (sequence: number, flags: number, data: Uint8Array): Uint8Array => {
    const numbers = join(number(4, sequence, false), number(4, flags & 0x10 ? 1 : 0, false));
    return join(ports, numbers, Uint8Array.of(0x50, flags), number(2, 0xffff, false), number(4, 0), data);
  };
  const segments: Uint8Array[] = [segment(0, 0x02, new Uint8Array(0))];
  for (let at = 0; at < stream.length; at += segmentBytes) {
    segments.push(segment(1 + at, 0x18, stream.subarray(at, at + segmentBytes)));
  }
  return pcapOf(6, segments);
}

/** The values of fields in each packet, separated by commas. Frames in records are cut: tshark must not look into them. */
function tsharkRows(path: string, ...fields: string[]): string[][] {
  const { out, err, status } = output(
    "tshark",
    ...["-n", "-r", path, "--disable-protocol", "eth", "-d", `tcp.port==${PORT},cflow`, "-T", "fields"],
    ...fields.flatMap((field) => ["-e", field]),
  );
  assertEquals(status, 0, err);
  return out.split("\n").slice(0, -1).map((row) => row.split("\t"));
}

/** The values of fields, all in one list each, and what tshark finds wrong. */
function tshark(path: string, ...fields: string[]): string[][] {
  const columns = ["_ws.malformed", "_ws.expert.message", ...fields];
  const rows = tsharkRows(path, ...columns);
  return columns.map((_, i) => rows.flatMap((row) => row[i] ? row[i].split(",") : []));
}

test(
  "tshark reads every recording as packets and as flows, with PSAMP's reports and elements of our own, and finds nothing wrong",
  programs("tshark"),
  inDirectory((path) => {
    const samples = recordedSamples();
    writeFileSync(path("packets.pcap"), pcapOfDatagrams(sent(samples, { strict: true, enterprise: 32473 })));
    const [malformed, expert, sizes, frames, ips] = tshark(
      path("packets.pcap"),
      "cflow.data_link_frame_size",
      "cflow.data_link_frame_section",
      "cflow.section_header",
    );
    assertEquals([malformed, expert], [[], []]);
    const expected = samples.map(({ originalBytes }) => String(Math.min(originalBytes!, 65535)));
    assertEquals(sizes!.sort(), expected.sort());
    assertEquals(frames!.length + ips!.length, samples.filter(({ dataBytes }) => dataBytes > 0).length);
    writeFileSync(path("flows.pcap"), pcapOfDatagrams(sentFlows(samples, { strict: true })));
    const [malformedFlows, expertFlows, packets] = tshark(path("flows.pcap"), "cflow.packets");
    assertEquals([malformedFlows, expertFlows], [[], []]);
    assertEquals(packets!.reduce((sum, count) => sum + Number(count), 0), samples.length);
  }),
);

test("tshark reads what goes by TCP, wherever segments end, and finds nothing wrong", programs("tshark"), async () => {
  const samples = recordedSamples();
  await using receiver = await TcpReceiver.listen();
  await pump(new BatchesSource([samples]), [], [ipfixTo(`tcp:${receiver.target}`, { strict: true, enterprise: 32473 })]);
  await until("it has ended", () => receiver.streams[0]?.isEnded ?? false);
  const stream = join(...receiver.streams[0]!.chunks);
  await inDirectory((path) => {
    for (const bytes of [97, 536, 1448]) {
      writeFileSync(path("stream.pcap"), pcapOfStream(stream, bytes));
      const [malformed, expert, sizes] = tshark(path("stream.pcap"), "cflow.data_link_frame_size");
      // It remarks that a connection begins.
      assertEquals([malformed, expert!.filter((text) => !/^Connection establish request/.test(text))], [[], []]);
      assertEquals(sizes!.length, samples.length);
    }
  })();
});

test(
  "tshark shows times to the nanosecond, the rate, and the names of interfaces",
  programs("tshark"),
  inDirectory((path) => {
    writeFileSync(path("packets.pcap"), pcapOfDatagrams(sent(SAMPLES)));
    const [, , observed, interval, probability, names] = tshark(
      path("packets.pcap"),
      "cflow.observation_time_nanoseconds",
      "cflow.sampling_interval",
      "cflow.sampling_probability",
      "cflow.if_name",
    );
    // The day has a comma in it. tshark cuts the fraction off where it is not a whole number of nanoseconds.
    assert(observed!.some((text) => / 2026 \d\d:\d\d:\d\d\.(123000000|122999999) UTC/.test(text)), observed!.join());
    assertEquals(interval, ["1000", "10", "1"]);
    assertEquals(probability, ["0.001", "0.1", "1"]);
    assertEquals([...new Set(names)].sort(), ["eth2", "eth3", "eth9"]);
  }),
);

/** IPv6 with UDP, and its size. */
const IPV6 = { source: "2001:db8::1", destination: "2001:db8::2", bytes: 1048 };
const IPV6_PACKET = bytes(
  "6b800000 03f01140 20010db8000000000000000000000001 20010db8000000000000000000000002 0fa01388 03f00000",
);
/** What no recording has: IPv6 without a frame, one larger than 64 KiB, one with padding, a tag, something else in a frame. */
const RARE: SampleView[] = [
  ...times(2, { in: 9, group: 8, rate: 4, originalBytes: IPV6.bytes, protocol: 0x86dd, data: IPV6_PACKET }),
  ...times(1, { in: 2, group: 5, rate: 1000, originalBytes: 100_014, data: ipFrame("192.0.2.7", "198.51.100.7", 7, 8, 0) }),
  ...times(1, { in: 9, group: 7, rate: 1, originalBytes: 60, data: ipPacket("192.0.2.8", "198.51.100.8", 8, 9, 29) }),
  ...times(1, { in: 2, group: 5, rate: 1000, originalBytes: 64, data: bytes("020000000002 020000000001 88b5 0102030405") }),
  ...times(3, {
    in: 2,
    group: 5,
    rate: 1000,
    originalBytes: 1018 + 48,
    protocol: 0x8100,
    data: join(bytes("020000000002 020000000001 8100 602a 86dd"), IPV6_PACKET),
  }),
];

/** What is in a packet, as it says itself. */
function truthOf(sample: SampleView): PacketFields & { readonly isFrame: boolean; readonly ipBytes: number } {
  const { inIfindex, outIfindex, protocol, data = new Uint8Array(0), originalBytes = 0 } = sample;
  const linkType = linkTypeOf(DEVICES(outIfindex ?? inIfindex ?? 0).type, protocol, data);
  const fields = parsePacket(data, linkType, originalBytes);
  const isFrame = linkType === "ethernet";
  const headers = isFrame ? 14 + 4 * (fields.vlans?.length ?? 0) : 0;
  // The header of a packet larger than 64 KiB has 0, and a small frame is padded.
  return { ...fields, isFrame, ipBytes: Math.min(originalBytes - headers, fields.ipLength || Infinity) };
}

test(
  "tshark shows sizes, bytes, addresses, ports and octets of packets as they were sampled",
  programs("tshark"),
  inDirectory((path) => {
    const samples = [...recordedSamples(), ...SAMPLES, ...RARE];
    writeFileSync(path("packets.pcap"), pcapOfDatagrams(sent(samples, { headerBytes: 64 })));
    const fields = [
      ...["data_link_frame_size", "layer2_octet_delta_count", "data_link_frame_section", "section_header", "vlanid"],
      ...["srcaddr", "srcaddrv6", "dstaddr", "dstaddrv6", "srcport", "dstport", "protocol", "octets", "packets"],
    ];
    // Each report is in a message of its own; others have options.
    const rows = tsharkRows(path("packets.pcap"), ...fields.map((field) => `cflow.${field}`)).filter(([size]) => size !== "");
    const expected = samples.map((sample) => {
      const { originalBytes = 0, data = new Uint8Array(0) } = sample;
      const truth = truthOf(sample);
      const captured = toHex(data.subarray(0, 64));
      const isIpv6 = truth.source?.includes(":");
      const address = (text: string): string[] => isIpv6 ? ["", text] : [text, ""];
      const { source, destination, sourcePort = 0, destinationPort = 0, protocol, ipBytes } = truth;
      return [
        `${Math.min(originalBytes, 0xffff)}`,
        originalBytes > 0xffff ? `${originalBytes}` : "",
        ...(truth.isFrame ? [captured, ""] : ["", captured]),
        `${truth.vlans?.[0]?.id ?? ""}`,
        // Collectors look into frames.
        ...(truth.isFrame || source === undefined || destination === undefined
          ? fields.slice(5).map(() => "")
          : [...address(source), ...address(destination), ...[sourcePort, destinationPort, protocol, ipBytes, 1].map(String)]),
      ];
    });
    assertEquals(rows, expected);
  }),
);

/** Packets and bytes of each flow, by a key that describes it. */
type Sums = Record<string, [packets: number, bytes: number]>;

function add(sums: Sums, flow: readonly unknown[], packets: number, bytes: number): void {
  const sum = sums[flow.join(" ")] ??= [0, 0];
  sum[0] += packets;
  sum[1] += bytes;
}

for (const scale of [false, true]) {
  test(
    `tshark shows flows with the addresses and ports of the packets, and counts these and their octets ${scale ? "N times" : "once"}`,
    programs("tshark"),
    inDirectory((path) => {
      const samples = [...recordedSamples(), ...SAMPLES, ...RARE].map((sample) => ({ sample, truth: truthOf(sample) }));
      const isIp = ({ truth }: typeof samples[0]): boolean => truth.destination !== undefined && truth.protocol !== undefined;
      const kinds = {
        ip: samples.filter((one) => isIp(one) && one.truth.source!.includes(".")),
        ipv6: samples.filter((one) => isIp(one) && one.truth.source!.includes(":")),
        frames: samples.filter((one) => !isIp(one) && one.truth.etherType !== undefined),
      };
      for (const [kind, its] of Object.entries(kinds)) {
        assert(its.length > 0, kind);
        const file = path(`${kind}.pcap`);
        writeFileSync(file, pcapOfDatagrams(sentFlows(its.map(({ sample }) => sample), { scale })));
        // All flows of a kind have the same fields, and no options have any of these.
        const fields = kind === "frames"
          ? ["srcmac", "dstmac", "ethernet_type"]
          : [...(kind === "ip" ? ["srcaddr", "dstaddr"] : ["srcaddrv6", "dstaddrv6"]), "srcport", "dstport", "protocol"];
        const [malformed, expert, packets, octets, ...keys] = tshark(
          file,
          ...["packets", "octets", ...fields].map((one) => `cflow.${one}`),
        );
        assertEquals([malformed, expert], [[], []]);
        const found: Sums = {};
        for (const [i, count] of packets!.entries()) add(found, keys.map((key) => key[i]), Number(count), Number(octets![i]));
        const expected: Sums = {};
        for (const { sample, truth } of its) {
          const times = scale ? sample.oneIn ?? 1 : 1;
          const { source, destination, sourcePort = 0, destinationPort, icmpType = 0, icmpCode = 0, protocol } = truth;
          const key = kind === "frames"
            ? [truth.etherSource, truth.etherDestination, truth.etherType]
            // Of ICMP the type and the code are in the place of the port.
            : [source, destination, sourcePort, destinationPort ?? icmpType * 256 + icmpCode, protocol];
          add(expected, key, times, times * (kind === "frames" ? sample.originalBytes! : truth.ipBytes));
        }
        // N may be a fraction.
        for (const sum of Object.values(expected)) sum.forEach((value, i) => sum[i] = Math.round(value));
        assertEquals(found, expected);
      }
    }),
  );
}

/** What nfacctd counts: addresses, ports, interfaces, rate, packets, bytes, time of the first packet. */
function nfacctd(path: (name: string) => string, datagrams: readonly Uint8Array[], packets: number, renormalize: boolean): string[] {
  writeFileSync(
    path("nfacctd.conf"),
    `daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: ${PORT}
plugins: print
aggregate: src_host, dst_host, src_port, dst_port, proto, in_iface, out_iface, sampling_rate, timestamp_start
print_output: json
print_output_file: ${path("counted.json")}
print_output_file_append: true
print_refresh_time: 1
nfacctd_time_new: true
nfacctd_renormalize: ${renormalize}
`,
  );
  const counted = `[ "$(grep -o '"packets": [0-9]*' '${
    path("counted.json")
  }' 2>/dev/null | awk '{ sum += $2 } END { print sum + 0 }')" -ge ${packets} ]`;
  collect(path, datagrams, {
    words: ["nfacctd", "-f", path("nfacctd.conf")],
    port: PORT,
    // Its plugin is another process, which misses what comes before it is ready.
    isReady: `grep -q 'Purging cache - END' "$printed"`,
    isDone: counted,
    // It does not hear others.
    signal: "KILL",
  });
  // It prints what has come each second: a flow may be in several lines.
  const flows = new Map<string, { packets: number; bytes: number; readonly start: string }>();
  for (const line of readFileSync(path("counted.json"), "utf8").trim().split("\n")) {
    const flow = JSON.parse(line);
    const key = [
      ...[flow.ip_src, flow.port_src, flow.ip_dst, flow.port_dst, flow.ip_proto, flow.iface_in, flow.iface_out],
      `1/${flow.sampling_rate}`,
    ].join(" ");
    const sum = flows.get(key) ?? { packets: 0, bytes: 0, start: flow.timestamp_start };
    sum.packets += flow.packets;
    sum.bytes += flow.bytes;
    flows.set(key, sum);
  }
  return [...flows].map(([key, { packets, bytes, start }]) => `${key} ${packets} ${bytes} ${start}`).sort();
}

const START = new Date(Number(READ_NS / 1_000_000n) + 123).toISOString().replace("T", " ").replace("Z", "000");
const AS_SAMPLED = [
  `192.0.2.1 1000 198.51.100.1 53 udp 2 0 1/1000 10 10000 ${START}`,
  `192.0.2.2 2000 198.51.100.2 443 udp 3 2 1/10 4 2000 ${START}`,
  `192.0.2.3 3000 198.51.100.3 123 udp 9 0 1/1 3 900 ${START}`,
];
const SCALED = [
  `192.0.2.1 1000 198.51.100.1 53 udp 2 0 1/1 10000 10000000 ${START}`,
  `192.0.2.2 2000 198.51.100.2 443 udp 3 2 1/1 40 20000 ${START}`,
  `192.0.2.3 3000 198.51.100.3 123 udp 9 0 1/1 3 900 ${START}`,
];

for (const domains of ["rate", "namespace"] as const) {
  test(`nfacctd scales the packets of each selector by its rate: a domain for each ${domains}`, collectors("nfacctd"), async () => {
    await inDirectory((path) => assertEquals(nfacctd(path, sent(SAMPLES, { domains, strict: true }), 10_043, true), SCALED))();
  });
}

test("nfacctd counts packets, with the rate of each selector", collectors("nfacctd"), async () => {
  await inDirectory((path) => assertEquals(nfacctd(path, sent(SAMPLES), 17, false), AS_SAMPLED))();
});

test("nfacctd scales flows as it does packets", collectors("nfacctd"), async () => {
  await inDirectory((path) => assertEquals(nfacctd(path, sentFlows(SAMPLES), 10_043, true), SCALED))();
});

test("nfacctd scales nothing that is scaled already", collectors("nfacctd"), async () => {
  await inDirectory((path) => assertEquals(nfacctd(path, sentFlows(SAMPLES, { scale: true }), 10_043, true), SCALED))();
});

/** What nfcapd stores: times, addresses, ports, interfaces with a name, packets, bytes; and what it says of its exporters. */
function nfcapd(path: (name: string) => string, datagrams: readonly Uint8Array[]): { flows: string[]; printed: string } {
  const printed = collect(path, datagrams, {
    words: ["nfcapd", "-b", "127.0.0.1", "-p", String(PORT), "-w", path(""), "-t", "3600"],
    port: PORT,
  });
  const file = readdirSync(path("")).find((name) => /^nfcapd\.\d/.test(name))!;
  const { out } = output("nfdump", "-r", path(file), "-q", "-N", "-o", "fmt:%ts|%te|%pr|%sap|%dap|%in|%out|%inam|%pkt|%byt");
  const flows = out.trim().split("\n").map((line) => line.split("|").map((field) => field.trim()).join(" ")).sort();
  return { flows, printed };
}

const STORED = [
  [1, 53, 2, 0, 10, 10_000, 1000],
  [2, 443, 3, 2, 4, 2000, 10],
  [3, 123, 9, 0, 3, 900, 1],
].map(([host, port, input, out, packets, bytes, n]) => (scale: boolean): string => {
  const time = START.slice(0, -3);
  const by = scale ? n! : 1;
  return `${time} ${time} 17 192.0.2.${host}:${host}000 198.51.100.${host}:${port} ${input} ${out} eth${input} ${packets! * by} ${
    bytes! * by
  }`;
});

test(
  "nfcapd takes flows, with the names of interfaces. Debian's knows no rate of IPFIX, so it must be scaled before",
  collectors("nfcapd", "nfdump"),
  inDirectory((path) => {
    const { flows, printed } = nfcapd(path, sentFlows(SAMPLES, { scale: true }));
    assertEquals(flows, STORED.map((stored) => stored(true)));
    assert(/Flows: 3, Packets: 10043, Bytes: 10020900, Sequence Errors: 0, Bad Packets: 0/.test(printed), printed);
  }),
);

test(
  "nfcapd takes packet reports as flows without addresses: it does not look into frames; IP without a frame has its fields",
  collectors("nfcapd", "nfdump"),
  inDirectory((path) => {
    const { flows, printed } = nfcapd(path, sent(SAMPLES));
    assertEquals(flows.filter((flow) => flow.includes("192.0.2.3:3000")).length, 3);
    assertEquals(flows.filter((flow) => flow.includes(" 0.0.0.0:0 ")).length, 14);
    assert(/Bad Packets: 0/.test(printed), printed);
  }),
);
