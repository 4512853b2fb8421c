/**
 * A scripted kernel with one device, `eth0`, and its traffic control state: for things that happen only by chance in a real one, such as
 * the refusal of any request, another program acting between any two, and a process being killed there.
 *
 * @module
 */
import { encodeActions } from "../../src/tc/action.ts";
import { encodeFilter } from "../../src/tc/filter.ts";
import {
  EADDRINUSE,
  EEXIST,
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  type Memory,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NETLINK_USERSOCK,
} from "../../src/sys/sys.ts";
import { encodeMessage, type Message, messageOf, NLM_F_CREATE, NLM_F_DUMP, NLM_F_MULTI } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { type FakeOptions, type FakeSocket, FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage } from "../support/messages.ts";

/** The index of the device. */
export const IFINDEX = 5;

const [RTM_NEWLINK, RTM_GETLINK, RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC] = [16, 18, 36, 37, 38];
const [RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER] = [44, 45, 46];
const [RTM_NEWACTION, RTM_GETACTION, RTM_NEWCHAIN, RTM_DELCHAIN, RTM_GETCHAIN] = [48, 50, 100, 101, 102];
const FFFF = 0xffff0000;
const CLSACT = 0xfffffff1;
const QDISCS: readonly number[] = [RTM_NEWQDISC!, RTM_DELQDISC!];
const PARENT = { ingress: 0xfffffff2, egress: 0xfffffff3 };

/** The requests that cause notifications, and their groups. */
const CHANGES: readonly number[] = [RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER];
const RTNLGRP_TC = 4;
const STRANGER_PORT = 4711;

type Side = keyof typeof PARENT;

/** A filter as requested, and its owner. */
export interface HeldFilter {
  readonly parent: number;
  readonly handle: number;
  readonly preference: number;
  readonly payload: Uint8Array;
  readonly owner: Owner;
}

/** The creator of something: this package, or another program. */
export type Owner = "us" | "stranger";

/** A clsact qdisc: one object from the moment it is added to the moment it is deleted. */
export interface Clsact {
  readonly owner: Owner;
  readonly block: number | undefined;
  filters: HeldFilter[];
  /** Chains that were created explicitly. */
  chains: { side: Side; index: number; template: string | undefined }[];
}

/** Thrown by the system calls of a process that was killed. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** The fake. */
export class TcKernel extends FakeSys {
  clsact: Clsact | undefined;
  /** Sample actions that no filter uses. */
  actions: Uint8Array[] = [];
  /** Refuses the requests for which it returns an error number. */
  refuse: ((request: Message, number: number) => number | undefined) | undefined;
  /** Called before each datagram to rtnetlink; their number is from 0. */
  beforeDatagram: ((number: number) => void) | undefined;
  /** Number of requests so far, of any protocol. */
  requests = 0;
  /** Datagrams to rtnetlink so far. */
  datagrams = 0;
  /** A killed process sends nothing more. */
  dead = false;
  /** Descriptors that may be open at once. */
  mostDescriptors = Infinity;
  /** What other programs lost through us. */
  readonly damage: string[] = [];

  constructor(options: FakeOptions = {}) {
    super(options);
    const controller = this.answer;
    this.answer = (request, socket) => {
      const refused = this.refuse?.(request, this.requests++);
      if (refused) return this.reply(socket, ackMessage(request.sequence, refused));
      if (socket.protocol === NETLINK_GENERIC) return controller(request, socket);
      const answers = this.#rtnetlink(request);
      const [ack] = answers;
      if (CHANGES.includes(request.type) && viewOf(ack!).getInt32(16, LITTLE) === 0) this.#notify(request.type, socket.portId);
      for (const bytes of answers) this.reply(socket, bytes);
    };
  }

  /** What tc would show, and who made it. */
  get state(): unknown {
    if (!this.clsact) return undefined;
    const { owner, block, filters, chains } = this.clsact;
    return {
      owner,
      block,
      chains,
      filters: filters.map(({ parent, handle, preference, owner }) => ({ parent, handle, preference, owner })),
    };
  }

  /** The filters of this package. */
  get ours(): HeldFilter[] {
    return (this.clsact?.filters ?? []).filter(({ owner }) => owner === "us");
  }

  // ---- other programs

  /** Another program adds a clsact. */
  addClsact(block?: number): void {
    if (this.clsact) return;
    this.clsact = { owner: "stranger", block, filters: [], chains: [] };
    this.#notify(RTM_NEWQDISC);
  }

  /** Another program replaces the clsact by the same, which changes nothing. */
  replaceClsact(): void {
    if (this.clsact) this.#notify(RTM_NEWQDISC);
    else this.addClsact();
  }

  /** Another program deletes the clsact, with all that is in it. */
  deleteClsact(): void {
    this.clsact = undefined;
    this.#notify(RTM_DELQDISC);
  }

  /** Another program adds a filter; `handle` makes it look like one of ours. */
  addFilter(side: Side, preference: number, handle = 1): void {
    const rate = { sample: { rate: 7, group: 7, index: 4000 + preference } };
    const key = { ifindex: IFINDEX, parent: PARENT[side], preference, handle };
    const { payload } = messageOf(encodeFilter("add", key, { kind: "matchall", actions: [rate] }));
    this.clsact?.filters.push({ parent: PARENT[side], handle, preference, payload, owner: "stranger" });
    this.#notify(RTM_NEWTFILTER);
  }

  /** Another program deletes all filters of a side, ours too. */
  deleteFilters(side: Side): void {
    if (!this.clsact) return;
    this.clsact.filters = this.clsact.filters.filter(({ parent }) => parent !== PARENT[side]);
    this.#notify(RTM_DELTFILTER);
  }

  /** Another program creates a chain; not if there is one. */
  addChain(side: Side, index: number, template?: string): void {
    const { clsact } = this;
    const exists = index === 0 && clsact?.filters.some(({ parent }) => parent === PARENT[side]);
    if (exists) return;
    clsact?.chains.push({ side, index, template });
    this.#notify(RTM_NEWCHAIN, 0);
  }

  /** Another program makes a sample action of its own. */
  addAction(index: number): void {
    this.actions.push(messageOf(encodeActions("add", [{ sample: { rate: 100, group: 6, index } }])).payload);
  }

  /** The process is killed: it sends no more, and the kernel closes what it had. */
  kill(): void {
    this.dead = true;
    this.fds.clear();
  }

  /** Another process of this package, after one was killed. */
  revive(): void {
    this.fds.clear();
    this.dead = false;
    this.beforeDatagram = undefined;
  }

  /** Another process holds a port of NETLINK_USERSOCK, as any may; it joins groups only if privileged. */
  holdPort(portId: number, ...groups: number[]): FakeSocket {
    const socket = this.fds.get(super.socket(16, 3, NETLINK_USERSOCK))!;
    (socket as { portId: number }).portId = portId;
    for (const group of groups) socket.groups.add(group);
    return socket;
  }

  // ---- the calls

  override socket(domain: number, type: number, protocol: number): number {
    if (this.fds.size >= this.mostDescriptors) return -24;
    return super.socket(domain, type, protocol);
  }

  override bind(fd: number, address: Memory): number {
    const portId = viewOf(address).getUint32(4, LITTLE);
    const socket = this.fds.get(fd)!;
    if (portId !== 0) {
      const taken = [...this.fds.values()].some((other) => other.protocol === socket.protocol && other.portId === portId);
      if (taken) return -EADDRINUSE;
      (socket as { portId: number }).portId = portId;
    }
    return super.bind(fd, address);
  }

  override sendto(fd: number, bytes: Memory, flags: number, address: Memory): number {
    if (this.dead) throw new Killed();
    if (this.fds.get(fd)?.protocol === NETLINK_ROUTE) this.beforeDatagram?.(this.datagrams++);
    if (this.dead) throw new Killed();
    return super.sendto(fd, bytes, flags, address);
  }

  override close(fd: number): number {
    // The kernel has closed what a killed process had.
    return this.dead ? 0 : super.close(fd);
  }

  /** Notifies listeners of a change. */
  #notify(type: number, portId = STRANGER_PORT): void {
    const tell = (type: number, portId: number): void =>
      this.multicast(RTNLGRP_TC, encodeMessage({ type, flags: 0, portId }, header(0, QDISCS.includes(type) ? CLSACT : 0)));
    // A chain is created and deleted with its filters, without a request.
    if (type === RTM_NEWTFILTER) tell(RTM_NEWCHAIN, 0);
    tell(type, portId);
    if (type === RTM_DELTFILTER) tell(RTM_DELCHAIN, 0);
  }

  #rtnetlink({ type, flags, sequence, payload }: Message): Uint8Array[] {
    const view = viewOf(payload);
    const [handle, parent, info] = [8, 12, 16].map((at) => payload.length < 20 ? 0 : view.getUint32(at, LITTLE)) as [
      number,
      number,
      number,
    ];
    const preference = info >>> 16;
    const ack = (errno = 0): Uint8Array[] => [ackMessage(sequence, errno)];
    const dump = (type: number, payloads: readonly Uint8Array[]): Uint8Array[] => [
      ...payloads.map((payload) => encodeMessage({ type, flags: NLM_F_MULTI, sequence }, payload)),
      doneMessage(sequence),
    ];
    const { clsact } = this;
    switch (type) {
      case RTM_GETLINK: {
        const link = memory(16);
        viewOf(link).setInt32(4, IFINDEX, LITTLE);
        const answer = encodeMessage({ type: RTM_NEWLINK, flags: 0, sequence }, link, (attr) => attr.string(3, "eth0"));
        return [answer, ...flags & NLM_F_DUMP ? [doneMessage(sequence)] : ack()];
      }
      case RTM_GETQDISC:
        return dump(RTM_NEWQDISC, clsact ? [qdiscPayload(clsact)] : []);
      case RTM_NEWQDISC:
        if (clsact) return ack(EEXIST);
        this.clsact = { owner: "us", block: undefined, filters: [], chains: [] };
        return ack();
      case RTM_DELQDISC:
        if (!clsact) return ack(ENOENT);
        if (clsact.owner === "stranger") this.damage.push("clsact");
        this.damage.push(...clsact.filters.filter(({ owner }) => owner === "stranger").map(({ handle }) => `filter ${handle}`));
        this.damage.push(...clsact.chains.map(({ index }) => `chain ${index}`));
        this.clsact = undefined;
        return ack();
      case RTM_GETTFILTER:
        return dump(
          RTM_NEWTFILTER,
          (clsact?.filters ?? []).filter((filter) => filter.parent === parent && [0, filter.preference].includes(preference))
            .flatMap((filter) => [preferencePayload(filter), filter.payload]),
        );
      case RTM_NEWTFILTER: {
        if (!clsact || !(flags & NLM_F_CREATE)) return ack(EINVAL);
        if (clsact.block !== undefined) return ack(EOPNOTSUPP);
        // Both are matchall, which has one filter a preference.
        if (clsact.filters.some((filter) => filter.parent === parent && filter.preference === preference)) return ack(EEXIST);
        clsact.filters.push({ parent, handle, preference, payload: payload.slice(), owner: "us" });
        return ack();
      }
      case RTM_DELTFILTER: {
        if (!clsact) return ack(EINVAL);
        if (clsact.block !== undefined) return ack(EOPNOTSUPP);
        const found = clsact.filters.find((one) => one.parent === parent && one.handle === handle && one.preference === preference);
        if (!found) return ack(ENOENT);
        if (found.owner === "stranger") this.damage.push(`filter ${handle}`);
        clsact.filters = clsact.filters.filter((filter) => filter !== found);
        return ack();
      }
      case RTM_GETCHAIN: {
        if (!clsact) return dump(RTM_NEWCHAIN, []);
        const side: Side = parent === PARENT.egress ? "egress" : "ingress";
        const explicit = clsact.chains.filter((chain) => chain.side === side);
        const implied = clsact.filters.some((filter) => filter.parent === parent) && !explicit.some(({ index }) => index === 0);
        return dump(RTM_NEWCHAIN, [...implied ? [{ index: 0, template: undefined }] : [], ...explicit].map(chainPayload));
      }
      case RTM_GETACTION:
        return flags & NLM_F_DUMP ? dump(RTM_NEWACTION, this.actions) : ack(ENOENT);
      default:
        return ack(EOPNOTSUPP);
    }
  }
}

/** The entry for a whole preference, without a handle and options. */
function preferencePayload({ payload }: HeldFilter): Uint8Array {
  const fixed = payload.slice(0, 20);
  viewOf(fixed).setUint32(8, 0, LITTLE);
  return messageOf(encodeMessage({ type: 0, flags: 0 }, fixed, (attr) => attr.string(1, "matchall"))).payload;
}

function qdiscPayload({ block }: Clsact): Uint8Array {
  return messageOf(encodeMessage({ type: 0, flags: 0 }, header(FFFF, CLSACT), (attr) => attr.string(1, "clsact").u32(13, block))).payload;
}

function chainPayload({ index, template }: { index: number; template: string | undefined }): Uint8Array {
  return messageOf(encodeMessage({ type: 0, flags: 0 }, header(0, FFFF), (attr) => attr.u32(11, index).string(1, template))).payload;
}

/** `struct tcmsg`. */
function header(handle: number, parent: number): Uint8Array {
  const bytes = memory(20);
  const view = viewOf(bytes);
  view.setInt32(4, IFINDEX, LITTLE);
  view.setUint32(8, handle, LITTLE);
  view.setUint32(12, parent, LITTLE);
  return bytes;
}
