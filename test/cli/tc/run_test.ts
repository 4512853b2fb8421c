/** `psample tc` against recorded sessions of iproute2 6.1 on Linux 7.2: the same requests, output and exit status. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { runTc } from "../../../cli/tc/mod.ts";
import { ArgumentError, SystemError } from "../../../src/errors.ts";
import { AttrReader } from "../../../src/wire/attr_reader.ts";
import { toHex } from "../../../src/wire/text.ts";
import { allSessions, linkMessages, ReplayedKernel, type Session } from "../../tc/sessions.ts";

/** The status of commands that are left to tc. */
const OUTSIDE = 2;

/** Sessions in which psample tc deliberately differs: their status, and why. */
const EXCEPTIONS: readonly (readonly [pattern: RegExp, status: number, why: string])[] = [
  [/flower .*\b(cvlan_id|ip_flags|arp_sha|enc_dst_ip|indev|num_of_vlans) /, OUTSIDE, "a flower key that match has not"],
  [/filter add .* flower$/, OUTSIDE, "a filter that samples nothing"],
  [/u32 (match ether|match mark|divisor) /, OUTSIDE, "a u32 selector that match has not"],
  [/^tc actions (get|ls|flush) action nosuch/, OUTSIDE, "an action that is no sampling"],
  [/dev abcdefghijklmnop /, 1, "a name of 16 characters, which tc cuts to find another device"],
  [/dev abcdefghijklmnop$/, 1, "a name of 16 characters, which tc cuts to find another device"],
];

/** Sessions whose output contains things that this package does not decode, which it says. */
const PARTLY_DECODED = /^(tc (-s |-j -s )?filter show dev d0 ingress|tc qdisc show dev d1)$/;

async function run(session: Session): Promise<{ status: number; out: string; err: string; asked: string[] }> {
  const kernel = new ReplayedKernel(session);
  let out = "";
  let err = "";
  const io = { out: (text: string): void => void (out += text), err: (text: string): void => void (err += text) };
  const status = await runTc(session.words, io, kernel);
  return { status, out, err, asked: kernel.asked.map(comparable) };
}

/** A request as hexadecimal, without its sequence number, the attributes of flower in the order of their numbers. */
function comparable(message: Uint8Array): string {
  const bytes = message.slice();
  bytes.fill(0, 8, 12);
  const text = toHex(bytes);
  if (!text.includes(toHex(new TextEncoder().encode("flower\0")))) return text;
  const attr = AttrReader.of(bytes.subarray(36));
  const parts: string[] = [toHex(bytes.subarray(0, 36))];
  while (attr.next()) {
    const list = attr.nested();
    const inner: string[] = [];
    if (attr.type === 2) { while (list.next()) inner.push(`${list.type.toString().padStart(3, "0")}=${toHex(list.bytes())}`); }
    parts.push(`${attr.type}:${inner.length > 0 ? inner.sort().join(" ") : toHex(attr.bytes())}`);
  }
  return parts.join(" ");
}

function exceptionOf(session: Session): (typeof EXCEPTIONS)[number] | undefined {
  return EXCEPTIONS.find(([pattern]) => pattern.test(session.command));
}

const sessions = allSessions();

test("psample tc: sends what tc sends, attribute for attribute", async () => {
  let requests = 0;
  for (const session of sessions) {
    if (exceptionOf(session) || session.command.endsWith(" stolen")) continue;
    const { asked } = await run(session);
    const real = session.frames.filter((frame) => frame.request).map((frame) => comparable(frame.bytes));
    assertEquals(asked, real, session.command);
    requests += asked.length;
  }
  assert(requests > 230, `${requests}`);
});

test("psample tc: prints what tc prints, text and JSON", async () => {
  let printed = 0;
  for (const session of sessions) {
    if (session.status !== 0 || exceptionOf(session)) continue;
    const { out } = await run(session);
    if (PARTLY_DECODED.test(session.command) && ["flower", "strangers"].includes(session.file)) {
      assert(/see tc|key_\d+|"bytes":/.test(out), session.command);
      continue;
    }
    assertEquals(out, session.out, session.command);
    if (out !== "") printed++;
  }
  assert(printed > 75, `${printed}`);
});

test("psample tc: exits as tc exits", async () => {
  for (const session of sessions) {
    // tc aborts on its own JSON of u32 keys in words; "stolen" it prints and does not read.
    if (session.status < 0 || session.command.endsWith(" stolen")) continue;
    const { status } = await run(session);
    const exception = exceptionOf(session);
    assertEquals(status, exception ? exception[1] : session.status, `${session.command}: ${exception?.[2] ?? ""}`);
  }
});

test("psample tc: names the mistake as tc does, in one line", async () => {
  const words = (text: string): string => text.replace(/try "(psample )?tc.*$/i, "");
  for (const session of sessions) {
    if (session.status <= 0 || exceptionOf(session) || session.command.endsWith(" stolen")) continue;
    const [real = ""] = session.err.split("\n");
    if (/^usage:/i.test(real)) continue;
    const [ours = ""] = (await run(session)).err.split("\n");
    assert(words(ours).startsWith(words(real)), `${session.command}: ${ours}, not ${real}`);
  }
});

test("psample tc: what is not about sampling is left to tc, in one line", async () => {
  const lines = [
    "qdisc add dev d0 root fq",
    "qdisc add dev d0 root",
    "qdisc del dev d0 root",
    "qdisc replace dev d0 parent 1:1 handle 2: netem delay 1ms",
    "qdisc add dev d0 ingress_block 3 clsact",
    "qdisc link dev d0",
    "class add dev d0 parent 1: htb",
    "chain add dev d0 ingress chain 3",
    "monitor",
    "exec bpf",
    "filter add dev d0 ingress bpf da obj x.o",
    "filter add block 3 matchall action sample rate 1 group 1",
    "filter add dev d0 ingress matchall action drop",
    "filter add dev d0 ingress matchall action sample rate 1 group 1 action mirred egress mirror dev d1",
    "filter add dev d0 ingress matchall",
    "filter add dev d0 ingress u32 match u32 0 0 link 1:",
    "filter add dev d0 ingress u32 match u32 0 0 offset at 0",
    "actions add action gact drop",
    "actions list action gact",
    "-batch file",
    "-netns far qdisc show",
    "-br filter show dev d0 ingress",
  ];
  for (const line of lines) {
    let err = "";
    const requester = { request: () => Promise.resolve(linkMessages()) };
    const status = await runTc(line.split(" "), { out: () => {}, err: (text) => void (err += text) }, requester);
    assertEquals(status, OUTSIDE, line);
    assert(/^[^\n]*use tc for it\n$/.test(err), `${line}: ${err}`);
  }
});

/** Runs words against a kernel that has the recorded devices and takes everything. */
async function say(line: string): Promise<{ status: number; err: string; sent: number }> {
  let err = "";
  let sent = -1;
  const requester = {
    request: () => {
      sent++;
      return Promise.resolve(sent === 0 ? linkMessages() : []);
    },
  };
  const words = line.split(" ").filter((word) => word !== "");
  const status = await runTc(words, { out: () => {}, err: (text) => void (err += text) }, requester);
  return { status, err, sent };
}

test("psample tc: a missing device is reported at the point where iproute2 looks it up", async () => {
  const sample = "action sample rate 1 group 1";
  const missing = 'Cannot find device "nosuch"\n';
  for (
    const [line, status, err] of [
      // Mistakes before the lookup are reported first, mistakes after it not at all.
      [`filter add dev nosuch ingress pref x matchall ${sample}`, 255, 'Error: argument "x" is wrong: invalid priority value\n'],
      [`filter add dev nosuch ingress matchall bogus`, 1, missing],
      [`filter add dev nosuch ingress flower action sample rate x`, 1, missing],
      [`filter add dev nosuch ingress bpf obj x.o`, 1, missing],
      [`filter add dev nosuch ingress flower ip_proto tcp dst_port 80 ip_proto udp ${sample}`, 1, missing],
      ["filter get dev nosuch ingress pref 1 matchall", 255, "Must specify filter protocol\n"],
      ["filter get dev nosuch ingress pref 1 protocol ip matchall", 1, missing],
      ["filter show dev nosuch ingress bogus", 255, ' What is "bogus"? Try "psample tc help"\n'],
      ["filter show dev nosuch ingress", 1, missing],
      ["qdisc add dev nosuch clsact bogus", 1, 'What is "bogus"?\n'],
      ["qdisc add dev nosuch clsact", 1, missing],
      ["qdisc show dev nosuch", 1, missing],
    ] as const
  ) {
    const result = await say(line);
    assertEquals([result.status, result.err], [status, err], line);
    assert(result.sent <= 0, `${line}: ${result.sent} requests`);
  }
});

test("psample tc: combinations that make no request are refused with a message", async () => {
  const sample = "action sample rate 1 group 1 ";
  for (
    const [line, why] of [
      [`actions add ${sample.repeat(33)}`, "Too many actions: 33; the kernel accepts at most 32"],
      [`filter add dev d0 ingress matchall ${sample.repeat(40)}`, "Too many actions: 40; the kernel accepts at most 32"],
      [`actions delete ${"action sample index 5 ".repeat(5000)}`, "Too many actions: 5000; the kernel accepts at most 32"],
      [
        `filter add dev d0 ingress protocol ip flower ip_proto tcp dst_port 80 ip_proto icmp ${sample}`,
        '"ip_proto" cannot change after the ports that belong to it',
      ],
      [
        `filter add dev d0 ingress protocol ip flower ip_proto tcp src_port 80 ip_proto udp ${sample}`,
        '"ip_proto" cannot change after the ports that belong to it',
      ],
    ] as const
  ) {
    const { status, err } = await say(line);
    assertEquals([status, err], [OUTSIDE, `${why}\n`], line.slice(0, 200));
  }
  assertEquals((await say(`actions add ${sample.repeat(32)}`)).status, 0);
});

test("psample tc: words that iproute2 accepts and ignores are not lost", async () => {
  for (
    const [line, why] of [
      ["actions flush action sample index 5", 'What is "index"?'],
      ["actions flush action sample since 5", 'What is "since"?'],
      ["actions list action sample index 5", 'What is "index"?'],
      ["actions list action sample since 5 more", 'What is "more"?'],
      ["filter show dev d0 ingress handle 1", '"handle" selects nothing in a list, try "psample tc filter get"'],
      ["qdisc add dev d0 handle 5: clsact", 'Error: argument "5:" is wrong: the handle of clsact is ffff:'],
      ["qdisc add dev d0 ingress handle 5:", 'Error: argument "5:" is wrong: the handle of ingress is ffff:'],
      ["qdisc add dev d0 ingress handle x", 'Error: argument "x" is wrong: invalid qdisc ID'],
    ] as const
  ) {
    const { status, err } = await say(line);
    assertEquals([status, err], [255, `${why}\n`], line);
  }
});

test("psample tc: mistakes are reported without opening a socket", async () => {
  for (
    const line of ["filter add dev d0 ingress pref x matchall", "qdisc frob", "actions add action sample rate 1", "help", "", "filter help"]
  ) {
    let opened = false;
    await runTc(line.split(" ").filter((word) => word !== ""), { out: () => {}, err: () => {} }, () => {
      opened = true;
      throw new ArgumentError("opened");
    });
    assert(!opened, line);
  }
});

test("psample tc: -n and similar options name the network namespace of the socket, before anything else is read", async () => {
  const opened: (string | undefined)[] = [];
  const ask = async (line: string, fail?: Error): Promise<{ status: number; err: string }> => {
    let err = "";
    const io = { out: () => {}, err: (text: string) => void (err += text) };
    const status = await runTc(line.split(" "), io, (netns) => {
      opened.push(netns);
      if (fail) throw fail;
      let asked = 0;
      return { request: () => Promise.resolve(asked++ === 0 ? linkMessages() : []) };
    });
    return { status, err };
  };
  for (const option of ["-n", "-net", "-netns", "--netns"]) {
    assertEquals(await ask(`-s ${option} far -d qdisc show dev d0`), { status: 0, err: "" }, option);
  }
  assertEquals(opened, ["far", "far", "far", "far"]);
  await ask("qdisc show dev d0");
  assertEquals(opened.at(-1), undefined);

  const refusal = new SystemError("enter the network namespace nosuch", 2);
  for (const line of ["-n nosuch qdisc show", "-n nosuch", "-n nosuch frob"]) {
    assertEquals(await ask(line, refusal), { status: 255, err: `${refusal.message}\n` }, line);
  }
  assertEquals((await ask("-n")).err, 'Command line is not complete. Try option "help"\n');
});

test("psample tc: the control stolen is sent, though tc has no word for it", async () => {
  const sent: Uint8Array[] = [];
  const requester = {
    request: (bytes: Uint8Array<ArrayBuffer>) => {
      sent.push(bytes);
      return Promise.resolve([]);
    },
  };
  const status = await runTc(
    "actions add action sample rate 7 group 8 stolen index 9".split(" "),
    { out: () => {}, err: () => {} },
    requester,
  );
  assertEquals(status, 0);
  assert(toHex(sent[0]!).includes("09000000" + "00000000" + "04000000"));
});

test("psample tc: u32 keys in words are valid JSON with -json -pretty", async () => {
  const session = sessions.find((one) => one.status < 0)!;
  const { status, out } = await run(session);
  assertEquals(status, 0);
  assertEquals(JSON.parse(out)[2].options.match, { dport: 80 });
});
