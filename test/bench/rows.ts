/** What is measured, compared with what, and the targets. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildGopacket, DIRECTORY, file, firstByte, type Load, messages, peer, type Results, run, RUNTIME, subject } from "./process.ts";
import { EXPORT_ROWS } from "./export_rows.ts";
import { fewConnections } from "./recordings.ts";
import { alone, drain, drained, type Figure, growth, n, named, quick, ratio, type Row, runs, type Size, turns } from "./row.ts";
import { median } from "./table.ts";

/** C programs usually have no TZ in their environment: then localtime(3) looks at /etc/localtime for each line. */
const AS_STARTED = ["env", "-u", "TZ"];
const WITH_TZ = ["env", "TZ=:/etc/localtime"];

function decode(form: "reused" | "owned", kind: string, target: number): Row {
  const count = form === "reused" ? 500_000 : 100_000;
  const [work, c] = form === "reused" ? ["decode, reused view", "borrow"] : ["decode, owned", "own"];
  return turns(
    `${work}, ${named(kind)}`,
    target,
    () => peer("decode", c!, messages(kind), count),
    () => subject("decode", form, messages(kind), count),
  );
}

const batches = (kind: string, target: number): Row => drain("drain a full socket, batches", kind, target, ["one"], "batches");
const samples = (kind: string, target: number): Row => drain("drain a full socket, for await", kind, target, ["own"], "samples");
const text = (kind: string, target: number): Row => drain("text lines", kind, target, [...AS_STARTED, "flushed"], "text");
const json = (kind: string, target: number): Row => drain("JSON lines", kind, target, [...AS_STARTED, "flushed"], "json");

function groups(count: number, target: number): Row {
  const command = (kind: string) => (): string[] => subject("drain", "batches", messages(kind), drained(kind));
  return growth(
    `drain a full socket, batches, ${named(`groups-${count}`)}, of 1 group`,
    target,
    command("groups-1"),
    command(`groups-${count}`),
  );
}

function details(links: number, target: number): Row {
  const kind = "mixed-128";
  return growth(
    `text with --details and ${links.toLocaleString("en")} devices, ${named(kind)}, of text without`,
    target,
    () => subject("drain", "text", messages(kind), drained(kind)),
    () => subject("details", links, messages(kind), drained(kind)),
  );
}

const EXPRESSION = "tcp port 443 and net 10.0.0.0/8";

/** The predicate against libpcap's interpreter, in C. */
function predicate(kind: string, target: number): Row {
  return turns(
    `filter ${EXPRESSION}, ${named(kind)}, of pcap_offline_filter()`,
    target,
    () => peer("filter", EXPRESSION, messages(kind), 500_000),
    () => subject("filter", EXPRESSION, messages(kind), 500_000),
  );
}

/** Two stacks of headers: messages, and their name. */
const STACKS = { "tcp-10000": "Ethernet/IPv4/TCP", "vlan-10000": "Ethernet/VLAN/IPv6/UDP" } as const;

/** The walk over the headers of a packet, against one that stops at the same places. */
function headers(kind: keyof typeof STACKS, target: number, other: "gopacket" | "headers"): Row {
  const row = turns(
    `decode a packet's headers, ${STACKS[kind]}, of ${other === "gopacket" ? "gopacket's DecodingLayerParser" : "a walk in C"}`,
    target,
    () => peer(other, messages(kind), 500_000),
    () => subject("headers", messages(kind), 500_000, messages("recorded")),
  );
  return other === "gopacket" ? { ...row, prepare: buildGopacket } : row;
}

/** What a listener costs of whose messages a filter in the kernel lets one in 1000 through, and one that gets them all. */
function filtered(rate: number, target: number): Row {
  const load = (size: Size): Load => ({ kind: "packets-1000", count: 1000 * n(rate / 250, size), rate, burst: 10 });
  const ours = (...form: string[]) => (size: Size): Promise<Results> =>
    run(subject("wait", form[0]!, load(size).count, ...form.slice(1)), load(size));
  return {
    work: `wait at ${rate.toLocaleString("en")}/s, ${named("packets-1000")} a filter in the kernel, of without`,
    figures: ratio(target),
    measure: async (size, first) => await runs(ours("batches"), ours("filtered", messages("packets-1")))(size, first),
  };
}

function pcap(bytes: number, target: number): Row {
  const count = bytes > 1000 ? 10_000 : 50_000;
  const path = join(DIRECTORY, "bench.pcap");
  const kind = `uniform-${bytes}`;
  return turns(
    `pcap records to a file, ${bytes} B`,
    target,
    () => peer("pcap", path, messages(kind), count),
    () => subject("pcap", path, messages(kind), count),
  );
}

function wait(rate: number, target: number): Row {
  const load = (size: Size): Load => ({ kind: "uniform-128", count: n(rate * 2, size), rate, burst: 10 });
  return {
    work: `wait and receive at ${rate.toLocaleString("en")}/s`,
    figures: ratio(target),
    measure: runs(
      (size) => run(peer("recv", "wait", load(size).count), load(size)),
      (size) => run(subject("wait", "batches", load(size).count), load(size)),
    ),
  };
}

/** The words that start the command: the compiled file on Bun, the script with only its permissions on Deno. */
async function command(...words: string[]): Promise<string[]> {
  const [runtime = "", verb = ""] = subject();
  const main = file("../../cli/main.ts");
  if (RUNTIME === "deno") return [runtime, verb, "--allow-ffi", "--allow-read", "--allow-write", main, ...words];
  const compiled = join(DIRECTORY, "psample");
  if (!existsSync(compiled)) await run([runtime, "build", "--compile", "--bytecode", "--format=esm", main, "--outfile", compiled]);
  return [compiled, ...words];
}

/** Options that turn off what top does not do either. */
const WITHOUT_TCP_ANALYSIS = ["analyze_sequence_numbers", "calculate_timestamps", "desegment_tcp_streams", "relative_sequence_numbers"]
  .flatMap((name) => ["-o", `tcp.${name}:FALSE`]);

/** Another program and the command on the same recording of few connections, from start to end. */
function recording(
  work: string,
  target: number | undefined,
  samples: number,
  other: (path: string) => string[],
  words: string[],
  before = ["read", "-q"],
): Row {
  const count = (size: Size): number => n(samples, size);
  const cost = async (command: string[]): Promise<Results> => await run(peer("cost", ...command));
  return {
    work: `${samples.toLocaleString("en")} packets: ${work}`,
    figures: [
      { name: "cpu", target, ratio: true, unit: "s", factor: 1e-9 },
      { label: "most resident", name: "peak", target: undefined, unit: "MB", factor: 1.024e-3 },
    ],
    measure: runs(
      async (size) => cost(other(await fewConnections(DIRECTORY, count(size)))),
      async (size) => cost(await command(...before, ...words, await fewConnections(DIRECTORY, count(size)))),
    ),
  };
}

/** How long nobody reads what is printed. */
const BLOCKED_MS = 5000;

/** Records and prints while nobody reads the output: the recording must lose nothing, and every sample must be accounted for. */
function blocked(form: "text" | "json", kind: string, figures: Figure[]): Row {
  const [rate, seconds] = [50_000, 8];
  const count = rate * seconds;
  return {
    work: `${form === "json" ? "JSON" : "text"} of ${named(kind)} that nobody reads for 5 s, and a recording, at ${
      rate.toLocaleString("en")
    }/s`,
    figures,
    // Half a second for the start.
    measure: alone(() =>
      run(
        subject("blocked", form, count, seconds + 0.5, join(DIRECTORY, "blocked.pcapng")),
        { kind, count, rate, burst: 100, drop: true },
        BLOCKED_MS,
      )
    ),
    once: true,
  };
}

/** All rows. */
export const ROWS: readonly Row[] = [
  quick(decode("reused", "uniform-128", 0.35)),
  decode("reused", "uniform-1500", 0.35),
  quick(decode("reused", "mixed-128", 0.5)),
  quick(decode("reused", "layouts-64", 0.6)),
  quick(decode("owned", "uniform-128", 0.9)),
  decode("owned", "uniform-1500", 1.4),
  quick(batches("uniform-128", 0.82)),
  batches("uniform-1500", 0.85),
  batches("uniform-9000", 1.2),
  batches("uniform-65000", RUNTIME === "deno" ? 2.5 : 1.7),
  quick(batches("mixed-128", 0.85)),
  groups(1000, 1.05),
  groups(100_000, 1.3),
  quick(samples("uniform-128", RUNTIME === "deno" ? 1.0 : 1.1)),
  samples("uniform-1500", RUNTIME === "deno" ? 1.0 : 1.25),
  samples("mixed-128", RUNTIME === "deno" ? 1.0 : 1.1),
  wait(50_000, 1.3),
  wait(200_000, 0.8),
  quick(predicate("packets-2", 3)),
  predicate("packets-1000", 3),
  filtered(200_000, 0.1),
  quick(headers("tcp-10000", 4, "headers")),
  quick(headers("vlan-10000", 4, "headers")),
  headers("tcp-10000", 0.5, "gopacket"),
  headers("vlan-10000", 0.5, "gopacket"),
  {
    work: "decode a packet's headers, 10,000,000 of both kinds",
    figures: [{ label: "taken of the heap", name: "taken", target: 1, unit: "MB", factor: 1e-6 }],
    measure: alone(() => run(subject("headers-heap", messages("tcp-10000"), 10_000_000, messages("vlan-10000")))),
    once: true,
  },
  quick(text("uniform-128", 0.3)),
  text("uniform-1500", 0.3),
  quick(text("mixed-128", 0.33)),
  text("mixed-1500", 0.36),
  text("uniform-65000", 1.0),
  text("recorded", 0.6),
  drain("text lines of C with TZ set and a buffered output", "mixed-128", 0.9, [...WITH_TZ, "text"], "text"),
  json("uniform-128", 0.6),
  json("uniform-1500", 0.6),
  quick(json("mixed-128", 0.4)),
  quick(json("mixed-1500", 0.6)),
  json("recorded", 0.7),
  drain("JSON lines of C with the same JSON and a buffered output", "mixed-128", 0.9, [...WITH_TZ, "json"], "json"),
  details(4, 1.2),
  quick(details(10_000, 1.2)),
  quick(pcap(128, 0.8)),
  pcap(1500, 0.8),
  recording("read --text of a pcapng, of tcpdump -nn -r", 0.5, 1_000_000, (path) => [...AS_STARTED, "tcpdump", "-nn", "-r", path], [
    "--text",
  ]),
  recording(
    "read --text of a pcapng, of tcpdump -nn -r with TZ set",
    undefined,
    1_000_000,
    (path) => [...WITH_TZ, "tcpdump", "-nn", "-r", path],
    ["--text"],
  ),
  recording("read --packets of a pcapng, of tcpdump -nn -r", 0.5, 1_000_000, (path) => [...AS_STARTED, "tcpdump", "-nn", "-r", path], [
    "--packets",
  ]),
  recording(
    "read --packets of a pcapng, of tcpdump -nn -r with TZ set",
    1.5,
    1_000_000,
    (path) => [...WITH_TZ, "tcpdump", "-nn", "-r", path],
    ["--packets"],
  ),
  recording(
    "read -w of a pcapng, of tcpdump -w",
    3,
    1_000_000,
    (path) => ["tcpdump", "-r", path, "-w", join(DIRECTORY, "copied.pcap")],
    ["-w", join(DIRECTORY, "copied.pcapng")],
  ),
  recording("read --json of a pcapng, of tshark -T json", 0.1, 100_000, (path) => ["tshark", "-r", path, "-T", "json"], ["--json"]),
  // More of them: of fewer the start would be half of our time.
  recording("read --json --details of a pcapng, of tshark -T json", 0.05, 300_000, (path) => ["tshark", "-r", path, "-T", "json"], [
    "--json",
    "--details",
  ]),
  recording(
    "top --once of a pcapng, of tshark -q -z conv,ip without analysis of TCP",
    0.05,
    1_000_000,
    (path) => ["tshark", "-r", path, "-q", "-z", "conv,ip", ...WITHOUT_TCP_ANALYSIS],
    ["--once", "--json"],
    ["top", "-q"],
  ),
  blocked("text", "uniform-128", [
    { label: "samples lost", name: "lost", target: 0, unit: "" },
    { label: "received and not recorded", name: "unrecorded", target: 0, unit: "" },
    { label: "in no account", name: "missing", target: 0, unit: "" },
    { label: "most resident", name: "peak", target: 150, unit: "MB", factor: 1.048576 },
  ]),
  blocked("json", "uniform-1500", [
    { label: "samples lost", name: "lost", target: undefined, unit: "" },
    { label: "received and not recorded", name: "unrecorded", target: 0, unit: "" },
    { label: "in no account", name: "missing", target: 0, unit: "" },
    { label: "most resident", name: "peak", target: undefined, unit: "MB", factor: 1.048576 },
  ]),
  quick({
    work: "wake-up at 500/s",
    figures: [
      { label: "p50", name: "p50", target: 100, unit: "us", factor: 1e-3 },
      { label: "p99", name: "p99", target: 1000, unit: "us", factor: 1e-3 },
    ],
    measure: runs(
      (size) => run(peer("recv", "latency", n(2000, size)), { kind: "uniform-128", count: n(2000, size), rate: 500, burst: 1 }),
      (size) => run(subject("wait", "latency", n(2000, size)), { kind: "uniform-128", count: n(2000, size), rate: 500, burst: 1 }),
    ),
  }),
  {
    work: "whole process, text lines at 1,000/s",
    figures: [{ name: "percent", target: RUNTIME === "deno" ? 6 : 4, unit: "% of a core" }],
    measure: alone((size) =>
      run(subject("wait", "text", n(5000, size)), { kind: "uniform-128", count: n(5000, size), rate: 1000, burst: 1 })
    ),
  },
  {
    work: "idle",
    figures: [
      { label: "CPU", name: "percent", target: 0.2, unit: "% of a core" },
      { label: "context switches", name: "switches", target: undefined, unit: "/s" },
    ],
    measure: alone((size) => run(subject("idle", n(5, size)))),
    once: true,
  },
  {
    work: RUNTIME === "deno" ? "start to first sample printed, warm cache" : "start to first sample printed, compiled file",
    figures: [{ name: "ms", target: RUNTIME === "deno" ? 150 : 60, unit: "ms" }],
    measure: alone(async () => {
      const demo = await command("demo");
      const times: number[] = [];
      for (let i = 0; i < 5; i++) times.push(await firstByte(demo));
      return new Map([["ms", median(times)]]);
    }),
  },
  {
    work: "memory at 100,000/s",
    figures: [
      { label: "growth", name: "growth", target: 5, unit: "MB" },
      { label: "resident", name: "resident", target: 90, unit: "MB" },
    ],
    measure: alone((size) =>
      run(subject("wait", "memory", size.memory), { kind: "uniform-128", count: size.memory, rate: 100_000, burst: 10 })
    ),
    once: true,
  },
  ...EXPORT_ROWS,
  {
    work: "top live at 100,000/s",
    figures: [
      { label: "CPU", name: "percent", target: 30, unit: "% of a core" },
      { label: "samples lost", name: "lost", target: 0, unit: "" },
      { label: "in no account", name: "missing", target: 0, unit: "" },
      { label: "growth", name: "growth", target: 5, unit: "MB" },
      { label: "resident", name: "resident", target: undefined, unit: "MB" },
    ],
    measure: alone((size) => {
      const count = n(2_000_000, size);
      return run(subject("top", count), { kind: "talkers-10000", count, rate: 100_000, burst: 10, drop: true });
    }),
    once: true,
  },
];
