/** A kernel with devices that count, and with files about itself. */
import { HOST_FILES, type HostFile, NETLINK_GENERIC } from "../../src/sys/sys.ts";
import { type Message, NLM_F_DUMP } from "../../src/wire/message.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";
import { type Attribute, attributes, join, message, number } from "../psample/build.ts";
import { ackMessage, doneMessage, familyMessage } from "../support/messages.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTNLGRP_LINK = 1;
const ENODEV = 19;
const EOPNOTSUPP = 95;
const ETHTOOL = 21;
const utf8 = new TextEncoder();

/** A device. */
export interface CountingDevice {
  name: string;
  /** ARPHRD_*; that of Ethernet by default. */
  type?: number;
  kind?: string;
  flags?: number;
  promiscuity?: number;
  /** As struct rtnl_link_stats64 has them. */
  stats?: number[];
  /** In units of 10^6 bit/s. */
  speed?: number;
  duplex?: number;
  /** Counters of the hardware, as group, number and value. */
  hardware?: [number, number, number][];
  /** The other end is in this namespace. */
  peerNsid?: number;
}

/** The kernel. */
export class CountingKernel {
  readonly sys: FakeSys = new FakeSys();
  readonly devices: Map<number, CountingDevice> = new Map();
  /** The devices that were asked for, one array for each datagram. */
  readonly asked: number[][] = [];
  /** What was asked of ethtool: the command and the device. */
  readonly ethtool: [number, number][] = [];
  /** Whether it has that. */
  hasEthtool = true;
  /** What requests for counters are refused with. */
  refusal = 0;

  constructor() {
    const { sys } = this;
    const sendto = sys.sendto.bind(sys);
    sys.sendto = (fd, bytes, flags, address) => {
      this.asked.push([]);
      return sendto(fd, bytes, flags, address);
    };
    const { answer } = sys;
    sys.answer = (request, socket) => {
      const reply = (bytes: Uint8Array): void => sys.reply(socket, bytes);
      if (request.type === RTM_GETLINK) return this.#links(request, reply);
      if (request.type === ETHTOOL) return this.#ethtool(request, reply);
      const wants = socket.protocol === NETLINK_GENERIC && new TextDecoder().decode(request.payload).includes("ethtool");
      if (!wants || !this.hasEthtool) return answer(request, socket);
      reply(familyMessage(1, { id: ETHTOOL, name: "ethtool", groups: {} }, request.sequence));
      reply(ackMessage(request.sequence, 0));
    };
  }

  /** The requests for counters so far. */
  get polls(): number[][] {
    return this.asked.filter(({ length }) => length > 0);
  }

  /** Gives a file contents. */
  file(file: HostFile, text: string): void {
    this.sys.files.set(HOST_FILES[file], new FakeFile(utf8.encode(text)));
  }

  /** Adds a device, or changes it, and says so. */
  set(index: number, device: CountingDevice): void {
    this.devices.set(index, device);
    this.sys.multicast(RTNLGRP_LINK, this.#link(RTM_NEWLINK, index, 0, false));
  }

  /** Takes a device away, and says so. */
  delete(index: number): void {
    const bytes = this.#link(RTM_DELLINK, index, 0, false);
    this.devices.delete(index);
    this.sys.multicast(RTNLGRP_LINK, bytes);
  }

  #links({ payload, flags, sequence }: Message, reply: (bytes: Uint8Array) => void): void {
    if (flags & NLM_F_DUMP) {
      for (const index of this.devices.keys()) reply(this.#link(RTM_NEWLINK, index, sequence, false));
      return reply(doneMessage(sequence));
    }
    const index = new DataView(payload.buffer, payload.byteOffset).getInt32(4, true);
    this.asked.at(-1)!.push(index);
    const errno = this.refusal || (this.devices.has(index) ? 0 : ENODEV);
    if (errno === 0) reply(this.#link(RTM_NEWLINK, index, sequence, true));
    reply(ackMessage(sequence, errno));
  }

  #link(type: number, index: number, sequence: number, counts: boolean): Uint8Array<ArrayBuffer> {
    const { name, type: hardware = 1, kind, flags = 0x41, promiscuity = 0, stats = [], peerNsid } = this.devices.get(index)!;
    const list: Attribute[] = [[3, utf8.encode(`${name}\0`)], [30, number(4, promiscuity)]];
    if (kind !== undefined) list.push([18, attributes([[1, utf8.encode(`${kind}\0`)]])]);
    if (peerNsid !== undefined) list.push([37, number(4, peerNsid)]);
    if (counts) list.push([23, join(...Array.from({ length: 25 }, (_, i) => number(8, stats[i] ?? 0)))]);
    const body = join(number(2, 0), number(2, hardware), number(4, index), number(4, flags), number(4, 0), attributes(list));
    return join(number(4, 16 + body.length), number(2, type), number(2, 0), number(4, sequence), number(4, 0), body);
  }

  #ethtool({ payload, sequence }: Message, reply: (bytes: Uint8Array) => void): void {
    const command = payload[0]!;
    const index = new DataView(payload.buffer, payload.byteOffset).getUint32(12, true);
    this.ethtool.push([command, index]);
    const device = this.devices.get(index);
    if (!device || (command === 4 && device.speed === undefined)) return reply(ackMessage(sequence, device ? EOPNOTSUPP : ENODEV));
    const { name, speed = 0, duplex = 255, hardware = [] } = device;
    const header = attributes([[1, number(4, index)], [2, utf8.encode(`${name}\0`)]]);
    const list: Attribute[] = command === 4 ? [[0x8001, header], [5, number(4, speed)], [6, number(1, duplex)]] : [
      [0x8002, header],
      ...[0, 1].map((group): Attribute => [
        0x8004,
        attributes([
          [2, number(4, group)],
          ...hardware.filter(([its]) => its === group).map(([, stat, value]): Attribute => [
            0x8004,
            // Some architectures need padding, which is an attribute of number 1.
            attributes([[1, new Uint8Array(0)], [stat, number(8, value)]]),
          ]),
        ]),
      ]),
    ];
    reply(message(list, { type: ETHTOOL, sequence, command: command === 4 ? 4 : 33 }));
    reply(ackMessage(sequence, 0));
  }
}
