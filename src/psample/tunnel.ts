import type { AttrReader, UnknownAttribute } from "../wire/attr_reader.ts";
import { toHex } from "../wire/text.ts";
import {
  PSAMPLE_TUNNEL_KEY_ATTR_CSUM,
  PSAMPLE_TUNNEL_KEY_ATTR_DONT_FRAGMENT,
  PSAMPLE_TUNNEL_KEY_ATTR_ERSPAN_OPTS,
  PSAMPLE_TUNNEL_KEY_ATTR_GENEVE_OPTS,
  PSAMPLE_TUNNEL_KEY_ATTR_ID,
  PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST,
  PSAMPLE_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE,
  PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC,
  PSAMPLE_TUNNEL_KEY_ATTR_IPV6_DST,
  PSAMPLE_TUNNEL_KEY_ATTR_IPV6_SRC,
  PSAMPLE_TUNNEL_KEY_ATTR_OAM,
  PSAMPLE_TUNNEL_KEY_ATTR_PAD,
  PSAMPLE_TUNNEL_KEY_ATTR_TOS,
  PSAMPLE_TUNNEL_KEY_ATTR_TP_DST,
  PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC,
  PSAMPLE_TUNNEL_KEY_ATTR_TTL,
  PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS,
} from "./constants.ts";

/**
 * One option of a Geneve header (RFC 8926, section 3.5).
 *
 * @category Samples
 */
export interface GeneveOption {
  /** The option class, u16: who defined the option. */
  readonly optionClass: number;
  /** The type, u8; its upper bit says that the option is critical. */
  readonly type: number;
  /** The option's value: 0 to 124 bytes, a multiple of 4. */
  readonly data: Uint8Array;
}

/**
 * The tunnel a packet came through or goes into, from the kernel's tunnel metadata
 * (`psample_ip_tun_to_nlattr` in net/psample/psample.c; kernels since 5.8). A field that the kernel left out is `undefined`; a flag is
 * `false`.
 *
 * @category Samples
 */
export interface Tunnel {
  /** The tunnel key, 64 bits; for VXLAN and Geneve the VNI in the low 24. */
  readonly id: bigint | undefined;
  /** Outer source, IPv4 or IPv6 as text. */
  readonly source: string | undefined;
  /** Outer destination, IPv4 or IPv6 as text. */
  readonly destination: string | undefined;
  /** Outer type of service or traffic class. */
  readonly tos: number | undefined;
  /** Outer time to live or hop limit. */
  readonly ttl: number | undefined;
  /** The outer header forbids fragmentation. */
  readonly dontFragment: boolean;
  /** The outer header has a checksum. */
  readonly checksum: boolean;
  /** Marked as operations, administration and maintenance (Geneve's O bit). */
  readonly oam: boolean;
  /** Outer source port. */
  readonly sourcePort: number | undefined;
  /** Outer destination port. */
  readonly destinationPort: number | undefined;
  /** The options of a Geneve header. */
  readonly geneveOptions: readonly GeneveOption[] | undefined;
  /** `struct vxlan_metadata`, undecoded. */
  readonly vxlanOptions: Uint8Array | undefined;
  /** `struct erspan_metadata`, undecoded. */
  readonly erspanOptions: Uint8Array | undefined;
  /** The metadata is of the bridge kind (`IP_TUNNEL_INFO_BRIDGE`). */
  readonly ipv4InfoBridge: boolean;
  /** Attributes that this version does not know. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Sizes of the attributes by number; any other attribute may have any size. */
const SIZES: Readonly<Record<number, number>> = {
  [PSAMPLE_TUNNEL_KEY_ATTR_ID]: 8,
  [PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC]: 4,
  [PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST]: 4,
  [PSAMPLE_TUNNEL_KEY_ATTR_TOS]: 1,
  [PSAMPLE_TUNNEL_KEY_ATTR_TTL]: 1,
  [PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC]: 2,
  [PSAMPLE_TUNNEL_KEY_ATTR_TP_DST]: 2,
  [PSAMPLE_TUNNEL_KEY_ATTR_IPV6_SRC]: 16,
  [PSAMPLE_TUNNEL_KEY_ATTR_IPV6_DST]: 16,
};

/**
 * Reads the attributes inside `PSAMPLE_ATTR_TUNNEL`. One whose size or content does not match its number is an unknown attribute.
 *
 * @throws {DecodeError} If the attributes do not fill the bytes exactly.
 */
export function decodeTunnel(attr: AttrReader): Tunnel {
  const tunnel = {
    id: undefined as bigint | undefined,
    source: undefined as string | undefined,
    destination: undefined as string | undefined,
    tos: undefined as number | undefined,
    ttl: undefined as number | undefined,
    dontFragment: false,
    checksum: false,
    oam: false,
    sourcePort: undefined as number | undefined,
    destinationPort: undefined as number | undefined,
    geneveOptions: undefined as GeneveOption[] | undefined,
    vxlanOptions: undefined as Uint8Array | undefined,
    erspanOptions: undefined as Uint8Array | undefined,
    ipv4InfoBridge: false,
    unknown: [] as UnknownAttribute[],
  };
  while (attr.next()) {
    if (attr.size !== (SIZES[attr.type] ?? attr.size)) {
      tunnel.unknown.push({ type: attr.type, value: attr.bytes() });
      continue;
    }
    switch (attr.type) {
      case PSAMPLE_TUNNEL_KEY_ATTR_ID:
        tunnel.id = attr.be64();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC:
        tunnel.source = attr.ipv4();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_IPV6_SRC:
        tunnel.source = attr.ipv6();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST:
        tunnel.destination = attr.ipv4();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_IPV6_DST:
        tunnel.destination = attr.ipv6();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_TOS:
        tunnel.tos = attr.u8();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_TTL:
        tunnel.ttl = attr.u8();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_DONT_FRAGMENT:
        tunnel.dontFragment = true;
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_CSUM:
        tunnel.checksum = true;
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_OAM:
        tunnel.oam = true;
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC:
        tunnel.sourcePort = attr.be16();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_TP_DST:
        tunnel.destinationPort = attr.be16();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_GENEVE_OPTS: {
        const options = decodeGeneveOptions(attr.bytes());
        if (options) tunnel.geneveOptions = options;
        else tunnel.unknown.push({ type: attr.type, value: attr.bytes() });
        break;
      }
      case PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS:
        tunnel.vxlanOptions = attr.bytes();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_ERSPAN_OPTS:
        tunnel.erspanOptions = attr.bytes();
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE:
        tunnel.ipv4InfoBridge = true;
        break;
      case PSAMPLE_TUNNEL_KEY_ATTR_PAD:
        break;
      default:
        tunnel.unknown.push({ type: attr.type, value: attr.bytes() });
    }
  }
  return tunnel;
}

/** `undefined` if the options do not fill the bytes exactly. */
function decodeGeneveOptions(bytes: Uint8Array): GeneveOption[] | undefined {
  const options: GeneveOption[] = [];
  for (let at = 0; at < bytes.length;) {
    const left = bytes.length - at;
    // be16 class, u8 type, then 3 reserved bits and the length of the data in words of 4 bytes.
    const size = left < 4 ? 4 : 4 + 4 * (bytes[at + 3]! & 0x1f);
    if (size > left) return undefined;
    options.push({
      optionClass: (bytes[at]! << 8) | bytes[at + 1]!,
      type: bytes[at + 2]!,
      data: bytes.subarray(at + 4, at + size),
    });
    at += size;
  }
  return options;
}

/** The same tunnel with its own bytes. */
export function copyTunnel(tunnel: Tunnel): Tunnel {
  return {
    ...tunnel,
    geneveOptions: tunnel.geneveOptions?.map((option) => ({ ...option, data: option.data.slice() })),
    vxlanOptions: tunnel.vxlanOptions?.slice(),
    erspanOptions: tunnel.erspanOptions?.slice(),
    unknown: tunnel.unknown.map(copyUnknown),
  };
}

/** The same unknown attribute with its own bytes. */
export function copyUnknown({ type, value }: UnknownAttribute): UnknownAttribute {
  return { type, value: value.slice() };
}

/** The tunnel in a form that JSON can hold: 64-bit numbers as decimal text, bytes as hexadecimal. */
export function tunnelToJson(tunnel: Tunnel): Record<string, unknown> {
  return {
    ...tunnel,
    id: tunnel.id?.toString(),
    geneveOptions: tunnel.geneveOptions?.map((option) => ({ ...option, data: toHex(option.data) })),
    vxlanOptions: tunnel.vxlanOptions && toHex(tunnel.vxlanOptions),
    erspanOptions: tunnel.erspanOptions && toHex(tunnel.erspanOptions),
    unknown: tunnel.unknown.map(unknownToJson),
  };
}

/** An unknown attribute with its value as hexadecimal. */
export function unknownToJson(attribute: UnknownAttribute): { type: number; value: string } {
  return { type: attribute.type, value: toHex(attribute.value) };
}
