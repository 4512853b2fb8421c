/** Sampling on a scripted kernel: what a real one does only by chance, refusals at each step and others at the same time. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { NetlinkError } from "../../src/errors.ts";
import { cleanUpSamplingWith } from "../../src/control/sampling/cleanup.ts";
import { addSamplingWith } from "../../src/control/sampling/install.ts";
import { listSamplingWith } from "../../src/control/sampling/list.ts";
import type { SamplingOptions } from "../../src/control/sampling/options.ts";
import {
  EADDRINUSE,
  EEXIST,
  ENOBUFS,
  ENODEV,
  ENOENT,
  EPERM,
  type Memory,
  NETLINK_GENERIC,
  NETLINK_USERSOCK,
  type Sys,
} from "../../src/sys/sys.ts";
import { encodeMessage, type Message, NLM_F_CREATE, NLM_F_MULTI } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage } from "../support/messages.ts";

const IFINDEX = 5;
const PORT = 0x70730000;
const LOCK = 0x70738000;

interface Held {
  kind: string;
  handle: number;
  parent: number;
  /** The message as it was asked for. */
  payload: Uint8Array;
}

/** A kernel with one device, `eth0`, that keeps qdiscs and filters as they were asked for. */
class Kernel extends FakeSys {
  qdisc: Held | undefined;
  filters: Held[] = [];
  /** Refuses the request with this number, from 0. */
  refuse: { request: number; errno: number } | undefined;
  requests = 0;

  constructor() {
    super();
    const controller = this.answer;
    this.answer = (request, socket) => {
      const refused = this.requests++ === this.refuse?.request ? this.refuse.errno : 0;
      if (refused) return this.reply(socket, ackMessage(request.sequence, refused));
      if (socket.protocol === NETLINK_GENERIC) return controller(request, socket);
      for (const bytes of this.#tc(request)) this.reply(socket, bytes);
    };
  }

  /** What tc would show. */
  get state(): unknown {
    return { qdisc: this.qdisc?.kind, filters: this.filters.map(({ kind, handle, parent }) => ({ kind, handle, parent })) };
  }

  /** Somebody has a filter. */
  addFilter(parent: number, handle: number, payload: Uint8Array): void {
    const copy = payload.slice();
    viewOf(copy).setUint32(8, handle, LITTLE);
    viewOf(copy).setUint32(12, parent, LITTLE);
    this.filters.push({ kind: "matchall", handle, parent, payload: copy });
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

  #tc({ type, flags, sequence, payload }: Message): Uint8Array[] {
    const [RTM_NEWLINK, RTM_GETLINK, RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC] = [16, 18, 36, 37, 38];
    const [RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER] = [44, 45, 46];
    const view = viewOf(payload);
    const [handle, parent] = payload.length < 20 ? [0, 0] : [view.getUint32(8, LITTLE), view.getUint32(12, LITTLE)];
    const done = (errno = 0): Uint8Array => ackMessage(sequence, errno);
    const held = ({ payload }: Held, type: number): Uint8Array => encodeMessage({ type, flags: NLM_F_MULTI, sequence }, payload);
    switch (type) {
      case RTM_GETLINK: {
        const link = memory(16);
        viewOf(link).setInt32(4, IFINDEX, LITTLE);
        const answer = encodeMessage({ type: RTM_NEWLINK, flags: 0, sequence }, link, (attr) => attr.string(3, "eth0"));
        return [answer, flags & 0x300 ? doneMessage(sequence) : done()];
      }
      case RTM_GETQDISC:
        return [...(this.qdisc ? [held(this.qdisc, RTM_NEWQDISC)] : []), doneMessage(sequence)];
      case RTM_NEWQDISC:
        if (this.qdisc) return [done(EEXIST)];
        this.qdisc = { kind: "clsact", handle, parent, payload: payload.slice() };
        return [done()];
      case RTM_DELQDISC:
        if (!this.qdisc) return [done(ENOENT)];
        this.qdisc = undefined;
        this.filters = [];
        return [done()];
      case RTM_GETTFILTER:
        return [
          ...this.filters.filter((filter) => filter.parent === parent).map((filter) => held(filter, RTM_NEWTFILTER)),
          doneMessage(sequence),
        ];
      case RTM_NEWTFILTER:
        if (!this.qdisc || !(flags & NLM_F_CREATE)) return [done(ENODEV)];
        this.filters.push({ kind: "matchall", handle, parent, payload: payload.slice() });
        return [done()];
      case RTM_DELTFILTER: {
        const before = this.filters.length;
        this.filters = this.filters.filter((filter) => filter.parent !== parent || filter.handle !== handle);
        return [done(this.filters.length < before ? 0 : ENOENT)];
      }
      default:
        return [done(ENOENT)];
    }
  }
}

const BOTH: SamplingOptions = { device: "eth0", direction: "both", rate: 100, index: 7, group: 3 };

/** A kernel whose clsact, and first filter, are somebody else's. */
async function withStranger(kernel: Kernel): Promise<void> {
  const handle = await addSamplingWith(kernel, BOTH);
  const [{ payload }] = kernel.filters as [Held];
  const { qdisc } = kernel;
  await handle.remove();
  kernel.qdisc = qdisc;
  kernel.addFilter(0xfffffff2, 1, payload);
}

for (const stranger of [false, true]) {
  test(`whichever request is refused, everything is as it was${stranger ? ", a stranger's clsact and filter included" : ""}`, async () => {
    for (let request = 0;; request++) {
      const kernel = new Kernel();
      if (stranger) await withStranger(kernel);
      const before = kernel.state;
      kernel.requests = 0;
      kernel.refuse = { request, errno: ENOBUFS };
      let handle: Awaited<ReturnType<typeof addSamplingWith>> | undefined;
      try {
        handle = await addSamplingWith(kernel, BOTH);
      } catch (error) {
        assertEquals((error as NetlinkError).code, "ENOBUFS", `request ${request}`);
      }
      kernel.refuse = undefined;
      if (!handle) {
        assertEquals(kernel.state, before, `request ${request}`);
        kernel.assertClean();
        continue;
      }
      // Beyond the last request: there was nothing to refuse.
      assertEquals(kernel.filters.length, stranger ? 3 : 2);
      assertEquals(kernel.requests <= request, true);
      assertEquals(request > 6, true, "a few requests were refused");
      await handle.remove();
      assertEquals(kernel.state, before);
      kernel.assertClean();
      return;
    }
  });
}

test("a removal that is refused says so, once and for all, and closes what it has", async () => {
  const kernel = new Kernel();
  const handle = await addSamplingWith(kernel, BOTH);
  kernel.requests = 0;
  kernel.refuse = { request: 0, errno: EPERM };
  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(() => handle.remove(), NetlinkError, "run it as root");
    assertEquals(error.code, "EPERM");
  }
  // One that is refused does not keep the other; nor does the clsact go from under it.
  assertEquals([kernel.filters.length, kernel.qdisc?.kind], [1, "clsact"]);
  kernel.assertClean();
});

test("wrong options open nothing", async () => {
  const untouched = new Proxy({} as Sys, {
    get: (_, name) => {
      throw new Error(`${String(name)} was called`);
    },
  });
  const wrong: [Partial<SamplingOptions>, string][] = [
    [{ rate: 0 }, "rate 0"],
    [{ rate: 1.5 }, "rate 1.5"],
    [{ rate: -1 }, "rate -1"],
    [{ rate: NaN }, "rate NaN"],
    [{ rate: undefined, index: undefined }, "without a rate"],
    [{ group: 2 ** 32 }, "group 4294967296"],
    [{ truncateBytes: -1 }, "truncateBytes -1"],
    [{ index: 0 }, "index 0"],
    [{ device: "" }, 'the device ""'],
    [{ device: "x".repeat(128) }, "a name has 1 to 15 bytes"],
    [{ device: 0 }, "device 0"],
    [{ device: 2 ** 31 }, "device 2147483648"],
    [{ direction: "left" as "both" }, "the direction left"],
    [{ cookie: new Uint8Array() }, "a cookie of 0 bytes"],
    [{ match: "port 53" }, 'flower cannot say "port"'],
    [{ rate: undefined, group: 3 }, "leave out group"],
    [{ rate: undefined, group: undefined, control: "pipe" }, "leave out control"],
  ];
  for (const [options, said] of wrong) {
    await assertRejects(() => addSamplingWith(untouched, { ...BOTH, ...options }), Error, said);
  }
});

test("while another changes the device we wait, and go on when it has ended", async () => {
  const kernel = new Kernel();
  const fd = kernel.socket(16, 3, NETLINK_USERSOCK);
  const address = memory(12);
  viewOf(address).setUint32(4, LOCK, LITTLE);
  assertEquals(kernel.bind(fd, address), 0);
  let added = false;
  const adding = addSamplingWith(kernel, BOTH).then((handle) => {
    added = true;
    return handle;
  });
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals([added, kernel.qdisc], [false, undefined]);
  kernel.close(fd);
  await (await adding).remove();
  assertEquals(kernel.state, { qdisc: undefined, filters: [] });
  kernel.assertClean();
});

test("a running instance is not left over, also when its buffer is full of those who knocked", async () => {
  const kernel = new Kernel();
  const handle = await addSamplingWith(kernel, BOTH);
  const [{ payload }] = kernel.filters as [Held];
  kernel.addFilter(0xfffffff3, (handle.installed[0]!.handle & 0xffff8000) | ((handle.installed[0]!.handle + 1) & 0x7fff), payload);
  const running = [...kernel.fds.values()].find(({ portId }) => portId >>> 16 === PORT >>> 16)!;
  running.room = 1;
  for (let round = 0; round < 3; round++) {
    const removed = await cleanUpSamplingWith(kernel);
    assertEquals(removed.map(({ handle }) => handle & 0x7fff), round === 0 ? [(running.portId + 1) & 0x7fff] : []);
    assertEquals(kernel.filters.length, 2);
  }
  assertEquals((await listSamplingWith(kernel)).map(({ device, ours }) => [device, ours]), [["eth0", true], ["eth0", true]]);
  await handle.remove();
  assertEquals(kernel.state, { qdisc: undefined, filters: [] });
  kernel.assertClean();
});
