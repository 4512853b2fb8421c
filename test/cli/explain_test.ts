/** `--explain`: which part of a filter runs where. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../../cli/main.ts";
import { fakeIo } from "./fake_io.ts";

async function explained(...args: string[]): Promise<string> {
  const io = fakeIo();
  assertEquals([await main([...args, "--explain"], io), io.errors()], [0, ""]);
  assert(io.text().split("\n").every((line) => line.length < 80), io.text());
  return io.text();
}

test("--explain says what the kernel decides, what is decided here, and what that means for losses", async () => {
  const text = await explained("--filter", "tcp port 443 and inner (udp) and net 10.0.0.0/8");
  assertMatch(
    text,
    /^In the kernel, before a sample is queued \(\d+ instructions\):\n {2}tcp port 443\n {2}net 10.0.0.0\/8\nHere, sample by sample:\n {2}inner \(udp\)\n/,
  );
  assertStringIncludes(text, "losses\nshow only as socket drops");
  const [, count] = /\((\d+) instr/.exec(text)!;
  const long = await explained("--filter", "tcp port 443 and inner (udp) and net 10.0.0.0/8", "-v");
  assert(long.startsWith(text));
  assertEquals(long.match(/^\(\d{3}\) /gm)!.length, Number(count));
  assertMatch(long, /\n\(000\) ld {7}#pktlen\n/);
});

test("--explain with groups, with two filters, and when the kernel decides nothing", async () => {
  const groups = await explained("-g", "5", "-g", "7", "--filter", "group 5", "--filter", "vlan");
  assertMatch(groups, /:\n {2}group 5\n {2}vlan\n {2}group 5 or 7 \(--group\)\n/);
  assertEquals(await explained("--filter", "not vni 5"), "In the kernel: nothing of it.\nHere, sample by sample:\n  not vni 5\n");
  const capture = await explained("capture", "eth0", "--filter", "group 5");
  assert(!capture.includes("drops"), "the numbers of a group are its own");
});

test("--explain on commands that do not filter in the kernel", async () => {
  for (const args of [["read", "x.pcap"], ["demo"], ["top"]]) {
    assertMatch(await explained(...args, "--filter", "udp"), /^Here, sample by sample:\n {2}udp\n[A-Z].*\.\n$/s);
  }
});

test("--explain of a match says which classifier runs it, on which devices, why, and how it differs", async () => {
  const flower = await explained("capture", "nosuch1", "nosuch2", "--match", "ip and tcp dst port 443");
  assertEquals(
    flower,
    "Before anything is sampled, in tc on nosuch1, nosuch2:\n  protocol ip flower ip_proto tcp dst_port 443\n" +
      "One flower filter in each direction, which hardware can run.\n" +
      "Unlike the expression: the first fragment of a packet never matches: flower\nsees no ports in fragments.\n",
  );
  const exact = await explained("capture", "nosuch1", "--match", "ip and tcp dst port 443", "--hardware", "never", "--direction", "egress");
  assertMatch(
    exact,
    /bpf in egress \(\d+ instructions\), in software:\nflower differs: the first fragment [^(]*\.\n\n\(000\) ldh +\[vlanp\]\n/,
  );
  const bpf = await explained("capture", "nosuch1", "--match", "arp", "--match", "tcp port 443", "--filter", "group 5");
  const [, count] = /\((\d+) instructions\)/.exec(bpf)!;
  assertEquals(bpf.match(/^\(\d{3}\) /gm)!.length, Number(count));
  assertMatch(bpf, /flower has no "or"/);
  assertMatch(bpf, /\n\nIn the kernel, before a sample is queued/);
  assertMatch(await explained("top", "nosuch1", "--match", "vlan 5"), /802\.1Q flower vlan_id 5\n/);
  assertMatch(await explained("top", "nosuch1", "--match", "vlan 5", "--filter", "udp"), /vlan_id 5\n.*\n\nHere, sample by sample/s);
});

test("--explain without a filter, or with an invalid one, is a usage error", async () => {
  for (
    const [args, says] of [
      [["--explain"], "--explain requires --filter EXPR"],
      [["--explain", "--filter", "tcp port"], "expected a port"],
      [["capture", "eth0", "--explain"], "--explain requires --match EXPR or --filter EXPR"],
    ] as const
  ) {
    const io = fakeIo();
    assertEquals(await main(args, io), 2);
    assertStringIncludes(io.errors(), says);
  }
});
