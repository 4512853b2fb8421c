/**
 * The netlink sockets of this network namespace, of all processes: their port ids, and the multicast groups that they have joined. Source:
 * include/uapi/linux/netlink_diag.h, net/netlink/diag.c.
 */
import { DecodeError, NetlinkError } from "../errors.ts";
import { AF_NETLINK, NETLINK_SOCK_DIAG, type Sys } from "../sys/sys.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { SK_MEMINFO_DROPS, SK_MEMINFO_RCVBUF, SK_MEMINFO_RMEM_ALLOC } from "./netlink_socket.ts";
import { Requests } from "./requests.ts";

// include/uapi/linux/sock_diag.h, include/uapi/linux/netlink_diag.h
const SOCK_DIAG_BY_FAMILY = 20;
const NDIAG_SHOW_MEMINFO = 1;
const NDIAG_SHOW_GROUPS = 2;
const NETLINK_DIAG_MEMINFO = 0;
const NETLINK_DIAG_GROUPS = 1;
/** `struct netlink_diag_req`: u8 family, u8 protocol, u16 padding, u32 inode, u32 show, u32 cookie[2]. */
const REQUEST_SIZE = 20;
/** `struct netlink_diag_msg`: u8 family, type, protocol, state; u32 port id, its peer's port id and group, inode, cookie[2]. */
const ENTRY_SIZE = 28;

/** A netlink socket, as the kernel lists it. */
export interface ListedSocket {
  /** The number by which others on its protocol reach it; several sockets may have 0, that of a socket not yet bound. */
  readonly portId: number;
  /** Its inode, as /proc/PID/fd names it: `socket:[INODE]`. */
  readonly inode: number;
  /** The multicast groups that it has joined. On most protocols joining requires a privilege, so membership proves it. */
  readonly groups: readonly number[];
  /** Its receive queue; `undefined` if the kernel does not say. */
  readonly queue: SocketQueue | undefined;
}

/** What waits for the reader of a socket. */
export interface SocketQueue {
  /** How much of the kernel's memory the messages in it take, in bytes: more than they are long. */
  readonly bytes: number;
  /** From how many bytes on nothing more is queued. */
  readonly limitBytes: number;
  /** How many messages were dropped because it was full; u32, wraps. */
  readonly drops: number;
}

/** Lists netlink sockets. No privileges needed. */
export class SocketLister {
  readonly #requests: Requests;

  /**
   * Opens a socket for the requests; `undefined` if the kernel cannot be asked: it has no netlink_diag
   * (CONFIG_NETLINK_DIAG), a sandbox forbids it, or there is no descriptor left.
   */
  static open(sys: Sys): SocketLister | undefined {
    try {
      return new SocketLister(new Requests(sys, NETLINK_SOCK_DIAG));
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  private constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** All sockets of a netlink protocol, NETLINK_*; `undefined` if the kernel does not say. */
  async list(protocol: number): Promise<ListedSocket[] | undefined> {
    try {
      const messages = await this.#requests.request(encodeSocketDump(protocol), "list netlink sockets");
      // The kernel lists a socket that has joined a group twice: in its table, and among those that listen.
      const sockets = new Map<bigint, ListedSocket>();
      for (const message of messages) {
        if (message.type === SOCK_DIAG_BY_FAMILY) sockets.set(readCookie(message), decodeSocket(message));
      }
      return [...sockets.values()];
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  /** Closes the socket. */
  close(): void {
    this.#requests.close();
  }
}

function encodeSocketDump(protocol: number): Uint8Array<ArrayBuffer> {
  const request = memory(REQUEST_SIZE);
  request.set([AF_NETLINK, protocol]);
  viewOf(request).setUint32(8, NDIAG_SHOW_GROUPS | NDIAG_SHOW_MEMINFO, LITTLE);
  return encodeMessage({ type: SOCK_DIAG_BY_FAMILY, flags: NLM_F_REQUEST | NLM_F_DUMP }, request);
}

/** The cookie, a number that the kernel gives to no other socket. */
function readCookie({ payload }: Message): bigint {
  if (payload.length < ENTRY_SIZE) {
    throw new DecodeError("netlink socket", 0, `message too short: ${payload.length} bytes, expected at least ${ENTRY_SIZE}`);
  }
  return viewOf(payload).getBigUint64(20, LITTLE);
}

function decodeSocket({ payload }: Message): ListedSocket {
  const view = viewOf(payload);
  let groups: number[] = [];
  let queue: SocketQueue | undefined;
  const attr = AttrReader.of(payload.subarray(ENTRY_SIZE));
  while (attr.next()) {
    if (attr.type === NETLINK_DIAG_GROUPS) groups = readGroups(attr.bytes());
    else if (attr.type === NETLINK_DIAG_MEMINFO) queue = readQueue(attr.bytes());
  }
  return { portId: view.getUint32(4, LITTLE), inode: view.getUint32(16, LITTLE), groups, queue };
}

function readQueue(words: Uint8Array): SocketQueue | undefined {
  if (words.length < 4 * (SK_MEMINFO_DROPS + 1)) return undefined;
  const view = viewOf(words);
  return {
    bytes: view.getUint32(4 * SK_MEMINFO_RMEM_ALLOC, LITTLE),
    limitBytes: view.getUint32(4 * SK_MEMINFO_RCVBUF, LITTLE),
    drops: view.getUint32(4 * SK_MEMINFO_DROPS, LITTLE),
  };
}

/** A bitmap of the kernel's `unsigned long`: group 1 is the lowest bit of the first. */
function readGroups(bitmap: Uint8Array): number[] {
  const groups: number[] = [];
  for (let bit = 0; bit < 8 * bitmap.length; bit++) {
    // The bytes of a long are in the machine's order.
    const byte = LITTLE ? bit >> 3 : (bit >> 6 << 3) + 7 - (bit >> 3 & 7);
    if (bitmap[byte]! >> (bit & 7) & 1) groups.push(bit + 1);
  }
  return groups;
}
