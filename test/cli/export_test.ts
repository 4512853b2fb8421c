import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseDevice, rateOf, withRates } from "../../cli/export_rates.ts";
import { processIo } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";
import { UsageError } from "../../cli/options.ts";
import { decodeDatagram, headerOf, recordOf } from "../export/sflow/decoder.ts";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { FakeSys } from "../fake_sys.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { type FakeIo, fakeIo } from "./fake_io.ts";

async function run(...args: string[]): Promise<FakeIo & { status: number }> {
  const io = fakeIo();
  return Object.assign(io, { status: await main(["export", ...args], io) });
}

test("a wrong call of export ends with 2 and says why", async () => {
  const wrong: [string[], RegExp][] = [
    [[], /nowhere to export to: give --sflow HOST, --ipfix HOST, --prometheus PORT or --otlp URL\n/],
    [["eth0"], /nowhere to export to/],
    [["--sflow", "192.0.2"], /--sflow is "192.0.2": "192.0.2" is not an IPv4 address/],
    [["--sflow", "192.0.2.9:0"], /--sflow is "192.0.2.9:0": the port "0" is not a number from 1 to 65535/],
    [["--ipfix", "2001:db8::9"], /--ipfix is "2001:db8::9": an IPv6 address must be in brackets, as in \[2001:db8::9\]/],
    [["--ipfix", "fe80::9%eth0"], /must be in brackets/],
    [["--ipfix", "[fe80::9]"], /a link-local address needs its interface: \[fe80::9%eth0\]/],
    [["--sflow", "192.0.2.9", "--sflow", "192.0.2.9"], /--sflow 192.0.2.9 was given twice/],
    [["--sflow", "192.0.2.9", "--sflow", "udp:192.0.2.9"], /--sflow udp:192.0.2.9 was given twice/],
    [["--sflow", "[2001:db8::9]:6343", "--sflow", "[2001:db8:0::9]"], /--sflow \[2001:db8:0::9\] was given twice/],
    [
      ["--sflow", "192.0.2.9", "--sflow", "192.0.2.9:6343"],
      /--sflow 192.0.2.9:6343 was given twice: 192.0.2.9 is the same collector\n/,
    ],
    [["--ipfix", "192.0.2.9", "--ipfix", "udp:192.0.2.9"], /--ipfix udp:192.0.2.9 was given twice: 192.0.2.9 is the same collector/],
    [["--ipfix", "TCP:a.example", "--ipfix", "tcp:A.example.:4739"], /--ipfix tcp:A.example.:4739 was given twice: TCP:a.example is/],
    [["--ipfix", "[2001:db8::9]", "--ipfix", "[2001:DB8:0:0::9]:4739"], /was given twice: \[2001:db8::9\] is the same collector/],
    [["--sflow", "TCP:192.0.2.9"], /sFlow is sent by UDP only/],
    [["--prometheus", ":9410"], /--prometheus is ":9410": there is no address before the colon: 9410 alone is 127.0.0.1/],
    [
      ["--sflow", "192.0.2.9", "--agent", "192.0.2.1:6343"],
      /--agent is "192.0.2.1:6343": expected an IPv4 or IPv6 address of this machine/,
    ],
    [["--sflow", "192.0.2.9", "--agent", "0.0.0.0"], /--agent is "0.0.0.0"/],
    [["--sflow", "192.0.2.9", "--agent-for", "192.0.2.1"], /--agent-for is "192.0.2.1": expected an nsid and an address/],
    [["--sflow", "192.0.2.9", "--agent-for", "1=192.0.2.1", "--agent-for", "1=192.0.2.2"], /--agent-for was given twice for nsid 1/],
    [["--sflow", "192.0.2.9", "--agent", "192.0.2.1", "--agent-for", "1=192.0.2.1", "--check"], /192.0.2.1 is the agent address of two/],
    [["--sflow", "192.0.2.9", "--agent", "192.0.2.1", "--header", "1400", "--check"], /--header 1400 is not a whole number from 0 to \d+/],
    [["--sflow", "192.0.2.9", "--max-datagram", "511"], /--max-datagram is "511"/],
    [["--ipfix", "192.0.2.9", "--domain", "0"], /--domain is "0"/],
    [
      ["--ipfix", "192.0.2.9", "--template-refresh", "10ms", "--check"],
      /--template-refresh in milliseconds 10 is not a whole number from 100/,
    ],
    [["--prometheus", "eth0"], /--prometheus is "eth0": the port "eth0" is not a number from 0 to 65535/],
    [["--prometheus", "::1"], /--prometheus is "::1": an IPv6 address must be in brackets/],
    [["--prometheus", "name:9410"], /--prometheus is "name:9410": "name" is not an IPv4 address/],
    [["--prometheus", "1", "--prometheus-host", "a:1"], /--prometheus-host is "a:1": expected the name of a host, without a port/],
    [["--sflow", "192.0.2.9", "--top", "3"], /--top requires --prometheus/],
    [["--prometheus", "1", "--by", "device"], /--by requires --top/],
    [["--prometheus", "1", "--top", "3", "--by", "devise"], /--by: .*the nearest is device/],
    [["--prometheus", "1", "--top", "1001"], /--top is "1001": expected a whole number from 1 to 1000/],
    [["--ipfix", "192.0.2.9", "--agent", "192.0.2.1"], /--agent requires --sflow/],
    [["--ipfix", "192.0.2.9", "--drops"], /--drops requires --sflow: the other protocols have no form for discarded packets/],
    [["--sflow", "192.0.2.9", "--drop-limit", "7"], /--drop-limit requires --drops/],
    [["--sflow", "192.0.2.9", "--drops", "--drop-limit", "5001"], /--drop-limit is "5001": expected a whole number from 1 to 5000/],
    [["--sflow", "192.0.2.9", "--domain", "7"], /--domain requires --ipfix/],
    [["--sflow", "192.0.2.9", "--flows"], /--flows requires --ipfix/],
    [["--ipfix", "192.0.2.9", "--counters", "all"], /--counters requires --sflow/],
    [["--prometheus", "0", "--polling", "10s"], /--polling requires --sflow/],
    [["--sflow", "192.0.2.9", "--polling", "999ms"], /--polling is "999ms": expected a time from 1s on, or 0/],
    [
      ["--sflow", "192.0.2.9", "--counters", "all", "--polling", "0"],
      /--polling 0 sends no counters: it cannot be combined with --counters/,
    ],
    [["--sflow", "192.0.2.9", "--counters", "eth[z-a]"], /eth\[z-a\] is not a valid pattern/],
    [["--ipfix", "192.0.2.9", "--psamp", "lax"], /--psamp is "lax": expected basic or strict/],
    [["--ipfix", "192.0.2.9", "--flows", "--enterprise", "32473"], /--enterprise is about packets: it cannot be combined with --flows/],
    [["--ipfix", "192.0.2.9", "--scale"], /--scale requires --flows/],
    [["--sflow", "192.0.2.9", "--rate", "7"], /--rate says what to sample, but no DEVICE is given/],
    [["--sflow", "192.0.2.9", "eth0:0"], /the rate in eth0:0 is "0": expected a whole number from 1 to 4294967295/],
    [["--sflow", "192.0.2.9", ":7"], /":7" names no device before the colon/],
    [["--sflow", "192.0.2.9", "eth0", "eth0:7"], /the same device was given twice/],
    [["--sflow", "192.0.2.9", "eth0", "tcp", "port", "443"], /did you mean --filter 'tcp port 443'\?/],
    [["--sflow", "192.0.2.9", "a.pcapng"], /"a.pcapng" is a file, not a device: to export a recording, --from a.pcapng/],
    [["--sflow", "192.0.2.9", "eth0", "--all-namespaces"], /no DEVICE can be given with it/],
    [["--sflow", "192.0.2.9", "eth0", "--wait"], /--wait is about what is sampled already/],
    [["--sflow", "192.0.2.9", "eth0", "-g", "1", "-g", "2"], /--group was given twice/],
    [["--sflow", "192.0.2.9", "-e"], /--link-level applies to lines about packets: it requires --packets\n/],
    [["--explain"], /--explain requires --match EXPR or --filter EXPR/],
  ];
  for (const [args, message] of wrong) {
    const { status, text, errors } = await run(...args);
    assertEquals([status, text()], [2, ""], args.join(" "));
    assertMatch(errors(), message, args.join(" "));
    assertMatch(errors(), /Try: psample export --help\n$/);
  }
});

test("--check sends one sample to each collector and says what left", async () => {
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  using flows = new UdpReceiver();
  const one = await run(
    "--sflow",
    sflow.target,
    "--ipfix",
    ipfix.target,
    "--agent",
    "192.0.2.1",
    "--sub-agent",
    "3",
    "--header",
    "20",
    // They may otherwise be due within the second that it waits for errors.
    "--template-refresh",
    "24h",
    // Counters have tests of their own.
    "--polling",
    "0",
    "--check",
  );
  assertEquals([one.status, one.errors()], [0, ""]);
  assertEquals(
    one.text(),
    `sFlow ${sflow.target}: 1 datagram sent; no error came back\nIPFIX ${ipfix.target}: 1 datagram sent; no error came back\n`,
  );
  const [datagram] = (await sflow.until(1)).map((bytes) => decodeDatagram(new Uint8Array(bytes)));
  assertEquals([datagram!.agent, datagram!.subAgent, datagram!.samples.length], ["192.0.2.1", 3, 1]);
  assertEquals(headerOf(datagram!.samples[0]!).header.length, 20);
  const reported = new IpfixDecoder().read((await ipfix.until(1))[0]!);
  assertEquals([reported.domain, reported.records.filter(({ scopes }) => scopes === 0).length], [1, 1]);

  const other = await run("--ipfix", flows.target, "--flows", "--domain", "9", "--check", "-q");
  assertEquals([other.status, other.errors()], [0, ""]);
  const messages = (await flows.until(1)).map((bytes) => new IpfixDecoder().read(bytes));
  assertEquals([messages[0]!.domain, messages[0]!.records.filter(({ scopes }) => scopes === 0).length], [9, 1]);
});

test("--check --drops sends a discarded packet that collectors can tell from all others", async () => {
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  const words = ["--sflow", sflow.target, "--ipfix", ipfix.target, "--template-refresh", "24h", "--agent", "192.0.2.1", "--header", "50"];
  const { status, text, errors } = await run(...words, "--polling", "0", "--drops", "--check");
  // Whether this kernel has a monitor is another question.
  const has = text().startsWith("discarded packets: the kernel has a monitor for them\n");
  assertEquals([status, errors() === ""], has ? [0, true] : [1, false], errors());
  assertEquals(text().split("\n").slice(has ? 1 : 0), [
    `sFlow ${sflow.target}: 2 datagrams sent, a made-up discarded packet too; no error came back`,
    `IPFIX ${ipfix.target}: 1 datagram sent; no error came back`,
    "",
  ]);
  const samples = (await sflow.until(2)).flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
  assertEquals(samples.map(({ format }) => format).sort(), [1, 5]);
  const [flow, discard] = samples.sort((one, other) => one.format - other.format);
  assertEquals(headerOf(discard!), headerOf(flow!));
  assertEquals(headerOf(discard!).header.length, 50);
  assertEquals([discard!.sourceIndex, discard!.reason, discard!.drops], [flow!.sourceIndex, 256, 0]);
  assertEquals(new TextDecoder().decode(recordOf(discard!, 1038)!.subarray(4)).replace(/\0+$/, ""), "psample_check");
});

test("--check ends with 1 if nobody listens, or a name has no address, and still tries the others", async () => {
  const gone = new UdpReceiver();
  gone[Symbol.dispose]();
  using there = new UdpReceiver();
  const refused = await run("--ipfix", gone.target, "--ipfix", there.target, "--template-refresh", "24h", "--check");
  assertEquals([refused.status, refused.text()], [1, `IPFIX ${there.target}: 1 datagram sent; no error came back\n`]);
  // Templates are sent again as soon as it is tried again, which may be within the second that it waits for errors.
  assertMatch(
    refused.errors(),
    /psample: IPFIX \S+: \d datagrams? sent, errors came back for at least \d \(ECONNREFUSED\): not delivered\n$/,
  );
  const unknown = await run("--ipfix", "no-such-host.invalid", "--check");
  assertEquals(unknown.status, 1);
  // Without a name server nobody knows that there is no such host: then it is tried, and nothing is delivered.
  assertMatch(
    unknown.errors(),
    /^psample: Cannot look up the host name no-such-host.invalid: (?:ENOTFOUND\. .*\n|(?!ENOTFOUND)(\w+)\. .*\npsample: IPFIX \S+: 0 datagrams sent, .*\(\1\): not delivered\n)$/,
  );
});

test(
  "--check refuses what the start refuses, in its words, and changes no file",
  inDirectory(async (path) => {
    writeFileSync(path("kept"), "kept");
    mkdirSync(path("directory"));
    symlinkSync(path("nowhere"), path("link"));
    assertEquals(spawnSync("mkfifo", [path("pipe")]).status, 0);
    const { openFiles, openRecording } = processIo();
    const check = async (...args: string[]): Promise<[number, string]> => {
      const io = Object.assign(fakeIo(), { openFiles, openRecording });
      return [await main(["export", ...args, "--prometheus", "0", "--check"], io), io.errors()];
    };
    const before = readdirSync(path("")).sort();
    const refused: [string[], number, RegExp][] = [
      [["nosuchdev0:10"], 1, /^psample: Cannot find the device nosuchdev0: no such device \(ENODEV\)\. See ip link/],
      [["any", "lo"], 2, /any means every device: lo cannot be given with it/],
      [["any:5", "any:6"], 2, /any means every device: it was given twice/],
      [["lo", "-g", "0", "-g", "1"], 2, /--group was given twice/],
      [["--rate", "7"], 2, /--rate says what to sample, but no DEVICE is given/],
      [["--labels", path("none")], 1, /^psample: Cannot read \S+none: no such file or directory \(ENOENT\)\n$/],
      [["--labels", path("kept")], 2, /--labels \S+kept, line 1: expected cookie:/],
      [
        ["-w", `${path("nodir")}/x.pcapng`],
        1,
        /^psample: Cannot write \S+x\.pcapng: no such file or directory \(ENOENT\)\. The directory \S+nodir does not exist: create it, or choose another\n$/,
      ],
      [["-w", `${path("nodir")}/x.pcapng`, "--rotate", "1h"], 1, /^psample: Cannot write \S+x-00001\.pcapng: no such file/],
      [["-w", path("directory")], 1, /^psample: Cannot write \S+directory: is a directory \(EISDIR\)\n$/],
      [["--keep", "3"], 2, /--keep requires --rotate/],
    ];
    for (const [args, status, message] of refused) {
      const [ended, errors] = await check(...args);
      assertEquals(ended, status, `${args}: ${errors}`);
      assertMatch(errors, message);
    }
    for (const file of ["kept", "new", "link", "pipe"]) assertEquals(await check("-w", path(file)), [0, ""]);
    assertEquals(await check("lo", "-w", path("kept"), "--rotate", "1h", "--keep", "1"), [0, ""]);
    assertEquals([readdirSync(path("")).sort(), readFileSync(path("kept"), "utf8")], [before, "kept"]);
  }),
);

test("a target that cannot be is refused before anything is set up", async () => {
  // There is no device of this name either: that is not what is reported.
  const { status, errors } = await run("nosuchdev0", "--sflow", "no-such-host.invalid");
  assertEquals(status, 1);
  assertMatch(errors(), /^psample: Cannot look up the host name/);
  const nowhere = await run("nosuchdev0", "--sflow", "[fe80::9%nosuchdev1]");
  assertEquals(nowhere.status, 1);
  assertMatch(nowhere.errors(), /^psample: Cannot send to \[fe80::9%nosuchdev1\]:6343: .*There is no such interface.*\n$/);
});

test("rates follow the speed of the link, unless they are given", async () => {
  assertEquals([undefined, 0, 1e7, 1e8, 1e9, 2.5e9, 1e11].map(rateOf), [400, 100, 100, 100, 1000, 2500, 100_000]);
  assertEquals(parseDevice("eth0"), { device: "eth0", rate: undefined });
  assertEquals(parseDevice("eth*:4000"), { device: "eth*", rate: 4000 });
  for (const word of ["eth0:", "eth0:x", "eth0:-1", "eth0:4294967296"]) assertThrows(() => parseDevice(word), UsageError, "the rate in");
  const sys = new FakeSys({ noFamily: true });
  const plans = [{ device: "eth0", rate: undefined }, { device: "eth1", rate: 7 }];
  const { plans: rated, chosen } = await withRates(sys, plans);
  assertEquals(rated.map(({ rate }) => rate), [400, 7]);
  assertEquals(chosen, "sampling 1 in 400 of eth0 (speed unknown); --rate N or DEVICE:N sets it");
  assertEquals((await withRates(sys, [plans[1]!])).chosen, undefined);
  sys.assertClean();
});

test("--psamp strict and --enterprise add what the standard has, and what it has not", async () => {
  using plain = new UdpReceiver();
  using strict = new UdpReceiver();
  await run("--ipfix", plain.target, "--check");
  await run("--ipfix", strict.target, "--psamp", "strict", "--enterprise", "32473", "--check");
  const kinds = async (receiver: UdpReceiver): Promise<Set<string>> => {
    const decoder = new IpfixDecoder();
    const records = (await receiver.until(1)).flatMap((bytes) => decoder.read(bytes).records);
    return new Set(records.flatMap(({ fields }) => [...fields.keys()]));
  };
  const [few, more] = [await kinds(plain), await kinds(strict)];
  // What was observed and selected; of the demonstration's packet, the cookie is the only thing of ours, if it has one.
  assertEquals([few.has("318"), more.has("318")], [false, true]);
  assertEquals([...few].filter((key) => key.includes("/")), []);
});

test("a host name without Deno's permission is refused with the cure", {
  skip: "Bun" in globalThis ? "Bun has no permissions" : false,
}, () => {
  const [program, ...args] = COMMAND;
  const { status, stderr } = spawnSync(program!, [...args, "export", "--sflow", "localhost", "--check"], { encoding: "utf8" });
  assertEquals(status, 1);
  assertMatch(
    stderr,
    /^psample: Cannot look up the host name localhost: EPERM\. On Deno that requires net access: .* deno run --allow-ffi --allow-net /,
  );
});

test("the help of each option of export has its own text", async () => {
  const io = fakeIo();
  assertEquals(await main(["help", "export"], io), 0);
  for (const word of ["192.0.2.9", "--allow-net", "nfdump", "DEVICE:N", "sub-agents", "--max-datagram"]) {
    assert(io.text().includes(word), word);
  }
});

test("the help says which signals there are", async () => {
  const { status, text } = await run("--help");
  const help = text().replaceAll(/\s+/g, " ");
  assertEquals(status, 0);
  assertMatch(help, /SIGHUP reads .*SIGUSR1 prints the numbers so far/);
});
