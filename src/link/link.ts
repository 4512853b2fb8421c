/**
 * The link table: devices by index and by name.
 *
 * psample names the device of a packet by the low 16 bits of its index; a machine that creates and removes many devices has larger indexes.
 * Source: include/uapi/linux/if_link.h, net/core/rtnetlink.c.
 */
import { DecodeError } from "../errors.ts";
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
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
export const IFLA_STATS64 = 23;
const IFLA_EXT_MASK = 29;
const IFLA_LINK_NETNSID = 37;
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
export const ARPHRD_TUNNEL = 768;
export const ARPHRD_LOOPBACK = 772;
export const ARPHRD_IPGRE = 778;
export const ARPHRD_NONE = 0xfffe;

/** The size of `struct ifinfomsg`: u8 family, u8 padding, u16 type, i32 index, u32 flags, u32 change. */
export const IFINFOMSG_SIZE = 16;

/**
 * The XDP programs of a device: they see arriving packets before anything else does.
 *
 * @category Devices
 */
export interface Xdp {
  /** What runs the program: the driver, the network stack, the hardware; or several at once. */
  readonly mode: "native" | "generic" | "hardware" | "several";
  /** The numbers of the programs. */
  readonly programs: readonly number[];
}

/**
 * A device as the kernel describes it.
 *
 * @category Devices
 */
export interface Link {
  /** Interface index. Not reused until the 31-bit space wraps. */
  readonly index: number;
  /** Its name, up to 15 bytes. */
  readonly name: string;
  /** Its other names. */
  readonly alternativeNames: readonly string[];
  /** The kind of hardware, ARPHRD_*. */
  readonly type: number;
  /** The hardware address; `undefined` if it has none. */
  readonly address: Uint8Array | undefined;
  /** The largest packet, in bytes, without the link's own header. */
  readonly mtu: number | undefined;
  /** IFF_*. */
  readonly flags: number;
  /** Whether it is administratively up. */
  readonly up: boolean;
  /** Whether it is up and has a carrier. */
  readonly running: boolean;
  /** Its alias, a description set by the administrator. */
  readonly alias: string | undefined;
  /** The kind of virtual device, such as `"veth"`; `undefined` for hardware. */
  readonly kind: string | undefined;
  /** The device below it, or the other end: an index, perhaps of another namespace. */
  readonly lowerIndex: number | undefined;
  /** The network namespace of that device; `undefined` if it is this one. */
  readonly lowerNsid: number | undefined;
  /** The index of the bridge, bond, team or VRF that it is a port of. */
  readonly masterIndex: number | undefined;
  /** The XDP programs of the device; `undefined` if it has none. */
  readonly xdp: Xdp | undefined;
  /** How many packets the device has received and sent; `undefined` unless asked for. */
  readonly packets: { readonly received: bigint; readonly sent: bigint } | undefined;
}

/** A request for all devices; with their counters if asked for. */
export function encodeLinkDump(counters = false): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST | NLM_F_DUMP }, linkHeader(0), (writer) => {
    writer.u32(IFLA_EXT_MASK, counters ? 0 : RTEXT_FILTER_SKIP_STATS);
  });
}

/** A request for one device, by index, name or alternative name. */
export function encodeGetLink(device: number | string): Uint8Array<ArrayBuffer> {
  const fixed = linkHeader(typeof device === "number" ? device : 0);
  return encodeMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST }, fixed, (writer) => {
    writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (typeof device === "string") {
      const short = new TextEncoder().encode(device).length <= IFNAME_MAX;
      writer.string(short ? IFLA_IFNAME : IFLA_ALT_IFNAME, device);
    }
  });
}

/** `struct ifinfomsg` of a request; 0 stands for no index. */
export function linkHeader(index: number): Uint8Array<ArrayBuffer> {
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
  let lowerNsid: number | undefined;
  let masterIndex: number | undefined;
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
        // Tunnels without one report 0.
        lowerIndex = attr.u32() || undefined;
        break;
      case IFLA_LINK_NETNSID:
        lowerNsid = attr.u32();
        break;
      case IFLA_MASTER:
        masterIndex = attr.u32() || undefined;
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
    lowerNsid,
    masterIndex,
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

/**
 * The devices of a namespace at one moment.
 *
 * @category Devices
 */
export class LinkTable {
  readonly #byIndex = new Map<number, Link>();
  readonly #byName = new Map<string, Link>();
  /** By the low 16 bits of the index, which is all that a sample contains. */
  readonly #byLow16 = new Map<number, Link[]>();

  /** Makes a table of the answer to {@linkcode encodeLinkDump}. */
  static of(messages: readonly Message[]): LinkTable {
    return new LinkTable(linksOf(messages));
  }

  /** Makes a table of devices. */
  constructor(links: Iterable<Link> = []) {
    for (const link of links) this.enter(link);
  }

  /** Number of devices. */
  get size(): number {
    return this.#byIndex.size;
  }

  /** All devices, in the order in which they were added. */
  links(): IterableIterator<Link> {
    return this.#byIndex.values();
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
    return this.#byLow16.get(low16 & 0xffff)?.slice() ?? [];
  }

  /**
   * The device that psample means by 16 bits of an index. If several match, `prefer` picks one: return from it whether a device has a
   * sample filter for the group and direction. `undefined` if none matches, or more than one.
   */
  resolveIfindex(low16: number, prefer?: (link: Link) => boolean): Link | undefined {
    const all = this.#byLow16.get(low16 & 0xffff);
    if (all === undefined || all.length <= 1) return all?.[0];
    const preferred = prefer ? all.filter(prefer) : [];
    return preferred.length === 1 ? preferred[0] : undefined;
  }

  /** @ignore Adds a device, or puts it in the place of the one that had its index. */
  protected enter(link: Link): void {
    this.remove(link.index);
    this.#byIndex.set(link.index, link);
    for (const name of namesOf(link)) this.#byName.set(name, link);
    const low16 = link.index & 0xffff;
    const same = this.#byLow16.get(low16);
    if (same) same.push(link);
    else this.#byLow16.set(low16, [link]);
  }

  /** @ignore Takes a device away. */
  protected remove(index: number): void {
    const link = this.#byIndex.get(index);
    if (!link) return;
    this.#byIndex.delete(index);
    for (const name of namesOf(link)) {
      // The name may have gone to another device meanwhile.
      if (this.#byName.get(name) === link) this.#byName.delete(name);
    }
    const low16 = index & 0xffff;
    const rest = this.#byLow16.get(low16)!.filter((one) => one !== link);
    if (rest.length > 0) this.#byLow16.set(low16, rest);
    else this.#byLow16.delete(low16);
  }
}

/** A table that is kept up to date. */
export class ChangingLinkTable extends LinkTable {
  /** Adds a device, or puts it in the place of the one that had its index. */
  set(link: Link): void {
    this.enter(link);
  }

  /** Takes a device away. */
  delete(index: number): void {
    this.remove(index);
  }
}

function namesOf({ name, alternativeNames }: Link): string[] {
  return [name, ...alternativeNames];
}

/** The devices of the answer to {@linkcode encodeLinkDump}. */
export function linksOf(messages: readonly Message[]): Link[] {
  return messages.filter((message) => message.type === RTM_NEWLINK).map(decodeLink);
}
