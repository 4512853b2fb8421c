/** A kernel with devices, and notifications about them. */
import { RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from "../../src/link/link.ts";
import { NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { encodeMessage, NLM_F_DUMP_INTR, NLM_F_MULTI } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { type FakeOptions, type FakeSocket, FakeSys } from "../fake_sys.ts";
import { doneMessage } from "../support/messages.ts";

/** A link message. */
export function linkMessage(type: number, index: number, name: string, sequence = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const header = memory(16);
  viewOf(header).setUint16(2, 1, LITTLE);
  viewOf(header).setInt32(4, index, LITTLE);
  return encodeMessage({ type, flags, sequence }, header, (writer) => writer.string(3, name));
}

/** A kernel that has devices. */
export class Machine {
  readonly sys: FakeSys;
  readonly names: Map<number, string> = new Map([[3, "eth0"]]);
  lists = 0;
  /** How many of the next lists change while they are made. */
  interrupted = 0;

  constructor(options: FakeOptions = {}) {
    this.sys = new FakeSys(options);
    const { answer, sys } = { answer: this.sys.answer, sys: this.sys };
    const setsockopt = sys.setsockopt.bind(sys);
    // The group of the links is one of another protocol than the fake knows the groups of.
    sys.setsockopt = (fd, level, name, value) => {
      const socket = sys.fds.get(fd);
      if (socket?.protocol !== NETLINK_ROUTE || `${level}/${name}` !== "270/1") return setsockopt(fd, level, name, value);
      socket.groups.add(1);
      return 0;
    };
    sys.answer = (request, socket) => {
      if (request.type !== RTM_GETLINK) return answer(request, socket);
      this.lists++;
      const flags = NLM_F_MULTI | (this.interrupted-- > 0 ? NLM_F_DUMP_INTR : 0);
      for (const [index, name] of this.names) sys.reply(socket, linkMessage(RTM_NEWLINK, index, name, request.sequence, flags));
      sys.reply(socket, doneMessage(request.sequence));
    };
  }

  /** The socket that receives notifications. */
  get watcher(): FakeSocket | undefined {
    return [...this.sys.fds.values()].find((socket) => socket.protocol === NETLINK_ROUTE);
  }

  set(index: number, name: string): void {
    this.names.set(index, name);
    if (this.watcher) this.sys.reply(this.watcher, linkMessage(RTM_NEWLINK, index, name));
  }

  delete(index: number): void {
    const name = this.names.get(index)!;
    this.names.delete(index);
    if (this.watcher) this.sys.reply(this.watcher, linkMessage(RTM_DELLINK, index, name));
  }
}
