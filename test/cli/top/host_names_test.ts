/** Host names: looked up once, a few at a time, in the background. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { HostNames, hostOf } from "../../../cli/top/host_names.ts";
import { plainReport } from "../../../cli/top/plain.ts";
import type { Report } from "../../../cli/top/report.ts";
import { Reports } from "../../../cli/top/reports.ts";
import { csvHeader, csvLine, flowRow, jsonLine } from "../../../cli/top/rows.ts";
import { NOTHING } from "../../../cli/session.ts";
import { fakeIo } from "../fake_io.ts";
import { Estimator } from "../../../src/estimate/mod.ts";
import { RecordingFile } from "../../../src/receive/recording.ts";
import { IterableInput } from "../../../src/receive/recording_input.ts";
import { recording } from "./samples.ts";

/** Names that a test resolves when it likes. */
function asking(): { hosts: HostNames; asked: string[]; answer: (address: string, name: string | Error | undefined) => void } {
  const asked: string[] = [];
  const answers = new Map<string, (name: string | Error | undefined) => void>();
  const hosts = new HostNames((address) => {
    asked.push(address);
    return new Promise((resolve, reject) => answers.set(address, (name) => name instanceof Error ? reject(name) : resolve(name)));
  });
  return { hosts, asked, answer: (address, name) => answers.get(address)!(name) };
}

test("a name is returned once it is known, and looked up once", async () => {
  const { hosts, asked, answer } = asking();
  assertEquals([hosts.of("192.0.2.1"), hosts.of("192.0.2.1"), hosts.of("192.0.2.2")], [undefined, undefined, undefined]);
  assertEquals(asked, ["192.0.2.1", "192.0.2.2"]);
  answer("192.0.2.1", "web.example");
  answer("192.0.2.2", undefined);
  await hosts.settled(60_000);
  assertEquals([hosts.of("192.0.2.1"), hosts.of("192.0.2.2")], ["web.example", undefined]);
  assertEquals(asked.length, 2);
});

test("a few are looked up at once, the others wait; the memory is bounded", async () => {
  let [now, most, count] = [0, 0, 0];
  const hosts = new HostNames(async (address) => {
    count++;
    most = Math.max(most, ++now);
    await Promise.resolve();
    now--;
    return `host-${address}`;
  });
  for (let i = 0; i < 8000; i += 500) {
    for (let k = i; k < i + 500; k++) hosts.of(`${k}`);
    await hosts.settled(60_000);
  }
  assertEquals([most, count], [16, 8000]);
  assertEquals(hosts.of("7999"), "host-7999");
  assertEquals(hosts.of("0"), undefined);
  await hosts.settled(60_000);
  assertEquals([hosts.of("0"), count], ["host-0", 8001]);
});

test("waiting is limited; after the end nothing is looked up", async () => {
  const { hosts, asked } = asking();
  hosts.of("192.0.2.1");
  await hosts.settled(1);
  hosts.close();
  assertEquals(hosts.of("192.0.2.2"), undefined);
  assertEquals(asked, ["192.0.2.1"]);
});

test("an address without a name is no failure; a lookup without an answer is reported", async () => {
  const { hosts, answer } = asking();
  for (const address of ["192.0.2.1", "192.0.2.2"]) hosts.of(address);
  answer("192.0.2.1", Object.assign(new Error("none"), { code: "ENOTFOUND" }));
  answer("192.0.2.2", Object.assign(new Error("late"), { code: "ETIMEOUT" }));
  await hosts.settled(60_000);
  assertEquals(hosts.failed, { count: 1, why: "ETIMEOUT" });
});

test("only addresses have names of hosts", () => {
  const { hosts, asked } = asking();
  for (const key of ["ipsource", "ipdestination.1", "ip6source", "macsource", "sourceport", "subnet:/24", "device"]) {
    hostOf(hosts, key, key);
  }
  assertEquals(asked, ["ipsource", "ipdestination.1", "ip6source"]);
});

test("names are in every format, and control no terminal", async () => {
  const estimator = new Estimator();
  const source = new RecordingFile(
    new IterableInput((async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(recording([{}]));
    })()),
  );
  for await (const batch of source.lentBatches()) estimator.take(batch);
  const hosts = new HostNames((address) => Promise.resolve(address === "10.0.0.1" ? "evil\x1b[2J.example" : undefined));
  const report: Report = {
    snapshot: estimator.snapshot(0n),
    atNs: 0n,
    seconds: 0,
    lost: 0,
    missing: 0,
    isFiltered: false,
    speeds: new Map(),
    hosts,
  };
  const [flow] = report.snapshot.flows;
  assertEquals(flowRow(flow!, report).names, undefined);
  await hosts.settled(60_000);
  assertEquals(flowRow(flow!, report).names, { ipsource: "evil\x1b[2J.example" });
  const forms = [plainReport(report, { rows: 9, unit: "bits", columns: 120 }), jsonLine(flow!, report), csvLine(flow!, report)];
  for (const form of forms) {
    assertMatch(form, /evil.*2J\.example/);
    assert(!form.includes("\x1b"), form);
  }
  assertMatch(forms[0]!, /10\.0\.0\.1 \(evil\\x1b\[2J\.example\) {2}10\.9\.9\.9 /);
  assertMatch(csvHeader(report), /,names\.ipsource,names\.ipdestination\r\n$/);
});

test("a report waits for its names, and the end for the report", async () => {
  const { hosts, asked, answer } = asking();
  const io = fakeIo();
  const sink = new Reports(new Estimator(), await io.stdout([]), (report) => plainReport(report, { rows: 9, unit: "bits", columns: 120 }), {
    intervalMs: undefined,
    source: NOTHING,
    recorded: true,
    isFiltered: false,
    speeds: () => new Map(),
    hosts,
  });
  const source = new RecordingFile(
    new IterableInput((async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(recording([{}]));
    })()),
  );
  for await (const batch of source.lentBatches()) sink.take(batch);
  const closed = sink.close({ stats: NOTHING.stats(), reason: "end" } as never);
  await Promise.resolve();
  assertEquals([asked, io.text()], [["10.0.0.1", "10.9.9.9"], ""]);
  answer("10.0.0.1", "web.example");
  answer("10.9.9.9", undefined);
  await closed;
  assertMatch(io.text(), /^10\.0\.0\.1 \(web\.example\) {2}10\.9\.9\.9 /m);
});

test("on Deno the missing permission is named", { skip: "Bun" in globalThis && "Bun has no permissions" }, () => {
  const main = new URL("../../../cli/main.ts", import.meta.url).pathname;
  const golden = new URL("../../golden/vlan.new.pcap", import.meta.url).pathname;
  const run = (...flags: string[]): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, [
      "run",
      "--no-check",
      "--no-prompt",
      "--allow-ffi",
      "--allow-read",
      ...flags,
      main,
      "top",
      "--resolve",
      golden,
    ], {
      encoding: "utf8",
    });
  const without = run();
  assertEquals(without.status, 1, without.stderr);
  assertMatch(without.stderr, /^psample: .*host names.*--allow-net.*deno run --allow-ffi --allow-net cli\/main\.ts/);
  assertEquals(run("--allow-net").status, 0);
});
