/** `psample capture`: however it ends, tc shows afterwards what it showed before. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { main } from "../../cli/main.ts";
import { ArgumentError } from "../../src/errors.ts";
import { listSampling, NetlinkError } from "../../mod.ts";
import { fakeIo, type FakeIoOptions } from "../cli/fake_io.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { COMMANDS, Program } from "./runtime.ts";
import { bareWire, ip, PATIENCE_MS, pause, scene, send, tc, until } from "./scene.ts";
import { tcActions, tcDump, tcFilters } from "./tc_dump.ts";

/** Adds another program's filter on each side of `a`; returns what tc shows. */
function stranger(): string {
  tc(
    "qdisc add dev a clsact",
    "filter add dev a ingress pref 5 protocol ip flower ip_proto udp action sample rate 7 group 7 action continue",
    "filter add dev a egress pref 5 protocol ip u32 match ip protocol 17 0xff action continue",
  );
  return tcDump("a");
}

/** Starts the command with these words. */
function start(words: string, options?: FakeIoOptions): Command {
  return new Command(words.split(" "), options);
}

/** Sends until a condition holds: the listener may still be on its way. */
async function sendUntil(what: string, yes: () => boolean): Promise<void> {
  await until(what, async () => {
    if (yes()) return true;
    send("a", frameOut());
    await pause(20);
    return yes();
  });
}

scene("it samples both ways, each device into one group, and --count, --duration and a signal end it", async () => {
  bareWire();
  ip("link add name down0 type dummy");
  const [one, other] = [stranger(), tcDump("b", "down0")];
  const capture = start("capture a b down0 --rate 1 --trunc 20 --cookie c0ffee --json --count 4");
  await capture.samples();
  const ours = (await listSampling()).filter((sampling) => sampling.ours);
  assertEquals(
    ours.map(({ device, direction }) => `${device} ${direction}`).sort(),
    ["a", "b", "down0"].flatMap((name) => [`${name} egress`, `${name} ingress`]),
  );
  assertEquals(new Set(ours.map(({ group }) => group)).size, 1);
  assertEquals(ours.every(({ truncateBytes, rate, cookie }) => truncateBytes === 20 && rate === 1 && cookie?.[0] === 0xc0), true);
  assertMatch(capture.io.errors(), /sampling a, b, down0, 1 in 1, both, group \d+; Ctrl-C ends it\n/);
  assertMatch(capture.io.errors(), /psample: down0 is down, no packets pass: ip link set dev down0 up\n/);
  // Out at a, in at b: two samples each.
  send("a", frameOut(), frameOut());
  assertEquals(await capture.status, 0);
  assertEquals(capture.io.text().trim().split("\n").length, 4);
  assertMatch(capture.io.errors(), /psample: 4 packets passed \(rule hits\), 1 in 1: 4 sampled; [\d.]+ k?bit\/s; lost 0\n$/);
  assertEquals([tcDump("a"), tcDump("b", "down0")], [one, other]);

  const timed = start("capture a --rate 1 --duration 300ms -q");
  assertEquals([await timed.status, timed.io.errors()], [0, ""]);
  assertEquals(tcDump("a"), one);
  const interrupted = start("capture a --rate 1 --direction ingress");
  await interrupted.samples();
  assert(interrupted.io.signal("SIGINT"));
  assertEquals(await interrupted.status, 0);
  assertEquals(tcDump("a"), one);
});

scene("two at once on one device do not disturb each other, whichever ends first", async () => {
  bareWire();
  const before = tcDump("a");
  for (const order of [[0, 1], [1, 0]]) {
    const captures = [1, 2].map(() => start("capture a --rate 1 --direction egress --text"));
    for (const capture of captures) await capture.samples();
    const [first, last] = order.map((i) => captures[i]!);
    await sendUntil("both have samples", () => captures.every(({ io }) => io.text() !== ""));
    first!.io.signal("SIGINT");
    assertEquals(await first!.status, 0);
    const heard = last!.io.text().length;
    await sendUntil("the other goes on", () => last!.io.text().length > heard);
    assertEquals(tcFilters(["a"]).length, 1);
    last!.io.signal("SIGTERM");
    assertEquals(await last!.status, 0);
    // Neither received the other's samples: each printed one line per packet.
    for (const { io } of captures) assertEquals(new Set(io.text().trim().split("\n").map((line) => line.split(" ")[1])).size, 1);
    assertEquals(tcDump("a"), before);
  }
});

scene("failures end with status 1, say why, and leave nothing behind", async () => {
  bareWire();
  const [before, other] = [stranger(), tcDump("b")];
  const full = start("capture a b --rate 1", {
    onWrite: () => {
      throw new NetlinkError("write", 28);
    },
  });
  await full.samples();
  await sendUntil("it has written", () => full.io.errors().includes("ENOSPC"));
  assertEquals(await full.status, 1);
  assertEquals([tcDump("a"), tcDump("b")], [before, other]);

  const broken = start("capture a --rate 1", {
    onWrite: () => {
      throw new ArgumentError("a bug of the consumer");
    },
  });
  await broken.samples();
  let thrown: unknown;
  void broken.status.catch((error) => thrown = error);
  await sendUntil("it has written", () => thrown !== undefined);
  assertEquals(`${thrown}`, "ArgumentError: a bug of the consumer");
  assertEquals(tcDump("a"), before);

  // A file of the name is probably what was meant.
  const file = start("capture file --rate 1", { input: { file: new Uint8Array(1) } });
  assertEquals(await file.status, 1);
  assertMatch(file.io.errors(), /find the device file: .*\. There is a file of that name: psample read \.\/file\n/);

  tc("qdisc add dev b ingress");
  for (
    const [words, said] of [["a nosuch", /find the device nosuch/], [
      "a b",
      /It has an ingress qdisc, which cannot hold egress filters/,
    ]] as const
  ) {
    const second = start(`capture ${words} --rate 1`);
    assertEquals(await second.status, 1, words);
    assertMatch(second.io.errors(), said);
    assertEquals(tcDump("a"), before, words);
  }
});

scene("a device or a filter is removed: it says so, continues while another is left, and ends with status 1", async () => {
  bareWire();
  ip("link add name x type dummy", "link set dev x up");
  const before = stranger();
  const capture = start("capture x a --rate 1 --group 5");
  await capture.samples();
  ip("link del dev x");
  await until(
    "it misses x",
    () => capture.io.errors().includes("psample: x is no longer sampled: the device was removed, or moved to another network namespace"),
  );
  await sendUntil("it goes on", () => capture.io.text() !== "");
  const remove = async (side: string): Promise<void> => {
    tc(`filter del dev a ${side} pref ${(await listSampling()).find(({ ours, direction }) => ours && direction === side)!.preference}`);
  };
  await remove("ingress");
  await until(
    "it misses a ingress",
    () => capture.io.errors().includes("psample: a ingress is no longer sampled: another program removed the ingress filter, or its qdisc"),
  );
  const lines = capture.io.text().length;
  await sendUntil("it still goes on", () => capture.io.text().length > lines);
  await remove("egress");
  assertEquals(await capture.status, 1);
  assertMatch(
    capture.io.errors(),
    /psample: a egress is no longer sampled: another program removed the egress filter.*\npsample: nothing is sampled any more\n/,
  );
  assertEquals(tcDump("a"), before);
});

scene("--dry-run changes nothing; its lines, typed into a shell, set up the same", async () => {
  bareWire();
  const clean = tcDump("a");
  const words = "capture a --rate 100 --direction both --trunc 64 --cookie c0ffee --match";
  const match = "ip and src net 192.0.2.0/24 and udp dst portrange 4789-4799";
  const dry = fakeIo();
  assertEquals(await main([...words.split(" "), match, "--dry-run"], dry), 0);
  assertEquals(tcDump("a"), clean);
  const script = spawnSync("sh", ["-e", "-c", dry.text()], { encoding: "utf8" });
  assertEquals([script.status, script.stderr], [0, ""]);
  const theirs = tcFilters(["a"]);
  tc("qdisc del dev a clsact");
  const io = fakeIo();
  const running = main([...words.split(" "), match], io);
  await until("it samples", () => io.errors().includes("Ctrl-C ends it"));
  const ours = tcFilters(["a"]);
  io.signal("SIGHUP");
  assertEquals(await running, 0);
  const plain = (filters: typeof ours): unknown =>
    filters.map(({ direction, filter: { protocol, kind, chain, options } }) => {
      const { keys, actions } = options!;
      return { direction, protocol, kind, chain, keys, actions: actions!.map((action) => ({ ...action, index: 0, group: 0 })) };
    });
  assertEquals(plain(ours), plain(theirs));
  assertEquals(theirs.length, 2);
  assertEquals(tcDump("a"), clean);
});

scene("list says what is sampled, by whom, and whether samples arrive, or that nothing is sampled", async () => {
  bareWire();
  const [nothing, none] = [start("list --interval 1ms"), start("list --json --interval 1ms")];
  assertEquals([await nothing.status, await none.status, none.io.text()], [0, 0, ""]);
  assertEquals(nothing.io.text(), "Nothing is sampled by tc in this network namespace: psample capture DEVICE does it.\n");
  stranger();
  const capture = start("capture a --rate 1 --direction egress --group 9");
  await capture.samples();
  const sending = setInterval(() => send("a", frameOut()), 5);
  try {
    const list = start("list --interval 500ms");
    await until("it hears signals", () => list.io.signal("SIGUSR1"));
    assertEquals([await list.status, list.io.errors()], [
      0,
      "psample: watching the counters for 500 ms: there are no results yet\n",
    ]);
    const rows = list.io.text().trim().split("\n").map((line) => line.split(/ {2,}/));
    assertEquals(rows[0], [
      "DEVICE",
      "DIRECTION",
      "PREF",
      "KIND",
      "RATE",
      "GROUP",
      "TRUNC",
      "INDEX",
      "CONTROL",
      "PACKETS",
      "WHERE",
      "FLOW",
      "BY",
    ]);
    const row = rows.slice(1).map(([device, direction, , kind, rate, group, trunc, , control, , where, flow, by]) =>
      [device, direction, kind, rate, group, trunc, control, where, flow, by].join(" ")
    );
    assertEquals(row, ["a ingress flower 1/7 7 - pipe software idle -", "a egress matchall 1/1 9 - continue software flowing psample"]);
    const json = start("list --json --interval 10ms");
    assertEquals(await json.status, 0);
    const objects = json.io.text().trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(objects.map(({ device, group, ours }) => [device, group, ours]), [["a", 7, false], ["a", 9, true]]);
  } finally {
    clearInterval(sending);
  }
  capture.io.signal("SIGINT");
  assertEquals(await capture.status, 0);
});

// --- real processes: they start slowly, so each scene starts all of its own at once ---------------------

async function samplesSoon(...programs: Program[]): Promise<void> {
  let over = false;
  const look = (): void => void (over = true);
  for (const program of programs) program.ended.then(look, look);
  // Five of them at once take more than a minute to start on an emulated processor.
  await until(() => `all sample; so far they said ${JSON.stringify(programs.map(({ err, out }) => err + out))}`, () => {
    if (over) throw new Error(`it ended at once: ${programs.map(({ err, out }) => err + out)}`);
    return programs.every(({ err }) => err.includes("Ctrl-C ends it"));
  }, 2 * PATIENCE_MS);
}

for (const [i, { name, words }] of COMMANDS.entries()) {
  // The compiled file is the same program: one signal and the pipe are enough.
  const signals = i === 0 ? ["SIGINT", "SIGTERM", "SIGHUP"] as const : ["SIGTERM"] as const;
  scene(`${name} capture: ${signals.join(", ")}, | head -1 and a full disk, of which none leaves anything`, async () => {
    bareWire();
    const before = stranger();
    const actions = tcActions();
    const line = words().map((word) => `'${word}'`).join(" ");
    const args = ["capture", "a", "--rate", "1", "--direction", "egress"];
    await using stack = new AsyncDisposableStack();
    const start = (...all: string[]): Program => stack.use(new Program(all));
    const signalled = signals.map(() => start(...words(), ...args));
    const head = start("sh", "-c", `{ ${line} ${args.join(" ")}; echo status $? >&2; } | head -1`);
    const full = start("sh", "-c", `exec ${line} ${args.join(" ")} >/dev/full`);
    await samplesSoon(...signalled, head, full);
    const ours = tcFilters(["a"], ["egress"]).filter(({ filter }) => filter.kind === "matchall");
    assertEquals(ours.length, signals.length + 2);
    let over = 0;
    for (const program of [head, full]) void program.ended.then(() => over++);
    await sendUntil("head and the full disk have ended it", () => over === 2);
    const [headEnd, fullEnd] = [await head.ended, await full.ended];
    assertMatch(headEnd.out, /^group \d+: 1\/1\n$/);
    assertMatch(headEnd.err, /status 0\n/);
    assertEquals(fullEnd.status, 1);
    assertMatch(fullEnd.err, /no space left on device \(ENOSPC\)/);
    for (const [i, program] of signalled.entries()) {
      program.signal(signals[i]!);
      const { status, err } = await program.ended;
      assertEquals(status, 0, signals[i]);
      assertMatch(err, /psample: (\d+) packets? passed \(rule hits\), 1 in 1: \1 sampled; [\d.]+ k?bit\/s; lost 0\n$/);
    }
    assertEquals(tcDump("a"), before);
    await until("the actions are what they were", () => tcActions() === actions);
  });
}

scene("SIGKILL: the next run reports what is left, cleanup --dry-run only lists it, cleanup removes it and nothing else", async () => {
  bareWire();
  const before = tcDump("a", "b");
  const words = COMMANDS[0]!.words();
  await using killed = new Program([...words, "capture", "a", "b", "--rate", "1"]);
  await using running = new Program([...words, "capture", "a", "--rate", "1", "--direction", "ingress"]);
  await samplesSoon(killed, running);
  killed.signal("SIGKILL");
  await killed.ended;
  const what = ["a ingress", "a egress", "b ingress", "b egress"];
  const next = start("capture a --rate 1 --duration 1ms");
  assertEquals(await next.status, 0);
  assertMatch(
    next.io.errors(),
    /left behind by a psample that was killed: (?:[ab] (?:in|e)gress pref \d+(?:, )?){4}\. Remove it with: psample cleanup\n/,
  );
  const filters = tcFilters(["a", "b"]).length;
  for (const [command, verb, left] of [["cleanup --dry-run", "would remove", filters], ["cleanup", "removed", 1]] as const) {
    const cleanup = start(command);
    assertEquals(await cleanup.status, 0);
    assertMatch(cleanup.io.errors(), /^psample: kept a ingress pref \d+ \(rate 1, group \d+\): its psample is running\n$/);
    const lines = cleanup.io.text().trim().split("\n");
    assertEquals(lines.map((line) => line.replace(/ pref \d+ \(rate 1, group \d+\)$/, "")), what.map((place) => `${verb} ${place}`));
    assertEquals(tcFilters(["a", "b"]).length, left);
  }
  const again = start("cleanup");
  assertEquals([await again.status, again.io.text()], [0, ""]);
  assertMatch(again.io.errors(), /^psample: kept a ingress .*\npsample: nothing was left behind\n$/);
  running.signal("SIGINT");
  assertEquals((await running.ended).status, 0);
  assertEquals(tcDump("a", "b"), before);
});

scene("--user: it becomes that user, keeps CAP_NET_ADMIN alone, and still removes what it added", async () => {
  bareWire();
  const before = tcDump("a");
  await using program = new Program([...COMMANDS[0]!.words(), "capture", "a", "--rate", "1", "--count", "2", "--user", "nobody"]);
  await until(`it samples: ${program.err}`, () => program.err.includes("Ctrl-C ends it"));
  const status = readFileSync(`/proc/${program.pid}/status`, "utf8");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)![1]!;
  const { uid, gid } = { uid: "65534", gid: "65534" };
  assertEquals([field("Uid"), field("Gid"), field("Groups").trim()], [`${uid}\t`.repeat(3) + uid, `${gid}\t`.repeat(3) + gid, gid]);
  assertEquals(["CapInh", "CapPrm", "CapEff"].map((name) => BigInt(`0x${field(name)}`)), [0n, 1n << 12n, 1n << 12n]);
  assertEquals(field("NoNewPrivs"), "1");
  send("a", frameOut(), frameOut());
  const ended = await program.ended;
  // The rate, and two packets.
  assertEquals([ended.status, ended.out.trimEnd().split("\n").length], [0, 3], ended.err);
  assertEquals(tcDump("a"), before);
});
