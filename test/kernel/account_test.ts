/** `psample capture` reports what passed, why nothing comes, and how a recording grows. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { fakeIo, type FakeIoOptions } from "../cli/fake_io.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, pause, scene, send, soon, until } from "./scene.ts";

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
    "60 packets passed a in 5 s, of which 1 in 4000000000 is sampled, and none was yet; --rate 10 would show about one a second",
  );
  await says(none, "no packet passed b in 5 s: no --rate would show one");
  await says(other, "60 packets passed a in 5 s, of which 1 in 1 is sampled, and --filter matches none of the samples yet");
  await until(
    () => `listening tells it: ${bare.errors()}`,
    () => bare.errors().includes("psample: nothing came in 5 s: psample list shows what is sampled and how many packets pass, "),
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
  // The progress line is erased before permanent lines.
  assertMatch(io.errors().replaceAll("\r\x1b[K", "<erase>"), /, lost 0<erase>psample: \d+ packets? passed .*; lost 0\n$/);
  await end(recording);
  assertMatch(io.errors(), /[\nK]psample: \d+ packets? passed .*; lost 0\n$/);
  assert(io.files.get("x.pcapng")!.length > 300);
});
