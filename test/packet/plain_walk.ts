/** The decoder without its straight path, and a comparison of the two. */
import type { PacketView } from "../../src/packet/mod.ts";
import { type FirstHeader, firstKind, walk } from "../../src/packet/walk.ts";
import { WalkedHeaders } from "../../src/packet/walked_headers.ts";

/** The headers of a packet, found by the loop alone. */
export function plainWalk(bytes: Uint8Array, start: number, end: number, first: FirstHeader, originalBytes: number): WalkedHeaders {
  const packet = Object.assign(new WalkedHeaders(), { bytes, start, end, originalBytes, next: start, limit: end });
  walk(packet, firstKind(bytes, start, end, first));
  return packet;
}

/** What of a packet is only there during the walk: a reused object may have it from an earlier packet. */
const DURING_THE_WALK: ReadonlySet<string> = new Set(["next", "protocol"]);
const LISTS = ["kinds", "offsets"] as const;
const FIELDS = (Object.keys(new WalkedHeaders()) as (keyof WalkedHeaders)[]).filter((name) => !LISTS.some((list) => list === name));

/**
 * The first field in which a decoded packet differs from the {@linkcode plainWalk} over it, with both values; `undefined` if they are equal.
 *
 * @param isReused Whether the object has decoded other packets before.
 */
export function difference(packet: PacketView, plain: WalkedHeaders, isReused: boolean): string | undefined {
  const walked = packet as PacketView & WalkedHeaders;
  for (const name of FIELDS) {
    if (walked[name] !== plain[name] && !(isReused && DURING_THE_WALK.has(name))) return `${name}: ${walked[name]}, not ${plain[name]}`;
  }
  for (const name of LISTS) {
    for (let i = 0; i < plain.count; i++) {
      if (walked[name][i] !== plain[name][i]) return `${name}[${i}]: ${walked[name][i]}, not ${plain[name][i]}`;
    }
  }
  return undefined;
}
