/** `match`: a single tc filter samples the packets whose frames on the wire match, and hides none from other filters. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawnSync } from "node:child_process";
import { main } from "../../cli/main.ts";
import { tcLines } from "../../cli/tc/mod.ts";
import { addSampling, cleanUpSampling, listSampling, type SamplingHandle } from "../../mod.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { toHex } from "../../src/wire/text.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { wholePackets } from "../filter/packets.ts";
import { COMMANDS, Program } from "./runtime.ts";
import { asSamples, bareWire, type Device, dummies, hear, ip, run, scene, send, tc, until } from "./scene.ts";
import { tcDump, tcFilters } from "./tc_dump.ts";
import { addTun } from "./tun.ts";

/** Frames that are complete, and no shorter than a card sends them. */
const FRAMES = wholePackets().filter(({ first, data, originalBytes }) =>
  first === "ethernet" && data.length === originalBytes && data.length >= 60 && data.length <= 1400
).map(({ data }) => data);

/** Some of each kind: an emulated processor takes two seconds for each. */
const EXPRESSIONS = [
  "tcp port 443 or icmp",
  "not arp",
  "vlan 5",
  "not vlan",
  "vlan 5 and tcp port 443",
  "vlan and ip6",
  "ip",
  "ip6",
  "arp",
  "host 10.0.0.1",
  "net 10.0.0.0/8",
  "tcp[13] & 2 != 0",
  "tcp dst portrange 80-500",
  "ether multicast",
  "mpls and tcp port 443",
  "len > 80",
  "ether proto 0x88a8",
  "ether[12:4] = 0x81000005",
  "ether[ether[15]] = 0 or arp",
  "ip[ip[0] & 0xf] > 1 or vlan and ip[ip[0] & 0xf] > 1",
  "icmp[icmptype] = icmp-echo",
];

/** A frame without the tag that the kernel strips on arrival. */
function withoutTag(frame: Uint8Array): Uint8Array {
  const type = frame[12]! << 8 | frame[13]!;
  if (type !== 0x8100 && type !== 0x88a8) return frame;
  return Uint8Array.from([...frame.subarray(0, 12), ...frame.subarray(16)]);
}

/** Sends all frames from b to a; returns the samples of a filter on one of the two. */
async function sampledOf(handle: SamplingHandle, frames: readonly Uint8Array[], expected: number): Promise<string[]> {
  await using ear = await hear({ events: false, groups: [handle.group!] });
  send("b", ...frames);
  const samples = asSamples(await ear.take(expected));
  await ear.hearsNoMore();
  return samples.map(({ data }) => toHex(data!));
}

for (const [device, direction] of [["a", "ingress"], ["b", "egress"]] as const) {
  const where = direction === "ingress" ? "taken off" : "in the frame";
  scene(`the samples are those whose frames match the expression, with the VLAN tag ${where}`, async () => {
    bareWire();
    ip("link set dev b mtu 9000", "link set dev a mtu 9000");
    const kinds = new Set<string>();
    for (const expression of EXPRESSIONS) {
      const isProgram = compileMatch([expression], "ethernet").kind === "bpf";
      // An exact match may be flower too; otherwise flower may differ, and lists how.
      for (const hardware of isProgram ? [undefined] : ["never", undefined] as const) {
        await using handle = await addSampling({ device, direction, rate: 1, match: expression, hardware });
        const { kind } = handle.installed[0]!;
        kinds.add(kind);
        const match = compileMatch([expression], "ethernet", hardware === "never");
        assertEquals(kind, match.kind, expression);
        const differs = match.kind === "flower" ? match.differences.join() : "";
        const matches = packetFilter(expression);
        const isOdd = (frame: Uint8Array): boolean =>
          /fragment/.test(differs) && isFragment(frame) || /extension/.test(differs) && hasExtensions(frame) ||
          /802\.1Q/.test(differs) &&
            (direction === "egress" ? [0x8100, 0x88a8, 0x9100] : [0x88a8, 0x9100]).includes(frame[12]! << 8 | frame[13]!);
        const frames = FRAMES.filter((frame) => !isOdd(frame));
        const expected = frames.filter((frame) => matches(frame, "ethernet"));
        const samples = await sampledOf(handle, frames, expected.length);
        const as = direction === "ingress" ? withoutTag : (frame: Uint8Array): Uint8Array => frame;
        assertEquals(samples, expected.map((frame) => toHex(as(frame))), `${expression}: ${kind}`);
        // Segments, and so all packets, are counted by the action.
        assertEquals((await handle.passed()).packets, BigInt(expected.length), expression);
      }
    }
    assertEquals([...kinds].sort(), ["bpf", "flower"]);
  });
}

function isFragment(frame: Uint8Array): boolean {
  return frame[12] === 0x08 && frame[13] === 0 && ((frame[20]! & 0x3f) !== 0 || frame[21] !== 0);
}

function hasExtensions(frame: Uint8Array): boolean {
  return frame[12] === 0x86 && [0, 43, 44, 60].includes(frame[20]!);
}

scene("packets of a VLAN device have their tag beside the bytes: vlan matches it, and other words do not look past it", async () => {
  bareWire();
  ip("link add link a name a.5 type vlan id 5", "link set dev a.5 up", "address add 203.0.113.1/24 dev a.5");
  ip("neighbour add 203.0.113.2 lladdr 02:00:00:00:00:02 dev a.5");
  const matches = ["vlan 5 and udp", "vlan 6", "vlan", "udp", "ip and udp dst port 9", "not vlan", "ether[12:4] = 0x81000005"];
  const handles = await Promise.all(
    matches.map((match, i) => addSampling({ device: "a", direction: "egress", rate: 1, group: 10 + i, match })),
  );
  await using ear = await hear({ events: false });
  spawnSync("bash", ["-c", "echo hello >/dev/udp/203.0.113.2/9"]);
  const samples = asSamples(await ear.take(3));
  await ear.hearsNoMore();
  assertEquals(samples.map(({ group }) => group).sort(), [10, 12, 16]);
  await Promise.all(handles.map((handle) => handle.remove()));
});

scene("several expressions become one filter, and a packet that several match is sampled once", async () => {
  bareWire();
  await using handle = await addSampling({
    device: "a",
    direction: "ingress",
    rate: 1,
    match: ["arp", "ether broadcast", "vlan 5", "tcp"],
  });
  assertEquals(tcFilters(["a"]).map(({ filter }) => filter.kind), ["bpf"]);
  const matches = ["arp", "ether broadcast", "vlan 5", "tcp"].map(packetFilter);
  const expected = FRAMES.filter((frame) => matches.some((match) => match(frame, "ethernet")));
  assertEquals(await sampledOf(handle, FRAMES, expected.length), expected.map((frame) => toHex(withoutTag(frame))));
});

scene("packets without an Ethernet header", "module:tun", async () => {
  ip("link set dev lo up");
  using tun = addTun("tun0", 110);
  ip("link set dev tun0 up");
  const packets = wholePackets().filter(({ first, data, originalBytes }) =>
    first === "raw-ip" && data.length >= 40 && data.length === originalBytes && data.length <= 1400
  ).map(({ data }) => data);
  for (const match of ["tcp port 443 or icmp", "not tcp", "ip and tcp dst port 443", "ip6", "len > 60", "ip[8] < 6"]) {
    await using handle = await addSampling({ device: "tun0", direction: "ingress", rate: 1, match, hardware: "never" });
    const matches = packetFilter(match);
    const expected = packets.filter((packet) => matches(packet, "raw-ip"));
    await using ear = await hear({ events: false, groups: [handle.group!] });
    for (const packet of packets) tun.write(packet);
    const samples = asSamples(await ear.take(expected.length));
    await ear.hearsNoMore();
    assertEquals(samples.map(({ data }) => toHex(data!)), expected.map(toHex), match);
  }
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const never = await addSampling({ device: "tun0", direction: "ingress", rate: 1, match: "ether multicast", onWarning });
  assertEquals(warnings, ["No packet of tun0 matches"]);
  await never.remove();
});

scene("a filter after ours sees every packet, matched or not", async () => {
  bareWire();
  const none: readonly Device[] = ["a"];
  for (const match of ["tcp port 443 or icmp", "ip and tcp dst port 443", "not arp", "vlan 5"]) {
    tc("qdisc add dev a clsact", "filter add dev a ingress pref 40000 matchall action sample rate 1 group 99 continue");
    await using handle = await addSampling({ device: "a", direction: "ingress", rate: 1, match });
    await using ear = await hear({ events: false, groups: [99] });
    send("b", ...FRAMES);
    const samples = asSamples(await ear.take(FRAMES.length));
    await ear.hearsNoMore();
    assertEquals(samples.map(({ data }) => toHex(data!)), FRAMES.map((frame) => toHex(withoutTag(frame))), match);
    assertEquals((await handle.check()).map(({ about }) => about), ["reached"]);
    // Earlier filters that hide packets are reported.
    tc(
      "filter add dev a ingress pref 1 protocol ip flower action pass",
      "filter add dev a ingress pref 2 protocol all matchall action pass",
    );
    assertEquals((await handle.check()).map(({ about, verdict }) => `${verdict} ${about}`).at(-1), "bad hidden", match);
    tc("filter del dev a ingress pref 1", "filter del dev a ingress pref 2");
    // The same filter again, but ending classification: it hides everything meant for ours, and nothing else.
    const [, line] = tcLines({ device: "a", direction: "ingress", rate: 1, group: 98, control: "pass" }, compileMatch([match], "ethernet"));
    tc(line!.slice(3).replace(" ingress ", " ingress pref 1 "));
    assertEquals((await handle.check()).map(({ about, verdict }) => `${verdict} ${about}`), ["bad hidden"], match);
    await handle.remove();
    tc("qdisc del dev a clsact");
  }
  assertEquals(tcFilters(none), []);
});

scene("each match is the filter that tc makes from the line that --dry-run prints", "module:dummy", async () => {
  const matches = [
    ...EXPRESSIONS,
    "ip and tcp dst portrange 80-90 and dst net 10.0.0.0/8 and tcp src port 1024",
    "ip6 and udp dst port 53 and dst net 2001:db8::/32",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
    "tcp[0:2] & 0xff00 = 0x1f00",
    "ip[1] & 0xfc = 0xb8 and ip[8] = 5",
    "icmp6[icmp6type] = icmp6-echo and icmp6[1] = 0",
    "arp src host 192.0.2.1 and arp[6:2] = 1",
    "ether src 02:00:00:00:00:01",
    "vlan 42 and ip and src host 192.0.2.1 and udp dst port 4789",
    "vlan and ether[14] & 0xe0 = 0x60",
    "ip proto 47",
  ];
  const devices = dummies(2 * matches.length);
  const handles = await Promise.all(
    matches.map((match, i) => addSampling({ device: devices[i]!, direction: "ingress", rate: 10, group: 5, match })),
  );
  tc(
    ...matches.flatMap((match, i) =>
      tcLines({ device: devices[matches.length + i]!, direction: "ingress", rate: 10, group: 5 }, compileMatch([match], "ethernet"))
    ).map((line) => line.slice(3)),
  );
  const filters = tcFilters(devices, ["ingress"]);
  assertEquals(filters.length, devices.length);
  for (const [i, match] of matches.entries()) {
    const [ours, theirs] = [i, matches.length + i].map((n) => filters.find(({ device }) => device === devices[n])!.filter);
    for (const key of ["protocol", "kind", "chain"] as const) assertEquals(ours![key], theirs![key], `${match}: ${key}`);
    const [one, other] = [ours, theirs].map((filter) => {
      const { handle: _, actions, ...rest } = filter!.options!;
      return { ...rest, actions: actions!.map((action) => ({ ...action, index: 0, cookie: undefined })) };
    });
    assertEquals(one, other, match);
    assert("bytecode" in one! || "keys" in one!, JSON.stringify(ours));
  }
  await Promise.all(handles.map((handle) => handle.remove()));
});

scene("psample tc adds and lists the filters of matches as tc does", async () => {
  bareWire();
  await using _handle = await addSampling({ device: "a", direction: "ingress", rate: 10, group: 5, match: "tcp port 443 or icmp" });
  tc(
    "filter add dev a ingress pref 7 protocol ip bpf da bytecode '1,6 0 0 0' classid 1:5",
    "filter add dev a ingress pref 8 protocol all bpf bytecode '2,48 0 0 0,6 0 0 4294967295' skip_hw action sample rate 3 group 6 pass",
  );
  // Both add the same filter.
  for (
    const [i, [protocol, words]] of ([
      ["all", ["bpf", "bytecode", "4,40 0 0 12,21 0 1 2054,6 0 0 4294967295,6 0 0 0", "flowid", "1:6"]],
      ["ip", ["flower", "ip_proto", "icmp", "type", "8/15", "code", "0", "ip_tos", "184/0xfc", "ip_ttl", "5"]],
      ["ip", ["flower", "ip_proto", "tcp", "tcp_flags", "0x2/12", "dst_mac", "02:00:00:00:00:01/24"]],
      ["arp", ["flower", "arp_op", "reply", "arp_sip", "192.0.2.0/24", "arp_tip", "192.0.2.1"]],
    ] as const).entries()
  ) {
    const line = (side: string): string[] => ["filter", "add", "dev", "a", side, "pref", `${20 + i}`, "protocol", protocol, ...words];
    const action = ["action", "sample", "rate", "9", "group", "9", "index", `${50 + i}`];
    run("tc", [...line("egress"), ...action]);
    const io = fakeIo();
    assertEquals(await main(["tc", ...line("ingress"), "action", "sample", "index", `${50 + i}`], io), 0, io.errors());
    const [ours, theirs] = ["ingress", "egress"].map((side) => run("tc", ["filter", "show", "dev", "a", side, "pref", `${20 + i}`]));
    assertEquals(ageless(ours!), ageless(theirs!));
  }
  for (const options of [[], ["-s"], ["-o"], ["-j"], ["-j", "-p"]]) {
    const words = [...options, "filter", "show", "dev", "a", "ingress"];
    const io = fakeIo();
    assertEquals(await main(["tc", ...words], io), 0, io.errors());
    assertEquals(ageless(io.text()), ageless(run("tc", words)), words.join(" "));
  }
});

/** Without ages, which change every second. */
function ageless(text: string): string {
  return text.replace(/(installed|used|firstused) \d+ sec/g, "$1");
}

scene("--dry-run and real sampling consider the device: a tun has no Ethernet header", "module:tun", async () => {
  ip("link set dev lo up");
  using _tun = addTun("tun0", 110);
  const io = fakeIo();
  assertEquals(await main(["capture", "tun0", "--match", "len > 60", "--dry-run", "--direction", "ingress"], io), 0);
  assertMatch(io.text(), /bytecode '4,128 0 0 0,37 0 1 60,6 0 0 4294967295,6 0 0 0' action/);
  const out = spawnSync("sh", ["-e", "-c", io.text()], { encoding: "utf8" });
  assertEquals([out.status, out.stderr], [0, ""]);
});

scene("the longest allowed program can be listed, checked and removed, by us and by tc", async () => {
  bareWire();
  const before = tcDump("a");
  const hosts = (count: number): string =>
    `ip src host (${Array.from({ length: count }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(" or ")})`;
  let [count, tooMany] = [1, 750];
  while (tooMany - count > 1) {
    const middle = (count + tooMany) >> 1;
    if (tooLong(hosts(middle))) tooMany = middle;
    else count = middle;
  }
  assert(count > 250, `${count}`);
  const handle = await addSampling({ device: "a", rate: 1, match: hosts(count) });
  assertEquals((await listSampling()).map(({ kind, ours }) => `${kind} ${ours}`), ["bpf true", "bpf true"]);
  assertEquals((await handle.check()).map(({ verdict }) => verdict), ["good", "good"]);
  assertEquals(tcFilters(["a"]).length, 2);
  await handle.remove();
  assertEquals(tcDump("a"), before);
  const script = tcLines({ device: "a", rate: 1, group: 7 }, compileMatch([hosts(count)], "ethernet")).join("\n");
  const done = spawnSync("sh", ["-e"], { input: script, encoding: "utf8" });
  assertEquals([done.status, done.stderr], [0, ""]);
  assertEquals(tcFilters(["a"]).length, 2);
});

function tooLong(expression: string): boolean {
  try {
    compileMatch([expression], "ethernet");
    return false;
  } catch {
    return true;
  }
}

scene("killed with -9, it leaves a filter that list shows and cleanup removes", async () => {
  bareWire();
  const before = tcDump("a");
  const words = ["capture", "a", "--rate", "1", "--match", "tcp port 443", "--match", "icmp"];
  const [command] = COMMANDS;
  const filters = (): string[] => tcFilters(["a"]).map(({ filter }) => filter.kind);
  {
    await using program = new Program([...command!.words(), ...words]);
    await until(() => `it samples; so far it said ${program.err}`, () => program.err.includes("Ctrl-C ends it"));
    assertEquals(filters(), ["bpf", "bpf"]);
    const kept = await cleanUpSampling();
    assertEquals([kept.removed.length, kept.kept.map(({ reason }) => reason)], [0, ["running", "running"]]);
    program.signal("SIGKILL");
    await program.ended;
  }
  assertEquals(filters(), ["bpf", "bpf"]);
  const listed = fakeIo();
  assertEquals(await main(["list"], listed), 0);
  assertMatch(listed.text(), /a +ingress +\d+ +bpf +1\/1 .* psample \(gone\)\n/);
  const cleaned = fakeIo();
  assertEquals(await main(["cleanup"], cleaned), 0);
  assertMatch(cleaned.text(), /^removed a ingress pref \d+ .*\nremoved a egress pref \d+ .*\n$/);
  assertEquals(tcDump("a"), before);
});

scene("a pattern names existing devices, and any names those that are up", async () => {
  bareWire();
  ip("link add name eth10 type veth peer name eth11", "link set dev eth10 up", "link set dev eth11 up");
  const devices = async (...words: string[]): Promise<string[]> => {
    const io = fakeIo();
    assertEquals(await main(["capture", ...words, "--direction", "ingress", "--dry-run"], io), 0, io.errors());
    return [...io.text().matchAll(/qdisc add dev (\S+) /g)].map(([, name]) => name!).sort();
  };
  assertEquals(await devices("eth*"), ["eth10", "eth11"]);
  assertEquals(await devices("eth1[1-9]", "a"), ["a", "eth11"]);
  assertEquals(await devices("?", "a"), ["a", "b"]);
  assertEquals(await devices("any"), ["a", "b", "eth10", "eth11"]);
  const io = fakeIo();
  assertEquals(await main(["capture", "wlan*"], io), 2);
  assertMatch(io.errors(), /no device matches wlan\*: there are lo, .*eth1/);
});
