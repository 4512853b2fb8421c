/** Adding and removing sampling: iproute2 reads back what was installed, and what was there before stays as it was. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { writeFileSync } from "node:fs";
import process from "node:process";
import {
  addAction,
  addSampling,
  cleanUpSampling,
  getAction,
  listLeftovers,
  listSampling,
  type SamplingHandle,
  type SamplingOptions,
} from "../../mod.ts";
import { fromHex, toHex } from "../../src/wire/text.ts";
import { counting, ETH_IPV4, ethernet, frameIn, frameOut, hex, inOrder, udp } from "./frames.ts";
import { asSamples, bareWire, dummies, hear, IFINDEX, ip, sampledInOrder, scene, secondWire, send, tc, until, wire } from "./scene.ts";
import { linuxAtLeast } from "./needs.ts";
import { saidByTc, saidByUs, type TcAction, tcActions, tcControl, tcDump, tcFilters, tcShow } from "./tc_dump.ts";

scene("each option is what iproute2 reads back, and a removal leaves nothing", async () => {
  const cookie = fromHex("000102030405060708090a0b0c0d0e0f")!;
  const variations: Omit<SamplingOptions, "device">[] = [
    { rate: 1 },
    { rate: 1000, direction: "ingress", group: 7 },
    { rate: 4294967295, direction: "egress", group: 4294967295 },
    { rate: 2, direction: "both", group: 0 },
    { rate: 3, truncateBytes: 0 },
    { rate: 3, truncateBytes: 128 },
    { rate: 3, truncateBytes: 4294967295, direction: "both" },
    { rate: 4, cookie },
    { rate: 4, cookie: cookie.slice(5, 6) },
    { rate: 5, control: "pipe" },
    { rate: 5, control: "pass" },
    { rate: 5, control: "drop" },
    { rate: 5, control: "reclassify" },
    { rate: 5, control: "stolen" },
    { rate: 5, control: "trap" },
    { rate: 5, control: { jump: 2 } },
    { rate: 5, control: { gotoChain: 9 } },
    { rate: 6, index: 4000 },
    { rate: 6, index: 4294967294, direction: "both" },
    { rate: 7, hardware: "never" },
    { rate: 7, hardware: "never", match: "arp" },
  ];
  const devices = dummies(variations.length);
  const before = tcDump(...devices);
  // By name, and by number; all at once.
  const handles = await Promise.all(variations.map((options, i) => addSampling({ ...options, device: i % 2 ? devices[i]! : 200 + i })));
  const filters = tcFilters(devices);
  for (const [i, options] of variations.entries()) {
    const what = JSON.stringify(options);
    const handle = handles[i]!;
    const mine = filters.filter(({ device }) => device === devices[i]);
    const directions = (options.direction ?? "both") === "both" ? ["ingress", "egress"] : [options.direction!];
    assertEquals(mine.map(({ direction }) => direction), directions, what);
    assertEquals(handle.installed.map((sampling) => sampling.direction as string), directions, what);
    for (const [side, { filter }] of mine.entries()) {
      const { actions, handle: number, ...rest } = filter.options!;
      const [kind, protocol] = options.match ? ["flower", "arp"] : ["matchall", "all"];
      const { pref, chain } = filter;
      assertEquals([filter.kind, filter.protocol, pref, chain, number! >>> 16], [kind, protocol, 28787, 0, 0x7073], what);
      const keys = options.match ? { keys: { eth_type: "arp" } } : {};
      assertEquals(rest as unknown, { ...keys, ...(options.hardware ? { skip_hw: true } : {}), not_in_hw: true }, what);
      const shared = options.index !== undefined && directions.length === 2 ? 2 : 1;
      const expected: TcAction = {
        order: 1,
        kind: "sample",
        rate: options.rate!,
        group: handle.group!,
        ...(options.truncateBytes === undefined ? {} : { trunc_size: options.truncateBytes }),
        control_action: tcControl(options.control ?? "continue"),
        index: options.index ?? handle.installed[side]!.index,
        ref: shared,
        bind: shared,
        cookie: options.cookie ? toHex(options.cookie) : `${toHex(new TextEncoder().encode("psample"))}${number!.toString(16)}`,
      };
      assertEquals(actions as unknown, [expected], what);
    }
    if (options.group === undefined) assert(handle.group! >= 65536, `${handle.group} is a group that somebody might have chosen`);
    else assertEquals(handle.group, options.group);
    assertEquals(await handle.isInstalled(), true);
  }
  // Groups that were chosen automatically are all different.
  const chosen = handles.filter((_, i) => variations[i]!.group === undefined).map((handle) => handle.group);
  assertEquals(new Set(chosen).size, chosen.length);
  const said = saidByTc(devices);
  assertEquals(saidByUs(handles.flatMap((handle) => handle.installed)), said);
  assertEquals(saidByUs(await listSampling()), said);
  assertEquals((await listSampling()).every((sampling) => sampling.ours), true);

  await Promise.all(handles.map((handle) => handle.remove()));
  assertEquals(tcDump(...devices), before);
  assertEquals(await handles[0]!.isInstalled(), false);
  await handles[0]!.remove();
});

scene("a match samples what matches; both directions at once, each packet with its side", async () => {
  bareWire();
  await using handle = await addSampling({
    device: "a",
    direction: "both",
    rate: 1,
    match: "ip and src net 192.0.2.0/24 and udp dst portrange 5000-5003",
  });
  await using ear = await hear({ events: false, groups: [handle.group!] });
  send("b", frameIn({ port: 4999 }), frameIn({ port: 5000 }), frameIn({ port: 5003 }), frameIn({ port: 5004 }));
  send("a", frameOut());
  const group = handle.group!;
  const cookie = linuxAtLeast("6.11") ? handle.installed[0]!.cookie : undefined;
  const samples = asSamples(await ear.take(3));
  const said = samples.map(({ inIfindex, outIfindex, data, sequence, cookie }) => ({
    inIfindex,
    outIfindex,
    data,
    sequence,
    cookie,
    group,
  }));
  const common = { group, cookie, outIfindex: undefined, inIfindex: undefined };
  assertEquals(
    said,
    [
      { ...common, inIfindex: IFINDEX.a, sequence: 0, data: frameIn({ port: 5000 }) },
      { ...common, inIfindex: IFINDEX.a, sequence: 1, data: frameIn({ port: 5003 }) },
      { ...common, outIfindex: IFINDEX.a, sequence: 2, data: frameOut() },
    ] as unknown as typeof said,
  );
  await ear.hearsNoMore();
  // The clsact was ours, and two of four packets matched.
  assertEquals(handle.installed.map(({ packets }) => packets), [0n, 0n]);
  assertEquals((await listSampling()).map(({ packets }) => packets), [2n, 1n]);
});

scene("forwarded packets have both interfaces, in both directions; a shared action samples two devices into one group", async () => {
  bareWire();
  secondWire();
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  const action = await addAction({ sample: { index: 19, rate: 1, group: 6, control: "continue" } });
  assertEquals(action?.sample?.index, 19);
  const handles = await Promise.all(["a", "c"].map((device) => addSampling({ device, direction: "egress", index: 19 })));
  assertEquals(handles.map(({ group }) => group), [6, 6]);
  const { referenceCount, bindCount } = (await getAction(19)).sample!;
  assertEquals([referenceCount, bindCount], [3, 2]);
  await using ear = await hear({ events: false });
  send("b", frameIn({ to: "198.51.100.2" }));
  const back = { from: "198.51.100.2", to: "192.0.2.2", id: 7 };
  send("d", ethernet(hex("020000000003"), hex("020000000004"), ETH_IPV4, udp(back, 5000, 4000, counting(30))));
  const there = udp({ from: "192.0.2.2", to: "198.51.100.2", ttl: 63 }, 4000, 5000, counting(100));
  const home = udp({ ...back, ttl: 63 }, 5000, 4000, counting(30));
  const [one] = sampledInOrder([ethernet(hex("020000000004"), hex("020000000003"), ETH_IPV4, there)], { group: 6 });
  const [other] = sampledInOrder([ethernet(hex("020000000002"), hex("020000000001"), ETH_IPV4, home)], { group: 6 });
  await ear.hears(
    { ...one!, inIfindex: IFINDEX.a, outIfindex: IFINDEX.c },
    { ...other!, sequence: 1, inIfindex: IFINDEX.c, outIfindex: IFINDEX.a },
  );
  await ear.hearsNoMore();
  for (const handle of handles) await handle.remove();
  // It was there before, and stays.
  await until("nobody holds the action but itself", async () => (await getAction(19)).sample!.bindCount === 0);
  const left = (await getAction(19)).sample!;
  assertEquals([left.rate, left.group, left.referenceCount], [1, 6, 1]);
  assertEquals((await getAction(19)).cookie, undefined);
});

// --- strangers --------------------------------------------------------------------------------------

/** Another program's filters, one of each kind on both sides of `a`; all pass packets on to the next. */
const STRANGERS = ["ingress", "egress"].flatMap((side) => [
  `filter add dev a ${side} pref 10 protocol ip flower ip_proto udp dst_port 5000 action continue`,
  // Not the same preference on both sides: the kernel would list both at each (u32's tables are the qdisc's).
  `filter add dev a ${side} pref 2${side.length} protocol ip u32 match ip protocol 17 0xff action continue`,
  `filter add dev a ${side} pref 30 matchall action sample rate 3 group 77 trunc 60 cookie c0ffee action continue`,
  `filter add dev a ${side} pref 28787 matchall action continue`,
  `filter add dev a ${side} pref 40000 handle 0x70738001 protocol ip flower action continue`,
  `filter add dev a ${side} chain 5 pref 1 protocol ip flower ip_proto tcp action ok`,
]);

/** How many packets reached the first action of each filter of `a`. */
function hits(): number[] {
  return tcFilters(["a"], undefined, "-s").map(({ filter }) => filter.options?.actions?.[0]?.stats?.packets ?? 0);
}

scene("strangers' filters on a clsact: before us, behind us, and after us they are the same and see every packet", async () => {
  bareWire();
  tc("qdisc add dev a clsact", ...STRANGERS, "actions add action sample rate 9 group 78 index 900");
  const before = tcDump("a");
  const actions = tcActions();
  const handle = await addSampling({ device: "a", direction: "both", rate: 1 });
  assertEquals(handle.installed.map(({ preference }) => preference), [9, 9]);
  await using ear = await hear({ events: false, groups: [handle.group!] });
  // To another host: packets to us would be answered with "port unreachable".
  send("b", ...[1, 2, 3].map((id) => frameIn({ id, to: "192.0.2.77" })));
  send("a", ...inOrder(2, frameOut));
  assertEquals(asSamples(await ear.take(5)).filter(({ inIfindex }) => inIfindex === IFINDEX.a).length, 3);
  // Ours, then theirs; filters in the other chain see nothing. (u32 filters come with a table, which has no action.)
  assertEquals(hits().filter((packets) => packets > 0), [3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2]);
  assertEquals(await listLeftovers(), []);
  await handle.remove();
  assertEquals(tcDump("a"), before);
  await until("the actions are what they were", () => tcActions() === actions);
});

scene("another program's filter has preference 1: ours gets the first free one", async () => {
  bareWire();
  tc("qdisc add dev a clsact", ...[1, 2, 4].map((pref) => `filter add dev a ingress pref ${pref} matchall action continue`));
  const before = tcDump("a");
  const handle = await addSampling({ device: "a", direction: "ingress", rate: 1 });
  assertEquals(handle.installed.map(({ preference }) => preference), [3]);
  await handle.remove();
  assertEquals(tcDump("a"), before);
});

scene("an existing ingress qdisc is used unchanged; egress, or both, is refused and changes nothing", async () => {
  bareWire();
  tc(
    "qdisc add dev a handle ffff: ingress",
    "filter add dev a parent ffff: pref 5 protocol ip u32 match ip protocol 17 0xff action continue",
  );
  const before = tcDump("a");
  for (const direction of ["egress", "both"] as const) {
    const error = await assertRejects(() => addSampling({ device: "a", direction, rate: 1 }), Error);
    assertStringIncludes(error.message, "Cannot sample egress traffic on a: operation not supported (EOPNOTSUPP)");
    assertStringIncludes(error.message, "It has an ingress qdisc, which cannot hold egress filters");
    assertEquals(tcDump("a"), before);
  }
  const handle = await addSampling({ device: "a", direction: "ingress", rate: 1 });
  await using ear = await hear({ events: false });
  send("b", frameIn());
  assertEquals(asSamples(await ear.take(1)).map(({ inIfindex }) => inIfindex), [101]);
  assertEquals(saidByUs(await listSampling()), saidByTc(["a"], ["ingress"]));
  await handle.remove();
  assertEquals(tcDump("a"), before);
});

scene("all or nothing: if the second direction is refused, the first is undone", async () => {
  bareWire();
  tc("qdisc add dev a egress_block 22 clsact", "filter add block 22 matchall action continue");
  const before = tcDump("a");
  const error = await assertRejects(() => addSampling({ device: "a", direction: "both", rate: 1, group: 5 }), Error);
  assertStringIncludes(error.message, "Cannot sample egress traffic on a");
  assertStringIncludes(error.message, "block is shared");
  assertStringIncludes(error.message, "tc filter add block NUMBER");
  assertEquals(tcDump("a"), before);
  // If we created the clsact, it is removed too.
  const clean = tcDump("b");
  await assertRejects(() => addSampling({ device: "b", direction: "ingress", rate: 1, hardware: "only" }), Error, "leave out hardware");
  assertEquals(tcDump("b"), clean);
});

// --- the clsact -------------------------------------------------------------------------------------

scene(
  "the clsact is removed with the last of ours, even if another instance created it; it stays if it is, or is used by, another program's",
  async () => {
    const [mine, theirs, visited] = dummies(3) as [string, string, string];
    tc(`qdisc add dev ${theirs} clsact`);
    const before = tcDump(mine, theirs);
    for (const order of [[0, 1], [1, 0]]) {
      for (const direction of ["ingress", "both"] as const) {
        const handles: SamplingHandle[] = [];
        for (let i = 0; i < 2; i++) handles.push(await addSampling({ device: mine, direction, rate: 1 }));
        const other = await addSampling({ device: theirs, direction, rate: 1 });
        assertEquals(handles.map(({ installed }) => installed[0]!.preference), [28787, 28786]);
        const [first, last] = order.map((i) => handles[i]!);
        await first!.remove();
        assertEquals(saidByUs(last!.installed), saidByTc([mine]), "the other is untouched");
        await last!.remove();
        await other.remove();
      }
    }
    assertEquals(tcDump(mine, theirs), before);

    const handle = await addSampling({ device: visited, direction: "both", rate: 1 });
    tc(`filter add dev ${visited} egress pref 5 matchall action continue`);
    await handle.remove();
    assertEquals(tcFilters([visited]).map(({ direction, filter }) => [direction, filter.pref]), [["egress", 5]]);
  },
);

scene("eight at once on one device, started and stopped concurrently", async () => {
  const [device] = dummies(1) as [string];
  const before = tcDump(device);
  for (let round = 0; round < 2; round++) {
    const handles = await Promise.all(Array.from({ length: 8 }, () => addSampling({ device, direction: "both", rate: 1 })));
    assertEquals(tcFilters([device]).length, 16);
    assertEquals(new Set(handles.map(({ group }) => group)).size, 8);
    await Promise.all([
      ...handles.slice(0, 7).map((handle) => handle.remove()),
      ...(round === 0 ? [addSampling({ device, direction: "ingress", rate: 1 }).then((handle) => handles.push(handle))] : []),
    ]);
    assertEquals(tcFilters([device]).length, round === 0 ? 3 : 2);
    await Promise.all(handles.map((handle) => handle.remove()));
    assertEquals(tcDump(device), before);
  }
});

scene("another program removes our filter, or the device: remove() does not fail, and removes nothing else", async () => {
  const [one, two, three] = dummies(3) as [string, string, string];
  const handles: SamplingHandle[] = [];
  for (const device of [one, two, three]) handles.push(await addSampling({ device, direction: "both", rate: 1 }));
  tc(
    `filter del dev ${one} ingress`,
    `qdisc del dev ${two} clsact`,
    `qdisc add dev ${two} clsact`,
    `filter add dev ${two} ingress pref 28787 matchall action continue`,
  );
  ip(`link del dev ${three}`);
  assertEquals(await Promise.all(handles.map((handle) => handle.isInstalled())), [false, false, false]);
  const before = tcDump(two);
  for (const handle of handles) await handle.remove();
  assertEquals(tcFilters([one]), []);
  assertEquals(tcDump(two), before);
});

scene("a clsact that another program put in place of ours is theirs, empty or not, and so is one with a block", async () => {
  const [empty, block, filter] = dummies(3) as [string, string, string];
  const handles = await Promise.all([empty, block, filter].map((device) => addSampling({ device, rate: 1 })));
  for (const device of [empty, block, filter]) tc(`qdisc del dev ${device} clsact`);
  tc(
    `qdisc add dev ${empty} clsact`,
    `qdisc add dev ${block} ingress_block 7 clsact`,
    `qdisc add dev ${filter} clsact`,
    `filter add dev ${filter} egress pref 28787 protocol ip flower action continue`,
  );
  const before = tcDump(empty, block, filter);
  for (const handle of handles) await handle.remove();
  assertEquals(tcDump(empty, block, filter), before);
});

scene("a clsact of ours that another program has asked for by tc qdisc replace is named by check(), and stays", async () => {
  const [claimed, other] = dummies(2) as [string, string];
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const handles = await Promise.all([claimed, other].map((device) => addSampling({ device, rate: 1, onWarning })));
  const told = async (): Promise<unknown> =>
    (await Promise.all(handles.map((handle) => handle.check()))).map((findings) =>
      findings.map(({ verdict, about }) => `${verdict} ${about}`)
    );
  const reached = ["good reached", "good reached"];
  assertEquals(await told(), [reached, reached]);
  // Nor is the qdisc at the root ours.
  tc(`qdisc replace dev ${claimed} clsact`, `qdisc replace dev ${other} root handle 1: prio`);
  assertEquals(await told(), [[...reached, "note claimed"], reached]);
  assertEquals(await told(), [[...reached, "note claimed"], reached]);
  for (const handle of handles) {
    assertEquals(await handle.isInstalled(), true);
    await handle.remove();
  }
  // The other program's next steps work: nothing of ours is left there.
  tc(`filter add dev ${claimed} ingress matchall action continue`);
  assertEquals(tcFilters([claimed, other]).map(({ device }) => device), [claimed]);
  assertEquals(warnings.map((warning) => warning.includes(`clsact qdisc of ${claimed} too`)), [true]);
});

scene("what another program put into our clsact keeps it: a chain with a template or without, in either direction", async () => {
  const template = "proto ip flower dst_ip 0.0.0.0/16";
  const theirs = ["ingress chain 7", "egress chain 0", "ingress chain 0"].flatMap((place) => [
    `chain add dev DEVICE ${place}`,
    `chain add dev DEVICE ${place} ${template}`,
  ]);
  const devices = dummies(theirs.length);
  const handles: SamplingHandle[] = [];
  for (const [i, line] of theirs.entries()) {
    // A chain 0 is theirs only if we have no filter in it.
    const direction = line.includes("ingress chain 0") ? "egress" : line.includes("chain 0") ? "ingress" : "both";
    handles.push(await addSampling({ device: devices[i]!, direction, rate: 1 }));
    tc(line.replace("DEVICE", devices[i]!));
  }
  const chains = (): unknown =>
    tcShow(devices.flatMap((device) => ["ingress", "egress"].map((side) => `chain show dev ${device} ${side}`)));
  for (const handle of handles) await handle.remove();
  const after = (chains() as { chain?: number }[][]).map((chains) => chains.map(({ chain }) => chain));
  assertEquals(after, [[7], [], [7], [], [], [0], [], [0], [0], [], [0], []]);
  assertEquals(tcFilters(devices), []);
});

scene("a second instance on another program's empty chain does not make the clsact ours", async () => {
  const [device] = dummies(1) as [string];
  const first = await addSampling({ device, direction: "ingress", rate: 1 });
  tc(`chain add dev ${device} egress`);
  const second = await addSampling({ device, direction: "both", rate: 1 });
  await first.remove();
  await second.remove();
  assertEquals((tcShow([`chain show dev ${device} egress`])[0] as unknown[]).length, 1);
});

scene("a signal that aborts removes, also when it comes in the middle of the installation", async () => {
  const [device] = dummies(1) as [string];
  const before = tcDump(device);
  const later = new AbortController();
  const handle = await addSampling({ device, rate: 1, signal: later.signal });
  later.abort();
  await handle.remove();
  assertEquals(tcDump(device), before);
  for (let turns = 0; turns < 40; turns += 2) {
    const controller = new AbortController();
    const adding = addSampling({ device, rate: 1, signal: controller.signal });
    for (let i = 0; i < turns; i++) await Promise.resolve();
    controller.abort(new Error("enough"));
    // Either it is not installed, or it is removed at once.
    await adding.then((handle) => handle.remove(), (error) => assertEquals(error.message, "enough"));
    assertEquals(tcDump(device), before, `after ${turns} turns`);
  }
});

// --- what was left behind ---------------------------------------------------------------------------

scene("leftovers: what carries our mark and belongs to no running process, and nothing else", async () => {
  const [one, two] = dummies(2) as [string, string];
  tc(
    // As if killed: one device has a clsact that it created, the other one that was there before.
    `qdisc add dev ${one} clsact`,
    `qdisc add dev ${two} clsact`,
    `filter add dev ${one} ingress pref 28787 handle 0x70738123 matchall action sample rate 5 group 70000 continue`,
    `filter add dev ${one} egress pref 28787 handle 0x70738123 protocol ip flower action sample rate 5 group 70000 continue`,
    `filter add dev ${two} egress pref 28787 handle 0x70730124 matchall action sample rate 5 group 70001 continue`,
    // Nearly ours.
    `filter add dev ${two} ingress pref 1 handle 0x70748123 matchall action sample rate 5 group 1`,
    `filter add dev ${two} ingress pref 2 handle 0x70738123 matchall action ok`,
    `filter add dev ${two} ingress pref 3 handle 0x70738123 matchall action sample rate 5 group 2 action ok`,
  );
  await using running = await addSampling({ device: two, direction: "both", rate: 1 });
  const expected = [[one, "ingress", 70000], [one, "egress", 70000], [two, "egress", 70001]] as unknown[];
  // Two that inspect at the same time do not mistake each other for the one that was killed.
  for (const leftovers of await Promise.all([listLeftovers(), listLeftovers()])) {
    assertEquals(leftovers.map(({ device, direction, group }) => [device, direction, group]), expected);
  }
  assertEquals((await listSampling()).filter(({ ours }) => ours).length, 5);
  const { removed } = await cleanUpSampling();
  assertEquals(removed.map(({ device, direction, group }) => [device, direction, group]), expected);
  assertEquals((await cleanUpSampling()).removed, []);
  assertEquals(await running.isInstalled(), true);
  // The clsact of the first was ours, that of the second was not.
  assertStringIncludes(tcDump(two), '"kind":"clsact"');
  assert(!tcDump(one).includes('"clsact"'));
  assertEquals(tcFilters([two]).map(({ direction, filter }) => [direction, filter.pref]), [
    ["ingress", 1],
    ["ingress", 2],
    ["ingress", 3],
    ["ingress", 4],
    ["egress", 28786],
  ]);
});

scene("a clsact that a killed process created is removed once the next one has ended and cleanup has run, in either order", async () => {
  const [device] = dummies(1) as [string];
  const before = tcDump(device);
  for (const cleanFirst of [true, false]) {
    tc(
      `qdisc add dev ${device} clsact`,
      `filter add dev ${device} ingress pref 28787 handle 0x70738123 matchall action sample rate 5 group 70000`,
    );
    const handle = await addSampling({ device, direction: "ingress", rate: 1 });
    const ends = [cleanUpSampling, () => handle.remove()];
    for (const end of cleanFirst ? ends : ends.reverse()) await end();
    assertEquals(tcDump(device), before);
  }
});

// --- the list ---------------------------------------------------------------------------------------

scene("the list agrees with iproute2: matchall, flower, u32, chains, several actions, shared ones, with their counters", async () => {
  wire();
  tc(
    "actions add action sample rate 2 group 9 trunc 0 index 500",
    "filter add dev a ingress pref 5 matchall action sample rate 10 group 3 trunc 64 continue index 9 cookie aabb",
    "filter add dev a ingress pref 7 protocol ip flower ip_proto udp dst_port 5000 action sample rate 10 group 3 action sample rate 4 group 4 " +
      "jump 1 action ok action sample index 500",
    "filter add dev a ingress pref 9 protocol ipv6 flower skip_hw action sample rate 12 group 3",
    "filter add dev a ingress pref 8 protocol all matchall action sample rate 1 group 4294967295 goto chain 3",
    "filter add dev a ingress chain 3 pref 8 protocol ip flower src_ip 192.0.2.0/24 action sample rate 4294967295 group 5 drop",
    "filter add dev a egress pref 7 protocol ip u32 match ip dst 203.0.113.0/24 action sample rate 10 group 3 reclassify",
    "filter add dev a egress pref 7 protocol ip u32 match ip dport 5000 0xffff action sample index 500 action sample rate 10 group 3 index 9",
    "filter add dev a egress chain 268435455 pref 65535 protocol arp matchall action sample rate 1 group 0 cookie 000102030405060708090a0b0c0d0e0f",
  );
  const devices = ["a", "b"];
  send("b", ...inOrder(5, frameIn));
  send("a", ...inOrder(3, frameOut));
  const before = tcFilters(devices, undefined, "-s");
  const listed = await listSampling();
  const after = tcFilters(devices, undefined, "-s");
  assertEquals(saidByUs(listed), saidByTc(devices));
  assertEquals(listed.map(({ ours }) => ours), listed.map(() => false));
  assert(listed.some(({ packets }) => packets === 5n) && listed.some(({ packets }) => packets === 3n), "counters stood still");
  // Ages are in whole seconds, and iproute2 omits 0: ours lie between its values before and after.
  const ages = (filters: typeof before): number[] =>
    filters.flatMap(({ filter }) => filter.options!.actions ?? []).filter(({ kind }) => kind === "sample")
      .map(({ installed = 0 }) => installed);
  const [least, most] = [ages(before), ages(after)];
  assertEquals(least.length, listed.length);
  for (const [i, { ages }] of listed.entries()) {
    const ms = Number(ages!.installedMs);
    assert(ms >= 1000 * least[i]! && ms < 1000 * (most[i]! + 1), `installed ${ms} ms ago, between ${least[i]} and ${most[i]} s`);
  }
});

scene("a block that devices share is listed once, and has no device", async () => {
  dummies(2);
  tc(
    "qdisc add dev d0 ingress_block 5 egress_block 6 clsact",
    "qdisc add dev d1 ingress_block 5 clsact",
    "filter add block 5 matchall action sample rate 10 group 3",
    "filter add dev d1 egress matchall action sample rate 11 group 3",
  );
  const listed = (await listSampling()).map(({ device, direction, parent, rate }) => ({ device, direction, parent, rate }));
  assertEquals(listed, [
    { device: undefined, direction: undefined, parent: 5, rate: 10 },
    { device: "d1", direction: "egress", parent: 0xfffffff3, rate: 11 },
  ]);
});

scene("the list contains actions that no filter uses, but none of a filter that was just removed", async () => {
  const [device] = dummies(1) as [string];
  tc("actions add action sample rate 100 group 6 index 19", "actions add action sample rate 9 group 7 trunc 64 index 20 cookie c0ffee");
  for (let i = 0; i < 20; i++) {
    const handle = await addSampling({ device, index: 20 });
    assertEquals((await listSampling()).map(({ index, direction }) => [index, direction]), [[20, "ingress"], [20, "egress"], [
      19,
      undefined,
    ]]);
    await handle.remove();
    const listed = (await listSampling()).filter(({ index }) => index !== 20);
    assertEquals(listed.map(({ device, ifindex, rate, group, bindCount }) => [device, ifindex, rate, group, bindCount]), [
      [undefined, undefined, 100, 6, 0],
    ]);
  }
  await until("nothing uses the action", async () => (await listSampling()).length === 2);
  const [, other] = await listSampling();
  assertEquals([other!.truncateBytes, toHex(other!.cookie!), other!.ours], [64, "c0ffee", false]);
});

// --- the rate ---------------------------------------------------------------------------------------

scene("rate 100 over many packets: the number of samples is within the bounds of chance, and the counter is what was sent", async () => {
  bareWire();
  // An emulated processor takes ten times as long.
  const sent = process.env.PSAMPLE_GUEST === "old" ? 20_000 : 200_000;
  const handle = await addSampling({ device: "a", direction: "egress", rate: 100, truncateBytes: 14 });
  await using ear = await hear({ events: false, groups: [handle.group!], receiveBufferBytes: 8 * 1024 * 1024 });
  const packet = frameOut({ size: 18 });
  const packets = new Array<Uint8Array>(sent / 100).fill(packet);
  for (let i = 0; i < 100; i++) send("a", ...packets);
  const [{ packets: counted, bytes }] = await listSampling() as [Awaited<ReturnType<typeof listSampling>>[0]];
  const samples = (await ear.rest()).length;
  assertEquals([counted, bytes], [BigInt(sent), BigInt(sent * packet.length)]);
  assertEquals([ear.listener.stats().lost, ear.listener.stats().dropped], [0, 0]);
  // 99.9 % of a binomial distribution lie within 3.29 standard deviations.
  const spread = 3.29 * Math.sqrt(sent * 0.01 * 0.99);
  assert(Math.abs(samples - sent / 100) <= spread, `${samples} samples of ${sent} packets at rate 100`);
  await handle.remove();
});

scene("listSampling lists the actions of classifiers that are not decoded otherwise", "module:cls_basic", "module:cls_fw", async () => {
  wire();
  tc("filter add dev a ingress pref 3 basic match 'u32(u8 0x40 0xf0 at 0)' action sample rate 11 group 1");
  tc("filter add dev a egress pref 4 handle 5 fw action sample rate 12 group 2");
  const found = (await listSampling()).map((
    { device, direction, preference, kind, rate, group },
  ) => [device, direction, preference, kind, rate, group]);
  assertEquals(found, [["a", "ingress", 3, "basic", 11, 1], ["a", "egress", 4, "fw", 12, 2]]);
});
