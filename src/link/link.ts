/**
 * The link table: devices by index and by name, and what a sampled packet begins with.
 *
 * psample says from which device a packet came with the low 16 bits of its index; a machine that makes and removes many
 * devices has indexes above that. Source: include/uapi/linux/if_link.h, net/core/rtnetlink.c.
 */
import { DecodeError } from "../errors.ts";
import { ETH_P_IP, ETH_P_IPV6, ETH_P_TEB } from "../wire/ether_types.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

// include/uapi/linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;

// include/uapi/linux/if_link.h
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_STATS64 = 23;
const IFLA_EXT_MASK = 29;
const IFLA_XDP = 43;
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;
const IFLA_INFO_KIND = 1;
const IFLA_XDP_ATTACHED = 2;
const IFLA_XDP_PROG_ID = 4;
/** `XDP_ATTACHED_*`, by number: by the driver, by the stack, by hardware, and several at once. */
const XDP_MODES = ["none", "native", "generic", "hardware", "several"] as const;
/** IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID. */
const XDP_PROGRAM_IDS: ReadonlySet<number> = new Set([IFLA_XDP_PROG_ID, 5, 6, 7]);

/** Leaves the counters out of an answer. */
const RTEXT_FILTER_SKIP_STATS = 8;

// include/uapi/linux/if.h
const IFF_UP = 1;
const IFF_RUNNING = 0x40;

/** The longest name of a device; longer ones are alternative names. */
export const IFNAME_MAX = 15;

// include/uapi/linux/if_arp.h: the types of device that act_sample and this package tell apart.
export const ARPHRD_ETHER = 1;
const ARPHRD_RAWIP = 519;
export const ARPHRD_TUNNEL = 768;
const ARPHRD_TUNNEL6 = 769;
export const ARPHRD_LOOPBACK = 772;
const ARPHRD_SIT = 776;
export const ARPHRD_IPGRE = 778;
const ARPHRD_IP6GRE = 823;
export const ARPHRD_NONE = 0xfffe;
const ARPHRD_VOID = 0xffff;

/** The size of `struct ifinfomsg`: u8 family, u8 padding, u16 type, i32 index, u32 flags, u32 change. */
const IFINFOMSG_SIZE = 16;

/** The XDP programs of a device: they see arriving packets before anything else does. */
export interface Xdp {
  /** Who runs the program: the driver, the network stack, the hardware; or several at once. */
  readonly mode: "native" | "generic" | "hardware" | "several";
  /** The numbers of the programs. */
  readonly programs: readonly number[];
}

/** A device as the kernel describes it. */
export interface Link {
  /** Its number; not reused until all 31 bits are. */
  readonly index: number;
  /** Its name, up to 15 bytes. */
  readonly name: string;
  /** Its other names. */
  readonly alternativeNames: readonly string[];
  /** The kind of hardware, ARPHRD_*. */
  readonly type: number;
  /** The hardware address; `undefined` where it has none. */
  readonly address: Uint8Array | undefined;
  /** The largest packet, in bytes, without the link's own header. */
  readonly mtu: number | undefined;
  /** IFF_*. */
  readonly flags: number;
  /** Whether it was set up. */
  readonly up: boolean;
  /** Whether it is up and has a carrier. */
  readonly running: boolean;
  /** A description that somebody gave it. */
  readonly alias: string | undefined;
  /** The kind of virtual device, such as `"veth"`; `undefined` for hardware. */
  readonly kind: string | undefined;
  /** The device below it, or the other end: an index, perhaps of another namespace. */
  readonly lowerIndex: number | undefined;
  /** The XDP programs of the device; `undefined` where it has none. */
  readonly xdp: Xdp | undefined;
  /** How many packets the device has received and sent; `undefined` unless it was asked for. */
  readonly packets: { readonly received: bigint; readonly sent: bigint } | undefined;
}

/** A request for all devices; with their counters if asked for. */
export function encodeLinkDump(counters = false): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST | NLM_F_DUMP }, header(0), (writer) => {
    writer.u32(IFLA_EXT_MASK, counters ? 0 : RTEXT_FILTER_SKIP_STATS);
  });
}

/** A request for one device, by index, name or alternative name. */
export function encodeGetLink(device: number | string): Uint8Array<ArrayBuffer> {
  const fixed = header(typeof device === "number" ? device : 0);
  return encodeMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST }, fixed, (writer) => {
    writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (typeof device === "string") {
      const short = new TextEncoder().encode(device).length <= IFNAME_MAX;
      writer.string(short ? IFLA_IFNAME : IFLA_ALT_IFNAME, device);
    }
  });
}

function header(index: number): Uint8Array<ArrayBuffer> {
  const bytes = memory(IFINFOMSG_SIZE);
  viewOf(bytes).setInt32(4, index, LITTLE);
  return bytes;
}

/** Reads RTM_NEWLINK or RTM_DELLINK. */
export function decodeLink(message: Message): Link {
  const { payload } = message;
  if (payload.length < IFINFOMSG_SIZE) {
    throw new DecodeError("link", 0, `${payload.length} bytes, expected at least ${IFINFOMSG_SIZE}`);
  }
  const view = viewOf(payload);
  const index = view.getInt32(4, LITTLE);
  const flags = view.getUint32(8, LITTLE);
  let name: string | undefined;
  const alternativeNames: string[] = [];
  let address: Uint8Array | undefined;
  let mtu: number | undefined;
  let alias: string | undefined;
  let kind: string | undefined;
  let lowerIndex: number | undefined;
  let xdp: Xdp | undefined;
  let packets: Link["packets"];
  const attr = AttrReader.of(payload.subarray(IFINFOMSG_SIZE));
  while (attr.next()) {
    switch (attr.type) {
      case IFLA_IFNAME:
        name = attr.string();
        break;
      case IFLA_ADDRESS:
        if (attr.size > 0) address = attr.bytes();
        break;
      case IFLA_MTU:
        mtu = attr.u32();
        break;
      case IFLA_LINK:
        // 0 is how tunnels say that they have none.
        lowerIndex = attr.u32() || undefined;
        break;
      case IFLA_IFALIAS:
        alias = attr.string();
        break;
      case IFLA_LINKINFO: {
        const info = attr.nested();
        while (info.next()) if (info.type === IFLA_INFO_KIND) kind = info.string();
        break;
      }
      case IFLA_STATS64: {
        // struct rtnl_link_stats64: u64 rx_packets, u64 tx_packets, and more.
        const view = attr.atLeast(16);
        packets = { received: view.getBigUint64(0, LITTLE), sent: view.getBigUint64(8, LITTLE) };
        break;
      }
      case IFLA_XDP:
        xdp = readXdp(attr.nested());
        break;
      case IFLA_PROP_LIST: {
        const list = attr.nested();
        while (list.next()) if (list.type === IFLA_ALT_IFNAME) alternativeNames.push(list.string());
        break;
      }
    }
  }
  if (name === undefined) throw new DecodeError("link", 0, "missing name");
  return {
    index,
    name,
    alternativeNames,
    type: view.getUint16(2, LITTLE),
    address,
    mtu,
    flags,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    alias,
    kind,
    lowerIndex,
    xdp,
    packets,
  };
}

function readXdp(attr: AttrReader): Xdp | undefined {
  let mode: typeof XDP_MODES[number] | undefined;
  const programs = new Set<number>();
  while (attr.next()) {
    if (attr.type === IFLA_XDP_ATTACHED) mode = XDP_MODES[attr.u8()];
    else if (XDP_PROGRAM_IDS.has(attr.type)) programs.add(attr.u32());
  }
  return mode === undefined || mode === "none" ? undefined : { mode, programs: [...programs] };
}

/** The devices of a namespace at one moment. */
export class LinkTable {
  readonly #byIndex = new Map<number, Link>();
  readonly #byName = new Map<string, Link>();

  /** Makes a table of the answer to {@linkcode encodeLinkDump}. */
  static of(messages: readonly Message[]): LinkTable {
    return new LinkTable(messages.filter((message) => message.type === RTM_NEWLINK).map(decodeLink));
  }

  /** Makes a table of devices. */
  constructor(links: Iterable<Link> = []) {
    for (const link of links) this.set(link);
  }

  /** How many devices. */
  get size(): number {
    return this.#byIndex.size;
  }

  /** All devices, in the order in which they came. */
  links(): IterableIterator<Link> {
    return this.#byIndex.values();
  }

  /** Adds a device, or puts it in the place of the one that had its index. */
  set(link: Link): void {
    this.delete(link.index);
    this.#byIndex.set(link.index, link);
    for (const name of [link.name, ...link.alternativeNames]) this.#byName.set(name, link);
  }

  /** Takes a device away. */
  delete(index: number): void {
    const link = this.#byIndex.get(index);
    if (!link) return;
    this.#byIndex.delete(index);
    for (const name of [link.name, ...link.alternativeNames]) {
      // The name may have gone to another device meanwhile.
      if (this.#byName.get(name) === link) this.#byName.delete(name);
    }
  }

  /** The device with this index. */
  get(index: number): Link | undefined {
    return this.#byIndex.get(index);
  }

  /** The device with this name or alternative name. */
  byName(name: string): Link | undefined {
    return this.#byName.get(name);
  }

  /** The index of the device with this name or alternative name. */
  indexOf(name: string): number | undefined {
    return this.#byName.get(name)?.index;
  }

  /** The name of the device with this index. */
  nameOf(index: number): string | undefined {
    return this.#byIndex.get(index)?.name;
  }

  /** The devices whose index ends in these 16 bits. */
  candidates(low16: number): Link[] {
    return [...this.#byIndex.values()].filter((link) => (link.index & 0xffff) === (low16 & 0xffff));
  }

  /**
   * The device that psample means with 16 bits of an index. Where several end in them, the one that `prefer` names:
   * say there whether a device has a sample filter for the group and direction. `undefined` where it stays open.
   */
  resolveIfindex(low16: number, prefer?: (link: Link) => boolean): Link | undefined {
    const all = this.candidates(low16);
    if (all.length <= 1) return all[0];
    const preferred = prefer ? all.filter(prefer) : [];
    return preferred.length === 1 ? preferred[0] : undefined;
  }
}

/** What a sampled packet begins with: an Ethernet header, or an IPv4 or IPv6 header. */
export type LinkType = "ethernet" | "raw-ip";

/** Devices of which act_sample takes the packet as it is, without a link header (`tcf_sample_dev_ok_push`); RAWIP has none to take. */
const WITHOUT_HEADER: ReadonlySet<number> = new Set([
  ARPHRD_TUNNEL,
  ARPHRD_TUNNEL6,
  ARPHRD_SIT,
  ARPHRD_IPGRE,
  ARPHRD_IP6GRE,
  ARPHRD_VOID,
  ARPHRD_NONE,
  ARPHRD_RAWIP,
]);

/** The codes of sFlow's header_protocol, which the VPP plugin sends in place of an EtherType. */
const SFLOW_ETHERNET = 1;
const SFLOW_IPV4 = 11;
const SFLOW_IPV6 = 12;

const ETHERTYPE_OFFSET = 12;

/** What packets begin with that were sampled on a device of this type, ARPHRD_*; `undefined` if the type does not decide that. */
export function deviceLinkType(arphrd: number | undefined): LinkType | undefined {
  if (arphrd === ARPHRD_ETHER || arphrd === ARPHRD_LOOPBACK) return "ethernet";
  return arphrd !== undefined && WITHOUT_HEADER.has(arphrd) ? "raw-ip" : undefined;
}

/**
 * What a sampled packet begins with: by the type of its device where that is known and decides, else by the sample's
 * protocol, else by the first half byte.
 *
 * @param arphrd The device's type, ARPHRD_*; `undefined` where the device is not known.
 * @param protocol The sample's protocol; `undefined` where it has none.
 * @param data The packet.
 */
export function linkTypeOf(arphrd: number | undefined, protocol: number | undefined, data: Uint8Array | undefined): LinkType {
  const byDevice = deviceLinkType(arphrd);
  if (byDevice !== undefined) return byDevice;
  if (protocol === SFLOW_ETHERNET || protocol === ETH_P_TEB) return "ethernet";
  if (protocol === SFLOW_IPV4 || protocol === SFLOW_IPV6) return "raw-ip";
  if (!data || data.length === 0) return "ethernet";
  const version = data[0]! >> 4;
  if (protocol === ETH_P_IP || protocol === ETH_P_IPV6) {
    // The protocol is that of the packet, with or without a frame around it: a frame says it once more.
    const framed = data.length >= ETHERTYPE_OFFSET + 2 &&
      ((data[ETHERTYPE_OFFSET]! << 8) | data[ETHERTYPE_OFFSET + 1]!) === protocol;
    return !framed && version === (protocol === ETH_P_IP ? 4 : 6) ? "raw-ip" : "ethernet";
  }
  // What is neither IPv4 nor IPv6 cannot be without a frame: it would have nothing to say what it is.
  if (protocol !== undefined) return "ethernet";
  return version === 4 || version === 6 ? "raw-ip" : "ethernet";
}
