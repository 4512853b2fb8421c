/** Groups: the events of their creation and deletion, and the list. */
import { assertEquals } from "@std/assert";
import { type GroupStats, listGroups } from "../../mod.ts";
import { frameIn, frameOut, inOrder } from "./frames.ts";
import { hear, IFINDEX, sample, sampledInOrder, scene, send, tc, wire } from "./scene.ts";

scene("no groups: the list is empty", async () => {
  assertEquals(await listGroups(), []);
});

scene("groups are created and deleted during listening: events, samples and the list agree, in order", async () => {
  wire();
  await using ear = await hear();
  sample("a ingress", "rate 1 group 101", "pref 1 protocol ip flower ip_proto udp dst_port 5000");
  sample("a ingress", "rate 1 group 102", "pref 2 protocol ip flower ip_proto udp dst_port 5001");
  // A second sampler of an existing group is no event.
  sample("a egress", "rate 1 group 102", "pref 1 protocol ip flower ip_proto udp dst_port 5001");
  sample("a egress", "rate 1 group 4294967295", "pref 2 protocol ip flower ip_proto udp dst_port 5002");
  await ear.hearsEvents(
    { type: "group-created", group: 101 },
    { type: "group-created", group: 102 },
    { type: "group-created", group: 4294967295 },
  );
  const [two, three] = [inOrder(2, frameIn), inOrder(3, ({ id }) => frameIn({ id, port: 5001 }))];
  send("b", ...two, ...three);
  await ear.hears(
    ...sampledInOrder(two, { group: 101, inIfindex: IFINDEX.a }),
    ...sampledInOrder(three, { group: 102, inIfindex: IFINDEX.a }),
  );
  assertEquals(await listGroups(), [
    { group: 101, refcount: 1, sequence: 2 },
    { group: 102, refcount: 2, sequence: 3 },
    { group: 4294967295, refcount: 1, sequence: 0 },
  ]);
  for (const filter of ["ingress pref 1", "ingress pref 2", "egress pref 1", "egress pref 2"]) tc(`filter del dev a ${filter}`);
  await ear.hearsEvents(
    { type: "group-deleted", group: 101, sequence: 2 },
    { type: "group-deleted", group: 102, sequence: 3 },
    { type: "group-deleted", group: 4294967295, sequence: 0 },
  );
  assertEquals(await listGroups(), []);
  assertEquals(ear.listener.stats().events, 6);
  await ear.hearsNoMore();
});

scene("a group that is created again restarts its numbers: that is no loss", async () => {
  wire();
  await using ear = await hear();
  const packets = inOrder(3, frameOut);
  for (let round = 0; round < 2; round++) {
    sample("a egress", "rate 1 group 7", "pref 1 matchall");
    send("a", ...packets);
    tc("filter del dev a egress pref 1");
    await ear.hearsEvents({ type: "group-created", group: 7 });
    await ear.hears(...sampledInOrder(packets, { group: 7, outIfindex: IFINDEX.a }));
    await ear.hearsEvents({ type: "group-deleted", group: 7, sequence: 3 });
  }
  const [{ group, received, lost, restarts }] = ear.listener.stats().groups as [GroupStats];
  assertEquals({ group, received, lost, restarts }, { group: 7, received: 6, lost: 0, restarts: 1 });
  await ear.hearsNoMore();
});

scene("two hundred groups", async () => {
  wire();
  await using ear = await hear({ samples: false });
  const groups = Array.from({ length: 200 }, (_, i) => 1000 + i);
  tc(...groups.map((group, i) => `filter add dev a egress pref ${i + 1} matchall action sample rate 1 group ${group}`));
  await ear.hearsEvents(...groups.map((group) => ({ type: "group-created" as const, group })));
  assertEquals(await listGroups(), groups.map((group) => ({ group, refcount: 1, sequence: 0 })));
  // One packet: the first filter takes it, and the rest never see it.
  send("a", frameOut());
  await ear.hearsNoMore();
});
