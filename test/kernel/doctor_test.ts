/** `psample list` and `psample doctor` on real kernels: what they say is what happens. */
import { existsSync } from "node:fs";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { diagnose, type Finding } from "../../mod.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { attachTcx, TCX_DROP } from "./bpf.ts";
import { frameOut } from "./frames.ts";
import { linuxAtLeast } from "./needs.ts";
import { bareWire, hear, ip, pause, run, sample, scene, send, soon, tc, until, wire } from "./scene.ts";

/** Runs the command; returns its status and output. */
async function psample(...args: string[]): Promise<{ status: number; out: string }> {
  const io = fakeIo();
  const status = await soon(main(args, io), `the end of ${args.join(" ")}`);
  assertEquals(io.errors(), "", args.join(" "));
  return { status, out: io.text() };
}

/** Whether Open vSwitch, which is never listed, may sample into a group: another test may have loaded it. */
function mayBeElsewhere(): boolean {
  return existsSync("/sys/module/openvswitch");
}

/** Sends a frame every few milliseconds while something is done. */
async function whileSending<Result>(work: () => Promise<Result>): Promise<Result> {
  let over = false;
  const sending = (async () => {
    while (!over) {
      try {
        send("a", frameOut());
      } catch {
        // A packet dropped on egress is an error for the sender.
      }
      await pause(5);
    }
  })();
  try {
    return await work();
  } finally {
    over = true;
    await sending;
  }
}

/** The column FLOW of each line: by group, which is a different one for each. */
async function flows(): Promise<Record<string, string>> {
  const { status, out } = await psample("list");
  assertEquals(status, 0);
  const rows = out.trimEnd().split("\n").map((line) => line.split(/ {2,}/));
  const [group, flow] = [rows[0]!.indexOf("GROUP"), rows[0]!.indexOf("FLOW")];
  return Object.fromEntries(rows.slice(1).map((row) => [row[group]!, row[flow]!]));
}

function brief(findings: readonly Finding[]): string[] {
  return findings.map(({ verdict, about }) => `${verdict} ${about}`);
}

scene("list: flowing, idle, hidden, unheard, or not known", async () => {
  wire();
  ip("link add name c index 103 type dummy");
  tc("qdisc add dev c clsact");
  sample("a egress pref 1", "rate 1 group 1 continue");
  sample("a egress pref 2", "rate 4000000000 group 2 continue");
  tc("filter add dev a egress pref 3 matchall action pass");
  sample("a egress pref 4", "rate 1 group 4");
  sample("c ingress", "rate 1 group 5");
  tc("filter add dev b egress pref 1 protocol ip flower ip_proto udp action sample rate 1 group 6");
  const others = { "4": "hidden", "5": "down", "6": "idle" };
  assertEquals(await flows(), { "1": "idle", "2": "idle", ...others });
  // The kernel still counts listeners of any namespace for a moment after they are closed.
  await until("nobody listens any more", async () => (await whileSending(flows))["1"] === "no listener");
  assertEquals(await whileSending(flows), { "1": "no listener", "2": "no listener", ...others });
  await using ear = await hear({ events: false });
  assertEquals(await whileSending(flows), { "1": "flowing", "2": "unknown", ...others });
  assert((await ear.take(1)).length === 1);
});

scene("list: two samplers of one group, one of which has no packets", async () => {
  wire();
  sample("a egress pref 1", "rate 1 group 1");
  sample("a ingress pref 1", "rate 1 group 1");
  await using _ear = await hear({ events: false });
  const { out } = await whileSending(() => psample("list", "--json"));
  const flow = Object.fromEntries(
    out.trimEnd().split("\n").map((line) => JSON.parse(line)).map(({ direction, flow }) => [direction, flow]),
  );
  assertEquals(flow, { egress: "flowing", ingress: "idle" });
});

scene("a device with a name that would control a terminal: text escapes it, JSON is JSON", async () => {
  const name = "e\u009b2J\u202e\\";
  const escaped = "e\\xc2\\x9b2J\\xe2\\x80\\xae\\x5c";
  ip("link add name x0 type dummy", "link set dev x0 up");
  tc("qdisc add dev x0 clsact", "filter add dev x0 ingress pref 1 matchall action drop");
  sample("x0 ingress pref 2", "rate 1 group 1");
  ip("link set dev x0 down");
  run("ip", ["link", "set", "dev", "x0", "name", name]);
  const plain = /^[\x20-\x7e\n]*$/;
  for (const args of [["list"], ["doctor"], ["doctor", name], ["doctor", "-g", "1"]]) {
    const { out } = await psample(...args, "--interval", "1ms");
    assertMatch(out, plain, args.join(" "));
    assert(out.includes(escaped), out);
    const json = (await psample(...args, "--interval", "1ms", "--json")).out.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert(json.some(({ device }) => device === name), args.join(" "));
  }
});

scene("doctor: one device, and one group: status 0 if all is well, 1 and the reason if not", async () => {
  wire();
  ip("link add name c index 103 type dummy");
  sample("a egress pref 2", "rate 1 group 5 continue");
  await using _ear = await hear({ events: false });
  const said = async (...args: string[]): Promise<[number, string[]]> => {
    const { status, out } = await psample("doctor", ...args, "--json");
    return [status, brief(out.trimEnd().split("\n").map((line) => JSON.parse(line)))];
  };
  assertEquals(await whileSending(() => said("a")), [0, ["good listeners", "good flow"]]);
  assertEquals(await whileSending(() => said("-g", "5")), [0, ["good listeners", "good flow"]]);
  assertEquals(await whileSending(() => said("a", "-g", "5")), [0, ["good listeners", "good flow"]]);
  // Packets of long ago do not count.
  assertEquals(await said("a"), [0, ["good listeners", "note flow"]]);
  assertEquals(await said("b"), [1, ["good listeners", "bad not-sampled"]]);
  assertEquals(await said("c"), [1, ["good listeners", "bad not-sampled", "note device-down"]]);
  assertEquals(await said("nosuch"), [1, ["good listeners", "bad device-gone"]]);
  assertEquals(
    await said("-g", "6"),
    mayBeElsewhere() ? [0, ["good listeners", "note not-sampled"]] : [1, ["good listeners", "bad not-sampled"]],
  );
  assertEquals(await said("a", "-g", "6"), [1, ["good listeners", "bad not-sampled"]]);
  tc("filter add dev a egress pref 1 matchall action pass");
  assertEquals(await whileSending(() => said("a")), [1, ["good listeners", "note flow", "bad hidden"]]);
  assertEquals(await whileSending(() => said("-g", "5")), [1, ["good listeners", "note flow", "bad hidden"]]);
  assertEquals((await psample("doctor")).status, 1);
  tc("filter del dev a egress pref 1");
  assertEquals((await whileSending(() => psample("doctor"))).status, 0);
  ip("link set dev a down");
  assertEquals(await said("a"), [1, ["good listeners", "note flow", "bad device-down"]]);
  assertEquals(await said("-g", "5"), [1, ["good listeners", "note flow", "bad device-down"]]);
  // About the whole machine that is no fault.
  assertEquals((await psample("doctor")).status, 0);
});

scene("doctor: a tcx program that hides all packets is a fault, because none come though the device has some", async () => {
  wire();
  sample("a ingress", "rate 1 group 5");
  if (!attachTcx("a", "ingress", TCX_DROP)) return assertEquals(linuxAtLeast("6.6"), false);
  const sendIn = async (): Promise<Finding[]> => {
    const sending = setInterval(() => send("b", frameOut()), 5);
    try {
      return await diagnose({ device: "a" });
    } finally {
      clearInterval(sending);
    }
  };
  const [, flow, tcx] = await sendIn();
  assertEquals([flow!.verdict, tcx!.about], ["bad", "tcx"]);
  assertMatch(flow!.what, /: \d+ packets? passed the device in 500 ms, and none reached it$/);
  assertEquals((await diagnose({ device: "a" }))[1]!.verdict, "note");
});

scene("doctor: what a killed psample left behind, a block, an unused action, a chain", async () => {
  bareWire();
  tc(
    "qdisc add dev a clsact",
    "qdisc add dev b ingress_block 22 clsact",
    "filter add dev a egress pref 5 handle 0x70730001 matchall action sample rate 1 group 9 continue",
    "filter add block 22 pref 6 matchall action sample rate 1 group 10",
    "filter add dev a egress chain 3 pref 7 matchall action sample rate 1 group 11",
    "actions add action sample rate 100 group 12 index 19",
  );
  const findings = await diagnose();
  const leftover = findings.find(({ about }) => about === "leftovers")!;
  assertEquals(
    [leftover.verdict, leftover.what],
    ["note", "a egress pref 5 was left behind by a psample that was killed, and still samples into group 9"],
  );
  const flow = findings.filter(({ about }) => about === "flow").map(({ what }) => what.replace(/ samples .*/, ""));
  assertEquals(flow.sort(), ["a egress chain 3 pref 7", "a egress pref 5", "block 22 pref 6"]);
  assertEquals(brief(await diagnose({ group: 11 })), ["note listeners", "note flow", "bad unreachable-chain"]);
  assertEquals(brief(await diagnose({ device: "b" })), ["note listeners", "note flow"]);
  const { out } = await psample("doctor");
  assertMatch(out, /left behind by a psample that was killed.*\n {6}-> psample cleanup removes it, or says why not\n/);
  const list = (await psample("list", "--json")).out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(list.find(({ group }) => group === 10)!.devices, ["b"]);
  assertEquals(brief(await diagnose({ group: 12 })), [
    "note listeners",
    "note not-sampled",
    mayBeElsewhere() ? "note not-sampled" : "bad not-sampled",
  ]);
  assertEquals(list.filter(({ leftBehind }) => leftBehind).map(({ group }) => group), [9]);
  const table = (await psample("list")).out;
  assertMatch(table, /^a {2,}egress {2,}5 .* psample \(gone\)$/m);
  assertMatch(table, /\nLeft behind by a psample that was killed: a egress pref 5\. Remove it with: psample cleanup\n$/);
  // A device or a group that it is on is told too, others are not.
  for (const asked of [{ device: "a" }, { device: 101 }, { group: 9 }]) {
    assertEquals((await diagnose(asked)).filter(({ about }) => about === "leftovers").map(({ group }) => group), [9]);
  }
  assertMatch((await psample("doctor", "a")).out, /left behind by a psample that was killed.*\n {6}-> psample cleanup removes it/);
  assertMatch((await psample("list")).out, /^- +- +- +- +1\/100 +12 +- +19 +pipe +0 +- +unused +-$/m);
  assertMatch((await psample("list")).out, /^block 22 {2,}- {2,}6 {2,}matchall /m);
});

scene("capture into a group that others sample into: it shows only its own samples, and says so", async () => {
  bareWire();
  tc("qdisc add dev a clsact");
  // As its own samples by the device and direction, told apart by the cookie alone; and on another device.
  sample("a egress pref 40000", "rate 1 group 5 continue");
  ip("link add name c index 103 type veth peer name d index 104", "link set dev c up", "link set dev d up");
  tc("qdisc add dev c clsact");
  sample("c egress pref 1", "rate 1 group 5 continue");
  const cookies = linuxAtLeast("6.11");
  const io = fakeIo();
  const status = soon(
    main(["capture", "a", "-r", "1", "-g", "5", "--direction", "egress", "--json", "--count", "3"], io),
    () => io.errors(),
  );
  await until("it samples", () => io.errors().includes("Ctrl-C ends it"));
  for (let id = 1; id <= 3; id++) {
    send("c", frameOut({ id }));
    send("a", frameOut({ id: 10 * id }));
  }
  assertEquals(await status, 0);
  const devices = io.text().trimEnd().split("\n").map((line) => JSON.parse(line).outIfindex);
  assertEquals(devices, [101, 101, 101]);
  const packets = new Set(io.text().trimEnd().split("\n").map((line) => JSON.parse(line).data));
  assertEquals(packets.size, cookies ? 3 : 2);
  assertMatch(io.errors(), /psample: others also sample into group 5 \((?:a egress, )?c egress\): their samples are left out\n/);
  assertEquals(/\(a egress\): their samples cannot be told apart/.test(io.errors()), !cookies);
});

scene("listening to a group that nothing samples into: a terminal shows that", async () => {
  bareWire();
  tc("qdisc add dev a clsact");
  sample("a egress", "rate 1 group 5");
  const said = async (group: string, errIsTerminal: boolean): Promise<string> => {
    const io = fakeIo({ errIsTerminal });
    assertEquals(await soon(main(["-g", group, "--duration", "50ms"], io), "its end"), 0);
    return io.errors();
  };
  assertMatch(await said("7", true), /^psample: nothing listed by the kernel samples into group 7 now \(.*\); sampled groups: 5\n/);
  assert(!(await said("5", true)).includes("samples into group"));
  assertEquals(await said("7", false), "");
});

scene("capture: it reports when something hides its packets, when that is gone, and once what ends it", async () => {
  bareWire();
  tc("qdisc add dev a clsact", "filter add dev a ingress pref 1 protocol all bpf da bytecode '1,6 0 0 0'");
  const io = fakeIo();
  const status = soon(main(["capture", "a", "-r", "1000"], io), () => io.errors());
  const says = async (what: string): Promise<void> => await until(`it says "${what}": ${io.errors()}`, () => io.errors().includes(what));
  await says(
    "psample: a ingress: the filter pref 1 (bpf: pass) comes first and hides every packet from the filter pref 2 (matchall); let ",
  );
  tc("filter del dev a ingress pref 1");
  await says("psample: packets of a are sampled again (ingress)\n");
  tc("filter add dev a egress pref 1 matchall action drop");
  await says("psample: a egress: the filter pref 1 (matchall: drop) comes first");
  tc("qdisc del dev a clsact");
  assertEquals(await status, 1);
  const gone = /psample: a is no longer sampled: another program removed the clsact qdisc;/g;
  assertEquals(io.errors().match(gone)?.length, 1, io.errors());
});
