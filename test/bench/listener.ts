/** What the bench receives with: a socket that needs no privilege, and devices that need no kernel. */
import { SocketFilter } from "../../src/filter/socket_filter.ts";
import type { Devices } from "../../src/link/device.ts";
import { RTM_NEWLINK } from "../../src/link/link.ts";
import { KernelFilter } from "../../src/receive/kernel_filter.ts";
import { type Listener, SocketListener } from "../../src/receive/listener.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { Receiver } from "../../src/socket/receiver.ts";
import { NETLINK_USERSOCK, type Sys } from "../../src/sys/sys.ts";
import { encodeMessage, NLM_F_MULTI } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { FakeSys } from "../fake_sys.ts";
import { doneMessage } from "../support/messages.ts";
import { FAMILY } from "./messages.ts";

const RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024;

/** Deviations from the usual. */
export interface OpenOptions {
  readonly devices?: Devices | undefined;
  /** A filter that the kernel runs before samples are queued. */
  readonly filter?: string | undefined;
}

/** A listener, and the port that messages for it are sent to. */
export async function open(sys: Sys, { devices, filter }: OpenOptions = {}): Promise<{ listener: Listener; port: number }> {
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
  const inKernel = filter === undefined
    ? undefined
    : new KernelFilter(receiver, new SocketFilter([filter]), { groups: undefined, links: undefined });
  const listener = new SocketListener(receiver, { devices, filter: inKernel });
  listener.expect(FAMILY);
  return { listener, port: receiver.portId };
}

/** `count` devices, including those that the messages name, as the kernel would list them. */
export function manyDevices(count: number): LiveLinks {
  const sys = new FakeSys();
  sys.answer = ({ sequence }, socket) => {
    for (let index = 1; index <= count; index++) sys.reply(socket, linkMessage(index, sequence));
    sys.reply(socket, doneMessage(sequence));
  };
  const links = new LiveLinks(sys);
  links.watch();
  return links;
}

/** RTM_NEWLINK: `struct ifinfomsg` with ARPHRD_ETHER and the index, and a name. */
function linkMessage(index: number, sequence: number): Uint8Array<ArrayBuffer> {
  const header = memory(16);
  const view = viewOf(header);
  view.setUint16(2, 1, LITTLE);
  view.setInt32(4, index, LITTLE);
  return encodeMessage({ type: RTM_NEWLINK, flags: NLM_F_MULTI, sequence }, header, (writer) => writer.string(3, `veth${index}`));
}
