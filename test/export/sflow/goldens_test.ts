/** Bytes worked out by hand from the texts of the standard. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { SflowEncoder } from "../../../src/export/sflow/encoder.ts";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";
import { toHex } from "../../../src/wire/text.ts";
import { attributes, number } from "../../psample/build.ts";
import { batchOf, type BatchParts, ethernet, hex, NOW_NS, sampleOf, type SampleParts, sent } from "./encoding.ts";

/** The first 54 bytes of a TCP connection's first packet, of 74. */
const SYN = hex(`
  020000000002 020000000001 0800
  4500003c 12344000 400600c0 c0000201 c6336402
  d43101bb 00000001 00000000 a002faf0 00000000`);

/** The ends of tunnels through IPv6. */
const SOURCE = "20010db8 00000000 00000000 00000001";
const DESTINATION = "20010db8 00000000 00000000 00000002";

const ON_2: BatchParts = { devices: [ethernet(2, "020000000002")] };

/** The only datagram, without the blanks of what it is compared with. */
function only(options: Partial<SflowOptions>, use: (encoder: SflowEncoder) => void): string {
  const all = sent(options, use);
  assertEquals(all.length, 1);
  return toHex(all[0]!.bytes);
}

/** The samples of the only datagram: what follows its header. */
function samples(options: Partial<SflowOptions>, use: (encoder: SflowEncoder) => void): string {
  return only(options, use).slice(2 * 28);
}

function same(actual: string, expected: string): void {
  const words = (text: string): string[] => text.replace(/[\s|]/g, "").match(/.{1,8}/g) ?? [];
  assertEquals(words(actual), words(expected));
}

/** The records after the sampled header of a sample whose data is empty. */
function recordsAfterHeader(parts: SampleParts, options: Partial<SflowOptions> = {}): string {
  const all = samples(options, (encoder) => encoder.take(batchOf([sampleOf({ input: 2, ...parts })], ON_2)));
  // 40 bytes of the sample, 24 of the record of the header.
  return all.slice(2 * 64);
}

/** The attribute of a tunnel through IPv6 with a hop limit of 64, and more. */
function ipv6Tunnel(...rest: readonly (readonly [number, Uint8Array])[]): SampleParts["more"] {
  return [[8, attributes([[12, hex(SOURCE)], [13, hex(DESTINATION)], [4, hex("40")], ...rest])]];
}

test("a datagram with one compact flow sample of a TCP packet", () => {
  const bytes = only({ startNs: NOW_NS - 123_456_000_000n }, (encoder) => {
    encoder.take(batchOf([sampleOf({ input: 2, bytes: 74, oneIn: 1000, data: SYN })], ON_2));
  });
  same(
    bytes,
    `00000005 00000001 c000020a 00000000 00000001 0001e240 00000001
     00000001 00000070 00000001 00000002 000003e8 000003e8 00000000 00000002 3fffffff 00000001
     00000001 00000048 00000001 0000004e 00000004 00000036 ${toHex(SYN)} 0000`,
  );
});

test("a datagram of an agent with an IPv6 address, and a sub-agent", () => {
  const bytes = only({ agent: "2001:db8::a", subAgent: 7 }, (encoder) => encoder.hostCounters({}, NOW_NS));
  same(
    bytes,
    `00000005 00000002 20010db8 00000000 00000000 0000000a 00000007 00000001 00000000 00000001
     00000002 0000000c 00000001 02000001 00000000`,
  );
});

test("an expanded flow sample", () => {
  const options = { forwards: true, expanded: true };
  const bytes = samples(options, (encoder) => {
    const devices = [ethernet(70001)];
    encoder.take(batchOf([sampleOf({ input: 70001 & 0xffff, bytes: 74, oneIn: 1000, data: SYN })], { devices }));
  });
  same(
    bytes,
    `00000003 0000007c 00000001 00000000 00011171 000003e8 000003e8 00000000 00000000 00011171 00000000 00000000 00000001
     00000001 00000048 00000001 0000004e 00000004 00000036 ${toHex(SYN)} 0000`,
  );
});

test("queue, depth and delay of hardware, and the time", () => {
  same(
    recordsAfterHeader({
      more: [[10, number(2, 7)], [11, number(8, 9000)], [12, number(8, 5000)], [13, number(8, 0x18493fba6c4acd15n)]],
    }),
    `0000040c 00000004 00000007
     00000410 00000004 00002328
     0000040f 00000004 00001388
     00000413 00000008 18493fba 6c4acd15`,
  );
});

test("a VLAN tag in the bytes: of the side that the frame was seen on", () => {
  const tagged = hex("020000000002 020000000001 8100 a005 0800");
  const after = (output: number | undefined): string =>
    samples({}, (encoder) => encoder.take(batchOf([sampleOf({ input: 2, output, data: tagged })]))).slice(2 * (40 + 24 + 20));
  same(after(undefined), "000003e9 00000010 00000005 00000005 00000000 00000000");
  same(after(3), "000003e9 00000010 00000000 00000000 00000005 00000005");
});

test("a VLAN tag that was removed counts to the frame, and is named twice", () => {
  const bytes = samples({ strippedTag: () => 0x8100_0005 }, (encoder) => {
    encoder.take(batchOf([sampleOf({ input: 2, bytes: 60, oneIn: 1, data: SYN.slice(0, 14) })], ON_2));
  });
  same(
    bytes.slice(2 * 40),
    `00000001 00000020 00000001 00000044 00000008 0000000e ${toHex(SYN.slice(0, 14))} 0000
     000003e9 00000010 00000005 00000000 00000000 00000000
     000003f4 00000008 00000001 81000005`,
  );
});

test("an IPv4 packet of a device without a link layer", () => {
  const packet = SYN.slice(14);
  const devices = [ethernet(2, undefined, 0xfffe)];
  const bytes = samples({}, (encoder) => encoder.take(batchOf([sampleOf({ input: 2, bytes: 60, oneIn: 2, data: packet })], { devices })));
  same(
    bytes,
    `00000001 00000088 00000001 00000002 00000002 00000002 00000000 00000002 3fffffff 00000002
     00000001 00000038 0000000b 0000003c 00000000 00000028 ${toHex(packet)}
     00000003 00000020 0000003c 00000006 c0000201 c6336402 0000d431 000001bb 00000002 00000000`,
  );
});

test("an IPv6 packet of a device without a link layer", () => {
  const packet = hex(`6b800000 00081140 ${SOURCE} ${DESTINATION} 0fa01388 00080000`);
  const devices = [ethernet(2, undefined, 0xfffe)];
  const bytes = samples({}, (encoder) => encoder.take(batchOf([sampleOf({ input: 2, bytes: 48, oneIn: 2, data: packet })], { devices })));
  same(
    bytes.slice(2 * 40),
    `00000001 00000040 0000000c 00000030 00000000 00000030 ${toHex(packet)}
     00000004 00000038 00000030 00000011 ${SOURCE} ${DESTINATION} 00000fa0 00001388 00000000 000000b8`,
  );
});

test("the tunnel that a packet came through, and the one that it goes into", () => {
  const tunnel = (...rest: readonly (readonly [number, Uint8Array])[]): SampleParts["more"] => [
    [8, attributes([[1, hex("cb007101")], [2, hex("cb007102")], [4, hex("40")], ...rest])],
  ];
  const vxlan = tunnel([0, number(8, 42, false)], [9, number(2, 51234, false)], [10, number(2, 4789, false)]);
  same(
    recordsAfterHeader({ bytes: 88, more: vxlan }, { tunnels: true }),
    `00000400 00000020 0000007c 00000011 cb007101 cb007102 0000c822 000012b5 00000000 00000000
     00000406 00000004 0000002a`,
  );
  same(
    recordsAfterHeader({ output: 2, bytes: 88, more: vxlan }, { tunnels: true }),
    `000003ff 00000020 0000007c 00000011 cb007101 cb007102 0000c822 000012b5 00000000 00000000
     00000405 00000004 0000002a`,
  );
  assertEquals(recordsAfterHeader({ bytes: 88, more: vxlan }), "");
  // GRE with a key: 20 + 8 + 88 bytes.
  same(
    recordsAfterHeader({ bytes: 88, more: tunnel([0, number(8, 42, false)], [3, hex("10")]) }, { tunnels: true }),
    "00000400 00000020 00000074 0000002f cb007101 cb007102 00000000 00000000 00000000 00000010",
  );
  // Nothing shows what it is: 20 + 88 bytes.
  same(
    recordsAfterHeader({ bytes: 88, more: tunnel() }, { tunnels: true }),
    "00000400 00000020 0000006c 00000000 cb007101 cb007102 00000000 00000000 00000000 00000000",
  );
});

test("a tunnel through IPv6 that a packet goes into", () => {
  const option = hex("0102 80 01 08000022");
  const more = ipv6Tunnel([0, number(8, 77, false)], [8, option], [10, number(2, 6081, false)]);
  // 40 + 8 + 8 + 8 + 100 bytes.
  same(
    recordsAfterHeader({ output: 2, bytes: 100, more }, { tunnels: true }),
    `00000401 00000038 000000a4 00000011 ${SOURCE} ${DESTINATION} 00000000 000017c1 00000000 00000000
     00000405 00000004 0000004d`,
  );
});

test("a tunnel through IPv6 that a packet came through", () => {
  // VXLAN, traffic class 0xb8: 40 + 8 + 8 + 100 bytes.
  const vxlan = ipv6Tunnel([0, number(8, 42, false)], [3, hex("b8")], [9, number(2, 51234, false)], [10, number(2, 4789, false)]);
  same(
    recordsAfterHeader({ bytes: 100, more: vxlan }, { tunnels: true }),
    `00000402 00000038 0000009c 00000011 ${SOURCE} ${DESTINATION} 0000c822 000012b5 00000000 000000b8
     00000406 00000004 0000002a`,
  );
  // GRE with a key, which is no VNI: 40 + 8 + 100 bytes.
  same(
    recordsAfterHeader({ bytes: 100, more: ipv6Tunnel([0, number(8, 42, false)]) }, { tunnels: true }),
    `00000402 00000038 00000094 0000002f ${SOURCE} ${DESTINATION} 00000000 00000000 00000000 00000000`,
  );
  // Nothing shows what it is: 40 + 100 bytes.
  same(
    recordsAfterHeader({ bytes: 100, more: ipv6Tunnel() }, { tunnels: true }),
    `00000402 00000038 0000008c 00000000 ${SOURCE} ${DESTINATION} 00000000 00000000 00000000 00000000`,
  );
  assertEquals(recordsAfterHeader({ bytes: 100, more: vxlan }), "");
});

const UNKNOWN = undefined;

test("counters of an interface", () => {
  const bytes = samples({ expanded: true }, (encoder) => {
    encoder.interfaceCounters(70001, {
      ifType: 6,
      bitsPerSecond: 10_000_000_000,
      duplex: "full",
      adminUp: true,
      operationallyUp: true,
      promiscuous: false,
      in: { octets: 123_456_789n, unicast: 1000, multicast: 5, broadcast: UNKNOWN, discards: 1, errors: 0, unknownProtocols: UNKNOWN },
      out: { octets: 1n << 40n, unicast: (1n << 32n) + 9n, multicast: UNKNOWN, broadcast: UNKNOWN, discards: 2, errors: 3 },
      name: "eth0",
    }, NOW_NS);
  });
  same(
    bytes,
    `00000004 00000080 00000001 00000000 00011171 00000002
     00000001 00000058 00011171 00000006 00000002 540be400 00000001 00000003
     00000000 075bcd15 000003e8 00000005 ffffffff 00000001 00000000 ffffffff
     00000100 00000000 00000009 ffffffff ffffffff 00000002 00000003 00000000
     000003ed 00000008 00000004 65746830`,
  );
});

test("counters of an Ethernet interface of which little is known", () => {
  const none = { octets: UNKNOWN, unicast: UNKNOWN, multicast: UNKNOWN, broadcast: UNKNOWN, discards: UNKNOWN, errors: UNKNOWN };
  const bytes = samples({}, (encoder) => {
    encoder.interfaceCounters(2, {
      ifType: UNKNOWN,
      bitsPerSecond: UNKNOWN,
      duplex: "half",
      adminUp: false,
      operationallyUp: true,
      promiscuous: true,
      in: { ...none, unknownProtocols: UNKNOWN },
      out: none,
      ethernet: {
        alignmentErrors: 1,
        fcsErrors: 2,
        singleCollisionFrames: 3,
        multipleCollisionFrames: 4,
        sqeTestErrors: UNKNOWN,
        deferredTransmissions: 6,
        lateCollisions: 7,
        excessiveCollisions: 8,
        internalMacTransmitErrors: 9,
        carrierSenseErrors: 10,
        frameTooLongs: 11,
        internalMacReceiveErrors: 12,
        symbolErrors: 13,
      },
    }, NOW_NS);
  });
  same(
    bytes,
    `00000002 000000a8 00000001 00000002 00000002
     00000001 00000058 00000002 00000000 00000000 00000000 00000002 00000002
     ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff
     ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 00000001
     00000002 00000034 00000001 00000002 00000003 00000004 ffffffff 00000006 00000007 00000008 00000009 0000000a 0000000b 0000000c 0000000d`,
  );
});

test("counters of the host", () => {
  const bytes = samples({}, (encoder) => {
    encoder.hostCounters({
      description: { hostname: "host1", uuid: hex("00112233445566778899aabbccddeeff"), machine: "x86_64", release: "6.12.0" },
      cpu: {
        load: [0.5, 1, UNKNOWN],
        runningProcesses: 1,
        processes: 2,
        processors: 4,
        megahertz: UNKNOWN,
        uptimeSeconds: 86_400,
        userMs: 1,
        niceMs: 2,
        systemMs: 3,
        idleMs: (1n << 32n) + 4n,
        ioWaitMs: 5,
        interruptMs: 6,
        softInterruptMs: 7,
        interrupts: 8,
        contextSwitches: 9,
        stealMs: UNKNOWN,
        guestMs: 11,
        guestNiceMs: 12,
      },
      memory: {
        totalBytes: 1n << 34n,
        freeBytes: 1,
        sharedBytes: UNKNOWN,
        bufferBytes: 3,
        cachedBytes: 4,
        swapTotalBytes: 5,
        swapFreeBytes: 6,
        pagesIn: 7,
        pagesOut: 8,
        swapsIn: 9,
        swapsOut: UNKNOWN,
      },
      disk: {
        totalBytes: 1,
        freeBytes: 2,
        fullestPercent: 87.65,
        reads: 3,
        bytesRead: 4,
        readMs: 5,
        writes: 6,
        bytesWritten: UNKNOWN,
        writeMs: 8,
      },
      network: {
        in: { bytes: 1, packets: 2, errors: 3, drops: 4 },
        out: { bytes: 5, packets: 6, errors: 7, drops: UNKNOWN },
      },
    }, NOW_NS);
  });
  same(
    bytes,
    `00000002 00000158 00000001 02000001 00000005
     000007d0 00000030 00000005 686f7374 31000000 00112233 44556677 8899aabb ccddeeff 00000003 00000002 00000006 362e3132 2e300000
     000007d3 00000050 3f000000 3f800000 bf800000 00000001 00000002 00000004 00000000 00015180
       00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 ffffffff 0000000b 0000000c
     000007d4 00000048 00000004 00000000 00000000 00000001 00000000 00000000 00000000 00000003 00000000 00000004
       00000000 00000005 00000000 00000006 00000007 00000008 00000009 ffffffff
     000007d5 00000034 00000000 00000001 00000000 00000002 0000223d 00000003 00000000 00000004 00000005 00000006
       ffffffff ffffffff 00000008
     000007d6 00000028 00000000 00000001 00000002 00000003 00000004 00000000 00000005 00000006 00000007 ffffffff`,
  );
});

test("a discarded packet", () => {
  const bytes = samples({}, (encoder) => {
    encoder.discard({
      ifindex: 2,
      input: 2,
      output: UNKNOWN,
      reason: 258,
      unreported: 0,
      data: SYN,
      linkType: "ethernet",
      originalBytes: 74,
      functionName: "ip_rcv",
    }, NOW_NS);
  });
  same(
    bytes,
    `00000005 00000084 00000001 00000000 00000002 00000000 00000002 00000000 00000102 00000002
     00000001 00000048 00000001 0000004e 00000004 00000036 ${toHex(SYN)} 0000
     0000040e 0000000c 00000006 69705f72 63760000`,
  );
});

test("a discarded packet that hardware trapped, without its bytes", () => {
  const bytes = samples({}, (encoder) => {
    encoder.discard({
      ifindex: 2,
      input: UNKNOWN,
      output: 3,
      reason: 256,
      unreported: 5n,
      data: UNKNOWN,
      linkType: "ethernet",
      originalBytes: 0,
      trap: { group: "l3_drops", name: "ttl" },
      linuxReason: "NOT_SPECIFIED",
    }, NOW_NS);
  });
  same(
    bytes,
    `00000005 00000058 00000001 00000000 00000002 00000005 00000000 00000003 00000100 00000002
     00000411 00000014 00000008 6c335f64 726f7073 00000003 74746c00
     00000412 00000014 0000000d 4e4f545f 53504543 49464945 44000000`,
  );
});
