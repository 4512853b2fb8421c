/** Network namespaces: each has its own groups and samples; with the privilege, one can listen to those of others. */
import { assertEquals } from "@std/assert";
import { listGroups } from "../../mod.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Neighbour } from "./namespace.ts";
import { hear, IFINDEX, sample, sampledInOrder, scene, send, tc, wire } from "./scene.ts";

const PACKETS = inOrder(20, frameOut);
const OUT = { outIfindex: IFINDEX.a };

function sampleOutgoing(group: number): void {
  wire();
  sample("a egress", `rate 1 group ${group}`, "pref 1 matchall");
}

scene("samples, events and groups of another namespace do not arrive", async () => {
  using there = new Neighbour();
  await using ear = await hear();
  there.inside(() => sampleOutgoing(1));
  sampleOutgoing(2);
  there.inside(() => send("a", ...PACKETS));
  send("a", ...PACKETS);
  await ear.hearsEvents({ type: "group-created", group: 2 });
  await ear.hears(...sampledInOrder(PACKETS, { ...OUT, group: 2 }));
  assertEquals(await listGroups(), [{ group: 2, refcount: 1, sequence: 20 }]);
  await ear.hearsNoMore();
});

scene("allNamespaces: they do, with the number of the namespace; our own have none", async () => {
  using there = new Neighbour();
  using unnumbered = new Neighbour();
  await there.setNsid(7);
  await using ear = await hear({ allNamespaces: true });
  for (let round = 0; round < 3; round++) {
    const sequence = 20 * round;
    if (round === 0) there.inside(() => sampleOutgoing(1));
    if (round === 0) await ear.hearsEvents({ type: "group-created", group: 1, nsid: 7 });
    there.inside(() => send("a", ...PACKETS));
    await ear.hears(...sampledInOrder(PACKETS, { ...OUT, group: 1, nsid: 7 }).map((s, i) => ({ ...s, sequence: sequence + i })));
    if (round === 0) sampleOutgoing(1);
    if (round === 0) await ear.hearsEvents({ type: "group-created", group: 1 });
    send("a", ...PACKETS);
    await ear.hears(...sampledInOrder(PACKETS, { ...OUT, group: 1 }).map((s, i) => ({ ...s, sequence: sequence + i })));
    // A namespace without a number here is not heard.
    if (round === 0) unnumbered.inside(() => sampleOutgoing(1));
    unnumbered.inside(() => send("a", ...PACKETS));
  }
  there.inside(() => tc("filter del dev a egress pref 1"));
  await ear.hearsEvents({ type: "group-deleted", group: 1, nsid: 7, sequence: 60 });
  const counts = { group: 1, received: 60, lost: 0, late: 0, duplicates: 0, restarts: 0, numbered: true, portId: 0, contradictory: false };
  assertEquals(ear.listener.stats().groups, [{ ...counts, nsid: undefined }, { ...counts, nsid: 7 }]);
  await ear.hearsNoMore();
});

scene("allNamespaces: a single sample is received at once, with any latency", async () => {
  using there = new Neighbour();
  await there.setNsid(7);
  there.inside(() => sampleOutgoing(3));
  for (const latency of ["batch", "low"] as const) {
    await using ear = await hear({ allNamespaces: true, events: false, latency, groups: [3] });
    const [packet] = PACKETS;
    let first: number | undefined;
    for (let i = 0; i < 5; i++) {
      there.inside(() => send("a", packet!));
      const [entry] = await ear.take(1);
      if (entry?.type !== "sample") throw new Error("no sample");
      first ??= entry.sequence! - i;
      assertEquals([entry.sequence, entry.nsid], [first + i, 7]);
    }
    await ear.hearsNoMore();
  }
});
