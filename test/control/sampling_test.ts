/** Sampling on a scripted kernel: refusals of any request, other programs acting between any two, and processes killed there. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ArgumentError, NetlinkError } from "../../src/errors.ts";
import { type CleanUpOptions, cleanUpSamplingWith, findLeftoversWith } from "../../src/control/sampling/cleanup.ts";
import type { SamplingHandle } from "../../src/control/sampling/handle.ts";
import { addSamplingWith } from "../../src/control/sampling/install.ts";
import { listSamplingWith } from "../../src/control/sampling/list.ts";
import type { SamplingOptions } from "../../src/control/sampling/options.ts";
import { TrafficControl } from "../../src/control/traffic_control.ts";
import { EBUSY, ENOBUFS, ENODEV, ENOENT, EOPNOTSUPP, EPERM, type Sys } from "../../src/sys/sys.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";
import type { FakeSocket } from "../fake_sys.ts";
import { type HeldFilter, IFINDEX, Killed, TcKernel } from "./tc_kernel.ts";

const MARK = 0x70730000;
const LOCK_PORT = 0x70738000;
const [INSTANCE_GROUP, LOCK_GROUP] = [27, 28];
const [RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC, RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETACTION] = [36, 37, 38, 44, 45, 50];

const BOTH: SamplingOptions = { device: "eth0", rate: 100, group: 3 };
const INGRESS: SamplingOptions = { ...BOTH, direction: "ingress" };
const ORDERS: readonly SamplingOptions[] = [INGRESS, BOTH, { ...BOTH, index: 7 }];

/** The state of the device before we start. */
const BEFORE: Readonly<Record<string, (kernel: TcKernel) => void>> = {
  "nothing": () => {},
  "a stranger's empty clsact": (kernel) => kernel.addClsact(),
  "a stranger's filters": (kernel) => {
    kernel.addClsact();
    kernel.addFilter("ingress", 5);
    kernel.addFilter("egress", 28787, 2);
    kernel.addChain("egress", 7, "flower");
  },
};

/** What another program may do at any moment. */
const STRANGERS: Readonly<Record<string, (kernel: TcKernel) => void>> = {
  "deletes the clsact": (kernel) => kernel.deleteClsact(),
  "replaces the clsact": (kernel) => {
    kernel.deleteClsact();
    kernel.addClsact();
  },
  "replaces the clsact by one with a block": (kernel) => {
    kernel.deleteClsact();
    kernel.addClsact(9);
  },
  "replaces the clsact and adds a filter where ours was": (kernel) => {
    kernel.deleteClsact();
    kernel.addClsact();
    kernel.addFilter("ingress", 28787, 9);
  },
  "adds a filter": (kernel) => {
    kernel.addClsact();
    kernel.addFilter("ingress", 3, 77);
  },
  "adds a filter on the other side": (kernel) => {
    kernel.addClsact();
    kernel.addFilter("egress", 40000, 78);
  },
  "creates a chain with a template": (kernel) => {
    kernel.addClsact();
    kernel.addChain("ingress", 7, "flower");
  },
  "creates a chain without one": (kernel) => {
    kernel.addClsact();
    kernel.addChain("egress", 0);
  },
  "deletes all filters on one side": (kernel) => kernel.deleteFilters("egress"),
  "deletes all filters on one side and creates their chain": (kernel) => {
    kernel.deleteFilters("egress");
    kernel.addChain("egress", 0);
  },
};

/** Whether there is an empty clsact of ours. */
function isLitter({ clsact }: TcKernel): boolean {
  return clsact?.owner === "us" && clsact.filters.length + clsact.chains.length === 0;
}

/** Adds and removes. */
async function cycle(kernel: TcKernel, options: SamplingOptions): Promise<void> {
  await (await addSamplingWith(kernel, options)).remove();
}

/** Lets another program act before a datagram to the kernel, counted from the next one; returns the outcome. */
class Intrusion {
  /** There was such a datagram. */
  happened = false;
  /** It was the datagram that deletes the clsact: between it and our last look is the moment that the kernel leaves open. */
  tooLate = false;

  constructor(kernel: TcKernel, moment: number, act: (kernel: TcKernel) => void) {
    const at = kernel.datagrams + moment;
    kernel.beforeDatagram = (number) => {
      if (number === at) act(kernel);
      this.happened ||= number === at;
    };
    kernel.refuse = ({ type }) => void (this.tooLate ||= type === RTM_DELQDISC && kernel.datagrams === at + 1);
  }
}

test("whichever request is refused, everything is restored", async () => {
  for (const options of ORDERS) {
    for (const [name, before] of Object.entries(BEFORE)) {
      for (let refused = 0;; refused++) {
        const kernel = new TcKernel();
        before(kernel);
        const state = kernel.state;
        kernel.refuse = (_, number) => number === refused ? ENOBUFS : undefined;
        let handle: SamplingHandle | undefined;
        try {
          handle = await addSamplingWith(kernel, options);
        } catch (error) {
          assertEquals((error as NetlinkError).code, "ENOBUFS", `${name}: request ${refused}`);
        }
        kernel.refuse = undefined;
        if (!handle) {
          assertEquals(kernel.state, state, `${name}: request ${refused}`);
          kernel.assertClean();
          continue;
        }
        // Beyond the last request: there was nothing to refuse.
        assert(kernel.requests <= refused && refused > 6, `${refused} of ${kernel.requests} requests were refused`);
        assertEquals(kernel.ours.length, options.direction === "ingress" ? 1 : 2);
        await handle.remove();
        assertEquals(kernel.state, state);
        kernel.assertClean();
        break;
      }
    }
  }
});

test("another program at any moment loses nothing, and we leave nothing", async () => {
  for (const options of ORDERS) {
    for (const [place, before] of Object.entries(BEFORE)) {
      for (const [what, act] of Object.entries(STRANGERS)) {
        for (let moment = 0;; moment++) {
          const kernel = new TcKernel();
          before(kernel);
          const intrusion = new Intrusion(kernel, moment, act);
          const warnings: string[] = [];
          try {
            await cycle(kernel, { ...options, onWarning: (message) => warnings.push(message) });
          } catch (error) {
            // With a block there are no filters of a device.
            assertEquals([(error as NetlinkError).code, kernel.clsact?.block], ["EOPNOTSUPP", 9]);
            assertMatch((error as NetlinkError).op, /^sample /);
          }
          if (!intrusion.happened) break;
          const where = `${place}; another program ${what} before datagram ${moment}`;
          assertEquals(kernel.ours, [], where);
          kernel.assertClean();
          if (intrusion.tooLate && kernel.damage.length > 0) {
            assert(kernel.clsact, where);
            assertMatch(warnings.join(), /^Another program changed the clsact qdisc of eth0 at the very moment it was removed/, where);
          } else assertEquals([kernel.damage, isLitter(kernel), warnings], [[], false, []], where);
        }
      }
    }
  }
});

test("the state of the device after another program lost something is reported correctly", async () => {
  const begin = "Another program changed the clsact qdisc of eth0 at the very moment it was removed: it has ";
  const ends: readonly (readonly [((kernel: TcKernel) => number | void), string, string?])[] = [
    [() => {}, "an empty one again, but what was added to the old one is gone"],
    [(kernel) => kernel.addClsact(), "another program's by now, but what was added to the old one is gone"],
    [() => ENODEV, "none now, and what was added to the old one is gone"],
    [() => EPERM, "none now, and what was added to the old one is gone", "EPERM"],
  ];
  for (const [atAdd, end, code] of ends) {
    const kernel = new TcKernel();
    const warnings: string[] = [];
    const handle = await addSamplingWith(kernel, { ...INGRESS, onWarning: (message) => warnings.push(message) });
    kernel.refuse = ({ type }) => {
      if (type === RTM_DELTFILTER) kernel.addFilter("egress", 40000, 78);
      return type === RTM_NEWQDISC ? atAdd(kernel) ?? undefined : undefined;
    };
    const error = await handle.remove().catch((error: NetlinkError) => error);
    assertEquals([warnings, error?.code, kernel.damage], [[begin + end], code, ["filter 78"]]);
    kernel.assertClean();
  }
});

test("another program at many moments: what it loses it loses at the one possible moment, and that is reported", async () => {
  const acts = Object.values(STRANGERS);
  let losses = 0;
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor(state / 2 ** 32 * limit);
    };
    const kernel = new TcKernel();
    Object.values(BEFORE)[random(3)]!(kernel);
    kernel.beforeDatagram = () => {
      if (random(6) === 0) acts[random(acts.length)]!(kernel);
    };
    const warnings: string[] = [];
    for (let cycles = 0; cycles < 3; cycles++) {
      try {
        await cycle(kernel, { ...ORDERS[random(ORDERS.length)]!, onWarning: (message) => warnings.push(message) });
      } catch (error) {
        assertMatch((error as NetlinkError).op, /^sample /, `seed ${seed}: ${error}`);
      }
      assertEquals(kernel.ours, [], `seed ${seed}`);
    }
    assertEquals(kernel.damage.length > 0, warnings.length > 0, `seed ${seed}: they lost ${kernel.damage}; ${warnings}`);
    losses += kernel.damage.length;
    kernel.assertClean();
  }
  assert(losses > 0, "the moment was never hit");
});

test("a process killed at any moment leaves what cleanup finds, and nothing else", async () => {
  for (const options of ORDERS) {
    for (const [place, before] of Object.entries(BEFORE)) {
      for (let moment = 0;; moment++) {
        const kernel = new TcKernel();
        before(kernel);
        const state = kernel.state;
        kernel.beforeDatagram = (number) => {
          if (number === moment) kernel.kill();
        };
        const end = await cycle(kernel, options).catch((error) => error);
        if (!(end instanceof Killed)) break;
        kernel.revive();
        const { kept } = await cleanUpSamplingWith(kernel);
        const where = `${place}, killed before datagram ${moment}`;
        const unmarked = place === "a stranger's empty clsact" ? ["unmarked"] : [];
        assertEquals([kernel.state, kept.map(({ reason }) => reason)], [state, unmarked], where);
        kernel.assertClean();
      }
    }
  }
});

test("killed after the kernel has refused the filters: the empty clsact is reported, and left", async () => {
  const kernel = new TcKernel();
  kernel.refuse = ({ type }) => {
    if (type !== RTM_NEWTFILTER) return undefined;
    kernel.beforeDatagram = () => kernel.kill();
    return ENOENT;
  };
  assertEquals(await addSamplingWith(kernel, BOTH).catch((error) => error.name), "Killed");
  kernel.revive();
  kernel.refuse = undefined;
  const unmarked = [{ device: "eth0", ifindex: IFINDEX, sampling: undefined, reason: "unmarked" }];
  for (const options of [{ dryRun: true }, {}, { force: true }]) {
    assertEquals(await cleanUpSamplingWith(kernel, options), { removed: [], kept: unmarked as never });
  }
  assert(isLitter(kernel));
  kernel.assertClean();
});

test("cleanup after a killed process leaves what another program has added since, and reports a clsact that stays", async () => {
  for (const options of ORDERS) {
    for (const [what, act] of Object.entries(STRANGERS)) {
      for (let moment = 0;; moment++) {
        const kernel = new TcKernel();
        await addSamplingWith(kernel, options);
        kernel.kill();
        kernel.revive();
        const intrusion = new Intrusion(kernel, moment, act);
        const { kept } = await cleanUpSamplingWith(kernel);
        if (!intrusion.happened) break;
        const where = `another program ${what} before datagram ${moment} of the cleaning up`;
        assertEquals(kernel.ours, [], where);
        kernel.assertClean();
        if (intrusion.tooLate) continue;
        assertEquals([kernel.damage, isLitter(kernel)], [[], false], where);
        const reasons = kept.map(({ device, sampling, reason }) => [device, sampling, reason]);
        if (kernel.clsact?.owner === "us") assertEquals(reasons, [["eth0", undefined, "in use"]], where);
      }
    }
  }
});

test("a second instance does not mistake a clsact for ours that replaced the first one's", async () => {
  for (const [what, act] of Object.entries(STRANGERS)) {
    for (let moment = 0;; moment++) {
      const kernel = new TcKernel();
      const first = await addSamplingWith(kernel, INGRESS);
      const intrusion = new Intrusion(kernel, moment, act);
      const second = await addSamplingWith(kernel, BOTH).catch((error) => {
        assertEquals([(error as NetlinkError).code, kernel.clsact?.block], ["EOPNOTSUPP", 9]);
      });
      for (const handle of moment % 2 ? [first, second] : [second, first]) await handle?.remove();
      if (!intrusion.happened) break;
      const where = `another program ${what} before datagram ${moment} of the second`;
      assertEquals(kernel.ours, [], where);
      if (!intrusion.tooLate) assertEquals([kernel.damage, isLitter(kernel)], [[], false], where);
      kernel.assertClean();
    }
  }
});

test("a refused removal reports what stays, once, and closes everything", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  kernel.refuse = ({ type }) => [RTM_DELQDISC, RTM_DELTFILTER].includes(type!) ? EPERM : undefined;
  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(() => handle.remove(), NetlinkError, "CAP_NET_ADMIN");
    assertEquals(error.code, "EPERM");
    const both = "the ingress filter with preference 28787 and the egress filter with preference 28787";
    assertEquals(error.op, `remove ${both} from eth0`);
  }
  assertEquals([kernel.ours.length, kernel.clsact?.owner], [2, "us"]);
  kernel.assertClean();
});

test("a filter whose deletion is refused is deleted with the clsact, unless others use that", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  kernel.refuse = ({ type }) => type === RTM_DELTFILTER ? ENOBUFS : undefined;
  await handle.remove();
  assertEquals(kernel.clsact, undefined);

  const other = await addSamplingWith(kernel, BOTH);
  kernel.addFilter("ingress", 5);
  const error = await assertRejects(() => other.remove(), NetlinkError);
  assertEquals([error.code, kernel.ours.length], ["ENOBUFS", 2]);
  kernel.assertClean();
});

test("a removal that cannot inspect still removes the filters, and says that the clsact stays", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  kernel.refuse = ({ type }) => type === RTM_GETQDISC ? ENOBUFS : undefined;
  const error = await assertRejects(() => handle.remove(), NetlinkError);
  assertEquals([error.op, error.code], ["see whether the clsact qdisc of eth0 is unused, so it stays", "ENOBUFS"]);
  assertEquals([kernel.ours, kernel.clsact?.owner], [[], "us"]);
  kernel.assertClean();
});

test("a removal works without a free descriptor, with netlink_diag and without", async () => {
  for (const noSocketDiag of [false, true]) {
    const kernel = new TcKernel({ noSocketDiag });
    const handle = await addSamplingWith(kernel, BOTH);
    kernel.mostDescriptors = kernel.fds.size;
    await handle.remove();
    assertEquals(kernel.state, undefined);
    kernel.assertClean();
  }
});

test("a clsact whose deletion fails as busy belongs to another program by now", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  kernel.refuse = ({ type }) => type === RTM_DELQDISC ? EBUSY : undefined;
  await handle.remove();
  assertEquals([kernel.ours, kernel.clsact?.owner], [[], "us"]);
  kernel.assertClean();
});

test("more leftovers than acknowledgements fit into a buffer are removed, together with the clsact", async () => {
  for (const count of [31, 32, 33, 100]) {
    const kernel = new TcKernel();
    const handle = await addSamplingWith(kernel, INGRESS);
    const [{ payload, parent, handle: mark }] = kernel.ours as [HeldFilter];
    for (let preference = 1; preference < count; preference++) {
      const copy = payload.slice();
      viewOf(copy).setUint32(16, (preference << 16) | 0x300, LITTLE);
      kernel.clsact!.filters.push({ parent, handle: mark, preference, payload: copy, owner: "us" });
    }
    kernel.kill();
    kernel.revive();
    const sizes: number[] = [];
    const { changeAll } = TrafficControl.prototype;
    TrafficControl.prototype.changeAll = function (changes): ReturnType<TrafficControl["changeAll"]> {
      sizes.push(changes.length);
      return changeAll.call(this, changes);
    };
    try {
      assertEquals((await cleanUpSamplingWith(kernel)).removed.length, count);
    } finally {
      TrafficControl.prototype.changeAll = changeAll;
    }
    assertEquals([kernel.state, Math.max(...sizes) <= 32, sizes.at(-1)! > 1], [undefined, true, true], `${sizes}`);
    void handle;
  }
});

// --- options -----------------------------------------------------------------------------------------

test("wrong options open nothing", async () => {
  const untouched = new Proxy({} as Sys, {
    get: (_, name) => {
      throw new Error(`${String(name)} was called`);
    },
  });
  const wrong: [Partial<SamplingOptions>, string][] = [
    [{ rate: 0 }, "rate must be a whole number from 1 to 4294967295, not 0"],
    [{ rate: 1.5 }, "rate must be a whole number from 1 to 4294967295, not 1.5"],
    [{ rate: -1 }, "not -1"],
    [{ rate: NaN }, "not NaN"],
    [{ rate: undefined, index: undefined }, "rate is required"],
    [{ group: 2 ** 32 }, "group must be a whole number from 0 to 4294967295, not 4294967296"],
    [{ truncateBytes: -1 }, "truncateBytes must be"],
    [{ index: 0 }, "index must be a whole number from 1"],
    [{ device: "" }, '"" is not a valid device name'],
    [{ device: "eth0\0" }, "is not a valid device name"],
    [{ device: "x".repeat(128) }, "it must be 1 to 15 bytes long"],
    [{ device: 0 }, "device must be a whole number from 1 to 2147483647, not 0"],
    [{ device: 2 ** 31 }, "not 2147483648"],
    [{ direction: "left" as "both" }, 'direction must be "ingress", "egress" or "both", not "left"'],
    [{ hardware: "always" as "only" }, 'hardware must be "only" or "never", not "always"'],
    [{ cookie: new Uint8Array() }, "cookie must be 1 to 16 bytes long, not 0"],
    [{ cookie: new Uint8Array(17) }, "not 17"],
    [{ match: "udp dport 53" }, "use dst port"],
    [{ match: ["arp", "rate > 5"] }, "only samples have this"],
    [{ rate: undefined, index: 7, group: 3 }, "leave out group"],
    [{ rate: undefined, index: 7, group: undefined, control: "pipe" }, "leave out control"],
  ];
  for (const [options, said] of wrong) {
    await assertRejects(() => addSamplingWith(untouched, { ...BOTH, ...options }), ArgumentError, said);
  }
});

test("on a device with unknown link headers all packets can be sampled, but no match", async () => {
  // The scripted device has the type 0, ARPHRD_NETROM.
  const kernel = new TcKernel();
  const match = ["arp", "tcp port 443"];
  const error = await assertRejects(() => addSamplingWith(kernel, { ...INGRESS, match }), NetlinkError, "match packets on eth0");
  assertEquals([error.code, error.hint], ["EOPNOTSUPP", "How packets of a device of type 0 begin is not known: leave out match"]);
  assertEquals([kernel.clsact, kernel.fds.size], [undefined, 0]);
  await (await addSamplingWith(kernel, { ...INGRESS, match: "" })).remove();
});

// --- signals -----------------------------------------------------------------------------------------

test("a signal that aborts at any moment of the installation leaves nothing, and is the reason", async () => {
  for (const options of ORDERS) {
    for (let moment = -1;; moment++) {
      const kernel = new TcKernel();
      const controller = new AbortController();
      const reason = new Error("enough");
      if (moment < 0) controller.abort(reason);
      kernel.beforeDatagram = (number) => {
        if (number === moment) controller.abort(reason);
      };
      const outcome = await addSamplingWith(kernel, { ...options, signal: controller.signal }).catch((error) => error);
      if (!controller.signal.aborted) {
        await (outcome as SamplingHandle).remove();
        break;
      }
      assertEquals([outcome, kernel.state], [reason, undefined], `before datagram ${moment}`);
      kernel.assertClean();
    }
  }
});

test("a signal that aborts later removes, and remove() waits for that", async () => {
  const kernel = new TcKernel();
  const controller = new AbortController();
  const handle = await addSamplingWith(kernel, { ...BOTH, signal: controller.signal });
  controller.abort();
  assertEquals(await handle.isInstalled(), false);
  await handle.remove();
  assertEquals(kernel.state, undefined);
  kernel.assertClean();

  // A failure is reported by remove(), not as an unhandled rejection.
  const second = new AbortController();
  const stuck = await addSamplingWith(kernel, { ...BOTH, signal: second.signal });
  kernel.refuse = () => EPERM;
  second.abort();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await assertRejects(() => stuck.remove(), NetlinkError, "EPERM");
  kernel.assertClean();
});

test("a signal ends the wait for the lock", async () => {
  const kernel = new TcKernel();
  kernel.holdPort(MARK + 77, INSTANCE_GROUP, LOCK_GROUP);
  const controller = new AbortController();
  const adding = addSamplingWith(kernel, { ...BOTH, signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 10);
  await assertRejects(() => adding, Error, "enough");
  assertEquals([kernel.state, kernel.fds.size], [undefined, 1]);
});

// --- instances and the lock --------------------------------------------------------------------------

/** Adds while another process holds the lock, which it then releases. */
async function waitsFor(kernel: TcKernel, holder: FakeSocket): Promise<void> {
  let added = false;
  const adding = addSamplingWith(kernel, BOTH).then((handle) => {
    added = true;
    return handle;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals([added, kernel.state], [false, undefined]);
  kernel.close(holder.fd);
  await (await adding).remove();
  assertEquals(kernel.state, undefined);
  kernel.assertClean();
}

test("while another instance changes a device we wait, and continue when it has ended", async () => {
  const kernel = new TcKernel();
  await waitsFor(kernel, kernel.holdPort(MARK + 77, INSTANCE_GROUP, LOCK_GROUP));
  const old = new TcKernel({ noSocketDiag: true });
  await waitsFor(old, old.holdPort(LOCK_PORT));
});

test("an unprivileged process does not delay us, whatever ports it holds", async () => {
  const kernel = new TcKernel();
  const held = [LOCK_PORT, LOCK_PORT + 1, MARK, MARK + 77].map((port) => kernel.holdPort(port));
  // And one that has the privilege, and nothing to do with us.
  held.push(kernel.holdPort(4711, INSTANCE_GROUP, LOCK_GROUP));
  const warnings: string[] = [];
  await (await addSamplingWith(kernel, { ...BOTH, onWarning: (message) => warnings.push(message) })).remove();
  // These ports are not given up: waiting for one would end with a warning.
  assertEquals([kernel.state, warnings], [undefined, []]);
  for (const { fd } of held) kernel.close(fd);
  kernel.assertClean();
});

test("a stopped holder delays us for a while, and we say so", async () => {
  const kernel = new TcKernel();
  const { fd } = kernel.holdPort(MARK + 77, INSTANCE_GROUP, LOCK_GROUP);
  const warnings: string[] = [];
  const handle = await addSamplingWith(kernel, { ...BOTH, onWarning: (message) => warnings.push(message) });
  assertEquals(warnings, [
    "Other processes have been setting up or removing sampling for 2 s, or one of them is stopped (T in ps): not waiting for them any " +
    "longer. If they change the same device at this moment, sampling may fail, which is reported",
  ]);
  kernel.close(fd);
  await handle.remove();
  assertEquals([kernel.state, warnings.length], [undefined, 1]);
  kernel.assertClean();
});

test("eight at once take the lock one after the other", async () => {
  for (const noSocketDiag of [false, true]) {
    const kernel = new TcKernel({ noSocketDiag });
    const handles = await Promise.all(Array.from({ length: 8 }, () => addSamplingWith(kernel, BOTH)));
    assertEquals(kernel.ours.length, 16);
    assertEquals(new Set(handles.map(({ installed }) => installed[0]!.preference)).size, 8);
    await Promise.all(handles.map((handle) => handle.remove()));
    assertEquals(kernel.state, undefined);
    kernel.assertClean();
  }
});

/** The filters that are removed, by their numbers, and the others with the reason. */
async function cleaned(kernel: TcKernel, options?: CleanUpOptions): Promise<unknown> {
  const { removed, kept } = await cleanUpSamplingWith(kernel, options);
  return [removed.map(({ handle }) => handle & 0x7fff), kept.map(({ sampling, reason }) => [sampling && sampling.handle & 0x7fff, reason])];
}

test("a running instance is not a leftover; a dead one's filters are, whoever holds its port", async () => {
  const kernel = new TcKernel();
  kernel.addClsact();
  const handle = await addSamplingWith(kernel, INGRESS);
  const mine = handle.installed[0]!.handle & 0x7fff;
  const dead = mine === 5 ? 6 : 5;
  const leave = (): void => kernel.addFilter("egress", 28787, MARK + dead);
  leave();
  assertEquals(await cleaned(kernel, { dryRun: true }), [[dead], [[mine, "running"]]]);
  assertEquals(kernel.damage, []);
  // Its port is held by an unprivileged process, whose buffer may be full.
  const impostor = kernel.holdPort(MARK + dead);
  impostor.room = 0;
  assertEquals(await cleaned(kernel), [[dead], [[mine, "running"]]]);
  // And by an instance.
  leave();
  impostor.groups.add(INSTANCE_GROUP);
  assertEquals(await cleaned(kernel), [[], [[mine, "running"], [dead, "running"]]]);
  assertEquals(await cleaned(kernel, { force: true, dryRun: true }), [[mine, dead], []]);
  assertEquals((await listSamplingWith(kernel)).map(({ device, ours }) => [device, ours]), [["eth0", true], ["eth0", true]]);
  kernel.close(impostor.fd);
  await handle.remove();
  assertEquals(kernel.ours, []);
  kernel.assertClean();
});

test("listing only leftovers finds the same, without inspecting every clsact", async () => {
  const kernel = new TcKernel();
  kernel.addClsact();
  // Requests are counted while there is somebody to refuse them.
  kernel.refuse = () => undefined;
  const asked = async (work: () => Promise<unknown>): Promise<number> => {
    const before = kernel.requests;
    await work();
    return kernel.requests - before;
  };
  assertEquals(await findLeftoversWith(kernel), { removed: [], kept: [] });
  // All qdiscs again, then the filters and the chains of both sides.
  const [few, all] = [await asked(() => findLeftoversWith(kernel)), await asked(() => cleanUpSamplingWith(kernel, { dryRun: true }))];
  assertEquals(all - few, 5);
  kernel.addFilter("egress", 28787, MARK + 5);
  assertEquals(await findLeftoversWith(kernel), await cleanUpSamplingWith(kernel, { dryRun: true }));
  assertEquals((await findLeftoversWith(kernel)).removed.length, 1);
  kernel.assertClean();
});

test("a kernel that does not say who holds a port: what may belong to an instance is kept, with the reason, unless forced", async () => {
  const kernel = new TcKernel({ noSocketDiag: true });
  kernel.addClsact();
  kernel.addFilter("ingress", 28786, MARK + 5);
  kernel.addFilter("ingress", 28787, MARK + 6);
  const holder = kernel.holdPort(MARK + 5);
  for (const room of [1, 0]) {
    holder.room = room;
    assertEquals(await cleaned(kernel, { dryRun: true }), [[6], [[5, "unverified"]]]);
  }
  assertEquals(await cleaned(kernel), [[6], [[5, "unverified"]]]);
  // Force is about filters: the clsact belongs to another program, although nothing shows that.
  assertEquals(await cleaned(kernel, { force: true }), [[5], [[undefined, "unmarked"]]]);
  kernel.close(holder.fd);
  assertEquals(kernel.clsact?.filters, []);
  kernel.assertClean();
});

test("one device that fails does not keep the others from being cleaned up, and the error comes at the end", async () => {
  const kernel = new TcKernel();
  await addSamplingWith(kernel, BOTH);
  kernel.kill();
  kernel.revive();
  kernel.refuse = ({ type }) => type === RTM_DELTFILTER || type === RTM_DELQDISC ? EPERM : undefined;
  const error = await assertRejects(() => cleanUpSamplingWith(kernel), NetlinkError);
  assertStringIncludes(error.op, "from eth0");
  assertEquals(kernel.ours.length, 2);
  kernel.assertClean();
});

// --- the list ----------------------------------------------------------------------------------------

test("the list has the actions that no filter uses, without a place", async () => {
  const kernel = new TcKernel();
  kernel.addAction(19);
  const handle = await addSamplingWith(kernel, INGRESS);
  const list = await listSamplingWith(kernel);
  assertEquals(list.map(({ device, direction, group, index }) => [device, direction, group, index]), [
    ["eth0", "ingress", 3, 0],
    [undefined, undefined, 6, 19],
  ]);
  assertEquals(Object.keys(list[1]!), Object.keys(list[0]!));
  assertEquals(list[1]!.ours, false);
  await handle.remove();
  // A kernel without actions.
  kernel.refuse = ({ type }) => type === RTM_GETACTION ? EOPNOTSUPP : undefined;
  assertEquals(await listSamplingWith(kernel), []);
  kernel.assertClean();
});

test("what passed is asked of the kernel once for both readings, if both are asked for at once", async () => {
  const kernel = new TcKernel();
  const handle = await addSamplingWith(kernel, BOTH);
  // Requests are counted where they may be refused.
  kernel.refuse = () => undefined;
  const asked = async (work: () => Promise<unknown>): Promise<number> => {
    const before = kernel.requests;
    await work();
    return kernel.requests - before;
  };
  const once = await asked(() => handle.passed());
  assert(once > 0);
  assertEquals(await asked(() => Promise.all([handle.passed(), handle.passedHooks()])), once);
  // Never what was read for somebody who asked before.
  assertEquals(
    await asked(async () => {
      const first = handle.passed();
      await Promise.resolve();
      await Promise.all([first, handle.passed()]);
    }),
    2 * once,
  );
  await handle.remove();
  assertEquals(await handle.passedHooks(), await handle.passedHooks());
});
