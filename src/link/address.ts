/** The IP addresses of this machine. Source: include/uapi/linux/if_addr.h, net/ipv4/devinet.c, net/ipv6/addrconf.c. */
import { DecodeError } from "../errors.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { memory, viewOf } from "../wire/native.ts";

// include/uapi/linux/rtnetlink.h
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
/** Of IPv4 another address of the same network comes first; of IPv6 it will be replaced by a new one. */
const IFA_F_SECONDARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;

/** `struct ifaddrmsg`: u8 family, u8 prefix length, u8 flags, u8 scope, u32 index. */
const IFADDRMSG_SIZE = 8;

/** An IP address of a device. */
export interface DeviceAddress {
  /** Index of the device. */
  readonly ifindex: number;
  /** The address, 4 or 16 bytes in network byte order. */
  readonly address: Uint8Array;
  /** Whether it may be used: not while it is being checked, nor if another machine has it, nor if it is about to go. */
  readonly usable: boolean;
  /** Whether it is not the first of its network, or only for some time (RFC 8981). */
  readonly secondary: boolean;
}

/** A request for all addresses. */
export function encodeAddressDump(): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: RTM_GETADDR, flags: NLM_F_REQUEST | NLM_F_DUMP }, memory(IFADDRMSG_SIZE));
}

/** Reads RTM_NEWADDR; `undefined` if it has no IP address. */
export function decodeDeviceAddress({ payload, littleEndian }: Message): DeviceAddress | undefined {
  if (payload.length < IFADDRMSG_SIZE) throw new DecodeError("an address of a device", 0, "message too short");
  const view = viewOf(payload);
  let flags = view.getUint8(2);
  let address: Uint8Array | undefined;
  let local: Uint8Array | undefined;
  const attr = AttrReader.of(payload.subarray(IFADDRMSG_SIZE), littleEndian);
  while (attr.next()) {
    if (attr.type === IFA_ADDRESS) address = attr.bytes().slice();
    else if (attr.type === IFA_LOCAL) local = attr.bytes().slice();
    else if (attr.type === IFA_FLAGS) flags = attr.u32();
  }
  // Of a point-to-point link the former is the other end's.
  const own = local ?? address;
  if (own?.length !== 4 && own?.length !== 16) return undefined;
  return {
    ifindex: view.getUint32(4, littleEndian),
    address: own,
    usable: (flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE)) === 0,
    secondary: (flags & IFA_F_SECONDARY) !== 0,
  };
}
