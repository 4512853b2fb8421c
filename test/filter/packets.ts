/** Packets for filters: those of the recordings, others made by hand, and all of them cut at every place where a header may end. */
import { linkTypeOf } from "../../src/link/link_type.ts";
import { bytes, join, number } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";

/** A packet as a sample has it. */
export interface CutPacket {
  readonly first: "ethernet" | "raw-ip";
  readonly data: Uint8Array;
  readonly originalBytes: number;
}

const MACS = "020000000001 020000000002";

function ipv4(
  protocol: number,
  payload: Uint8Array,
  { fragment = 0, options = 0, source = "c0000207", destination = "0a000001" } = {},
): Uint8Array {
  const size = 20 + options;
  return join(
    Uint8Array.of(0x40 | size / 4, 0),
    number(2, size + payload.length, false),
    bytes("1234"),
    number(2, fragment, false),
    Uint8Array.of(5, protocol, 0, 0),
    bytes(source),
    bytes(destination),
    new Uint8Array(options),
    payload,
  );
}

function ipv6(next: number, payload: Uint8Array): Uint8Array {
  return join(
    bytes("60000000"),
    number(2, payload.length, false),
    Uint8Array.of(next, 64),
    bytes("20010db8000000000000000000000007"),
    bytes("ff020000000000000000000000000001"),
    payload,
  );
}

function ports(source: number, destination: number, rest = "00080000 00000000 5012ffff00000000"): Uint8Array {
  return join(number(2, source, false), number(2, destination, false), bytes(rest));
}

function ethernet(type: string, payload: Uint8Array, macs = MACS): Uint8Array {
  return join(bytes(macs), bytes(type), payload, new Uint8Array(6));
}

/** Frames of kinds that the recordings do not have. */
function made(): Uint8Array[] {
  const web = ipv4(6, ports(443, 51514));
  return [
    ethernet("0800", web),
    ethernet("0800", ipv4(6, ports(80, 443), { options: 8 })),
    ethernet("0800", ipv4(17, ports(53, 80), { fragment: 0x2000 })),
    ethernet("0800", ipv4(17, ports(53, 80), { fragment: 0x00b9 })),
    ethernet("0800", ipv4(132, ports(2905, 80), { source: "0a010203", destination: "e0000005" }), "01005e000005 020000000002"),
    ethernet("0800", ipv4(1, bytes("0800f7ff00010001"))),
    ethernet("0800", ipv4(1, bytes("0301f7ff00010001"))),
    ethernet("0800", ipv4(2, bytes("1600f7ff00010001"))),
    ethernet("0800", ipv4(50, bytes("0000000100000001"))),
    ethernet("0800", ipv4(51, bytes("0604000000000001"))),
    ethernet("0800", ipv4(103, bytes("2000f7ff00010001"))),
    ethernet("0800", ipv4(112, bytes("2101640100010001"))),
    ethernet("86dd", ipv6(6, ports(443, 50000))),
    ethernet("86dd", ipv6(44, join(bytes("1100000100000001"), ports(53, 53)))),
    ethernet("86dd", ipv6(58, bytes("8000f7ff00010001"))),
    ethernet("86dd", ipv6(0, join(bytes("3a00050200000000"), bytes("8f00f7ff00010001"))), "333300000001 020000000002"),
    ethernet("0806", bytes("0001080006040001 020000000001 0a000001 000000000000 0a000002"), "ffffffffffff 020000000002"),
    ethernet("8035", bytes("0001080006040003 020000000001 00000000 020000000001 0a000001")),
    ethernet("8100 0005 0800", web),
    ethernet("8100 6007 86dd", ipv6(17, ports(53, 443))),
    ethernet("88a8 0064 8100 0005 0800", web),
    ethernet("9100 0005 0806", bytes("0001080006040001 020000000001 0a000001 000000000000 0a000002")),
    ethernet("8847 00005140", web),
    ethernet("8847 00005040 00006140", web),
    ethernet("8847 00006140", ipv6(6, ports(443, 80))),
    ethernet("0026", bytes("424203 0000000000 8000020000000001")),
    ethernet("0026", bytes("fefe03 8301000000")),
    ethernet("0026", bytes("aaaa03000000 0800")),
    ethernet("88cc", bytes("020704020000000001")),
    // Invalid IPv4 headers.
    ethernet("0800", bytes("40000014000000004006000001020304050607080050")),
    ethernet("0800", bytes("4f00003c000000004006000001020304050607080050")),
  ];
}

/** All of them, unchanged. */
export function wholePackets(): CutPacket[] {
  const whole = new Map<string, CutPacket>();
  for (const { data, protocol, originalBytes } of recordedSamples()) {
    if (!data) continue;
    whole.set(data.join(), { first: linkTypeOf(undefined, protocol, data), data, originalBytes: originalBytes ?? data.length });
  }
  for (const data of made()) {
    whole.set(data.join(), { first: "ethernet", data, originalBytes: data.length });
    const version = data[14]! >> 4;
    if (data[12] === (version === 4 ? 0x08 : 0x86)) {
      whole.set(data.subarray(14).join(), { first: "raw-ip", data: data.subarray(14), originalBytes: data.length - 14 });
    }
  }
  return [...whole.values()];
}

/** Each of them, complete and cut. */
export function cutPackets(): CutPacket[] {
  return wholePackets().flatMap((packet) => {
    const cuts = [13, 14, 15, 17, 18, 20, 23, 24, 27, 33, 34, 36, 37, 38, 40, 41, 47, 50, 54, 55, 57, 58, 62, 66].filter((size) =>
      size < packet.data.length
    );
    return [packet, ...cuts.map((size) => ({ ...packet, data: packet.data.subarray(0, size) }))];
  });
}
