/** `psample top` of recordings. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../../cli/main.ts";
import { SystemError } from "../../../mod.ts";
import { pcapFile } from "../../support/capture_files.ts";
import { hex } from "../../packet/made.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "../fake_io.ts";
import { frame, recording, type Sampled } from "./samples.ts";

async function run(args: string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(["top", ...args], io) });
}

async function top(samples: readonly Sampled[], ...args: string[]): Promise<string> {
  const io = await run([...args, "x.pcapng"], { input: { "x.pcapng": recording(samples) } });
  assertEquals(io.status, 0, io.errors());
  return io.text();
}

/** Three sources: 6, 3 and 1 of ten samples, in ten seconds; the last two leave. */
const TEN: readonly Sampled[] = Array.from({ length: 10 }, (_, i) => ({
  from: i < 6 ? 1 : i < 9 ? 2 : 3,
  at: i * 10 / 9,
  out: i >= 8,
}));

test("a recording as a table: totals, devices and flows, each figure with its error bound", async () => {
  assertEquals(
    await top(TEN),
    `10 samples in 10.0 s until 2026-07-14 03:33:30Z, lost 0

                 bit/s      ±           pps      ±
total       800 kbit/s   ±94%       100 pps   ±84%
eth0 in     640 kbit/s  ±110%        80 pps   ±97%
eth0 out    160 kbit/s  ±329%        20 pps  ±260%

ipsource  ipdestination         bit/s      ±       share   samples
10.0.0.1  10.9.9.9         480 kbit/s  ±135%    60.0±40%         6
10.0.0.2  10.9.9.9         240 kbit/s  ±234%    30.0±51%         3
10.0.0.3  10.9.9.9        80.0 kbit/s  ±611%    10.0±55%         1
`,
  );
});

test("rates are over the time from the first to the last sample, bytes and packets over all of it", async () => {
  const rows = (await top(TEN, "--json")).trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(
    rows.map(({ by, samples, packets, bytes, bitsPerSecond, share, seconds, at, lost, overcountAtMost }) => (
      { source: by.ipsource, samples, packets, bytes, bitsPerSecond, share, seconds, at, lost, overcountAtMost }
    )),
    [[1, 6], [2, 3], [3, 1]].map(([from, samples]) => ({
      source: `10.0.0.${from}`,
      samples: samples!,
      packets: 100 * samples!,
      bytes: 100_000 * samples!,
      bitsPerSecond: 80_000 * samples!,
      share: samples! / 10,
      seconds: 10,
      at: "2026-07-14T03:33:30.000000000Z",
      lost: 0,
      overcountAtMost: 0,
    })),
  );
  for (const row of rows) {
    for (const key of ["packets", "bytes", "bitsPerSecond", "share"]) {
      const [low, high] = row[`${key}Range`];
      assert(low < row[key] && row[key] < high, `${key} ${low} ${row[key]} ${high}`);
    }
  }
});

test("what was sampled at 1 in 1 is exact", async () => {
  const rows = (await top(TEN.map((sample) => ({ ...sample, oneIn: 1 })), "--json")).trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(rows.map(({ packetsRange, bytesRange, shareRange }) => [packetsRange, bytesRange, shareRange]), [
    [[6, 6], [6000, 6000], [0.6, 0.6]],
    [[3, 3], [3000, 3000], [0.3, 0.3]],
    [[1, 1], [1000, 1000], [0.1, 0.1]],
  ]);
});

test("without times there are amounts, but no rates", async () => {
  const one = [{ oneIn: 1 }, { oneIn: 1, from: 2 }];
  assertEquals(
    await top(one, "-n", "1"),
    `2 samples, lost 0

                    B      ±          pkts      ±
total         2.00 kB    ±0%        2 pkts    ±0%
eth0 in       2.00 kB    ±0%        2 pkts    ±0%

ipsource  ipdestination             B      ±       share   samples
10.0.0.1  10.9.9.9            1.00 kB    ±0%     50.0±0%         1

the 1 largest of 2 flows
`,
  );
  const [row] = (await top(one, "--json")).trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([row.seconds, row.bitsPerSecond, row.bytes], [undefined, undefined, 1000]);
});

test("CSV has the columns of JSON, one for each key, and only the requested rows", async () => {
  const lines = (await top(TEN, "--csv", "--by", "direction, sourceport,ipsource", "--rows", "2")).split("\r\n");
  assertEquals(lines.length, 4);
  assertEquals(
    lines[0],
    "at,seconds,by.direction,by.sourceport,by.ipsource,samples,packets,packetsRange,bytes,bytesRange,bitsPerSecond,bitsPerSecondRange," +
      "share,shareRange,lost,overcountAtMost",
  );
  assertMatch(
    lines[1]!,
    /^2026-07-14T03:33:30\.000000000Z,10,in,4000,10\.0\.0\.1,6,600,222 1303,600000,\d+ \d+,480000,\d+ \d+,0\.6,0\.\d+ 0\.\d+,0,0$/,
  );
});

test("a filter selects what is counted, and losses are corrected by all samples, not only by the selected ones", async () => {
  // Of 1000 samples every tenth is from 10.0.0.2; 500 are lost on the way.
  const samples = Array.from({ length: 1000 }, (_, i) => ({ from: i % 10 === 0 ? 2 : 1, at: i / 100, sequence: i < 400 ? i : i + 500 }));
  const of = async (...args: string[]): Promise<{ packets: number; lost: number }> => {
    const [row] = (await top(samples, "--json", "--by", "ipdestination", ...args)).trim().split("\n").map((line) => JSON.parse(line));
    return row;
  };
  const all = await of();
  assertEquals([all.packets, all.lost], [150_000, 500].map((value, i) => i === 0 ? all.packets : value));
  assert(Math.abs(all.packets - 150_000) < 300, `${all.packets}`);
  const some = await of("--filter", "src host 10.0.0.2");
  assertEquals(some.lost, 500);
  assert(Math.abs(some.packets - 15_000) < 500, `${some.packets}`);
  const none = await run(["--filter", "tcp", "x.pcapng"], { input: { "x.pcapng": recording(samples) } });
  assertEquals(none.text(), "0 samples in 10.0 s until 2026-07-14 03:33:29Z, lost 500\n");
  assertMatch(none.errors(), /^psample: read 1000 samples; 500 lost before they were recorded\n$/);
  const both = await of("--filter", "src host 10.0.0.2", "--filter", "udp port 53");
  assertEquals(both.packets, some.packets);
});

test("several recordings are combined, in any order", async () => {
  const parts = [TEN.slice(5), TEN.slice(0, 5)].map(recording);
  const io = await run(["--json", "a.pcapng", "b.pcapng"], { input: { "a.pcapng": parts[0]!, "b.pcapng": parts[1]! }, pieceBytes: 100 });
  const rows = (text: string): unknown[] => text.trim().split("\n").map((line) => ({ ...JSON.parse(line), lost: 0 }));
  // The first numbers are not 0: that is not a loss.
  assertEquals(rows(io.text()), rows(await top(TEN, "--json")));
  assertMatch(io.errors(), /read 10 samples/);
  const missing = await run(["a.pcapng", "nosuch.pcapng"], { input: { "a.pcapng": parts[0]! } });
  assertEquals([missing.status, missing.text()], [1, ""]);
});

test("of a file that is no recording there is no report, only the error; what came before one is reported", async () => {
  const bad = new TextEncoder().encode("# This is no recording of anything\n");
  const io = await run(["./x.md"], { input: { "./x.md": bad } });
  assertEquals([io.status, io.text()], [1, ""]);
  assertMatch(io.errors(), /^psample: Cannot decode recording at byte 0: /);
  const after = await run(["a.pcapng", "./x.md"], { input: { "a.pcapng": recording(TEN), "./x.md": bad } });
  assertEquals(after.status, 1);
  assertMatch(after.text(), /^10 samples in /);
});

test("packets without a sampling rate are reported, and counted with --rate", async () => {
  const file = pcapFile([{ bytes: frame(1), originalBytes: 1000 }, { bytes: frame(2), originalBytes: 500 }], { linkType: 1 });
  const without = await run(["x.pcap"], { input: { "x.pcap": file } });
  assertEquals(
    without.text(),
    "0 samples, lost 0\n\n2 samples of unknown rate or size: counted nowhere (--rate N says what they\n  stand for)\n",
  );
  const rows = await run(["x.pcap", "--rate", "10", "--json"], { input: { "x.pcap": file } });
  assertEquals(rows.text().trim().split("\n").map((line) => JSON.parse(line).bytes), [10_000, 5000]);
});

test("samples without one of the keys count in the totals only, which is reported", async () => {
  const text = await top(TEN, "--by", "ip6source");
  assertMatch(text, /^total +800 kbit\/s/m);
  assertMatch(text, /\n10 samples without ip6source: in the totals only\n$/);
});

/** UDP to port 53, a ping, and a question of ARP for 10.9.9.9. */
const MIXED = [
  frame(1),
  hex("020000000002020000000001 0800 4500001c 00000000 40010000 0a000001 0a090909 0800 0000 0000 0000"),
  hex("ffffffffffff020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a090909"),
].map((bytes) => ({ bytes }));

/** `top` of MIXED. */
async function mixed(...args: string[]): Promise<string> {
  const io = await run([...args, "--rate", "1", "x.pcap"], { input: { "x.pcap": pcapFile(MIXED, { linkType: 1 }) } });
  assertEquals(io.status, 0, io.errors());
  return io.text();
}

test("packets that have some of the keys have rows; a key that they lack is - in tables, absent in JSON, empty in CSV", async () => {
  const by = ["--by", "ipprotocol,destinationport"];
  const table = await mixed(...by);
  assertMatch(table, /^udp +53 .* 1$/m);
  assertMatch(table, /^icmp +- .* 1$/m);
  assertMatch(table, /\n1 sample with neither ipprotocol nor destinationport: in the totals only\n$/);
  const keys = (await mixed(...by, "--json")).trim().split("\n").map((line) => JSON.parse(line).by);
  assertEquals(keys, [{ ipprotocol: "udp", destinationport: "53" }, { ipprotocol: "icmp" }]);
  const rows = (await mixed(...by, "--csv")).trim().split("\r\n").map((line) => line.split(",").slice(2, 5));
  assertEquals(rows, [["by.ipprotocol", "by.destinationport", "samples"], ["udp", "53", "1"], ["icmp", "", "1"]]);
});

test("a narrower name has its own packets only, unless it stands beside a key that others have", async () => {
  const rows = async (by: string): Promise<unknown[]> =>
    (await mixed("--json", "--by", by)).split("\n").filter(Boolean).map((line) => JSON.parse(line).by);
  assertEquals(await rows("udpsourceport,udpdestinationport"), [{ udpsourceport: "4000", udpdestinationport: "53" }]);
  assertEquals(await rows("tcpsourceport,tcpdestinationport"), []);
  assertMatch(await mixed("--by", "ip6source,vni,vlan"), /\n3 samples with none of ip6source, vni, vlan: in the totals only\n$/);
  assertEquals(await rows("ipdestination,tcpdestinationport"), [{ ipdestination: "10.9.9.9" }]);
  assertEquals(await rows("stack,vni"), [{ stack: "eth.ip.udp" }, { stack: "eth.ip.icmp" }, { stack: "eth.arp" }]);
});

test("a key that is lacking has no label: it is not number 0", async () => {
  assertMatch(await mixed("--by", "ipprotocol,vlan", "--label", "vlan:0=none"), /^udp +- /m);
  const json = await mixed("--by", "ipprotocol,vlan", "--label", "vlan:0=none", "--json");
  assertEquals(JSON.parse(json.split("\n")[0]!).vlanLabels, undefined);
});

test("addresses of IPv6 and many keys take more lines, and nothing is left out", async () => {
  const text = await top(
    TEN.map((sample) => ({ ...sample, out: false })),
    "--by",
    "macsource,macdestination,ipsource,ipdestination,sourceport",
    "-n",
    "1",
  );
  assertEquals(text.split("\n").slice(6, 10), [
    "macsource  macdestination  ipsource           bit/s      ±       share   samples",
    " ipdestination  sourceport",
    "02:00:00:00:00:01  02:00:00:00:00:02     480 kbit/s  ±135%    60.0±40%         6",
    " 10.0.0.1  10.9.9.9  4000",
  ]);
  for (const line of text.split("\n")) assert(line.length <= 80, line);
});

const LABELS = ["--label", "group:7=edge", "--label", "cookie:0102=web", "--label", "vlan:42=dmz"];

test("groups, cookies and VLANs have the names given by --label and --labels, in every format", async () => {
  const all = [{ cookie: Uint8Array.of(1, 2), vlan: 42 }, { cookie: Uint8Array.of(3), vlan: 7 }, { cookie: Uint8Array.of(3), vlan: 7 }];
  const by = ["--by", "group,cookie,vlan"];
  const rows = (text: string): string[] =>
    text.split("\n").filter((line) => /^7 .*%/.test(line)).map((line) => line.slice(0, 27).trimEnd());
  assertEquals(rows(await top(all, ...by)), ["7      03      7", "7      0102    42"]);
  assertEquals(rows(await top(all, ...by, ...LABELS)), ["7 (edge)  03          7", "7 (edge)  0102 (web)  42 (d"]);
  const labels = (text: string): unknown[] =>
    text.trim().split("\n").map((line) => JSON.parse(line)).map(({ by, groupLabel, cookieLabel, vlanLabels }) => (
      { by, groupLabel, cookieLabel, vlanLabels }
    ));
  assertEquals(labels(await top(all, ...by, "--json", ...LABELS)), [
    { by: { group: "7", cookie: "03", vlan: "7" }, groupLabel: "edge", cookieLabel: undefined, vlanLabels: undefined },
    { by: { group: "7", cookie: "0102", vlan: "42" }, groupLabel: "edge", cookieLabel: "web", vlanLabels: ["dmz"] },
  ]);
  const csv = async (...args: string[]): Promise<string[]> =>
    (await top(all, "--csv", ...args)).trim().split("\r\n").map((line) => line.split(",").slice(-3).join());
  assertEquals((await csv(...by, ...LABELS))[0], "groupLabel,cookieLabel,vlanLabels");
  assertEquals((await csv(...by, ...LABELS)).slice(1), ["edge,,", "edge,web,dmz"]);
  // Columns of what is no key, or has no names, are not there.
  assertEquals((await csv("--by", "vlan,ipsource", ...LABELS))[0], "lost,overcountAtMost,vlanLabels");
  assertEquals((await csv(...by, "--label", "group:7=edge"))[0], "lost,overcountAtMost,groupLabel");
  const names = new TextEncoder().encode("group:7=core\ncookie:03=mail\n");
  const io = await run([...by, "--json", "--labels", "names", "--label", "group:7=edge", "x.pcapng"], {
    input: { "x.pcapng": recording(all), names },
  });
  assertMatch(io.text(), /"groupLabel":"edge","cookieLabel":"mail"/);
  assertEquals((await run(["--label", "group:x=y", "x.pcapng"])).status, 2);
  assertEquals((await run(["--labels", "nosuch", "x.pcapng"], { input: { "x.pcapng": recording(all) } })).status, 1);
});

test("packets that arrive and leave again are reported as counted twice, and counted once with --count-at", async () => {
  const all = TEN.map((sample) => ({ ...sample, forwarded: sample.out ?? false }));
  const table = await top(all);
  assertMatch(table, /\ncounted twice \(--count-at in counts it once\): what passes eth0 in and eth1 out\n$/);
  const places = async (...args: string[]): Promise<unknown[]> =>
    (await top(all, "--json", "--by", "device,direction", ...args)).trim().split("\n").map((line) => JSON.parse(line)).map((
      row,
    ) => [row.device, row.direction, row.samples, row.countedTwice]);
  const pair = [["eth0 in", "eth1 out"]];
  assertEquals(await places(), [["eth0", "in", 8, pair], ["eth1", "out", 2, pair]]);
  assertEquals(await places("--count-at", "in"), [["eth0", "in", 8, undefined]]);
  assertEquals(await places("--count-at", "eth1"), [["eth1", "out", 2, undefined]]);
  assertEquals(await places("--count-at", "eth0,eth1"), await places());
  assertMatch(await top(all, "--count-at", "in"), /\nleft out by --count-at: eth1 out\n$/);
  const csv = await run(["--csv", "x.pcapng"], { input: { "x.pcapng": recording(all) } });
  assertMatch(csv.errors(), /^psample: counted twice \(.*eth1 out\n/);
  // What a machine sends itself does not count twice.
  assertEquals((await top(TEN)).includes("counted twice"), false);
});

test("a usage error names what is meant", async () => {
  const wrong: [string[], RegExp][] = [
    [["--by", "ipsauce", "x.pcap"], /--by: unknown key "ipsauce"; the nearest is ipsource \(psample help by lists the keys\)\n/],
    [["--by", "ipsource,tcpport", "x.pcap"], /--by: unknown key "tcpport"/],
    [["--by", ",", "x.pcap"], /--by: .*no key is named/],
    [["--by", `stack,${[24, 23, 22, 21, 20, 19, 18, 17].map((bits) => `subnet:/${bits}`).join()}`, "x"], /--by: .*255 at most/],
    [["--by", "ipsource, ipprotocol,ipsource", "x.pcap"], /--by: ipsource was given twice/],
    [["--json", "--csv", "x.pcap"], /mutually exclusive/],
    [["--unit", "octets", "x.pcap"], /--unit is "octets": expected bits, bytes or packets/],
    [["x.pcap", "eth0"], /devices and recordings cannot be mixed: "eth0" is a device/],
    [["x.pcap", "--group", "5"], /--group is for samples that are received, not for recordings: did you mean --filter 'group N'\?/],
    [["x.pcap", "--count-at", "in,port"], /--count-at port: recordings do not contain which device is whose port; name the device/],
    [["x.pcap", "--interval", "5s"], /--interval is for samples that are received/],
    [["x.pcap", "--filter", "tcp prot 5"], /--filter: /],
    [["x.pcap", "--match", "ip"], /--match is for samples that are received, not for recordings: did you mean --filter\?/],
    [["--rate", "5"], /--rate says what to sample, but no DEVICE is given/],
    [["--trunc", "64", "--group", "5"], /--trunc says what to sample, but no DEVICE is given/],
    [["eth0", "-i", "eth0"], /the same device was given twice/],
    [["eth0", "any"], /any means every device/],
    [["eth0", "tcp", "port", "443"], /did you mean --filter 'tcp port 443'\?/],
    [["eth0", "-g", "1", "-g", "2"], /--group was given twice: samples go into one group/],
    [["eth0", "--match", "nonsense"], /--match: /],
    [["-n", "x.pcap"], /--rows is "x.pcap"/],
  ];
  for (const [args, why] of wrong) {
    const io = await run(args);
    assertEquals([io.status, io.text()], [2, ""], args.join(" "));
    assertMatch(io.errors(), why);
  }
});

test("a reader that closes the pipe is no failure, a full disk is", async () => {
  const samples = { "x.pcapng": recording(TEN) };
  const code = (errno: number): FakeIoOptions => ({
    input: samples,
    onWrite: () => {
      throw new SystemError("write standard output", errno);
    },
  });
  const gone = await run(["x.pcapng"], code(32));
  assertEquals([gone.status, gone.errors()], [0, "psample: read 10 samples\n"]);
  const full = await run(["x.pcapng"], code(28));
  assertEquals(full.status, 1);
  assertMatch(full.errors(), /no space left on device/);
});

test("docs/json.md has the keys of a flow, in their order, and their types", async () => {
  const page = readFileSync(new URL("../../../docs/json.md", import.meta.url), "utf8");
  const section = page.split("## A flow of `psample top`")[1]!.split("\n## ")[0]!;
  const documented = [...section.matchAll(/^\| `(\w+)` +\| (\w+)/gm)].map(([, key, type]) => [key!, type!]);
  const all = TEN.map((sample) => ({ ...sample, cookie: Uint8Array.of(1, 2), vlan: 42, forwarded: sample.out ?? false }));
  const args = ["--json", "--by", "device,direction,group,cookie,vlan", ...LABELS];
  const [row] = (await top(all, ...args)).split("\n").map((line) => line && JSON.parse(line));
  // Names of hosts take somebody who knows them: host_names_test.ts has them.
  assertEquals(documented.splice(documented.findIndex(([key]) => key === "names"), 1), [["names", "object"]]);
  // No recording has the counters of the kernel: test/kernel/calibration_test.ts has them.
  assertEquals(documented.splice(documented.findIndex(([key]) => key === "calibrated"), 1), [["calibrated", "list"]]);
  const typeOf = (value: unknown): string => Array.isArray(value) ? "list" : typeof value;
  assertEquals(Object.entries(row).map(([key, value]) => [key, typeOf(value)]), documented);
});
