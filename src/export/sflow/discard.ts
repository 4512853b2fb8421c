/**
 * Discarded packets. Sources: sflow.org, "sFlow Version 5: Dropped Packet Notification Structures"; extended_hw_trap and
 * extended_linux_drop_reason as host-sflow defines them.
 */
import type { FirstHeader } from "../../packet/packet_view.ts";
import { align4 } from "../../wire/native.ts";
import { ETHERNET_ISO88023, FCS_BYTES, HEADER_IPV4, HEADER_IPV6, SAMPLED_HEADER, SAMPLED_HEADER_BYTES } from "./flow_sample.ts";
import type { Count, XdrWriter } from "./xdr.ts";

/**
 * A packet that was discarded.
 *
 * @category Export
 */
export interface Discard {
  /** The interface that reported it. */
  readonly ifindex: number;
  /** Its network namespace; `undefined` for this one. */
  readonly nsid?: number | undefined;
  /** The interface that the packet came in by; `undefined` if unknown. */
  readonly input: number | undefined;
  /** The interface that it would have left by; `undefined` if unknown. */
  readonly output: number | undefined;
  /** The standard's number of the reason: 258 for an access list, 256 if unknown. */
  readonly reason: number;
  /** Number of discards so far that were not reported, because there were too many. */
  readonly unreported: Count;
  /** The packet, possibly truncated; `undefined` if none of it is known. */
  readonly data: Uint8Array | undefined;
  /** What it begins with. */
  readonly linkType: FirstHeader;
  /** Its size before truncation, without frame check sequence. */
  readonly originalBytes: number;
  /** The function of the kernel that discarded it: up to 64 bytes are sent. */
  readonly functionName?: string | undefined;
  /** The trap of the hardware that caught it, and its group: up to 64 bytes of each are sent. */
  readonly trap?: { readonly group: string; readonly name: string } | undefined;
  /** The kernel's name of the reason (SKB_DROP_REASON_*): up to 64 bytes are sent. */
  readonly linuxReason?: string | undefined;
}

const DISCARDED_PACKET = 5;
const EXTENDED_FUNCTION = 1038;
const EXTENDED_HW_TRAP = 1041;
const EXTENDED_LINUX_REASON = 1042;

const MOST_NAME_BYTES = 64;

/** Maximum size with this many bytes of a packet. */
export function mostDiscardBytes(headerBytes: number): number {
  return 8 + 32 + SAMPLED_HEADER_BYTES + align4(headerBytes) + 4 * (8 + 4 + MOST_NAME_BYTES);
}

/** Writes a discarded packet. */
export function writeDiscard(xdr: XdrWriter, sequence: number, headerBytes: number, discard: Discard): void {
  const { data, functionName, trap, linuxReason } = discard;
  xdr.structure(DISCARDED_PACKET, () => {
    xdr.u32(sequence);
    // The source always has the form for large indexes.
    xdr.u32(0);
    xdr.u32(discard.ifindex);
    xdr.count32(discard.unreported ?? 0);
    xdr.u32(discard.input);
    xdr.u32(discard.output);
    xdr.u32(discard.reason);
    xdr.u32([data, functionName, trap, linuxReason].filter((part) => part !== undefined).length);
    if (data) xdr.structure(SAMPLED_HEADER, () => writeHeader(xdr, headerBytes, discard, data));
    if (functionName !== undefined) xdr.structure(EXTENDED_FUNCTION, () => xdr.string(functionName, MOST_NAME_BYTES));
    if (trap) {
      xdr.structure(EXTENDED_HW_TRAP, () => {
        xdr.string(trap.group, MOST_NAME_BYTES);
        xdr.string(trap.name, MOST_NAME_BYTES);
      });
    }
    if (linuxReason !== undefined) xdr.structure(EXTENDED_LINUX_REASON, () => xdr.string(linuxReason, MOST_NAME_BYTES));
  });
}

function writeHeader(xdr: XdrWriter, headerBytes: number, { linkType, originalBytes }: Discard, data: Uint8Array): void {
  const isEthernet = linkType === "ethernet";
  const removed = isEthernet ? FCS_BYTES : 0;
  xdr.u32(isEthernet ? ETHERNET_ISO88023 : data.length > 0 && data[0]! >> 4 === 6 ? HEADER_IPV6 : HEADER_IPV4);
  xdr.u32(originalBytes + removed);
  xdr.u32(removed);
  xdr.opaque(data.subarray(0, headerBytes));
}
