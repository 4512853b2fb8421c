/** The kernel's drop monitor, scripted as net/core/drop_monitor.c has it. */
import { EAGAIN, EBUSY, EOPNOTSUPP, EPERM } from "../../src/sys/sys.ts";
import { AttrReader } from "../../src/wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP } from "../../src/wire/message.ts";
import { type FakeSocket, FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage, familyMessage } from "../support/messages.ts";

const FAMILY = 32;
export const EVENTS = 42;
export const [CONFIG, START, STOP, PACKET_ALERT, CONFIG_GET, CONFIG_NEW, STATS_GET, STATS_NEW] = [2, 3, 4, 5, 6, 7, 8, 9];

/** What a report is of; what is left out is missing in it. */
export interface Report {
  readonly ifindex?: number;
  readonly symbol?: string;
  readonly reason?: string;
  readonly protocol?: number;
  readonly data?: Uint8Array;
  readonly originalBytes?: number;
  readonly trap?: readonly [group: string, name: string];
}

/** A report of the kernel. */
export function reportMessage({ ifindex, symbol, reason, protocol, data, originalBytes, trap }: Report): Uint8Array {
  return encodeMessage({ type: FAMILY, flags: 0 }, new Uint8Array([PACKET_ALERT!, 2, 0, 0]), (attr) => {
    attr.u16(14, trap ? 1 : 0).string(23, reason).string(3, symbol).string(15, trap?.[0]).string(16, trap?.[1]);
    attr.nest(4, (port) => void port.u32(0, ifindex)).u64(5, 1_700_000_000_000_000_000n).u32(10, originalBytes ?? data?.length);
    attr.u16(6, protocol).bytes(7, data);
  });
}

/** A kernel with a drop monitor, and its state. */
export class DropKernel {
  readonly sys: FakeSys;
  config = { alertMode: 0, truncateBytes: 0, queueLength: 1000 };
  software = false;
  hardware = false;
  hasDevlink = true;
  losses = [7n, 2n];
  /** Why it does not tell them; 0 if it does. */
  lossesErrno = 0;
  /** The commands so far that change something. */
  readonly commands: number[] = [];

  constructor(options: ConstructorParameters<typeof FakeSys>[0] = {}) {
    this.sys = new FakeSys(options);
    this.sys.family = { id: FAMILY, name: "NET_DM", groups: { events: EVENTS } };
    const controller = this.sys.answer;
    this.sys.answer = (request, socket) => {
      if (request.type === FAMILY) return this.#answer(request, socket);
      if ((request.flags & NLM_F_DUMP) !== NLM_F_DUMP) return controller(request, socket);
      if (this.sys.family) this.sys.reply(socket, familyMessage(1, this.sys.family, request.sequence));
      this.sys.reply(socket, doneMessage(request.sequence));
    };
  }

  /** Reports to whoever listens, if somebody has started it. */
  report(...reports: readonly Report[]): void {
    if (!this.software && !this.hardware) return;
    for (const report of reports) this.sys.multicast(EVENTS, reportMessage(report));
  }

  #answer(request: Message, socket: FakeSocket): void {
    const { sequence, payload } = request;
    const [command] = payload;
    const errno = command === CONFIG_GET
      ? 0
      : command === STATS_GET
      ? this.lossesErrno
      : this.sys.unprivileged
      ? EPERM
      : this.#change(command!, payload);
    if (command === CONFIG_GET) {
      const { alertMode, truncateBytes, queueLength } = this.config;
      const reply = encodeMessage({ type: FAMILY, flags: 0, sequence }, new Uint8Array([CONFIG_NEW!, 2, 0, 0]), (attr) => {
        attr.u8(1, alertMode).u32(9, truncateBytes).u32(11, queueLength);
      });
      this.sys.reply(socket, reply);
    } else if (command === STATS_GET && errno === 0) {
      const reply = encodeMessage({ type: FAMILY, flags: 0, sequence }, new Uint8Array([STATS_NEW!, 2, 0, 0]), (attr) => {
        attr.nest(12, (stats) => void stats.u64(0, this.losses[0])).nest(13, (stats) => void stats.u64(0, this.losses[1]));
      });
      this.sys.reply(socket, reply);
    }
    this.sys.reply(socket, ackMessage(sequence, errno));
  }

  #change(command: number, payload: Uint8Array): number {
    const given = new Map<number, number>();
    const attr = AttrReader.of(payload.subarray(4));
    while (attr.next()) given.set(attr.type, attr.size === 1 ? attr.u8() : attr.size === 4 ? attr.u32() : 1);
    const wanted = { software: given.has(20) || !given.has(21), hardware: given.has(21) };
    if (command === CONFIG) {
      if (this.software || this.hardware) return EBUSY;
      const { alertMode, truncateBytes, queueLength } = this.config;
      this.config = {
        alertMode: given.get(1) ?? alertMode,
        truncateBytes: given.get(9) ?? truncateBytes,
        queueLength: given.get(11) ?? queueLength,
      };
      if (given.size > 0) this.commands.push(command);
      return 0;
    }
    if (command === START) {
      if (wanted.software && this.software) return EAGAIN;
      if (wanted.hardware && !this.hasDevlink) return EOPNOTSUPP;
      this.software ||= wanted.software;
      this.hardware ||= wanted.hardware;
    } else if (command === STOP) {
      if (wanted.software) this.software = false;
      if (wanted.hardware) this.hardware = false;
    }
    this.commands.push(command);
    return 0;
  }
}
