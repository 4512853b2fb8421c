/** Recorded samples that are sent to those who listen to the kernel's. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { injectInto, type InjectionSink, type InjectOptions, listen, paced, pump, readRecording } from "../../mod.ts";
import { main } from "../../cli/main.ts";
import { findFamily, withGenericNetlink } from "../../src/socket/family.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_GENERIC } from "../../src/sys/sys.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";
import { toHex } from "../../src/wire/text.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { pcapFile } from "../support/capture_files.ts";
import { pieces } from "../support/reading.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Named } from "./namespace.ts";
import { ending, listensToSamples, Program, ROOT, script, WITHOUT_NET_ADMIN } from "./runtime.ts";
import { asSamples, hear, sample, scene, send, soon, until, wire } from "./scene.ts";

const GOLDEN = join(ROOT, "test/golden");

/** Messages of samples without the two numbers that belong to the sender: the type, and the port id. */
function unsigned(message: Uint8Array): string {
  const bytes = message.slice();
  viewOf(bytes).setUint16(4, 0, LITTLE);
  viewOf(bytes).setUint32(12, 0, LITTLE);
  return toHex(bytes);
}

/** The messages in a recording of psample. */
async function recorded(path: string): Promise<string[]> {
  const all: string[] = [];
  await using source = await readRecording(path);
  for await (const { entries } of source.lentBatches()) {
    for (const entry of entries) if (entry.type === "sample") all.push(unsigned(entry.message));
  }
  return all;
}

/** Sends a recording; a path, or a file in memory. */
async function sendAll(file: string | Uint8Array, options: InjectOptions = {}): Promise<InjectionSink> {
  const sink = await injectInto(options);
  await soon(pump(await readRecording(typeof file === "string" ? file : pieces(file)), [], [sink]), "the end of the recording");
  return sink;
}

scene("what was recorded is what a listener receives, byte for byte, of whatever kernel it is", async () => {
  for (
    const name of ["mixed.new", "vxlan6.old", "geneve.new", "cookie.new", "ovs.new", "trunc0.old", "gso.new", "tun.old", "two-groups.new"]
  ) {
    const path = `${GOLDEN}/${name}.pcap`;
    const listener = await listen({ events: false });
    const sink = await sendAll(path);
    listener.end();
    const received: string[] = [];
    const ports = new Set<number>();
    for await (const { entries } of listener.lentBatches()) {
      for (const entry of entries) {
        if (entry.type !== "sample") throw new Error(`an event: ${entry.type}`);
        received.push(unsigned(entry.message));
        assertEquals(entry.messageType, listener.family);
        ports.add(entry.portId);
      }
    }
    assertEquals(received, await recorded(path), name);
    assertEquals([sink.written, ports.size, ports.has(0)], [received.length, 1, false]);
    const { malformed, dropped } = listener.stats();
    assertEquals({ malformed, dropped }, { malformed: 0, dropped: 0 });
  }
});

scene("samples of the kernel and those that are sent beside them are two producers to a listener, and neither loses", async () => {
  wire();
  sample("a egress", "rate 1 group 2");
  await using ear = await hear({ events: false });
  send("a", ...inOrder(3, frameOut));
  await sendAll(`${GOLDEN}/egress.new.pcap`);
  send("a", ...inOrder(3, frameOut));
  const expected = (await recorded(`${GOLDEN}/egress.new.pcap`)).length;
  const samples = asSamples(await ear.take(6 + expected));
  assertEquals(samples.filter(({ portId }) => portId === 0).map(({ sequence }) => sequence), [0, 1, 2, 3, 4, 5]);
  const { lost, groups } = ear.listener.stats();
  assertEquals([lost, groups.filter(({ portId }) => portId === 0).length, groups.every(({ contradictory }) => !contradictory)], [
    0,
    1,
    true,
  ]);
  await ear.hearsNoMore();
});

scene("packets of tcpdump are samples, with their times and in their time", async () => {
  const packets = inOrder(3, frameOut);
  const file = pcapFile(packets.map((bytes, i) => ({ seconds: 1784000000, fraction: 300_000 * i, bytes, originalBytes: 100 + i })), {
    linkType: 1,
  });
  await using ear = await hear({ events: false });
  const sink = await injectInto({ packetGroup: 77, packetRate: 5 });
  const startMs = performance.now();
  await soon(pump(paced(await readRecording(pieces(file)), { speed: 2 }), [], [sink]), "the end of the recording");
  assert(performance.now() - startMs >= 300, "it came before its time");
  const samples = asSamples(await ear.take(3)).map(({ group, rate, sequence, originalBytes, protocol, timestampNs, data }) => {
    return { group, rate, sequence, originalBytes, protocol, timestampNs, data };
  });
  assertEquals(
    samples,
    packets.map((data, i) => ({
      group: 77,
      rate: 5,
      sequence: i,
      originalBytes: 100 + i,
      protocol: 0x0800,
      timestampNs: 1784000000_000000000n + 300_000_000n * BigInt(i),
      data,
    })),
  );
  await ear.hearsNoMore();
});

const MANY = 5_000;

/** So many packets. */
function many(): Uint8Array {
  return pcapFile(Array.from({ length: MANY }, () => ({ bytes: frameOut() })), { linkType: 1 });
}

scene("as fast as it goes: a listener with a small receive buffer loses nothing", async () => {
  const listener = await listen({ events: false, receiveBufferBytes: 1 << 15 });
  const sending = sendAll(many());
  let count = 0;
  for await (const { samples } of listener.lentBatches()) if ((count += samples) === MANY) break;
  const sink = await sending;
  const { received, lost, dropped } = listener.stats();
  assertEquals({ received, lost, dropped }, { received: MANY, lost: 0, dropped: 0 });
  assertEquals([sink.written, sink.listeners?.map(({ dropped }) => dropped)], [MANY, [0]]);
});

scene("a listener that does not read is given up after a second, and what it loses is counted", async () => {
  const listener = await listen({ events: false });
  const sys = await loadSys();
  const family = await withGenericNetlink(sys, (requests) => findFamily(requests, "psample"));
  const deaf = new NetlinkSocket(sys, NETLINK_GENERIC);
  try {
    deaf.join(family!.groups.get("packets")!, "packets");
    const sink = await sendAll(many());
    const told = sink.listeners!.find(({ portId }) => portId === deaf.portId)!;
    assertEquals([sink.written, told.dropped, told.isOpen], [MANY, deaf.drops(), true]);
    assert(told.dropped > 0 && told.dropped < MANY);
    assertEquals(sink.listeners!.filter(({ portId }) => portId !== deaf.portId).map(({ dropped }) => dropped), [0]);
  } finally {
    deaf.close();
    await listener.close();
  }
});

const INJECT = [...script("cli/main.ts", "--allow-read"), "inject"];

scene("the command: round after round without a seam, chosen samples only, and an account at the end and on USR1", async () => {
  await using ear = await hear({ events: false });
  const words = [...INJECT, "--loop", "--speed", "max", "-g", "2", "--filter", "ip", "-c", "50", `${GOLDEN}/egress.new.pcap`];
  const { status, out, err } = await ending(words);
  assertEquals([status, out], [0, ""], err);
  assertMatch(err, /^psample: sent 50 samples in \d+ rounds; to 1 listener; /);
  const samples = asSamples(await ear.take(50));
  const sequences = samples.map(({ sequence }) => sequence!);
  assertEquals(sequences, sequences.map((_, i) => sequences[0]! + i));
  const { lost, groups: [group] } = ear.listener.stats();
  assertEquals([lost, group!.restarts, group!.received], [0, 0, 50]);
  await ear.hearsNoMore();
});

scene("the command ends with 1 if nobody received anything, and with 0 if there was nothing to be sent", async () => {
  const path = `${GOLDEN}/egress.new.pcap`;
  const expected = (await recorded(path)).length;
  const unheard = await ending([...INJECT, "--speed", "max", path]);
  assertEquals([unheard.status, unheard.out], [1, ""], unheard.err);
  assertStringIncludes(unheard.err, `sent ${expected} samples; nobody listened`);
  assertStringIncludes(unheard.err, "psample: nobody received the samples: start the program that is to receive them first\n");
  const empty = await ending([...INJECT, "--speed", "max", "-g", "4711", path]);
  assertEquals([empty.status, empty.out], [0, ""], empty.err);
});

scene("the command is interrupted while it waits for the time of a sample, and says what was sent", async () => {
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const path = join(directory, "a.pcap");
    writeFileSync(path, pcapFile([0, 0, 3600].map((s) => ({ seconds: 1784000000 + s, bytes: frameOut() })), { linkType: 1 }));
    await using ear = await hear({ events: false });
    await using program = new Program([...INJECT, path]);
    assertEquals(asSamples(await ear.take(2)).map(({ sequence }) => sequence), [0, 1]);
    spawnSync("kill", ["-USR1", `${program.pid}`]);
    await until("it tells", () => program.err.endsWith("\n"));
    assertEquals(program.err, "psample: sent 2 samples; to 1 listener\n");
    program.signal("SIGINT");
    const { status, err } = await program.ended;
    assertEquals([status, err], [0, "psample: sent 2 samples; to 1 listener\n".repeat(2)]);
    await ear.hearsNoMore();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

scene("the command in another namespace: who listens there receives, and who listens here does not", "initial-namespace", async () => {
  using there = new Named();
  await using here = await hear({ events: false });
  await using ear = await hear({ events: false, netns: there.name });
  const words = [...INJECT, "--netns", there.name, "--speed", "max", `${GOLDEN}/vxlan4.new.pcap`];
  const { status, err } = await ending(words);
  const expected = (await recorded(`${GOLDEN}/vxlan4.new.pcap`)).length;
  assertEquals(status, 0, err);
  assertStringIncludes(err, `sent ${expected} samples; to 1 listener`);
  await ear.take(expected);
  await ear.hearsNoMore();
  await here.hearsNoMore();
});

scene("without CAP_NET_ADMIN the command says what is missing, with status 1", "program:setpriv", async () => {
  const { status, out, err } = await ending([...WITHOUT_NET_ADMIN, ...INJECT, `${GOLDEN}/egress.new.pcap`]);
  assertEquals([status, out], [1, ""]);
  assertStringIncludes(err, "psample: Cannot send samples to psample's listeners: operation not permitted (EPERM)");
  assertStringIncludes(err, "CAP_NET_ADMIN");
  assertEquals(err.trimEnd().split("\n").length, 1);
});

scene("psample itself and a C program of libpsample's kind print what they receive as the recording's text", "program:gcc", async () => {
  const path = `${GOLDEN}/mixed.new.pcap`;
  const io = fakeIo();
  assertEquals(await main(["read", "--text", path], io), 0);
  const text = samplesIn(io.text());
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const tool = join(directory, "psample");
    const built = spawnSync("gcc", ["-O1", "-o", tool, join(ROOT, "test/bench/peer/psample.c"), "-lmnl"], { encoding: "utf8" });
    // Not every machine with a compiler has libmnl-dev.
    if (built.status !== 0) assertStringIncludes(built.stderr, "libmnl");
    for (const words of [script("cli/main.ts"), ...built.status === 0 ? [[tool]] : []]) {
      await using program = new Program(words);
      await until(() => `it listens; so far ${program.err}`, () => listensToSamples(program.pid));
      await sendAll(path);
      await until(() => `it prints all; so far ${program.out}`, () => samplesIn(program.out).length >= text.length);
      assertEquals(samplesIn(program.out), text, words.join(" "));
      program.signal("SIGTERM");
      await program.ended;
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** The lines about samples in libpsample's text. */
function samplesIn(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("group "));
}
