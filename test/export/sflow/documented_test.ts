/** docs/sflow.md names the records that there are. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { attributes, number } from "../../psample/build.ts";
import { decodeDatagram } from "./decoder.ts";
import { batchOf, ethernet, hex, NOW_NS, sampleOf, type SampleParts, sent } from "./encoding.ts";

const text = readFileSync(new URL("../../../docs/sflow.md", import.meta.url), "utf8");

/** The numbers in the first column of the tables of a section. */
function documented(section: string): number[] {
  const [, body] = new RegExp(`^## ${section}\n([^]*?)(?=^## |$(?![^]))`, "m").exec(text)!;
  const cells = [...body!.matchAll(/^\| ([\d, ]+?) +\|/gm)].map(([, cell]) => cell!);
  return cells.flatMap((cell) => cell.split(", ").map(Number)).sort((a, b) => a - b);
}

/** The records of what is sent, each once. */
function recordsOf(datagrams: ReturnType<typeof sent>): number[] {
  const samples = datagrams.flatMap(({ bytes }) => decodeDatagram(bytes).samples);
  return [...new Set(samples.flatMap(({ records }) => records.map(({ format }) => format)))].sort((a, b) => a - b);
}

test("the records of samples are those in the table, and all of them", () => {
  const ipv4 = hex("45000014 00000000 40060000 c0000201 c0000202");
  const ipv6 = hex(`60000000 00003b40 ${"20010db8".padEnd(32, "0")} ${"20010db8".padEnd(32, "1")}`);
  const tunnel = (isIpv6: boolean): SampleParts["more"] => [
    [8, attributes([[isIpv6 ? 12 : 1, new Uint8Array(isIpv6 ? 16 : 4)], [0, number(8, 42, false)], [10, number(2, 4789, false)]])],
    [10, number(2, 1)],
    [11, number(8, 2)],
    [12, number(8, 3)],
    [13, number(8, 4)],
  ];
  const parts: readonly SampleParts[] = [
    { input: 2, data: new Uint8Array(60), more: tunnel(false) },
    { output: 2, data: new Uint8Array(60), more: tunnel(false) },
    { input: 2, data: new Uint8Array(60), more: tunnel(true) },
    { output: 2, data: new Uint8Array(60), more: tunnel(true) },
    { input: 3, data: ipv4 },
    { input: 3, data: ipv6 },
  ];
  const devices = [ethernet(2), ethernet(3, undefined, 0xfffe)];
  const datagrams = sent(
    { tunnels: true, strippedTag: () => 0x8100_0001 },
    (encoder) => encoder.take(batchOf(parts.map(sampleOf), { devices })),
  );
  assertEquals(recordsOf(datagrams), documented("Records"));
});

test("the records of counters and of discarded packets are those that are named", () => {
  const unknown = undefined;
  const both = { octets: 1, unicast: 1, multicast: 1, broadcast: 1, discards: 1, errors: 1 };
  const totals = { bytes: 1, packets: 1, errors: 1, drops: 1 };
  const counters = sent({}, (encoder) => {
    encoder.interfaceCounters(2, {
      ifType: 6,
      bitsPerSecond: 1,
      duplex: "full",
      adminUp: true,
      operationallyUp: true,
      promiscuous: false,
      in: { ...both, unknownProtocols: 1 },
      out: both,
      name: "eth0",
      ethernet: {
        alignmentErrors: unknown,
        fcsErrors: unknown,
        singleCollisionFrames: unknown,
        multipleCollisionFrames: unknown,
        sqeTestErrors: unknown,
        deferredTransmissions: unknown,
        lateCollisions: unknown,
        excessiveCollisions: unknown,
        internalMacTransmitErrors: unknown,
        carrierSenseErrors: unknown,
        frameTooLongs: unknown,
        internalMacReceiveErrors: unknown,
        symbolErrors: unknown,
      },
    }, NOW_NS);
    encoder.hostCounters({
      description: { hostname: "host", uuid: unknown, machine: "aarch64", release: "6.1" },
      cpu: {
        load: [0, 0, 0],
        runningProcesses: 1,
        processes: 1,
        processors: 1,
        megahertz: 1,
        uptimeSeconds: 1,
        userMs: 1,
        niceMs: 1,
        systemMs: 1,
        idleMs: 1,
        ioWaitMs: 1,
        interruptMs: 1,
        softInterruptMs: 1,
        interrupts: 1,
        contextSwitches: 1,
        stealMs: 1,
        guestMs: 1,
        guestNiceMs: 1,
      },
      memory: {
        totalBytes: 1,
        freeBytes: 1,
        sharedBytes: 1,
        bufferBytes: 1,
        cachedBytes: 1,
        swapTotalBytes: 1,
        swapFreeBytes: 1,
        pagesIn: 1,
        pagesOut: 1,
        swapsIn: 1,
        swapsOut: 1,
      },
      disk: {
        totalBytes: 1,
        freeBytes: 1,
        fullestPercent: 1,
        reads: 1,
        bytesRead: 1,
        readMs: 1,
        writes: 1,
        bytesWritten: 1,
        writeMs: 1,
      },
      network: { in: totals, out: totals },
    }, NOW_NS);
  });
  assertEquals(recordsOf(counters), documented("Counters and discarded packets"));
  const discards = sent({}, (encoder) => {
    encoder.discard({
      ifindex: 2,
      input: 2,
      output: unknown,
      reason: 256,
      unreported: 0,
      data: new Uint8Array(60),
      linkType: "ethernet",
      originalBytes: 60,
      functionName: "f",
      trap: { group: "g", name: "t" },
      linuxReason: "r",
    }, NOW_NS);
  });
  const [, sentence] = /has its reason, and may have records (.*?)\.\n/s.exec(text)!;
  assertEquals(recordsOf(discards), sentence!.replace(/\([^)]*\)/g, "").match(/\d+/g)!.map(Number));
});
