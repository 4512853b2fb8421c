/** Whether packets reach a hook: what is reported, and what the kernel's own counter says. */
import { assert, assertEquals } from "@std/assert";
import { addSampling, type FilterSampling, type Finding, listSampling } from "../../mod.ts";
import { checkHooks } from "../../src/control/check.ts";
import { TrafficControl } from "../../src/control/traffic_control.ts";
import { loadSys } from "../../src/sys/load.ts";
import { attachTcx, setXdp, TCX_DROP, TCX_NEXT, XDP_DROP, XDP_PASS } from "./bpf.ts";
import { counting, ETH_EXPERIMENT, ethernet, frameIn, frameOut, OURS, PEER, SEGMENT_BYTES, superFrame } from "./frames.ts";
import { linuxAtLeast } from "./needs.ts";
import { bareWire, ip, run, sample, scene, send, sendToBeCut, tc, wire } from "./scene.ts";

const sys = await loadSys();

async function check(hooks: readonly FilterSampling[]): Promise<Finding[]> {
  const control = new TrafficControl(sys);
  try {
    return await checkHooks(sys, control, hooks);
  } finally {
    control.close();
  }
}

/** The hooks whose samples go to group 1. */
async function hooks(): Promise<FilterSampling[]> {
  return (await listSampling()).filter((one): one is FilterSampling => one.group === 1 && one.ifindex !== undefined);
}

async function counted(): Promise<bigint> {
  return (await hooks()).reduce((sum, { packets = 0n }) => sum + packets, 0n);
}

/** Sends frames that the stack does not answer; a packet dropped on egress is an error for the sender. */
function sendOut(count = 1): void {
  try {
    send("a", ...Array.from({ length: count }, () => frameOut()));
  } catch (error) {
    if (!(error instanceof Error && error.message.endsWith("errno 105"))) throw error;
  }
}

function sendIn(count = 1): void {
  send("b", ...Array.from({ length: count }, () => ethernet(OURS, PEER, ETH_EXPERIMENT, counting(64))));
}

function brief(findings: readonly Finding[]): string {
  return findings.map(({ verdict, about }) => `${verdict} ${about}`).join("; ");
}

/** What stands in front of `matchall` with the preference 10, of UDP frames; and whether these are counted there. */
const FRONT: readonly [lines: readonly string[], said: string, reached: boolean][] = [
  [[], "good reached", true],
  [["pref 1 matchall action drop"], "bad hidden", false],
  [["pref 1 matchall action pass"], "bad hidden", false],
  [["pref 1 matchall action continue"], "good reached", true],
  [["pref 1 matchall action pipe"], "bad hidden", false],
  [["pref 1 matchall action reclassify"], "bad hidden", false],
  [["pref 1 matchall action sample rate 1 group 2"], "bad hidden", false],
  [["pref 1 matchall action sample rate 1 group 2 continue"], "good reached", true],
  [["pref 1 matchall action jump 2 action drop action continue"], "good reached", true],
  [["pref 1 matchall action jump 1 action drop action continue"], "bad hidden", false],
  [["pref 1 matchall action jump 3 action drop action continue"], "bad hidden", false],
  [["pref 1 matchall action pipe action jump 1 action continue"], "bad hidden", false],
  [["pref 1 matchall action goto chain 7"], "bad hidden", false],
  [["pref 1 matchall classid 1:1"], "bad hidden", false],
  [["pref 1 matchall action mirred egress mirror dev c"], "bad hidden", false],
  [["pref 1 matchall action mirred egress mirror dev c continue"], "good reached", true],
  [["pref 1 matchall action mirred egress redirect dev c"], "bad hidden", false],
  [["pref 1 matchall action police rate 1mbit burst 10k conform-exceed drop/continue"], "note hidden", true],
  [["pref 1 matchall action police rate 1mbit burst 10k conform-exceed continue/continue"], "good reached", true],
  [["pref 1 matchall action skbedit mark 3"], "bad hidden", false],
  [["pref 1 matchall action skbedit mark 3 continue"], "good reached", true],
  [["pref 1 matchall action gact continue random determ drop 1000"], "note hidden", true],
  [["pref 1 protocol ip flower ip_proto udp action drop"], "note hidden", false],
  [["pref 1 protocol ip flower ip_proto tcp action drop"], "note hidden", true],
  [["pref 1 protocol ip flower action drop"], "note hidden", false],
  [["pref 1 protocol all flower action drop"], "bad hidden", false],
  [["pref 1 protocol all u32 match u32 0 0 action drop"], "bad hidden", false],
  [["pref 1 protocol all u32 match u32 0 0 action continue"], "good reached", true],
  [["pref 1 protocol ip u32 match ip protocol 6 0xff action drop"], "note hidden", true],
  [["pref 1 protocol all basic action drop"], "bad hidden", false],
  [["pref 1 protocol all basic match 'u32(u32 0 0xffffffff at 0)' action drop"], "note hidden", true],
  [["pref 1 protocol all bpf da bytecode '1,6 0 0 0'"], "bad hidden", false],
  [["pref 1 protocol all bpf da bytecode '1,6 0 0 4294967295'"], "good reached", true],
  [["pref 1 protocol all bpf da bytecode '1,6 0 0 3'"], "good reached", true],
  [["pref 1 protocol all bpf bytecode '1,6 0 0 1' action drop"], "bad hidden", false],
  [["pref 1 protocol all bpf bytecode '1,6 0 0 0' action drop"], "good reached", true],
  [["pref 1 protocol all bpf bytecode '1,6 0 0 1' action continue"], "good reached", true],
  [["pref 1 chain 7 matchall action drop"], "good reached", true],
  [["pref 11 matchall action drop"], "good reached", true],
];

const KERNEL_MODULES = ["act_mirred", "act_police", "act_skbedit", "act_gact", "cls_bpf", "cls_u32", "cls_basic"];

for (const direction of ["ingress", "egress"] as const) {
  scene(
    `${direction}: what is said of filters in front is what the counter shows`,
    ...KERNEL_MODULES.map((name) => `module:${name}` as const),
    async () => {
      wire();
      ip("link add name c index 103 type dummy", "link set dev c up");
      const send3 = (): void => direction === "ingress" ? send("b", frameIn(), frameIn(), frameIn()) : sendOut(3);
      for (const [lines, said, reached] of FRONT) {
        tc(...lines.map((line) => `filter add dev a ${direction} ${line}`));
        sample(`a ${direction} pref 10`, "rate 1 group 1");
        send3();
        const what = lines.join("; ");
        assertEquals(await counted(), reached ? 3n : 0n, what);
        const findings = await check(await hooks());
        assertEquals(brief(findings), said, what);
        assertEquals(findings.map(({ device, direction, group }) => [device, direction, group]), [["a", direction, 1]], what);
        // The recommended cure helps.
        if (!reached && findings[0]!.verdict === "bad") {
          const cure = /\((tc filter del [^)]*)\)/.exec(findings[0]!.cure!)![1]!;
          run("sh", ["-c", cure]);
          assertEquals(brief(await check(await hooks())), "good reached", cure);
          send3();
          assertEquals(await counted(), 3n, cure);
        }
        tc("qdisc del dev a clsact", "qdisc add dev a clsact");
      }
    },
  );
}

scene("chains: a hook in one that nothing leads to, that something leads to, and that is hidden in it", async () => {
  wire();
  sample("a egress chain 5 pref 10", "rate 1 group 1");
  const steps: [string | undefined, string, bigint][] = [
    [undefined, "bad unreachable-chain", 0n],
    ["filter add dev a egress pref 1 matchall action goto chain 4", "bad unreachable-chain", 0n],
    ["filter add dev a egress chain 4 pref 3 protocol ip flower ip_proto udp action goto chain 5", "good reached", 2n],
    ["filter add dev a egress chain 5 pref 2 matchall action pass", "bad hidden", 0n],
  ];
  let before = 0n;
  for (const [line, said, more] of steps) {
    if (line) tc(line);
    sendOut(2);
    const now = await counted();
    assertEquals([brief(await check(await hooks())), now - before], [said, more], line);
    before = now;
  }
});

scene("XDP: packets that it drops are not sampled, and it is named in the list of devices", async () => {
  wire();
  sample("a ingress", "rate 1 group 1");
  sample("a egress", "rate 1 group 1");
  for (const [result, arriving] of [[XDP_PASS, 1n], [XDP_DROP, 0n]] as const) {
    await setXdp("a", result);
    const before = await counted();
    sendIn();
    sendOut();
    assertEquals(await counted() - before, 1n + arriving);
    const findings = await check(await hooks());
    assertEquals(findings.map(({ about, direction }) => [about, direction]), [["xdp", "ingress"], ["reached", "egress"]]);
    assert(/^a ingress: the XDP program \d+ \(generic\) comes first; /.test(findings[0]!.what), findings[0]!.what);
  }
  await setXdp("a", undefined);
  assertEquals(brief(await check(await hooks())), "good reached; good reached");
});

scene("tcx: packets that it does not pass on are not sampled", async () => {
  wire();
  for (const direction of ["ingress", "egress"] as const) {
    sample(`a ${direction}`, "rate 1 group 1");
    if (!attachTcx("a", direction, TCX_NEXT)) return assertEquals(linuxAtLeast("6.6"), false);
    sendOut();
    sendIn();
    assertEquals([brief(await check(await hooks())), await counted()], ["note tcx", 1n]);
    attachTcx("a", direction, TCX_DROP);
    sendOut();
    sendIn();
    const findings = await check(await hooks());
    // What is dropped on egress arrives nowhere: the counter does not change.
    assertEquals([brief(findings), await counted()], ["note tcx", 1n]);
    assert(new RegExp(`^a ${direction}: the tcx programs \\d+, \\d+ come first; `).test(findings[0]!.what), findings[0]!.what);
    tc(`filter del dev a ${direction}`);
  }
});

scene("a device that is down, has no carrier, is gone or moved; a filter or qdisc that others remove or change", async () => {
  bareWire();
  tc("qdisc add dev a clsact");
  sample("a egress", "rate 1 group 1");
  const set = await hooks();
  const said = async (...lines: (() => void)[]): Promise<string[]> => {
    for (const line of lines) line();
    return (await check(set)).map(({ verdict, what }) => `${verdict} ${what}`);
  };
  assertEquals(await said(), ["good a egress is sampled, 1 in 1 into group 1"]);
  assertEquals(await said(() => ip("link set dev b down")), ["note a has no carrier"]);
  assertEquals(await said(() => ip("link set dev a down")), ["bad a is down, no packets pass"]);
  assertEquals(await said(() => ip("link set dev a name e", "link set dev e up", "link set dev b up")), [
    "good e egress is sampled, 1 in 1 into group 1",
  ]);
  const [{ index, preference }] = set as [FilterSampling];
  assertEquals(
    await said(() => tc(`actions replace action sample rate 7 group 8 trunc 64 index ${index} continue`)),
    [
      "bad e egress: samples now go to group 8 instead of 1",
      "note e egress: the rate is now 1 in 7 instead of 1 in 1",
      "note e egress: packets are now cut to 64 bytes instead of not cut",
    ],
  );
  assertEquals(
    await said(() =>
      tc(`filter del dev e egress pref ${preference}`, `filter add dev e egress pref ${preference} handle 0x1 matchall action pass`)
    ),
    [`bad e egress is no longer sampled: another program replaced the actions of the filter pref ${preference} (matchall)`],
  );
  assertEquals(
    await said(() => tc("filter del dev e egress")),
    ["bad e egress is no longer sampled: another program removed the egress filter, or its qdisc"],
  );
  assertEquals(
    await said(() => tc("qdisc del dev e clsact", "qdisc add dev e clsact")),
    ["bad e egress is no longer sampled: another program removed the egress filter, or its qdisc"],
  );
  assertEquals(
    await said(() => tc("qdisc del dev e clsact", "qdisc add dev e ingress")),
    ["bad e is no longer sampled: another program removed the clsact qdisc, and put ingress in its place"],
  );
  assertEquals(await said(() => tc("qdisc del dev e ingress")), ["bad e is no longer sampled: another program removed the clsact qdisc"]);
  assertEquals(
    await said(() => ip("link del dev e")),
    ["bad a is no longer sampled: the device was removed, or moved to another network namespace"],
  );
});

scene("a handle reports what reached it, and when something gets in the way or is gone again", async () => {
  bareWire();
  const handle = await addSampling({ device: "a", direction: "both", rate: 1000, group: 5 });
  const good = ["good a ingress is sampled, 1 in 1000 into group 5", "good a egress is sampled, 1 in 1000 into group 5"];
  const said = async (): Promise<string[]> => (await handle.check()).map(({ verdict, what }) => `${verdict} ${what}`);
  assertEquals([await said(), await handle.passed()], [good, { trials: 0n, packets: 0n }]);
  sendOut(3);
  sendIn(2);
  assertEquals(await handle.passed(), { trials: 5n, packets: 5n });
  const [{ preference }] = handle.installed as [FilterSampling];
  tc("filter add dev a ingress pref 1 protocol all bpf da bytecode '1,6 0 0 0'");
  assertEquals(await said(), [
    `bad a ingress: the filter pref 1 (bpf: pass) comes first and hides every packet from the filter pref ${preference} (matchall)`,
    good[1],
  ]);
  sendIn(2);
  assertEquals(await handle.passed(), { trials: 5n, packets: 5n });
  tc("filter del dev a ingress pref 1");
  assertEquals(await said(), good);
  ip("link set dev b down");
  assertEquals(await said(), ["note a has no carrier"]);
  // One for each direction, so that it is known when nothing is left.
  tc("filter del dev a ingress");
  assertEquals((await handle.check()).map(({ about, direction }) => [about, direction]), [["removed", "ingress"], [
    "no-carrier",
    "egress",
  ]]);
  tc("qdisc del dev a clsact");
  assertEquals((await handle.check()).map(({ about, direction }) => [about, direction]), [["removed", "ingress"], ["removed", "egress"]]);
  await handle.remove();
  assertEquals(await handle.check(), []);
});

scene("a packet that the card segments is one for the sampler, and several on the wire", async () => {
  bareWire();
  await using handle = await addSampling({ device: "a", direction: "ingress", rate: 1000, group: 5 });
  sendToBeCut("b", superFrame(3), SEGMENT_BYTES);
  assertEquals(await handle.passed(), { trials: 1n, packets: 3n });
  await using some = await addSampling({ device: "a", direction: "ingress", rate: 1000, group: 6, match: "ip proto \\tcp" });
  sendToBeCut("b", superFrame(2), SEGMENT_BYTES);
  // Flower does not count what it matches.
  assertEquals([await some.passed(), await handle.passed()], [{ trials: undefined, packets: 2n }, { trials: 2n, packets: 5n }]);
});
