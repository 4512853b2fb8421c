/** What the live screen shows, and what keys do to it. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { keysOf } from "../../../cli/top/keys.ts";
import type { Report } from "../../../cli/top/report.ts";
import { COLORED, type Frame, PLAIN, screen } from "../../../cli/top/screen.ts";
import { type Checks, firstView, press, type View } from "../../../cli/top/view.ts";
import type { DeviceEstimate, FlowEstimate, Interval } from "../../../src/estimate/mod.ts";

/** A flow of 10 seconds with `bytes` bytes, ±10 %. */
function flow(by: readonly string[], bytes: number, init: Partial<FlowEstimate> = {}): FlowEstimate {
  const about = (value: number): Interval => [0.9 * value, 1.1 * value];
  return {
    by,
    samples: 100,
    packets: bytes / 1000,
    packetsRange: about(bytes / 1000),
    bytes,
    bytesRange: about(bytes),
    bitsPerSecond: 8 * bytes / 10,
    share: bytes / 125e6,
    shareRange: about(bytes / 125e6),
    overcountAtMost: 0,
    ...init,
  };
}

function device(name: string, direction: string, bytes: number): DeviceEstimate {
  return { ...flow([name, direction], bytes), wireBytes: 1.02 * bytes, wireBytesRange: [bytes, 1.04 * bytes] };
}

const FLOWS = [
  flow(["192.0.2.1", "198.51.100.7"], 75e6),
  flow(["2001:db8::1", "2001:db8:1:2:3:4:5:6"], 37.5e6),
  flow(["192.0.2.1", "203.0.113.80"], 12.5e6, { bytesRange: [2e6, 40e6] }),
];

function report(init: Partial<Report> = {}, snapshot: Partial<Report["snapshot"]> = {}): Report {
  return {
    snapshot: {
      by: ["ipsource", "ipdestination"],
      seconds: 10,
      total: flow([], 125e6, { samples: 12345 }),
      flows: FLOWS,
      devices: [device("eth0", "in", 100e6), device("eth0", "out", 25e6)],
      kept: 3,
      bound: 0,
      keyless: 0,
      unusable: 0,
      lost: 0,
      unknownSegments: 0,
      ...snapshot,
    },
    atNs: 0n,
    seconds: 10,
    lost: 0,
    missing: 0,
    isFiltered: false,
    speeds: new Map([["eth0", 1e9]]),
    ...init,
  };
}

function frame(columns: number, rows: number, init: Partial<Frame> = {}, view: Partial<View> = {}): Frame {
  return {
    columns,
    rows,
    title: "psample top eth0: 1 in 100, both, group 5",
    view: { ...firstView("ipsource,ipdestination", "bits"), ...view },
    report: report(),
    elapsed: 65,
    messages: [],
    style: PLAIN,
    ...init,
  };
}

test("the screen at 80 columns", () => {
  assertEquals(
    screen(frame(80, 16)),
    [
      "psample top eth0: 1 in 100, both, group 5                        2 s [10 s] 40 s",
      "12345 samples in 1 min 5 s, lost 0",
      "                 bit/s      ±           pps      ±  load of the link",
      "total       100 Mbit/s   ±10%     12.5 kpps   ±10%",
      "eth0 in    80.0 Mbit/s   ±10%     10.0 kpps   ±10%  8.2±0.2% of 1.00 Gbit/s",
      "eth0 out   20.0 Mbit/s   ±10%     2.50 kpps   ±10%  2.0±0.1% of 1.00 Gbit/s",
      "",
      "ipsource     ipdestination                bit/s      ±       share",
      "192.0.2.1    198.51.100.7           60.0 Mbit/s   ±10%   60.0±6.0%  ██████████░░",
      "2001:db8::1  2001:db8:1:2:3:4:5:6   30.0 Mbit/s   ±10%   30.0±3.0%  █████░",
      "192.0.2.1    203.0.113.80           10.0 Mbit/s  ±220%   10.0±1.0%  ░░░░░░",
      "",
      "",
      "",
      "",
      "? help  q quit  p pause  1 2 3 window  b unit  k keys  / filter  s sort",
    ].map((line, i) => i === 7 ? line.padEnd(80) : line),
  );
});

test("the screen at 120 columns, in packets, paused, with a filter and a message", () => {
  const init = { report: report({ lost: 3, missing: 2, isFiltered: true }), messages: ["old", "eth0 is down, no packets pass"] };
  assertEquals(screen(frame(120, 15, init, { unit: "packets", paused: true, filter: "udp", window: 2 })), [
    "psample top eth0: 1 in 100, both, group 5                                                        PAUSED  2 s 10 s [40 s]",
    "12345 samples in 1 min 5 s, lost 3; filter: udp",
    "                 bit/s      ±           pps      ±  load of the link",
    "total      ≥100 Mbit/s   ±10%    ≥12.5 kpps   ±10%",
    "eth0 in   ≥80.0 Mbit/s   ±10%    ≥10.0 kpps   ±10%  ≥8.2±0.2% of 1.00 Gbit/s",
    "eth0 out  ≥20.0 Mbit/s   ±10%    ≥2.50 kpps   ±10%  ≥2.0±0.1% of 1.00 Gbit/s",
    "",
    "ipsource     ipdestination                  pps      ±       share".padEnd(120),
    `192.0.2.1    198.51.100.7            ≥7.50 kpps   ±10%   60.0±6.0%  ${"█".repeat(43)}${"░".repeat(9)}`,
    `2001:db8::1  2001:db8:1:2:3:4:5:6    ≥3.75 kpps   ±10%   30.0±3.0%  ${"█".repeat(21)}${"░".repeat(5)}`,
    `192.0.2.1    203.0.113.80            ≥1.25 kpps   ±10%   10.0±1.0%  ${"█".repeat(7)}${"░".repeat(2)}`,
    "",
    "",
    "eth0 is down, no packets pass",
    "? help  q quit  p pause  1 2 3 window  b unit  k keys  / filter  s sort",
  ]);
});

test("the unit of traffic is that of the totals too; a screen without room for devices says how many there are", () => {
  const lines = screen(frame(80, 15, {}, { unit: "bytes" }));
  assertEquals(lines.slice(2, 4), [
    "                   B/s      ±           pps      ±  load of the link",
    "total        12.5 MB/s   ±10%     12.5 kpps   ±10%",
  ]);
  const both = report({});
  const one = { ...both, snapshot: { ...both.snapshot, devices: both.snapshot.devices.slice(0, 1) } };
  const small = (report: Report): string | undefined => screen(frame(80, 12, { report })).find((line) => line.startsWith("and "));
  assertEquals([small(both), small(one)], ["and 2 more devices and directions", "and 1 more device or direction"]);
});

test("the help, and typed text, with a mark at the error", () => {
  const help = screen(frame(80, 20, {}, { help: true }));
  assertEquals(help.slice(0, 4), [
    "psample top eth0: 1 in 100, both, group 5                        2 s [10 s] 40 s",
    "",
    "  1 2 3         rates over the last 2, 10 or 40 seconds",
    "  b             bits, bytes or packets a second; prefixes are powers of 1000",
  ]);
  const typing = screen(
    frame(80, 20, {}, { input: { what: "filter", text: "tcp prot", problem: { text: 'expected "and", "or" or the end', at: 4 } } }),
  );
  assertEquals(typing.slice(-3), ['expected "and", "or" or the end', "filter: tcp prot_", "            ^"]);
  const long = screen(frame(40, 20, {}, { input: { what: "filter", text: "x".repeat(100), problem: undefined } }));
  assertEquals(long.at(-1), `filter: ${"x".repeat(31)}_`);
});

test("at any size, no line is wider than the screen, and there are no more lines than rows", () => {
  for (const columns of [1, 10, 30, 40, 60, 79, 100, 200]) {
    for (const rows of [1, 2, 5, 8, 12, 24, 60]) {
      for (const view of [{}, { help: true }, { input: { what: "keys", text: "ipsource", problem: { text: "no", at: 3 } } as const }]) {
        const lines = screen(frame(columns, rows, { report: report({ missing: 5 }) }, view));
        assertEquals(lines.length, rows);
        for (const line of lines) assert(line.length <= columns, `${columns} x ${rows}: ${JSON.stringify(line)}`);
      }
    }
  }
});

test("foreign names control no terminal", () => {
  const flows = [flow(["\x1b]0;owned\x07", "a\r\nb\u202e"], 75e6)];
  const devices = [device("\x1b[2J", "in", 1e6)];
  const lines = screen(frame(80, 24, { report: report({}, { flows, devices }) }));
  // deno-lint-ignore no-control-regex -- what must not be there
  for (const line of lines) assert(!/[\x00-\x1f\x7f-\x9f\u202e]/.test(line), JSON.stringify(line));
  assert(lines.some((line) => line.includes("\\x1b]0;owned\\x07")));
  assert(lines.some((line) => line.startsWith("\\x1b[2J in")));
});

test("colours change nothing but the colour", () => {
  const [plain, colored] = [PLAIN, COLORED].map((style) => screen(frame(100, 20, { style, report: report({ missing: 1 }) })));
  // deno-lint-ignore no-control-regex -- colours
  assertEquals(colored!.map((line) => line.replace(/\x1b\[\d*m/g, "")), plain);
});

// --- keys

const checks: Checks = {
  filter: (text) => text.includes("x") ? { text: "no x", at: text.indexOf("x") } : undefined,
  keys: (text) => text === "" ? { text: "no key is named", at: undefined } : undefined,
};

function after(...keys: string[]): View | undefined {
  return keys.reduce<View | undefined>(
    (view, key) => view && press(view, key, { checks, page: 10, asked: "vlan" }),
    firstView("vlan", "bits"),
  );
}

test("keys of terminals have names; unknown sequences are ignored", () => {
  assertEquals(keysOf("a\x1b[A\x1b[1;5B\x1bOH\x1b[5~\x1b[6~\x1b[15~\x1b[?1;2cé\x1b"), [
    ..."a",
    "up",
    "down",
    "home",
    "page-up",
    "page-down",
    "é",
    "escape",
  ]);
  assertEquals(keysOf("\r\n\x7f\b\t\x15\x00\x02"), ["enter", "enter", "backspace", "backspace", "tab", "clear"]);
});

test("keys choose the window, the unit, the order, the keys of flows, and what is shown", () => {
  assertEquals([after("1"), after("3")].map((view) => view?.window), [0, 2]);
  assertEquals([after("b"), after("b", "b"), after("b", "b", "b")].map((view) => view?.unit), ["bytes", "packets", "bits"]);
  assertEquals([after("s"), after("s", "s")].map((view) => view?.order), ["names", "traffic"]);
  assertEquals([after("k"), after("tab", "k")].map((view) => view?.by), ["ipsource,ipdestination", "ipsource"]);
  assertEquals([after("p"), after(" ", "p")].map((view) => view?.paused), [true, false]);
  assertEquals([after("down"), after("page-down", "up"), after("up"), after("down", "home")].map((view) => view?.scroll), [1, 9, 0, 0]);
  assertEquals([after("?")?.help, after("?", "1")?.help, after("?", "1")?.window, after("?", "q")], [true, false, 1, undefined]);
  assertEquals(after("q"), undefined);
  assertEquals(after("%"), after());
});

test("a filter is typed, corrected, applied or discarded; an invalid one is not applied", () => {
  assertEquals(after("/", ..."tc", "enter")?.filter, "tc");
  assertEquals(after("/", ..."tcp", "backspace", "enter")?.filter, "tc");
  assertEquals(after("/", ..."q1b", "escape"), after());
  const wrong = after("/", ..."ax", "enter");
  assertEquals([wrong?.filter, wrong?.input], ["", { what: "filter", text: "ax", problem: { text: "no x", at: 1 } }]);
  assertEquals(after("/", ..."ax", "clear", ..."b", "enter")?.filter, "b");
  assertEquals(after("/", ..."b", "enter", "/", "clear", "enter")?.filter, "");
  assertEquals(after("K", "clear", ..."vni", "enter")?.by, "vni");
  assertEquals(after("K", "clear", "enter")?.input?.problem?.text, "no key is named");
});
