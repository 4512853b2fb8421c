/**
 * The kernel's drop monitor: it reports packets that the kernel, or a device for it, has discarded. Source:
 * include/uapi/linux/net_dropmon.h, net/core/drop_monitor.c.
 */
import { DecodeError } from "../errors.ts";
import type { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { encodeMessage, type Message, NLM_F_REQUEST } from "../wire/message.ts";
import { type Family, genlAttributes, genlCommand, genlHeader } from "./ctrl.ts";

export const NET_DM_GENL_NAME = "NET_DM";
/** The multicast group of the reports. */
export const NET_DM_GROUP_NAME = "events";

const NET_DM_CMD_CONFIG = 2;
const NET_DM_CMD_START = 3;
const NET_DM_CMD_STOP = 4;
const NET_DM_CMD_PACKET_ALERT = 5;
const NET_DM_CMD_CONFIG_GET = 6;
const NET_DM_CMD_CONFIG_NEW = 7;
const NET_DM_CMD_STATS_GET = 8;
const NET_DM_CMD_STATS_NEW = 9;

const NET_DM_ATTR_ALERT_MODE = 1;
const NET_DM_ATTR_SYMBOL = 3;
const NET_DM_ATTR_IN_PORT = 4;
const NET_DM_ATTR_PROTO = 6;
const NET_DM_ATTR_PAYLOAD = 7;
const NET_DM_ATTR_TRUNC_LEN = 9;
const NET_DM_ATTR_ORIG_LEN = 10;
const NET_DM_ATTR_QUEUE_LEN = 11;
const NET_DM_ATTR_STATS = 12;
const NET_DM_ATTR_HW_STATS = 13;
const NET_DM_ATTR_HW_TRAP_GROUP_NAME = 15;
const NET_DM_ATTR_HW_TRAP_NAME = 16;
const NET_DM_ATTR_SW_DROPS = 20;
const NET_DM_ATTR_HW_DROPS = 21;
const NET_DM_ATTR_REASON = 23;
// These are numbered from 0.
const NET_DM_ATTR_PORT_NETDEV_IFINDEX = 0;
const NET_DM_ATTR_STATS_DROPPED = 0;

/** The alert mode in which each packet is reported; the other one, 0, sums them up by the place in the kernel. */
export const NET_DM_ALERT_MODE_PACKET = 1;

/** How the drop monitor reports. There is one for the whole kernel. */
export interface DropMonitorConfig {
  /** NET_DM_ALERT_MODE_*. */
  readonly alertMode: number;
  /** Maximum number of bytes of a packet in a report; 0 for all. */
  readonly truncateBytes: number;
  /** Maximum number of packets that wait to be reported, for each processor. */
  readonly queueLength: number;
}

/** How many packets found the kernel's own queue full, so that they were never reported; since the module was loaded. */
export interface DropMonitorLosses {
  /** Discarded by the kernel. */
  readonly software: bigint;
  /** Discarded by devices. */
  readonly hardware: bigint;
}

/** A packet that was discarded, as the kernel reports it. */
export interface DroppedPacket {
  /** The interface that it came in by, in its own network namespace; `undefined` if it was made on this machine, or is not known. */
  readonly inIfindex: number | undefined;
  /** The packet from its link header on, possibly truncated: a view of the message; `undefined` if it has none of it. */
  readonly data: Uint8Array | undefined;
  /** Its size before truncation. */
  readonly originalBytes: number;
  /** The EtherType of the packet; 0 for what is no packet of a network, such as what is left in a socket that is closed. */
  readonly protocol: number | undefined;
  /** The place in the kernel that discarded it: `"ip_forward+0x1f/0x480"`. `undefined` for devices. */
  readonly symbol: string | undefined;
  /** The kernel's name of the reason, SKB_DROP_REASON_* without that prefix; since Linux 5.18. `undefined` for devices. */
  readonly reason: string | undefined;
  /** The trap of the device that caught it (devlink-trap(8)). `undefined` for what the kernel discarded. */
  readonly trap: { readonly group: string; readonly name: string } | undefined;
}

/** Requests to the drop monitor. */
export interface DropMonitorRequests {
  /** Changes what is given of the configuration. Refused (EBUSY) while it monitors. */
  config(config?: Partial<DropMonitorConfig>): Uint8Array<ArrayBuffer>;
  /** Asks for the configuration. */
  getConfig(): Uint8Array<ArrayBuffer>;
  /** Starts monitoring what the kernel discards, and if wanted what devices discard. */
  start(hardware: boolean): Uint8Array<ArrayBuffer>;
  /** Stops monitoring. Never refused, also if there is nothing to stop. */
  stop(hardware: boolean): Uint8Array<ArrayBuffer>;
  /** Asks for the losses. */
  getLosses(): Uint8Array<ArrayBuffer>;
}

/** The requests to a family. */
export function dropMonitorRequests({ id, version }: Pick<Family, "id" | "version">): DropMonitorRequests {
  const request = (command: number, attributes: (attr: AttrWriter) => void = () => {}): Uint8Array<ArrayBuffer> =>
    encodeMessage({ type: id, flags: NLM_F_REQUEST }, genlHeader(command, version), (attr) => void attributes(attr));
  const monitor = (command: number, hardware: boolean): Uint8Array<ArrayBuffer> =>
    request(command, (attr) => attr.flag(NET_DM_ATTR_SW_DROPS, true).flag(NET_DM_ATTR_HW_DROPS, hardware));
  return {
    config: ({ alertMode, truncateBytes, queueLength } = {}) =>
      request(NET_DM_CMD_CONFIG, (attr) => {
        attr.u8(NET_DM_ATTR_ALERT_MODE, alertMode).u32(NET_DM_ATTR_TRUNC_LEN, truncateBytes).u32(NET_DM_ATTR_QUEUE_LEN, queueLength);
      }),
    getConfig: () => request(NET_DM_CMD_CONFIG_GET),
    start: (hardware) => monitor(NET_DM_CMD_START, hardware),
    stop: (hardware) => monitor(NET_DM_CMD_STOP, hardware),
    getLosses: () => request(NET_DM_CMD_STATS_GET),
  };
}

/** Reads the answer to a question for the configuration. */
export function decodeDropMonitorConfig(message: Message): DropMonitorConfig {
  let [alertMode, truncateBytes, queueLength]: (number | undefined)[] = [];
  const attr = genlAttributes(message, NET_DM_CMD_CONFIG_NEW);
  while (attr?.next()) {
    if (attr.type === NET_DM_ATTR_ALERT_MODE) alertMode = attr.u8();
    else if (attr.type === NET_DM_ATTR_TRUNC_LEN) truncateBytes = attr.u32();
    else if (attr.type === NET_DM_ATTR_QUEUE_LEN) queueLength = attr.u32();
  }
  if (alertMode === undefined || truncateBytes === undefined || queueLength === undefined) {
    throw new DecodeError("configuration of the drop monitor", 0, "it is incomplete");
  }
  return { alertMode, truncateBytes, queueLength };
}

/** Reads the answer to a question for the losses. */
export function decodeDropMonitorLosses(message: Message): DropMonitorLosses {
  const attr = genlAttributes(message, NET_DM_CMD_STATS_NEW);
  let [software, hardware] = [0n, 0n];
  while (attr?.next()) {
    if (attr.type === NET_DM_ATTR_STATS) software = readDropped(attr.nested());
    else if (attr.type === NET_DM_ATTR_HW_STATS) hardware = readDropped(attr.nested());
  }
  return { software, hardware };
}

function readDropped(attr: AttrReader): bigint {
  while (attr.next()) if (attr.type === NET_DM_ATTR_STATS_DROPPED) return attr.u64();
  return 0n;
}

/** Whether a message of the family reports a discarded packet. */
export function isDroppedPacket(message: Message): boolean {
  return genlCommand(message) === NET_DM_CMD_PACKET_ALERT;
}

/** Reads the report of a discarded packet; `undefined` for other messages. */
export function decodeDroppedPacket(message: Message): DroppedPacket | undefined {
  const attr = genlAttributes(message, NET_DM_CMD_PACKET_ALERT);
  if (!attr) return undefined;
  let inIfindex: number | undefined;
  let data: Uint8Array | undefined;
  let originalBytes: number | undefined;
  let protocol: number | undefined;
  let symbol: string | undefined;
  let reason: string | undefined;
  let group: string | undefined;
  let name: string | undefined;
  while (attr.next()) {
    switch (attr.type) {
      case NET_DM_ATTR_SYMBOL:
        symbol = attr.string();
        break;
      case NET_DM_ATTR_IN_PORT:
        inIfindex = readIfindex(attr.nested());
        break;
      case NET_DM_ATTR_PROTO:
        protocol = attr.u16();
        break;
      case NET_DM_ATTR_PAYLOAD:
        data = attr.bytes();
        break;
      case NET_DM_ATTR_ORIG_LEN:
        originalBytes = attr.u32();
        break;
      case NET_DM_ATTR_HW_TRAP_GROUP_NAME:
        group = attr.string();
        break;
      case NET_DM_ATTR_HW_TRAP_NAME:
        name = attr.string();
        break;
      case NET_DM_ATTR_REASON:
        reason = attr.string();
        break;
    }
  }
  const trap = name === undefined ? undefined : { group: group ?? "", name };
  return { inIfindex, data, originalBytes: originalBytes ?? data?.length ?? 0, protocol, symbol, reason, trap };
}

function readIfindex(attr: AttrReader): number | undefined {
  while (attr.next()) if (attr.type === NET_DM_ATTR_PORT_NETDEV_IFINDEX) return attr.u32();
  return undefined;
}
