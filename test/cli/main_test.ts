import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { CSV_DEFAULT_FIELDS } from "../../src/format/csv.ts";
import { DEMO_FAMILY, DEMO_MESSAGES } from "../../cli/demo_messages.ts";
import { main } from "../../cli/main.ts";
import { VERSION } from "../../cli/version.ts";
import { NetlinkError } from "../../mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { fromHex } from "../../src/wire/text.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";
import { messageOf } from "../../src/wire/message.ts";

const GOLDEN = new URL("../golden/", import.meta.url).pathname;

async function run(args: string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(args, io) });
}

const demoEntries = DEMO_MESSAGES.map((hex) => viewMessage(messageOf(fromHex(hex)!))!);
/** Only the samples of a tunnel device, and all group events. */
const TUNNEL = ["--filter", "group 9"];
const demoSamples = demoEntries.filter((entry) => entry.type === "sample").length;

test("every command has help with an example, and --help ends with 0", async () => {
  const overview = await run(["--help"]);
  assertEquals(overview.status, 0);
  const statuses = /\nExit status: 0 success, 1 something was not done \(the error is on standard\s+error\), 2 usage\s+error/;
  assertMatch(overview.text(), new RegExp(`${statuses.source}, 3 if samples were lost`));
  assertMatch((await run(["help", "export"])).text(), statuses);
  // Its statuses are those of iproute2's tc.
  assertNotMatch((await run(["help", "tc"])).text(), statuses);
  const names = [...overview.text().matchAll(/^ {2}psample ([a-z]+) {2,}\S/gm)].map((match) => match[1]!);
  assertEquals(names, ["capture", "top", "export", "read", "inject", "list", "doctor", "demo", "cleanup", "extcap", "tc", "completions"]);
  for (const name of names) {
    for (const args of [[name, "--help"], ["help", name]]) {
      const help = await run(args);
      assertEquals([help.status, help.errors()], [0, ""], name);
      assertStringIncludes(help.text(), "Examples:\n  ", name);
      assertStringIncludes(help.text(), `psample ${name}`);
      // A terminal of 80 columns shows all of it.
      const wide = help.text().split("\n").filter((line) => line.length >= 80);
      assertEquals(wide, [], name);
    }
  }
});

test("the help of tc fits a terminal too", async () => {
  const { text, errors } = await run(["tc", "help"]);
  const help = text() + errors();
  assertStringIncludes(help, "Usage: psample tc ");
  assertEquals(help.split("\n").filter((line) => line.length >= 80), []);
});

test("--version prints the version of deno.json", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8"));
  assertEquals(VERSION, version);
  assertEquals((await run(["--version"])).text(), `psample ${version}\n`);
});

test("a usage error has status 2, says why and where help is, and prints nothing else", async () => {
  const wrong: [string[], RegExp][] = [
    [["--jsn"], /unknown option --jsn; the nearest is --json/],
    [["rede"], /unknown command "rede"; the nearest is read/],
    [["-g", "4294967296"], /--group is "4294967296"/],
    [["-g", "x"], /--group is "x"/],
    [["--count", "0"], /--count is "0"/],
    [["--duration", "soon"], /--duration is "soon"/],
    [["--json", "--text"], /mutually exclusive/],
    [["-w", "-", "--json"], /no other output can go there/],
    [["read"], /missing FILE/],
    [["read", ""], /FILE is empty/],
    [["read", "a", "b"], /unexpected argument "b"/],
    [["read", "--family-id", "3", "a"], /--family-id is "3"/],
    [["help", "foo"], /unknown topic "foo"\n/],
    [[""], /^psample: the command is an empty argument: psample --help lists the commands\n/],
    [["demo", "--csv", "--fields", "a,b"], /^psample: --fields: unknown column "a" \(psample help fields lists them\)\n/],
    [["demo", "--filter", ""], /^psample: --filter was given an empty value: expected EXPR\n/],
    [["help", "--cuont"], /unknown topic "cuont"; the nearest is count/],
    [["top", "--by", "foo", "x.pcap"], /^psample: --by: unknown key "foo" \(psample help by lists the keys\)\n/],
    [["--buffer", "10T"], /--buffer is "10T": expected a number of bytes from 1 to \d+, or a size such as 4MB\n/],
    [["help", "captrue"], /unknown topic "captrue"; the nearest is capture/],
    [["demo", "x"], /unexpected argument "x"/],
    [["demo", "--loop", "0"], /--loop is "0": expected a whole number from 1/],
    [["capture"], /missing DEVICE/],
    [["capture", "eth0", "eth0", "--rate", "5"], /the same device was given twice: eth0\n/],
    [["capture", "eth0", "-i", "eth0"], /the same device was given twice/],
    [["capture", "eth0", "--rate", "0"], /--rate is "0"/],
    [["capture", "eth0", "--rate", "5", "--direction", "up"], /--direction is "up"/],
    [["capture", "eth0", "--rate", "5", "--cookie", "abc"], /--cookie is "abc"/],
    [["capture", "eth0", "--rate", "5", "--match", "host web1"], /--match: .*names are not looked up/],
    [["capture", "eth0", "--match", "ip proto tcp dport 80"], /--match: use dst port\n {2}ip proto tcp dport 80\n {15}\^~~~~\n/],
    [["capture", "eth0", "--match", "arp", "--match", "group 5"], /--match: only samples have this.*\n.*\n.*\n--filter takes it/],
    [["capture", "eth0", "--match", "vni 42"], /--match: the kernel cannot look for a tunnel.*\n.*\n.*\n--filter takes it/],
    [["capture", "nosuch*"], /no device matches nosuch\*: there are .*lo/],
    [["capture", "eth0", "--control", "jump"], /--control is "jump": expected continue, pass, /],
    [["capture", "eth0", "--control", "goto chain 268435456"], /--control is "268435456": expected a whole number from 0 to 268435455/],
    [["capture", "eth0", "--index", "5", "--group", "6"], /--index without --rate shares an existing action: --group cannot change it/],
    [["capture", "any", "eth0"], /any means every device/],
    // What people type out of habit.
    [["-c5"], /-c takes no value, but "5" was given: to stop after 5 samples, --count 5/],
    [["-c", "5"], /-c takes no value: to stop after 5 samples, --count 5/],
    [["-s", "96"], /-s takes no value: to truncate packets, psample capture DEVICE --trunc 96/],
    [["--no-config=false"], /--no-config takes no value, but "false" was given\n/],
    [["-l5"], /-l takes no value, but "5" was given/],
    [["-v5"], /-v takes no value, but "5" was given/],
    [["--json=x"], /--json takes no value, but "x" was given/],
    [["-i", "eth0"], /unknown option -i: psample capture DEVICE/],
    [["-r", "x.pcap"], /unknown option -r: psample read FILE/],
    [["-e"], /unknown option -e: --details/],
    [["-tttt"], /unknown option -t in -tttt: the text always has the time/],
    [["read", "-s", "96", "x.pcap"], /unknown option -s: psample capture --trunc/],
    [["eth0"], /unknown command "eth0": to sample a device of that name, psample capture eth0/],
    [["tc0"], /unknown command "tc0": to sample a device of that name, psample capture tc0/],
    [["x.pcap"], /unknown command "x.pcap": to print a recording, psample read x.pcap/],
    [["-"], /unknown command "-": to print a recording, psample read -/],
    [["monitor"], /unknown command "monitor": did you mean psample without a command\?/],
    [["record"], /unknown command "record": did you mean psample -w FILE, or psample capture DEVICE -w FILE\?/],
    [["--json", "read", "x.pcap"], /the command comes first: psample read --json x.pcap/],
    [["-v", "--rate", "5", "capture", "eth0"], /the command comes first: psample capture -v --rate 5 eth0/],
    [["capture", "eth0", "tcp", "port", "443"], /did you mean --filter 'tcp port 443'\?/],
    [["capture", "-i", "eth0", "-c", "5", "lo", "udp"], /did you mean --filter 'udp'\?/],
    [["capture", "x.pcap"], /"x.pcap" is a file, not a device: to print a recording, psample read x.pcap/],
    [["capture", "-r", "x.pcap"], /--rate is "x.pcap"/],
    [["capture", "eth0", "-r", "x.pcap"], /--rate is "x.pcap", which is not a number: to print a recording, psample read x.pcap/],
    [["read", "-r", "x.pcap", "tcp", "port", "443"], /did you mean --filter 'tcp port 443'\?/],
    [["read", "x.pcap", "host", "192.0.2.1"], /did you mean --filter 'host 192.0.2.1'\?/],
    [["read", "-r", "x.pcap", "y.pcap"], /unexpected argument "y.pcap"/],
    [["read", "-tttttt", "x.pcap"], /--times was given 6 times, but at most 5 times make sense/],
    [["demo", "-e", "--json"], /--link-level applies to lines about packets: it requires --packets, without --json/],
    [["--times"], /--times applies to lines about packets: it requires --packets, without --text/],
    [["demo", "--color", "yes"], /--color is "yes": expected auto, always or never/],
  ];
  for (const [args, why] of wrong) {
    const result = await run(args);
    assertEquals(result.status, 2, args.join(" "));
    assertEquals(result.text(), "", args.join(" "));
    assertMatch(result.errors(), why);
    assertMatch(result.errors(), /\nTry: psample .*--help\n$/);
  }
});

test("--netns: every command that queries the kernel has it, and an impossible name is a usage error", async () => {
  for (const command of [[], ["capture", "eth0"], ["top"], ["list"], ["doctor"], ["cleanup"]]) {
    assertStringIncludes((await run([...command.slice(0, 1), "--help"])).text(), "--netns NAME", command.join(" "));
    const { status, errors } = await run([...command, "--netns", ".."]);
    assertEquals(status, 2);
    assertStringIncludes(errors(), 'psample: --netns is "..": expected a name as ip netns lists them, or a path such as /proc/PID/ns/net');
    assertEquals((await run([...command, "--netns", ""])).status, 2);
  }
  assertStringIncludes((await run(["help", "netns"])).text(), "CAP_SYS_ADMIN");
  assertStringIncludes((await run(["tc", "--help"])).text(), "--netns NAME");
  const dry = await run(["capture", "v0", "--dry-run", "--direction", "egress", "--netns", "/proc/17/ns/net"]);
  assertStringIncludes(
    dry.text(),
    "nsenter -n/proc/17/ns/net tc qdisc add dev v0 clsact\nnsenter -n/proc/17/ns/net tc filter add dev v0 egress ",
  );
});

test("--netns: a namespace that does not exist is one sentence, and status 1", async () => {
  for (const command of [[], ["-l"], ["capture", "eth0"], ["top"], ["list"], ["doctor"], ["cleanup"]]) {
    const { status, text, errors } = await run([...command, "--netns", "no-such-psample"]);
    assertEquals([status, text()], [1, ""], command.join(" "));
    assertMatch(
      errors(),
      /^psample: Cannot enter the network namespace no-such-psample: no such file or directory \(ENOENT\)\. .*ip netns lists.*\n$/,
    );
  }
});

test("the pairs that libpsample's tool refuses are refused", async () => {
  const pairs = [
    ["-m", "-l"],
    ["-m", "-w", "f"],
    ["-l", "-w", "f"],
    ["-c", "-s"],
    ["-l", "-c"],
    ["-l", "-s"],
    ["-w", "f", "-c"],
    ["-w", "f", "-s"],
    ["-w", "f", "-v"],
    ["-w", "f", "-g", "5"],
  ];
  for (const args of pairs) {
    const result = await run(args);
    assertEquals([result.status, result.text(), result.files.size], [2, "", 0], args.join(" "));
    assertMatch(result.errors(), /mutually exclusive/);
  }
});

test("demo prints a line about each packet, and then the summary", async () => {
  const result = await run(["demo"]);
  assertEquals([result.status, result.text()], [0, (await run(["demo", "--packets"])).text()]);
  const lines = result.text().split("\n").slice(0, -1);
  assertEquals(lines.filter((line) => /^\d\d:\d\d:\d\d\.\d{6} \S+ +[<>] /.test(line)).length, demoSamples);
  assertMatch(result.errors(), new RegExp(`received ${demoSamples} samples; 2 group events; lost 0`));
});

test("demo --text prints a line for each recorded message, as libpsample's tool does", async () => {
  const result = await run(["demo", "--text"]);
  assertEquals(result.status, 0);
  const lines = result.text().split("\n").slice(0, -1);
  assertEquals(lines.length, DEMO_MESSAGES.length);
  demoEntries.forEach((entry, i) => {
    const start = entry.type === "sample"
      ? `group ${entry.group} `
      : `${entry.type === "group-created" ? "created" : "deleted"} group ${entry.group} `;
    assert(lines[i]!.startsWith(start), lines[i]);
    assert(lines[i]!.endsWith(" "), "libpsample's trailing blank");
  });
  assertMatch(result.errors(), new RegExp(`received ${demoSamples} samples; 2 group events; lost 0`));
});

test("demo --json prints what the library decodes", async () => {
  const result = await run(["demo", "--json", "--quiet"]);
  assertEquals(result.errors(), "");
  const objects = result.text().trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(objects, JSON.parse(JSON.stringify(demoEntries)));
});

test("demo --packets prints a line for each packet, at a terminal in 80 columns", async () => {
  const UDP = " 192.0.2.2.4000 > 192.0.2.1.5000: UDP";
  const [, rate, line] = (await run(["demo", ...TUNNEL, "--packets", "-q", "--count", "1"])).text().split("\n");
  assertEquals(rate, "group 9: 1/1");
  assertMatch(line!, /^\d\d:\d\d:\d\d\.\d{6} /);
  assertEquals(line!.slice(15), ` tun0     <   128${UDP}, length 100`);
  const narrow = await run(["demo", ...TUNNEL, "--packets", "-q", "--count", "1"], { outIsTerminal: true });
  assert(narrow.text().split("\n")[2]!.endsWith(UDP), narrow.text());
  const whole = await run(["demo", ...TUNNEL, "--packets", "--details", "-q", "--count", "1"], { outIsTerminal: true });
  assert(whole.text().split("\n")[2]!.endsWith(`${UDP}, length 100`), whole.text());
});

test("demo accepts tcpdump's letters: -t, -tt, -tttt, -e, -n, -c, -x, -X", async () => {
  const line = async (...args: string[]): Promise<string> => {
    const { status, text, errors } = await run(["demo", ...TUNNEL, "-q", "-c", "1", ...args], { outIsTerminal: true });
    assertEquals([status, errors()], [0, ""]);
    return text().split("\n")[2]!;
  };
  const udp = "192.0.2.2.4000 > 192.0.2.1.5000: UDP";
  assertEquals(await line("-tn"), `tun0     <   128 ${udp}, length 100`);
  assertMatch(await line("-tt"), /^1\d{9}\.\d{6} tun0 /);
  assertMatch(await line("-tttt"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} tun0 /);
  // What is sampled of a tunnel device has no link-layer header.
  assert((await line("-e")).endsWith(`${udp}, length 100`));
  for (const letter of ["-x", "-X", "-v"]) {
    assertMatch((await run(["demo", ...TUNNEL, "-q", "-c", "1", letter])).text(), /UDP.*\ndata len 128\n0x0000: /);
  }
});

test("--color always colours lines, also in a file; auto only if the terminal has colours", async () => {
  const has = async (options: FakeIoOptions, ...args: string[]): Promise<boolean> =>
    (await run(["demo", "-q", "-c", "1", ...args], options)).text().includes("\x1b[");
  assertEquals(await has({ outIsTerminal: true, hasColors: true }), true);
  assertEquals(await has({ outIsTerminal: true, hasColors: true }, "--color", "never"), false);
  assertEquals(await has({ outIsTerminal: true }), false);
  assertEquals(await has({}), false);
  assertEquals(await has({}, "--color=always"), true);
});

test("demo --json --details adds when, where and in which direction; --csv prints columns", async () => {
  const json = await run(["demo", ...TUNNEL, "--json", "--details", "-q", "--count", "1"]);
  const [, sample] = json.text().trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals([sample.device, sample.direction, sample.protocolName], ["tun0", "in", "ipv4"]);
  const csv = await run(["demo", ...TUNNEL, "--csv", "-q", "--count", "2"]);
  const lines = csv.text().split("\r\n");
  assertEquals([lines[0], lines.length], [CSV_DEFAULT_FIELDS.join(","), 4]);
  assertMatch(lines[1]!, /^2026-\d\d-\d\dT[\d:.]+Z,tun0,in,128,ipv4,192\.0\.2\.2,4000,192\.0\.2\.1,5000,udp,,1$/);
  const chosen = await run(["demo", ...TUNNEL, "--csv", "--fields", "group,device", "-q", "--count", "1"]);
  assertEquals(chosen.text(), "group,device\r\n9,tun0\r\n");
  for (
    const [args, why] of [
      [["--csv", "--fields", "gruop"], /--fields: unknown column "gruop"; the nearest is group/],
      [["--csv", "--fields", "time"], /--fields: unknown column "time"; did you mean at\? \(psample help fields lists them\)/],
      [["--csv", "--fields", "group,"], /--fields: unknown column ""/],
      [["--fields", "group"], /--fields requires --csv/],
      [["--csv", "--json"], /--json and --csv are mutually exclusive/],
      [["--text", "--packets"], /--packets and --text are mutually exclusive/],
    ] as const
  ) {
    const wrong = await run(["demo", ...args]);
    assertEquals([wrong.status, wrong.text()], [2, ""]);
    assertMatch(wrong.errors(), why);
  }
});

test("demo --count stops after as many samples, events not counted", async () => {
  const result = await run(["demo", "--text", "--count", "3"]);
  assertEquals(result.status, 0);
  const lines = result.text().trimEnd().split("\n");
  assertEquals(lines.filter((line) => line.startsWith("group ")).length, 3);
});

test("demo -w makes a recording that read prints again", async () => {
  const written = await run(["demo", "-w", "demo", "--format", "netlink"]);
  assertEquals([written.status, written.text()], [0, ""]);
  const read = await run(["read", "--json", "demo"], { input: { demo: written.files.get("demo")! } });
  assertEquals(read.status, 0);
  assertEquals(read.text().trimEnd().split("\n").map((line) => JSON.parse(line)), JSON.parse(JSON.stringify(demoEntries)));
  const piped = await run(["demo", "-w", "-", "--format", "netlink"]);
  assertEquals(piped.bytes().length, written.files.get("demo")!.length);
  assertEquals((await run(["read", "--json", "-"], { input: { "-": piped.bytes() } })).text(), read.text());
});

test("the demo's times go forward", () => {
  const times = demoEntries.flatMap((entry) => entry.type === "sample" ? [entry.timestampNs!] : []);
  assertEquals(times.length, demoSamples);
  for (const [i, time] of times.entries()) assert(i === 0 || time > times[i - 1]!, `${time} is not after ${times[i - 1]}`);
});

test("demo -w FILE.pcap says before it writes what does, if there are packets of two link types", async () => {
  const two = await run(["demo", "-w", "demo.pcap"]);
  assertEquals([two.status, two.text(), two.files.size], [2, "", 0]);
  assertMatch(
    two.errors(),
    /a pcap file can have only one link type\. psample demo -w demo\.pcapng writes all, --filter 'not group 9' leaves out those of the tunnel/,
  );
  for (const only of [["--filter", "not group 9"], TUNNEL, ["--count", "3"], ["--format", "pcapng"], ["--format", "netlink"]]) {
    const one = await run(["demo", "-w", "demo.pcap", ...only]);
    assertEquals([one.status, one.files.get("demo.pcap")!.length > 100], [0, true], one.errors());
  }
});

test("-w also prints text if asked to", async () => {
  const result = await run(["demo", "-w", "demo.pcapng", "--text"]);
  assertEquals(result.text().trimEnd().split("\n").length, DEMO_MESSAGES.length);
  assert(result.files.get("demo.pcapng")!.length > 1000);
});

test("-w FILE.pcap refuses a second link type with the cure, and keeps printing", async () => {
  const { files } = await run(["demo", "-q", "-w", "two", "--format", "netlink"]);
  const result = await run(["read", "-w", "demo.pcap", "--text", "two"], { input: { two: files.get("two")! } });
  assertEquals([result.status, result.text().trimEnd().split("\n").length], [1, DEMO_MESSAGES.length]);
  assertMatch(result.errors(), /psample: Cannot record .*: a pcap file has one link type\. .*\.pcapng/);
});

test("a word that is the value of an option is no command", async () => {
  const recorded = await run(["demo", "-q", "-w", "read"]);
  assertEquals([recorded.status, [...recorded.files.keys()]], [0, ["read"]]);
  // Without a command it would start to monitor, and report the missing privilege or family.
  const { errors } = await run(["-w", "read", "--user", "list", "-g", "x"]);
  assertMatch(errors(), /--group is "x"/);
});

test("/dev/stdin and /dev/stdout are the standard streams", async () => {
  const { bytes } = await run(["demo", "-q", "-w", "/dev/stdout"]);
  const read = await run(["read", "-q", "/dev/stdin"], { input: { "-": bytes() } });
  assertEquals([read.status, read.text()], [0, (await run(["demo", "-q"])).text()]);
});

test("-w - refuses a terminal", async () => {
  const result = await run(["demo", "-w", "-"], { outIsTerminal: true });
  assertEquals([result.status, result.text()], [2, ""]);
  assertMatch(result.errors(), /standard output is a terminal/);
});

test("read takes a recording in pieces of any size", async () => {
  const whole = await run(["read", `${GOLDEN}groups.new.pcap`]);
  assertEquals(whole.status, 0);
  assertMatch(whole.text(), /^created group 101 with current seq 0 \n/);
  for (const pieceBytes of [1, 7, 1000]) {
    assertEquals((await run(["read", `${GOLDEN}groups.new.pcap`], { pieceBytes })).text(), whole.text());
  }
});

test("read -g keeps the given groups", async () => {
  const result = await run(["read", "--text", "-g", "101", "-g", "4294967295", `${GOLDEN}groups.new.pcap`]);
  const groups = new Set(result.text().trimEnd().split("\n").map((line) => /group (\d+)/.exec(line)![1]));
  assertEquals(groups, new Set(["101", "4294967295"]));
  assertMatch(result.errors(), /of other groups/);
});

test("read prints everything before a cut, then the error, and ends with 1", async () => {
  const bytes = new Uint8Array(readFileSync(`${GOLDEN}ingress.new.pcap`));
  const whole = (await run(["read", `${GOLDEN}ingress.new.pcap`])).text();
  const cut = await run(["read", "-"], { input: { "-": bytes.subarray(0, bytes.length - 10) } });
  assertEquals(cut.status, 1);
  assertEquals(cut.text(), whole.split("\n").slice(0, -2).join("\n") + "\n");
  assertMatch(cut.errors(), /cut off/);
});

test("read shows progress on a terminal only", async () => {
  const quiet = await run(["read", `${GOLDEN}ingress.new.pcap`]);
  assert(!quiet.errors().includes("%"));
});

test("a missing file is one sentence and status 1", async () => {
  const result = await run(["read", "/nonexistent/file.pcap"]);
  assertEquals([result.status, result.text()], [1, ""]);
  assertMatch(result.errors(), /^psample: ENOENT.*\n$/);
  assertMatch((await run(["read", "eth0"])).errors(), /to sample a device of that name, psample capture eth0\n$/);
});

test("a failed start leaves an old recording unchanged", async () => {
  const io = fakeIo();
  io.files.set("old.pcap", new TextEncoder().encode("precious"));
  assertEquals(await main(["read", "/nonexistent/file.pcap", "-w", "old.pcap"], io), 1);
  assertEquals(new TextDecoder().decode(io.files.get("old.pcap")), "precious");
});

test("a reader that closes the pipe ends the command quietly, a full disk does not", async () => {
  const gone = await run(["demo"], {
    onWrite: () => {
      throw new NetlinkError("write the output", 32);
    },
  });
  assertEquals(gone.status, 0);
  assert(!gone.errors().includes("Cannot"));
  const full = await run(["demo"], {
    onWrite: () => {
      throw new NetlinkError("write the output", 28);
    },
  });
  assertEquals(full.status, 1);
  assertMatch(full.errors(), /no space left on device/);
});

test("a signal ends the command with its summary", async () => {
  const io = fakeIo();
  const running = main(["demo", "--loop", "1000000"], io);
  while (io.text() === "") await new Promise((resolve) => setTimeout(resolve, 5));
  assert(io.signal("SIGINT"));
  assertEquals(await running, 0);
  assertMatch(io.errors(), /psample: received \d+ samples/);
});

test("a second signal ends the command even if nobody reads its output", async () => {
  let writing = false;
  const io = fakeIo({
    onWrite: () => {
      writing = true;
      return 0;
    },
  });
  const running = main(["demo", "--loop", "1000"], io);
  while (!writing) await new Promise((resolve) => setTimeout(resolve, 5));
  io.signal("SIGINT");
  io.signal("SIGINT");
  assertEquals(await running, 1);
  assertMatch(io.errors(), /psample: standard output is incomplete: its reader did not take everything in time\n/);
  assertMatch(io.errors(), /received \d+ samples, 0 of them printed or recorded/);
});

test("capture --dry-run prints tc lines and touches nothing", async () => {
  const args = [
    "capture",
    "eth0",
    "--rate",
    "100",
    "--dry-run",
    "--match",
    "ip and tcp dst portrange 80-90 and dst net 10.0.0.0/8",
    "--trunc",
    "64",
    "--group",
    "5",
  ];
  const result = await run(args);
  assertEquals(result.status, 0);
  const filter = "flower ip_proto tcp dst_ip 10.0.0.0/8 dst_port 80-90 action sample rate 100 group 5 trunc 64 continue";
  assertEquals(result.text().split("\n"), [
    "tc qdisc add dev eth0 clsact",
    `tc filter add dev eth0 ingress protocol ip ${filter}`,
    `tc filter add dev eth0 egress protocol ip ${filter}`,
    "",
  ]);
});

test("the demo's messages have the family number that it names", () => {
  for (const hex of DEMO_MESSAGES) assertEquals(new DataView(fromHex(hex)!.buffer).getUint16(4, true), DEMO_FAMILY);
});
