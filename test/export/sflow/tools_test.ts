/** What other people's programs make of our datagrams: tshark, sfacctd (pmacct) and sfcapd (nfdump). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { HostCounters, InterfaceCounters } from "../../../src/export/sflow/counters.ts";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";
import { linkTypeOf } from "../../../src/link/link_type.ts";
import type { Device } from "../../../src/link/device.ts";
import { type PacketFields, parsePacket } from "../../../src/packet/mod.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { number } from "../../psample/build.ts";
import { recordings } from "../../psample/recordings.ts";
import { pcapFile } from "../../support/capture_files.ts";
import { inDirectory } from "../../support/directory.ts";
import { output, programs } from "../../support/programs.ts";
import { collect, collectors } from "../collectors.ts";
import { decodeDatagram } from "./decoder.ts";
import { batchOf, ethernet, hex, NOW_NS, sampleOf, sent } from "./encoding.ts";

const PORT = 6343;
const INTERNAL = 0x3fffffff;

/** The devices of the recordings, as machines that forward nothing know them. */
const DEVICES: readonly Device[] = [
  ethernet(101, "020000000001"),
  ethernet(103, "020000000003"),
  ethernet(110, undefined, 0xfffe),
  ethernet(120, "020000000011"),
  ethernet(70_001, "020000000071"),
  ethernet(0x0100_0005, "020000000075"),
];

const recorded = recordings().flatMap(({ items }) => items.filter((item) => item.type === "sample"));

/** What no recording has: large indexes, a fraction of N, two groups, queues, IPv6 and VLAN tags in one frame, no data. */
function made(): SampleView[] {
  const ports = "0fa01388 00080000";
  const ipv6 = `60000000 00081140 20010db8000000000000000000000001 20010db8000000000000000000000002 ${ports}`;
  const ipv4 = `45000024 00000000 40110000 c0000201 c0000202 ${ports}`;
  const tagged = hex(`020000000071 020000000002 8100 602a 86dd ${ipv6}`);
  const plain = hex(`020000000075 020000000002 0800 ${ipv4}`);
  return Array.from({ length: 40 }, (_, i) => [
    sampleOf({ input: 70_001 & 0xffff, bytes: 1000 + i, probability: 1_288_490_188, data: tagged }),
    sampleOf({
      input: 5,
      output: 70_001 & 0xffff,
      bytes: 70 + i,
      oneIn: 10,
      data: plain,
      more: [[3, number(4, 2)], [13, number(8, 1n << 60n)]],
    }),
    sampleOf({
      output: 5,
      bytes: 100_000 + i,
      oneIn: 1000,
      data: plain,
      more: [[10, number(2, i)], [11, number(8, 1n << 40n)], [12, number(8, 123_456n)], [13, number(8, 1n << 60n)]],
    }),
    sampleOf({ input: 5, bytes: 60, oneIn: 7 }),
  ]).flat();
}

const BOTH = { octets: 1, unicast: 2, multicast: 3, broadcast: undefined, discards: 5, errors: 6 };
const COUNTERS: InterfaceCounters = {
  ifType: 6,
  bitsPerSecond: 1e10,
  duplex: "full",
  adminUp: true,
  operationallyUp: true,
  promiscuous: false,
  in: { ...BOTH, unknownProtocols: undefined },
  out: BOTH,
  name: "eth0",
};
const TOTALS = { bytes: 1n << 40n, packets: 2, errors: 3, drops: undefined };
const HOST_COUNTERS: HostCounters = {
  description: { hostname: "edge1", uuid: new Uint8Array(16).fill(7), machine: "x86_64", release: "6.1.0" },
  network: { in: TOTALS, out: TOTALS },
};

/** Datagrams of samples in batches of 50, and in between of counters: those of an interface, and if there are any, those of the host. */
function datagrams(samples: readonly SampleView[], options: Partial<SflowOptions>, host?: HostCounters): Uint8Array<ArrayBuffer>[] {
  return sent(options, (encoder) => {
    for (let i = 0; i < samples.length; i += 50) {
      encoder.take(batchOf(samples.slice(i, i + 50), { devices: DEVICES }));
      encoder.interfaceCounters(101, COUNTERS, NOW_NS);
      if (host) encoder.hostCounters(host, NOW_NS);
    }
  }).map(({ bytes }) => bytes);
}

/** Datagrams of counters, and of discarded packets. */
function others(): Uint8Array<ArrayBuffer>[] {
  return sent({}, (encoder) => {
    encoder.interfaceCounters(101, COUNTERS, NOW_NS);
    encoder.discard({
      ifindex: 101,
      input: 101,
      output: undefined,
      reason: 258,
      unreported: 0,
      data: new Uint8Array(60),
      linkType: "ethernet",
      originalBytes: 60,
      functionName: "ip_rcv",
      linuxReason: "NETFILTER_DROP",
    }, NOW_NS);
    encoder.discard({
      ifindex: 0x0100_0005,
      input: 0x0100_0005,
      output: undefined,
      reason: 269,
      unreported: 1n << 33n,
      data: new Uint8Array(61),
      linkType: "raw-ip",
      originalBytes: 1500,
      trap: { group: "l3_drops", name: "blackhole_route" },
    }, NOW_NS);
  }).map(({ bytes }) => bytes);
}

/** What the truth says about a sample. */
interface Truth {
  readonly fields: PacketFields;
  readonly input: number;
  readonly output: number;
  /** The frame with its check sequence, or the packet if there is no frame. */
  readonly bytes: number;
  readonly oneIn: number;
}

function truthOf(sample: SampleView): Truth {
  const { inIfindex, outIfindex, data = new Uint8Array(0), originalBytes = 0, protocol, oneIn = 1 } = sample;
  const device = (index: number | undefined): Device | undefined => DEVICES.find((one) => (one.index! & 0xffff) === index);
  const linkType = linkTypeOf(device(outIfindex ?? inIfindex)?.type, protocol, data);
  const parsed = parsePacket(data, linkType, originalBytes);
  // Collectors read an IP header only if it is whole.
  const fields = parsed.destination === undefined ? parsePacket(data.slice(0, 14)) : parsed;
  // No packet of these is for another machine, and none is forwarded that was sampled when it arrived.
  const arrives = linkType === "raw-ip" || data.length >= 6;
  return {
    fields,
    input: inIfindex === undefined ? INTERNAL : device(inIfindex)?.index ?? inIfindex,
    output: outIfindex !== undefined ? device(outIfindex)?.index ?? outIfindex : arrives ? INTERNAL : 0,
    bytes: originalBytes + (linkType === "ethernet" ? 4 : 0),
    oneIn,
  };
}

/** A pcap file of these datagrams. */
function pcap(bodies: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const records = bodies.map((body) => {
    const bytes = new Uint8Array(28 + body.length);
    const view = new DataView(bytes.buffer);
    bytes.set(hex("45000000 00000000 40110000 c000020a c0000209 c3500000"));
    view.setUint16(2, bytes.length);
    view.setUint16(22, PORT);
    view.setUint16(24, 8 + body.length);
    bytes.set(body, 28);
    return { bytes };
  });
  return pcapFile(records, { linkType: 101 });
}

// tshark 4.0 is not given the host's counters: it knows none of their records, and does not skip what it does not know, but looks for the
// next record in what it contains.
test(
  "tshark finds every sample, and nothing malformed: not even in samples that were cut",
  programs("tshark"),
  inDirectory((path) => {
    for (const [i, options] of [{}, { expanded: true }, { headerBytes: 64, agent: "2001:db8::1" }].entries()) {
      const file = path(`${i}.pcap`);
      writeFileSync(file, pcap([...datagrams(recorded, options), ...others()]));
      assertEquals(output("tshark", "-n", "-r", file, "-Y", "_ws.malformed").out, "");
      const { out } = output("tshark", "-n", "-r", file, "-V");
      const found = out.split(/^ {4}(?:Expanded flow|Flow) sample, seq \d+$/m).slice(1).map((text) => {
        const value = (pattern: RegExp): number => Number(pattern.exec(text)?.[1]);
        return [
          value(/^ {8}Sampling rate: 1 out of (\d+) packets?$/m),
          value(/^ {8}Input interface (?:\(ifIndex\)|value): (\d+)$/m),
          value(/^ {8,12}(?:.* = )?Output interface value: (\d+)$/m),
          value(/^ {12}Frame Length: (\d+)$/m),
          /^ {12}Incoming 802.1Q VLAN: (\d+)$/m.exec(text)?.[1],
        ];
      });
      const expected = recorded.map(truthOf).map(({ oneIn, input, output, bytes, fields }) => [
        Math.round(oneIn),
        input,
        output,
        bytes,
        fields.vlans && String(fields.vlans[0]!.id),
      ]);
      assertEquals(found, expected);
      assertStringIncludes(out, "Interface Speed: 10000000000");
    }
  }),
);

test(
  "tshark reads the packets in them",
  programs("tshark"),
  inDirectory((path) => {
    const samples = recorded.filter((sample) => sample.dataBytes > 60);
    writeFileSync(path("all.pcap"), pcap(datagrams(samples, { maxDatagramBytes: 512 })));
    const fields = ["ip.src", "ip.dst", "ipv6.src", "udp.dstport", "tcp.dstport"];
    const { out } = output("tshark", "-n", "-r", path("all.pcap"), "-T", "fields", ...fields.flatMap((field) => ["-e", field]));
    // The first address and port of each line are those of the datagram itself.
    const columns = out.split("\n").slice(0, -1).map((line) => line.split("\t").map((column) => column.split(",").filter(Boolean)));
    const all = (column: number, skip: number): string[] => columns.flatMap((line) => line[column]!.slice(skip));
    const truths = samples.map((sample) => truthOf(sample).fields);
    const v4 = truths.filter(({ source }) => source?.includes("."));
    assertEquals(all(0, 1), v4.map(({ source }) => source));
    assertEquals(all(1, 1), v4.map(({ destination }) => destination));
    assertEquals(all(2, 0), truths.filter(({ source }) => source?.includes(":")).map(({ source }) => source));
    const ports = (protocol: number): string[] =>
      truths.filter((one) => one.protocol === protocol).map((one) => String(one.destinationPort));
    assertEquals(all(3, 1), ports(17));
    assertEquals(all(4, 0), ports(6));
  }),
);

/** Lines, each with how often it occurs. */
function counted(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of [...lines].sort()) counts[line] = (counts[line] ?? 0) + 1;
  return counts;
}

/** N of each sample, as the datagrams have it: a fraction is rounded up or down. */
function ratesIn(bodies: readonly Uint8Array<ArrayBuffer>[]): number[] {
  return bodies.flatMap((bytes) => decodeDatagram(bytes).samples).flatMap(({ rate }) => rate ?? []);
}

/** Packets and bytes of each flow. */
type Sums = Record<string, [packets: number, bytes: number]>;

function add(sums: Sums, flow: string, packets: number, bytes: number): void {
  const sum = sums[flow] ??= [0, 0];
  sum[0] += packets;
  sum[1] += bytes;
}

for (const [what, samples, options] of [["recordings", recorded, {}], ["samples of large indexes", made(), { expanded: true }]] as const) {
  test(
    `sfcapd counts packets, bytes and interfaces of ${what} to the unit, N times`,
    collectors("sfcapd", "nfdump"),
    inDirectory((path) => {
      mkdirSync(path("flows"));
      const words = ["sfcapd", "-b", "127.0.0.1", "-p", String(PORT), "-w", path("flows"), "-t", "3600"];
      const bodies = datagrams(samples, options, HOST_COUNTERS);
      const rates = ratesIn(bodies);
      const printed = collect(path, [...bodies, ...others()], { words, port: PORT });
      assertStringIncludes(printed, `Flows: ${samples.length}, Packets: ${rates.reduce((sum, rate) => sum + rate, 0)}, `);
      assertStringIncludes(printed, "Sequence Errors: 0, Bad Packets: 0");
      const { out } = output("nfdump", "-R", path("flows"), "-q", "-N", "-o", "fmt:%sa %da %pr %in %out %byt %pkt %sp %dp");
      const found = out.trimEnd().split("\n").map((line) => line.trim().split(/\s+/)).map((columns) => {
        // It has the type of ICMP in the place of ports.
        return columns.slice(0, columns[2] === "6" || columns[2] === "17" ? 9 : 7).join(" ");
      });
      const expected = samples.map(truthOf).map(({ fields, input, output, bytes }, i) => {
        const { source = "0.0.0.0", destination = "0.0.0.0", protocol = 0, sourcePort, destinationPort } = fields;
        const ports = protocol === 6 || protocol === 17 ? ` ${sourcePort} ${destinationPort}` : "";
        return `${source} ${destination} ${protocol} ${input} ${output} ${rates[i]! * bytes} ${rates[i]}${ports}`;
      });
      assertEquals(counted(found), counted(expected));
    }),
  );

  for (const scales of [false, true]) {
    test(
      `sfacctd counts packets and bytes of ${what} to the unit, ${scales ? "N times" : "once"}`,
      collectors("sfacctd"),
      inDirectory((path) => {
        // It counts only IP. To multiply, it takes the difference of the pool between two samples that it counts, so the others would blur N.
        const isCounted = (sample: SampleView): boolean => truthOf(sample).fields.destination !== undefined;
        const chosen = scales ? samples.filter(isCounted) : samples;
        const bodies = datagrams(chosen, options, HOST_COUNTERS);
        const rates = ratesIn(bodies);
        const expected: Sums = {};
        let total = 0;
        for (const [i, sample] of chosen.entries()) {
          if (!isCounted(sample)) continue;
          const { fields, input, output, bytes } = truthOf(sample);
          const { source, destination, sourcePort = 0, destinationPort = 0, protocol, vlans } = fields;
          const ports = protocol === 1 ? "0 0" : `${sourcePort} ${destinationPort}`;
          const times = scales ? rates[i]! : 1;
          const rate = scales ? undefined : rates[i];
          add(expected, `${source} ${destination} ${ports} ${input} ${output} ${vlans?.[0]?.id ?? 0} ${rate}`, times, times * bytes);
          total += times;
        }
        const config = [
          "daemonize: false",
          "sfacctd_ip: 127.0.0.1",
          `sfacctd_port: ${PORT}`,
          `sfacctd_renormalize: ${scales}`,
          "plugins: print",
          `aggregate: src_host,dst_host,src_port,dst_port,in_iface,out_iface,vlan${scales ? "" : ",sampling_rate"}`,
          "print_output: json",
          "print_refresh_time: 1",
          `print_output_file: ${path("flows")}`,
          "print_output_file_append: true",
          "",
        ];
        writeFileSync(path("config"), config.join("\n"));
        const sum = `sed '/"0.0.0.0"/d; s/.*"packets": //; s/,.*//' '${
          path("flows")
        }' 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'`;
        collect(path, [...bodies, ...others()], {
          words: ["sfacctd", "-f", path("config")],
          port: PORT,
          // Its plugin is another process, which misses what comes before it is ready.
          isReady: `grep -q 'Purging cache - END' "$printed"`,
          isDone: `[ "$(${sum})" -ge ${total} ]`,
          // It does not hear others.
          signal: "KILL",
        });
        const found: Sums = {};
        for (const line of readFileSync(path("flows"), "utf8").trim().split("\n")) {
          const { ip_src, ip_dst, port_src, port_dst, iface_in, iface_out, vlan, sampling_rate, packets, bytes } = JSON.parse(line);
          if (ip_src === "0.0.0.0") continue;
          add(found, `${ip_src} ${ip_dst} ${port_src} ${port_dst} ${iface_in} ${iface_out} ${vlan} ${sampling_rate}`, packets, bytes);
        }
        assertEquals(found, expected);
      }),
    );
  }
}
