/** replay() on the real backend: NETLINK_USERSOCK requires no privilege and no module. */
import { spawn } from "node:child_process";
import { test } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { NetlinkError } from "../../src/errors.ts";
import type { Listener } from "../../src/receive/listener.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import { replay, replayWith } from "../../src/receive/replay.ts";
import { FakeSys, settle } from "../fake_sys.ts";
import { openFds } from "../support/fds.ts";
import { FAMILY, groupMessage, sampleMessage, sampleMessages } from "../support/messages.ts";
import { PATIENCE_MS, soon } from "../support/waiting.ts";
import { messageOf } from "../../src/wire/message.ts";

const options = { family: FAMILY };

/** A test after which as many descriptors are open as before. */
function clean(name: string, run: () => Promise<void>): void {
  test(name, async () => {
    // What the runtime opens once and keeps.
    await (await replay([], options)).close();
    const before = openFds();
    await run();
    await settle();
    assertEquals(openFds(), before);
  });
}

async function sequences(listener: Listener): Promise<(number | undefined)[]> {
  const seen: (number | undefined)[] = [];
  for await (const entry of listener) seen.push(entry.sequence);
  return seen;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

clean("replay yields every message in order, unchanged, and ends", async () => {
  const messages = [
    groupMessage("created", 1),
    ...upTo(10).map((i) => sampleMessage({ sequence: i, dataBytes: i })),
    groupMessage("deleted", 1),
  ];
  const seen: string[] = [];
  for await (const entry of await replay(messages, options)) {
    if (entry.type === "sample") assertEquals(entry, decodeSample(messageOf(messages[seen.length]!)));
    seen.push(entry.type === "sample" ? `${entry.sequence}: ${entry.dataBytes}` : entry.type);
  }
  assertEquals(seen, ["group-created", ...upTo(10).map((i) => `${i}: ${i}`), "group-deleted"]);
});

clean("replay of nothing ends at once", async () => {
  assertEquals(await sequences(await replay([], options)), []);
});

clean("replay of more messages than fit into a drain loses none", async () => {
  const listener = await replay(sampleMessages(5000), options);
  assertEquals(await sequences(listener), upTo(5000));
  const { received, lost, dropped, malformed } = listener.stats();
  assertEquals({ received, lost, dropped, malformed }, { received: 5000, lost: 0, dropped: 0, malformed: 0 });
});

clean("replay of 64 KiB messages to a slow consumer waits for it", async () => {
  // Several times the receive buffer.
  const listener = await replay(sampleMessages(300, 0, { dataBytes: 65531 }), options);
  let next = 0;
  for await (const entry of listener) {
    if (entry.type !== "sample") throw new Error("an event");
    assertEquals([entry.sequence, entry.dataBytes, entry.data![0], entry.data![65530]], [next++, 65531, 0xab, 0xab]);
    if (next % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals([next, listener.stats().lost, listener.stats().dropped], [300, 0, 0]);
});

clean("replay mixes sizes without mixing up bytes", async () => {
  const sizes = upTo(800).map((i) => [1, 6, 128, 1500, 65531, 255, 4096, 0][(i * 7) % 8]!);
  const listener = await replay(sizes.map((dataBytes, sequence) => sampleMessage({ sequence, dataBytes })), options);
  const kept: [number | undefined, Uint8Array | undefined][] = [];
  for await (const entry of listener) if (entry.type === "sample") kept.push([entry.sequence, entry.data]);
  assertEquals(kept.length, sizes.length);
  kept.forEach(([sequence, data], i) => {
    assertEquals([sequence, data?.length ?? 0], [i, sizes[i]!]);
    assert(data?.every((byte) => byte === 0xab) ?? true, `sample ${i}`);
  });
});

clean("replay in batches yields all of them", async () => {
  let count = 0;
  for await (const batch of (await replay(sampleMessages(3000), options)).batches()) count += batch.length;
  assertEquals(count, 3000);
});

clean("replay with a pause between messages delivers them as they arrive", async () => {
  const sizes: number[] = [];
  for await (const batch of (await replay(sampleMessages(4), { ...options, intervalMs: 15 })).batches()) sizes.push(batch.length);
  assertEquals(sizes.reduce((sum, size) => sum + size), 4);
  assert(sizes.length > 1, `${sizes}`);
});

clean("leaving a replay stops its sender, also in a long pause", async () => {
  const leaving = async (): Promise<void> => {
    for await (const _ of await replay(sampleMessages(100), { ...options, intervalMs: 3_600_000 })) break;
  };
  await soon(leaving(), "the end of the sender");
});

clean("leaving a replay stops its sender, also while it waits for room", async () => {
  let given = 0;
  let ended = false;
  function* endless(): Generator<Uint8Array> {
    try {
      for (;; given++) yield sampleMessage({ sequence: given, dataBytes: 60000 });
    } finally {
      ended = true;
    }
  }
  for await (const entry of await replay(endless(), options)) if (entry.sequence === 200) break;
  await settle();
  assert(ended);
});

clean("a replay that is closed before anything is read is over", async () => {
  const listener = await replay(sampleMessages(10), options);
  await listener.close();
  assertEquals(await sequences(listener), []);
});

clean("a replay whose messages cannot be read throws that after those that could", async () => {
  function* broken(): Generator<Uint8Array> {
    yield sampleMessage({ sequence: 0 });
    throw new Error("the file ends here");
  }
  const seen: unknown[] = [];
  await assertRejects(
    async () => {
      for await (const entry of await replay(broken(), options)) seen.push(entry.sequence);
    },
    Error,
    "the file ends here",
  );
  assertEquals(seen, [0]);
});

clean("a message that no socket accepts is an error, not a gap", async () => {
  const error = await assertRejects(async () => await sequences(await replay([new Uint8Array(400_000)], options)), NetlinkError);
  assertEquals(error.message, "Cannot replay a message: message too long (EMSGSIZE)");
});

clean("two replays at the same time do not mix", async () => {
  const [a, b] = await Promise.all([
    replay(sampleMessages(2000, 0, { group: 1 }), options),
    replay(sampleMessages(2000, 5000, { group: 2 }), options),
  ]);
  const [seenA, seenB] = await Promise.all([sequences(a), sequences(b)]);
  assertEquals([seenA, seenB], [upTo(2000), upTo(2000).map((i) => 5000 + i)]);
});

test("a program that forgets to close still ends", async () => {
  const script = fileURLToPath(new URL("../support/unread.ts", import.meta.url));
  const args = process.versions["deno"] ? ["run", "--allow-ffi", script] : [script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  const status = await new Promise((resolve) => child.on("exit", (code, signal) => resolve(signal ?? code)));
  clearTimeout(timer);
  assertEquals(status, 0);
});

for (const readsFirst of [false, true]) {
  const personality = `(the runtime ${readsFirst ? "reads first" : "only tells"})`;

  test(`replay closes what it opened if it gets no second socket ${personality}`, async () => {
    const sys = new FakeSys({ readsFirst });
    const { socket } = sys;
    let count = 0;
    sys.socket = (...args) => ++count === 2 ? -24 : socket.apply(sys, args);
    await assertRejects(() => replayWith(sys, [], options), NetlinkError, "EMFILE");
    sys.assertClean();
  });

  test(`replay says why it could not send ${personality}`, async () => {
    const sys = new FakeSys({ readsFirst });
    sys.fail("sendto", 12);
    await assertRejects(
      async () => await sequences(await replayWith(sys, sampleMessages(2), options)),
      NetlinkError,
      "Cannot replay a message",
    );
    sys.assertClean();
  });

  test(`replay waits for room, and for nothing after the close ${personality}`, async () => {
    const sys = new FakeSys({ readsFirst });
    sys.fail("sendto", 11, 11, 4);
    const listener = await replayWith(sys, sampleMessages(3), options);
    assertEquals(await sequences(listener), [0, 1, 2]);
    sys.assertClean();
  });
}
