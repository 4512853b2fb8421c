/** Loading and unloading the kernel module. Only in a kernel that `boot` started, never in one in use. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { listen, listGroups, NetlinkError } from "../../mod.ts";
import { frameOut, inOrder } from "./frames.ts";
import { loadPsample, unloadPsample } from "./module.ts";
import { Program, script } from "./runtime.ts";
import { Ear, hear, IFINDEX, pause, run, sample, sampledInOrder, scene, send, soon, tc, until, wire } from "./scene.ts";

async function failure(promise: Promise<unknown>): Promise<NetlinkError> {
  try {
    await soon(promise, "an error");
  } catch (error) {
    if (error instanceof NetlinkError) return error;
    throw error;
  }
  throw new Error("there was no error");
}

const PACKETS = inOrder(5, frameOut);
const OUT = { group: 1, outIfindex: IFINDEX.a };

async function hearsAGroupAndItsSamples(ear: Ear): Promise<void> {
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  send("a", ...PACKETS);
  await ear.hearsEvents({ type: "group-created", group: 1 });
  await ear.hears(...sampledInOrder(PACKETS, OUT));
  tc("filter del dev a egress pref 1");
  await ear.hearsEvents({ type: "group-deleted", group: 1, sequence: 5 });
}

scene("without the module: listen and listGroups say how to load it", "guest", async () => {
  await unloadPsample();
  try {
    for (const attempt of [listen(), listGroups()]) {
      const error = await failure(attempt);
      assertEquals(error.code, "ENOENT");
      assertStringIncludes(error.message, "modprobe psample");
    }
  } finally {
    loadPsample();
  }
});

scene("wait: listen resolves when the module is loaded, and continues when it is reloaded", "guest", async () => {
  await unloadPsample();
  try {
    wire();
    let listening = false;
    const opening = listen({ wait: true, groups: [1] });
    void opening.then(() => listening = true);
    await pause(200);
    assertEquals(listening, false);
    run("modprobe", ["psample"]);
    await using ear = new Ear(await soon(opening, "the module"));
    const families = [ear.listener.family];
    loadPsample();
    await hearsAGroupAndItsSamples(ear);
    for (let round = 0; round < 2; round++) {
      const waiting = ear.take(1);
      await unloadPsample();
      await until("the listener knows that the family is gone", () => ear.listener.family === -1);
      loadPsample();
      await until("the listener knows that the family is back", () => ear.listener.family !== -1);
      families.push(ear.listener.family);
      // After a reload the kernel may give the family another number.
      sample("a egress", "rate 1 group 1", "pref 1 matchall");
      assertEquals((await waiting).map(({ type }) => type), ["group-created"]);
      send("a", ...PACKETS);
      await ear.hears(...sampledInOrder(PACKETS, OUT));
      tc("filter del dev a egress pref 1");
      await ear.hearsEvents({ type: "group-deleted", group: 1, sequence: 5 });
    }
    await ear.hearsNoMore();
  } finally {
    loadPsample();
  }
});

scene("waiting ends when a signal aborts", "guest", async () => {
  await unloadPsample();
  try {
    const abort = new AbortController();
    const opening = listen({ wait: true, signal: abort.signal });
    setTimeout(() => abort.abort(new Error("enough")), 100);
    const message = await soon(opening.then(() => "listening", (error: Error) => error.message), "the end of the waiting");
    assertEquals(message, "enough");
  } finally {
    loadPsample();
  }
});

scene("without wait, unloading the module ends the listener with ENODEV, after what is queued", "guest", async () => {
  wire();
  const ear = await hear();
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  send("a", ...PACKETS);
  tc("filter del dev a egress pref 1");
  await unloadPsample();
  try {
    await ear.hearsEvents({ type: "group-created", group: 1 });
    await ear.hears(...sampledInOrder(PACKETS, OUT));
    await ear.hearsEvents({ type: "group-deleted", group: 1, sequence: 5 });
    const error = await failure(ear.take(1));
    assertEquals(error.code, "ENODEV");
    assertStringIncludes(error.message, "module was unloaded");
    const { received, events, lost, dropped } = ear.listener.stats();
    assertEquals({ received, events, lost, dropped }, { received: 5, events: 2, lost: 0, dropped: 0 });
  } finally {
    loadPsample();
  }
});

scene("the command waits too: psample --wait", "guest", async () => {
  await unloadPsample();
  try {
    wire();
    await using program = new Program([...script("cli/main.ts"), "--wait", "--count", "5"]);
    await until("the command says that it waits", () => program.err.includes("waiting"));
    loadPsample();
    sample("a egress", "rate 1 group 1", "pref 1 matchall");
    // It may not have joined the group yet: it only has to receive samples eventually.
    let over = false;
    program.ended.then(() => over = true, () => {});
    await until("it has heard five samples", async () => {
      send("a", PACKETS[0]!);
      await pause(20);
      return over;
    });
    const { status, out } = await program.ended;
    assertEquals(status, 0);
    assertEquals(out.split("\n").filter((line) => /^group 1 out-ifindex 101 origsize 142 /.test(line)).length, 5);
  } finally {
    loadPsample();
  }
});
