/** Losses are reported exactly: the scene knows what was sent. */
import { cpus } from "node:os";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { listen } from "../../mod.ts";
import { frameOut, inOrder } from "./frames.ts";
import { loadPsample, unloadPsample } from "./module.ts";
import { Program, ROOT, scriptWords } from "./runtime.ts";
import { hear, sample, scene, secondWire, send, soon, tc, until, wire } from "./scene.ts";

const PACKETS = inOrder(5, frameOut);

scene("the deletion of a group contains its number of samples: those that the socket dropped count as gaps at once", async () => {
  wire();
  await using ear = await hear({ receiveBufferBytes: 4096 });
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  for (let i = 0; i < 10; i++) send("a", ...PACKETS);
  await ear.take(2);
  // Room for the event.
  const taken = (): number => ear.listener.stats().received;
  while (taken() < 3) await ear.take(1);
  const { lost, gaps, dropped } = ear.listener.stats();
  assert(lost > 0 && lost === dropped && gaps <= dropped, JSON.stringify({ lost, gaps, dropped }));
  for (let arrived = taken(); arrived < 50 - dropped; arrived++) await ear.take(1);
  tc("filter del dev a egress pref 1");
  await until("the group is gone", async () => (await ear.take(1))[0]!.type === "group-deleted");
  const after = ear.listener.stats();
  assertEquals([after.received + after.lost, after.gaps, after.dropped], [50, after.lost, dropped]);
});

scene("the module is reloaded while nobody reads: what others received meanwhile is lost", "guest", async () => {
  wire();
  const ear = await hear({ wait: true });
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  send("a", ...PACKETS);
  assertEquals((await ear.take(6)).map(({ type }) => type), ["group-created", ...Array<string>(5).fill("sample")]);
  tc("filter del dev a egress pref 1");
  await ear.take(1);
  const { family } = ear.listener;
  await unloadPsample();
  loadPsample();
  // Since Linux 6.11 samples are numbered only while somebody listens.
  await using other = await hear();
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  send("a", ...PACKETS, PACKETS[0]!, PACKETS[1]!);
  await other.take(8);
  const waiting = ear.take(5);
  await until("the listener is in the groups again", () => ear.listener.family > 0 && ear.listener.family !== family);
  send("a", ...PACKETS);
  assertEquals((await waiting).map((entry) => entry.type === "sample" && entry.sequence), [7, 8, 9, 10, 11]);
  const { received, lost, groups } = ear.listener.stats();
  assertEquals([received, lost, groups.map(({ group, received, lost, restarts }) => ({ group, received, lost, restarts }))], [10, 7, [
    { group: 1, received: 10, lost: 7, restarts: 1 },
  ]]);
  await ear.listener.close();
});

scene("several concurrent senders of one group: numbers out of order or repeated are no loss", async () => {
  wire();
  secondWire();
  sample("a egress", "rate 1 group 1 trunc 14", "pref 1 matchall");
  sample("c egress", "rate 1 group 1 trunc 14", "pref 1 matchall");
  const EACH = 10_000;
  await using listener = await listen({ events: false });
  const racer = (device: string): Program => new Program([...scriptWords(join(ROOT, "test/kernel/racer.ts")), device, `${EACH}`]);
  await using _first = racer("a");
  await using _second = racer("c");
  let received = 0;
  while (received < 2 * EACH) received += (await soon(Promise.resolve(listener.read()), () => `sample ${received} of ${2 * EACH}`))!.count;
  const { lost, gaps, dropped, late, duplicates, groups } = listener.stats();
  const told = JSON.stringify({ lost, gaps, dropped, late, duplicates, cpus: cpus().length });
  assertEquals([dropped, groups.length, groups[0]!.contradictory], [0, 1, false], told);
  // For each number that was used twice another one was never used: they add up.
  assertEquals([lost, gaps], [0, 0], told);
});
