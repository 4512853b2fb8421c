/** The decoder without its straight path, and a comparison of the two. */
import { Headers, type PacketView } from "../../src/packet/mod.ts";
import { type FirstHeader, firstKind, walk } from "../../src/packet/walk.ts";

/** The headers of a packet, found by the loop alone. */
export function plainWalk(bytes: Uint8Array, start: number, end: number, first: FirstHeader, originalBytes: number): Headers {
  const packet = Object.assign(new Headers(), { bytes, start, end, originalBytes, next: start, limit: end });
  walk(packet, firstKind(bytes, start, end, first));
  return packet;
}

/** What of a packet is only there during the walk: a reused object may have it from an earlier packet. */
const DURING_THE_WALK: ReadonlySet<string> = new Set(["next", "protocol"]);
const LISTS = ["kinds", "offsets"] as const;
const FIELDS = (Object.keys(new Headers()) as (keyof Headers)[]).filter((name) => !LISTS.some((list) => list === name));

/**
 * The first field in which a decoded packet differs from the {@linkcode plainWalk} over it, with both values; `undefined` if they are equal.
 *
 * @param isReused Whether the object has decoded other packets before.
 */
export function difference(packet: PacketView, plain: Headers, isReused: boolean): string | undefined {
  for (const name of FIELDS) {
    if (packet[name] !== plain[name] && !(isReused && DURING_THE_WALK.has(name))) return `${name}: ${packet[name]}, not ${plain[name]}`;
  }
  for (const name of LISTS) {
    for (let i = 0; i < plain.count; i++) {
      if (packet[name][i] !== plain[name][i]) return `${name}[${i}]: ${packet[name][i]}, not ${plain[name][i]}`;
    }
  }
  return undefined;
}
