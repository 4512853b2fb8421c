/** What `psample capture --dry-run` prints is what `psample tc` reads. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { controlText, tcLines } from "../../../cli/tc/mod.ts";
import { parseTc } from "../../../cli/tc/parse/command.ts";
import type { TcTask } from "../../../cli/tc/command.ts";
import { compileMatch } from "../../../src/filter/match.ts";
import type { Control } from "../../../src/tc/control.ts";
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from "../../../src/tc/tcmsg.ts";

const ALL = compileMatch([], "ethernet");

function read(line: string): TcTask {
  const [name, ...words] = line.match(/'[^']*'|\S+/g)!.map((word) => word.replace(/^'(.*)'$/, "$1"));
  assertEquals(name, "tc");
  const command = parseTc(words);
  if (command.kind === "usage") throw new Error(`${line}: ${command.text}`);
  assertEquals([command.device, command.tasks.length], ["v0", 1]);
  return command.tasks[0]!;
}

test("tcLines: for a device of another network namespace, as psample tc and tc accept it", () => {
  const [qdisc, filter] = tcLines({ device: "v0", rate: 1, group: 1, direction: "ingress", netns: "blue" }, ALL);
  assertEquals(qdisc, "tc -n blue qdisc add dev v0 clsact");
  const command = parseTc(filter!.split(" ").slice(1));
  assertEquals([command.netns, command.kind, command.device], ["blue", "command", "v0"]);
});

test("tcLines: every match, read by psample tc, becomes the filter that capture adds", () => {
  for (
    const match of [
      "",
      "arp",
      "ether proto 0x88b5",
      "ip src net 192.0.2.0/24 and dst host 192.0.2.1",
      "ip6 and dst net 2001:db8::/32",
      "ip and tcp dst portrange 80-90 and dst net 10.0.0.0/8 and tcp src port 1024",
      "ip and sctp src portrange 7-9 and sctp dst port 5",
      "icmp6",
      "icmp[icmptype] = icmp-echo",
      "icmp6[0] & 0xf0 = 128 and icmp6[1] = 3",
      "tcp[tcpflags] & tcp-syn != 0",
      "ip[1] & 0xfc = 0xb8 and ip[8] = 5",
      "ether src 02:00:00:00:00:01",
      "arp src host 192.0.2.1 and arp[6:2] = 1",
      "tcp port 443 or icmp",
      "not arp",
      "ip proto 47",
      "vlan 5",
      "vlan and ether proto 0x88b5",
      "vlan 4095 and ip and src host 192.0.2.1 and udp dst port 53",
      "ether[14:2] & 0xe000 = 0x6000 and ether proto 0x8100",
      "ether proto 0x88a8",
    ]
  ) {
    const compiled = compileMatch([match], "ethernet");
    const task = read(tcLines({ device: "v0", rate: 1, group: 1, direction: "ingress" }, compiled)[1]!);
    if (task.task !== "change filter") throw new Error(task.task);
    assertEquals(task.key.protocol, compiled.protocol, match);
    const { classifier } = task;
    assertEquals(classifier?.kind, compiled.kind, match);
    if (compiled.kind === "flower") {
      assertEquals(classifier?.kind === "flower" && { keys: classifier.keys }, { keys: defined(compiled.keys) }, match);
    } else if (compiled.kind === "bpf") {
      assertEquals(classifier?.kind === "bpf" && classifier.program, compiled.program, match);
    } else {
      assertEquals([compiled.kind, match], ["matchall", ""]);
    }
  }
});

/** An object without the fields that are `undefined`. */
function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

test("tcLines: a program is decimal numbers, as tc reads it", () => {
  const [, line] = tcLines({ device: "v0", rate: 1, group: 1, direction: "ingress" }, compileMatch(["len > 60"], "raw-ip"));
  const program = "4,128 0 0 0,37 0 1 60,6 0 0 4294967295,6 0 0 0";
  assertEquals(line, `tc filter add dev v0 ingress protocol all bpf bytecode '${program}' action sample rate 1 group 1 continue`);
});

test("psample tc: invalid programs, masks and addresses, and unsupported words, are refused in a sentence", () => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ["bpf bytecode 2,6,0", /length is less|instruction 0/],
    ["bpf bytecode '2,6 0 0 0'", /parsed program length is less than encoded/],
    ["bpf bytecode '1,6 0 0 0,6 0 0 0'", /real program length exceeds/],
    ["bpf bytecode '0,'", /bytecode len/],
    ["bpf bytecode '5000,6 0 0 0'", /bytecode len/],
    ["bpf bytecode '1,6 0 256 0'", /instruction 0/],
    ["bpf da bytecode '1,6 0 0 0'", /bpf da.*use tc for it/],
    ["bpf object-file x.o", /use tc for it/],
    ["bpf skip_hw", /bpf without bytecode/],
    ["flower dst_mac 02:00", /Illegal "dst_mac"/],
    ["flower src_mac 02:00:00:00:00:01/49", /Illegal "src_mac"/],
    ["flower ip_ttl 256", /Illegal "ip_ttl"/],
    ["flower type 8", /Illegal "icmp type"/],
    ["flower arp_sip 10.0.0.1", /Illegal "arp_sip"/],
    ["flower tcp_flags 2/fffff", /Illegal "tcp_flags"/],
  ];
  for (const [words, said] of refusals) {
    const line = `filter add dev v0 ingress protocol ip ${words} action sample rate 1 group 1`;
    const command = parseTc(line.match(/'[^']*'|\S+/g)!.map((word) => word.replace(/^'(.*)'$/, "$1")));
    assertEquals(command.kind === "usage" && said.test(command.text), true, `${line}: ${command.kind === "usage" && command.text}`);
  }
});

test("tcLines: the clsact, and a filter in each direction, with all options", () => {
  const cookie = new Uint8Array([0xc0, 0xff, 0xee]);
  const options = { device: "v0", rate: 100, group: 5, truncateBytes: 0, index: 7, cookie, hardware: "only", control: "pass" } as const;
  const [qdisc, ...filters] = tcLines(options, ALL).map(read);
  assertEquals(qdisc?.task === "change qdisc" && [qdisc.change, qdisc.qdisc.kind], ["add", "clsact"]);
  assertEquals(filters.map((filter) => filter.task === "change filter" && filter.key.parent), [TC_H_CLSACT_INGRESS, TC_H_CLSACT_EGRESS]);
  for (const filter of filters) {
    if (filter.task !== "change filter" || !filter.classifier) throw new Error(filter.task);
    assertEquals(filter.classifier.flags, 2);
    const [action, ...more] = filter.classifier.actions!;
    assertEquals([more, action!.cookie], [[], cookie]);
    assertEquals(action!.sample, { rate: 100, group: 5, truncateBytes: 0, index: 7, control: "pass" });
  }
});

test("tcLines: a name is always one word of the shell", () => {
  const lines = ["a;reboot", "a'b", "e\u009b\u202e"].map((device) => tcLines({ device, rate: 1, direction: "ingress" }, ALL)[0]);
  assertEquals(lines, [
    "tc qdisc add dev 'a;reboot' clsact",
    "tc qdisc add dev $'a\\x27b' clsact",
    "tc qdisc add dev $'e\\xc2\\x9b\\xe2\\x80\\xae' clsact",
  ]);
});

test("controlText: every control; those that tc has a word for are read back", () => {
  const controls: Control[] = ["continue", "drop", "pass", "reclassify", "pipe", "trap", { jump: 2 }, { gotoChain: 7 }];
  for (const control of controls) {
    const task = read(`tc filter add dev v0 ingress matchall action sample rate 1 group 1 ${controlText(control)}`);
    assertEquals(task.task === "change filter" && task.classifier?.actions?.[0]?.sample.control, control);
  }
  assertEquals((["queued", "redirect", { value: 77 }] as Control[]).map(controlText), ["queued", "redirect", "77"]);
});
