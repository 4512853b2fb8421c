/** `psample capture` reports what passed, why nothing comes, and how a recording grows. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { listSampling, NetlinkError } from "../../mod.ts";
import { fakeIo, type FakeIoOptions } from "../cli/fake_io.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, ip, pause, scene, send, soon, tc, until } from "./scene.ts";

/** Starts a capture, which samples when this resolves. */
async function capture(words: string, options?: FakeIoOptions): Promise<Command> {
  const command = new Command(["capture", ...words.split(" ")], options);
  await command.samples();
  return command;
}

/** Ends captures as a user would. */
async function end(...captures: Command[]): Promise<void> {
  for (const one of captures) await one.end();
}

scene("the summary says what passed, what was sampled, and roughly how much traffic that is; USR1 prints it", async () => {
  bareWire();
  const [all, some] = [await capture("a --rate 1 --direction egress --text"), await capture("a --rate 4 --direction egress --text")];
  for (let i = 0; i < 400; i++) send("a", frameOut());
  const lines = ({ io }: Command): number => io.text().split("\n").length - 1;
  await until("all came", () => lines(all) === 400);
  const told = /psample: 400 packets passed \(rule hits\), 1 in 1: 400 sampled; [\d.]+ [kM]?bit\/s; lost 0\n$/;
  // What passed is counted each second.
  await until(() => `USR1 tells it: ${all.io.errors()}`, () => {
    all.io.signal("SIGUSR1");
    return told.test(all.io.errors());
  });
  send("a", frameOut());
  await until("it went on", () => lines(all) === 401);
  await end(all, some);
  assertMatch(all.io.errors(), /psample: 401 packets passed \(rule hits\), 1 in 1: 401 sampled; [\d.]+ [kM]?bit\/s; lost 0\n$/);
  const account = /psample: 401 packets passed \(rule hits\), 1 in 4: (\d+) sampled; about [\d.]+ [kM]?bit\/s ±([\d.]+)%; lost 0\n$/;
  assertMatch(some.io.errors(), account);
  const [, sampled, percent] = account.exec(some.io.errors())!.map(Number) as [number, number, number];
  assertEquals(sampled, lines(some));
  // Fails once in a million runs.
  assert(sampled > 50 && sampled < 160 && percent > 5 && percent < 60, some.io.errors());
});

scene("however it ends, the account counts all that passed and was sampled until the filters were removed", async () => {
  bareWire();
  const sending = setInterval(() => send("a", ...Array.from({ length: 20 }, () => frameOut())), 2);
  try {
    const own = "a --rate 1 --direction egress";
    const counted = /psample: ([\d,]+) packets passed \(rule hits\), 1 in 1: \1 sampled[,;].* lost 0\n$/;
    let isFull = false;
    const full: FakeIoOptions = {
      onWrite: () => {
        if (isFull) throw new NetlinkError("write", 28);
      },
    };
    let isGone = false;
    const gone: FakeIoOptions = {
      onWrite: () => {
        if (isGone) throw new NetlinkError("write", 32);
      },
    };
    const runs = {
      "a full disk": await capture(own, full),
      "no reader": await capture(own, gone),
      "a limit": await capture(`${own} --count 990`),
      // Counted from the start, which may take long among all these.
      "a time limit": await capture(`${own} --duration 5s`),
      "top, a time limit": new Command(`top ${own} --duration 5s`.split(" ")),
      "top, once": new Command(`top ${own} --once --interval 1s`.split(" ")),
      "a signal": await capture(own),
      "a shared group": await capture(`${own} --group 5 --count 990`),
    };
    isFull = isGone = true;
    await runs["a signal"].end();
    for (const [how, { status, io }] of Object.entries(runs)) {
      assertEquals(await soon(status, () => `the end by ${how}; it said ${io.errors()}`), how === "a full disk" ? 1 : 0, io.errors());
      assertMatch(io.errors(), counted, how);
    }
    assertMatch(runs["a limit"].io.errors(), /1 in 1: [\d,]+ sampled, 990 of them printed or recorded;/);
  } finally {
    clearInterval(sending);
  }
});

scene("if the sampling is gone before its counters could be read, the account says so, and of what", async () => {
  bareWire();
  ip("link add name x type dummy", "link set dev x up");
  const both = await capture("x a --rate 1 --direction egress");
  const [alone, filter] = [await capture("x --rate 10 --direction egress"), await capture("a --rate 1")];
  for (let i = 0; i < 20; i++) send("a", frameOut());
  const own = (await listSampling()).filter(({ ours, device, direction, rate }) =>
    ours && device === "a" && direction === "ingress" && rate === 1
  );
  assertEquals(own.length, 1);
  tc(`filter del dev a ingress pref ${own[0]!.preference}`);
  ip("link del dev x");
  assertEquals(await soon(alone.status, () => `the end; it said ${alone.io.errors()}`), 1);
  await until("a is missed too", () => filter.io.errors().includes("another program removed the ingress filter"));
  await until("it misses x", () => both.io.errors().includes("x is no longer sampled"));
  await end(both, filter);
  const unread = (device: string): string =>
    `; what passed ${device} at the end was not counted: the sampling was gone before its counters could be read; lost 0\n`;
  for (const [{ io }, device] of [[both, "x"], [alone, "x"], [filter, "a"]] as const) {
    assertMatch(io.errors(), /psample: at least \d+ packets? passed \(rule hits\), 1 in 10?: \d+ sampled/);
    assert(io.errors().endsWith(unread(device)), io.errors());
  }
  assertMatch(both.io.errors(), /at least 2\d packets passed/);
});

scene("after five seconds without output, a terminal shows what arrived, what was wanted, and which rate would help", async () => {
  bareWire();
  const terminal = { errIsTerminal: true };
  const none = await capture("b --rate 10 --direction egress", terminal);
  const script = await capture("a --rate 4000000000 --direction egress");
  const bare = fakeIo(terminal);
  const listening = soon(main(["-g", "4294967294"], bare), () => `the end of listening; it said ${bare.errors()}`);
  // Last, because what they count has to come within five seconds of their start, on slow machines too.
  const few = await capture("a --rate 4000000000 --direction egress", terminal);
  const other = await capture("a --rate 1 --direction egress --filter arp", terminal);
  for (let i = 0; i < 60; i++) send("a", frameOut());
  const says = async ({ io }: Command, what: string): Promise<void> =>
    await until(() => `it says ${what}: ${io.errors()}`, () => io.errors().includes(`psample: ${what}\n`));
  await says(
    few,
    "60 packets passed a in 5 s, of which 1 in 4000000000 is sampled, but none has been yet; --rate 10 would show about one a second",
  );
  await says(none, "no packet passed b in 5 s: no --rate would show one");
  await says(other, "60 packets passed a in 5 s, of which 1 in 1 is sampled, and --filter matches none of the samples yet");
  await until(
    () => `listening tells it: ${bare.errors()}`,
    () => bare.errors().includes("psample: nothing arrived in 5 s: psample list shows what is sampled and how many packets pass, "),
  );
  bare.signal("SIGINT");
  assertEquals(await listening, 0);
  assert(!script.io.errors().includes("5 s"), script.io.errors());
  await end(few, none, other, script);
});

scene("while a recording grows, a terminal shows its progress", async () => {
  bareWire();
  const recording = await capture("a --rate 1 --direction egress -w x.pcapng", { errIsTerminal: true });
  const { io } = recording;
  await until(() => `it tells: ${JSON.stringify(io.errors())}`, async () => {
    send("a", frameOut());
    await pause(10);
    return /\[K[1-9]\d* samples\/s, about [\d.]+ k?bit\/s, [\d.]+ k?B recorded, lost 0/.test(io.errors());
  });
  io.signal("SIGUSR1");
  // The progress line is erased before permanent lines. What passed is counted each second, so at least what was sampled since passed too.
  assertMatch(io.errors().replaceAll("\r\x1b[K", "<erase>"), /, lost 0<erase>psample: (?:at least )?\d+ packets? passed .*; lost 0\n$/);
  await end(recording);
  assertMatch(io.errors(), /[\nK]psample: \d+ packets? passed .*; lost 0\n$/);
  assert(io.files.get("x.pcapng")!.length > 300);
});
