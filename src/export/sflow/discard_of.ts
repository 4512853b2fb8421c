/** A packet that Linux discarded, in the terms of sFlow. */
import type { DroppedPacket } from "../../genl/net_dm.ts";
import type { Devices } from "../../link/device.ts";
import { linkTypeOf } from "../../link/link_type.ts";
import type { Discard } from "./discard.ts";
import { discardReason, functionOf } from "./discard_reason.ts";

/**
 * The discard that a report of the kernel describes.
 *
 * @param devices The devices that it may have come in by.
 * @param unreported Number of discards so far that were not reported.
 */
export function discardOf(packet: DroppedPacket, devices: Pick<Devices, "find"> | undefined, unreported: number): Discard {
  const { inIfindex, data, originalBytes, protocol, symbol, reason, trap } = packet;
  const device = inIfindex === undefined ? undefined : devices?.find(inIfindex, undefined);
  // A device is found by half of its index, and the packet may be from another network namespace.
  const type = device?.index === inIfindex ? device?.type : undefined;
  return {
    // The kernel does not report where a packet would have left: what was made here has no interface.
    ifindex: inIfindex ?? 0,
    input: inIfindex,
    output: undefined,
    reason: discardReason(packet),
    unreported,
    data,
    linkType: linkTypeOf(type, protocol, data),
    originalBytes,
    functionName: functionOf(symbol),
    trap,
    linuxReason: reason,
  };
}
