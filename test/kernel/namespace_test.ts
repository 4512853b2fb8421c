/** Network namespaces: each has its own groups and samples; with the privilege, one can listen to those of others. */
import { assertEquals } from "@std/assert";
import { listGroups } from "../../mod.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { Neighbour } from "./namespace.ts";
import { hear, IFINDEX, sample, sampledInOrder, scene, send, tc, until, wire } from "./scene.ts";

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

scene(
  "export --all-namespaces: each namespace is an agent if it has an address, else a sub-agent; without, only this one is exported",
  async () => {
    using named = new Neighbour();
    using unnamed = new Neighbour();
    await named.setNsid(7);
    await unnamed.setNsid(9);
    const places: readonly ((work: () => void) => void)[] = [
      (work) => work(),
      (work) => named.inside(work),
      (work) => unnamed.inside(work),
    ];
    for (const inside of places) {
      inside(() => sampleOutgoing(5));
    }
    for (
      const [words, expected] of [
        [[], { "192.0.2.1 20": 20 }],
        [["--all-namespaces"], { "192.0.2.1 20": 20, "192.0.2.1 28": 20, "192.0.2.1 30": 20 }],
        [["--all-namespaces", "--agent-for", "7=192.0.2.77"], { "192.0.2.1 20": 20, "192.0.2.1 30": 20, "192.0.2.77 20": 20 }],
      ] as const
    ) {
      using receiver = new UdpReceiver();
      const target = ["--sflow", receiver.target, "--agent", "192.0.2.1", "--sub-agent", "20", "--polling", "0"];
      const command = new Command(["export", ...words, ...target]);
      await command.samples();
      // Ours come last: whatever else is heard is there then.
      for (const inside of places.toReversed()) inside(() => send("a", ...PACKETS));
      const arrived = (): Record<string, number> => {
        const counts: Record<string, number> = {};
        for (const bytes of receiver.receive()) {
          const { agent, subAgent, samples } = decodeDatagram(new Uint8Array(bytes));
          counts[`${agent} ${subAgent}`] = (counts[`${agent} ${subAgent}`] ?? 0) + samples.length;
        }
        return counts;
      };
      const all = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);
      await until(() => `all have arrived: ${JSON.stringify(arrived())} ${command.io.errors()}`, () => all(arrived()) >= all(expected));
      await command.end();
      assertEquals(arrived(), expected, command.io.errors());
    }
  },
);
