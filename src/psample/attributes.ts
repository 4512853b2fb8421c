/** Attributes of a sample that are looked up in the message on demand: most samples have none of them. */
import { DecodeError } from "../errors.ts";
import { AttrReader, type UnknownAttribute } from "../wire/attr_reader.ts";
import {
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_TUNNEL_KEY_ATTR_ID,
  PSAMPLE_TUNNEL_KEY_ATTR_TP_DST,
} from "./constants.ts";
import { ATTRIBUTES, isExpected } from "./layout.ts";
import { decodeTunnel, type Tunnel } from "./tunnel.ts";

const ATTRIBUTE_HEADER = 4;

/** No unknown attributes: shared, since nearly all samples have none. */
export const NONE: readonly UnknownAttribute[] = Object.freeze([]);

/** The bytes of an attribute whose value begins at `at`. */
export function valueAt(view: DataView, at: number, little: boolean): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, sizeAt(view, at, little));
}

/** The size of an attribute whose value begins at `at`. */
export function sizeAt(view: DataView, at: number, little: boolean): number {
  return view.getUint16(at - ATTRIBUTE_HEADER, little) - ATTRIBUTE_HEADER;
}

/** The tunnel of a message that has one; `undefined` if it is malformed, and therefore an unknown attribute. */
export function findTunnel(view: DataView, start: number, end: number, little: boolean): Tunnel | undefined {
  let tunnel: Tunnel | undefined;
  const attr = new AttrReader(view, start + ATTRIBUTES, end, little);
  while (attr.next()) {
    if (!isTunnel(attr.type)) continue;
    try {
      tunnel = decodeTunnel(attr.nested());
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
  return tunnel;
}

/** What tells tunnels apart, for readers of many samples that need nothing else. */
export interface TunnelKey {
  /** The low 24 bits of the key, which are the VNI of VXLAN and Geneve; -1 if there is no key. */
  vni: number;
  /** Outer destination port; -1 if there is none. */
  destinationPort: number;
}

/** Reads the key of the tunnel that {@linkcode findTunnel} finds, without the rest. Returns false if that finds none. */
export function findTunnelKey(view: DataView, start: number, end: number, little: boolean, into: TunnelKey): boolean {
  let isFound = false;
  const attr = new AttrReader(view, start + ATTRIBUTES, end, little);
  while (attr.next()) {
    if (!isTunnel(attr.type)) continue;
    let vni = -1;
    let destinationPort = -1;
    try {
      const nested = attr.nested();
      while (nested.next()) {
        const { type, size, offset } = nested;
        if (type === PSAMPLE_TUNNEL_KEY_ATTR_ID && size === 8) vni = view.getUint32(offset + 4) & 0xff_ffff;
        else if (type === PSAMPLE_TUNNEL_KEY_ATTR_TP_DST && size === 2) destinationPort = view.getUint16(offset);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      continue;
    }
    into.vni = vni;
    into.destinationPort = destinationPort;
    isFound = true;
  }
  return isFound;
}

/** The attributes of a message that are not known, or do not match their number, in order. */
export function findUnknown(view: DataView, start: number, end: number, little: boolean, tunnel: Tunnel | undefined): UnknownAttribute[] {
  const unknown: UnknownAttribute[] = [];
  const attr = new AttrReader(view, start + ATTRIBUTES, end, little);
  while (attr.next()) {
    const known = isTunnel(attr.type) ? tunnel !== undefined : isExpected(attr.type, attr.size + ATTRIBUTE_HEADER);
    if (!known) unknown.push({ type: attr.type, value: attr.bytes() });
  }
  return unknown;
}

function isTunnel(type: number): boolean {
  // Either number: kernels 5.8 to 5.11 had the two swapped, and a sample never carries a reference count.
  return type === PSAMPLE_ATTR_TUNNEL || type === PSAMPLE_ATTR_GROUP_REFCOUNT;
}
