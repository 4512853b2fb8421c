/** The command psample on a real kernel: as a script, and as the compiled file that PSAMPLE_BINARY names. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readFileSync, rmSync } from "node:fs";
import type { Entry, Sample } from "../../mod.ts";
import { main } from "../../cli/main.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { ETH_EXPERIMENT, ethernet, frameIn, frameOut, hex, INNER, inOrder, OURS, PEER, vxlan } from "./frames.ts";
import { BUN, COMMANDS, ending, openDirectory, Program, script, startAllListening, startListening } from "./runtime.ts";
import { asSamples, type Ear, hear, ip, run, sample, scene, send, tc, until, wire } from "./scene.ts";

// --- what libpsample prints -------------------------------------------------------------------------
// Written from its description, independently of this package's formatter, which must print the same.

function libpsampleLine(entry: Entry): string {
  if (entry.type !== "sample") {
    return `${entry.type === "group-created" ? "created" : "deleted"} group ${entry.group} with current seq ${entry.sequence} `;
  }
  const ns = entry.timestampNs!;
  const at = new Date(Number(ns / 1_000_000_000n) * 1000).toString().split(" ");
  const [weekday, month, day, year, time] = at;
  const asctime = `${weekday} ${month} ${day!.replace(/^0/, " ")} ${time} ${year}`;
  return [
    ["group", entry.group],
    ["in-ifindex", entry.inIfindex],
    ["out-ifindex", entry.outIfindex],
    ["origsize", entry.originalBytes],
    ["sample-rate", entry.rate],
    ["seq", entry.sequence],
    ["timestamp", `${asctime} ${String(ns % 1_000_000_000n).padStart(9, "0")} nsec`],
    ["protocol", `0x${entry.protocol!.toString(16)}`],
  ].filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${value} `).join("");
}

/** With `-v`: the data 16 bytes a line, and an empty line. */
function libpsampleDump(sample: Sample): string {
  const data = sample.data;
  if (!data) return libpsampleLine(sample);
  let text = `${libpsampleLine(sample)}data len ${data.length}\n`;
  for (let at = 0; at < data.length; at += 16) {
    const bytes = [...data.subarray(at, at + 16)];
    const numbers = bytes.map((byte) => `${byte.toString(16).padStart(2, "0")} `).join("");
    const characters = bytes.map((byte) => byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".").join("");
    text += `0x${at.toString(16).padStart(4, "0")}:  ${numbers.padEnd(48)} ${characters}\n`;
  }
  return text;
}

function lines(entries: readonly Entry[], line: (entry: Entry) => string = libpsampleLine): string {
  return entries.map((entry) => `${line(entry)}\n`).join("");
}

// --- what there is to print -------------------------------------------------------------------------

/** Two groups, a tunnel, packets with and without data, in and out, and the group events. Returns what a listener received. */
async function muchHappens(ear: Ear): Promise<Entry[]> {
  // Without an address nothing answers: ICMP errors would be additional samples.
  ip("address del 192.0.2.1/24 dev a");
  sample("a ingress", "rate 1 group 5", "pref 1 protocol ip flower ip_proto udp dst_port 5000");
  sample("a ingress", "rate 1 group 4294967295 trunc 0", `pref 2 protocol ${ETH_EXPERIMENT} matchall`);
  sample("a egress", "rate 1 group 6 trunc 33", "pref 1 matchall");
  send("b", ...inOrder(3, frameIn), frameIn({ size: 400 }), ethernet(OURS, PEER, ETH_EXPERIMENT, hex("2041427e7f80")));
  send("a", ...inOrder(2, frameOut));
  tc("filter del dev a egress pref 1");
  return await ear.take(3 + 5 + 2 + 1);
}

/** The number of records in a pcap so far. */
function records(file: string): number {
  const bytes = readFileSync(file);
  let count = 0;
  // 24 bytes of file header; each record has 16, of which the third word is its length.
  for (let at = 24; at + 16 <= bytes.length; at += 16 + bytes.readUInt32LE(at + 8)) count++;
  return count;
}

/** The entries of one group. */
function ofGroup(entries: readonly Entry[], group: number): Entry[] {
  return entries.filter((entry) => entry.group === group);
}

async function printed(program: Program, text: string): Promise<void> {
  // If too few arrive, the comparison shows what is missing, not the wait.
  await until("the command has printed all", () => program.out.length >= text.length).catch(() => {});
  assertEquals(program.out, text);
}

const SUMMARY = (samples: number, events: number): string => {
  const told = events === 0 ? "" : ` ${events} group event${events === 1 ? "" : "s"};`;
  return `psample: received ${samples} sample${samples === 1 ? "" : "s"};${told} lost 0\n`;
};

for (const { name, words } of COMMANDS) {
  scene(`${name}: prints libpsample's lines as they come; SIGINT ends it with a summary and status 0`, async () => {
    wire();
    await using ear = await hear();
    await using program = await startListening(words());
    const entries = await muchHappens(ear);
    await printed(program, lines(entries));
    program.signal("SIGINT");
    assertEquals(await program.ended, { status: 0, out: lines(entries), err: SUMMARY(7, 4) });
  });

  scene(`${name}: -v, -c, -s and -g choose as libpsample's do`, async () => {
    wire();
    await using ear = await hear();
    const [dump, events, one, two] = await startAllListening(
      [...words(), "-v", "-c"],
      [...words(), "-s", "-q"],
      [...words(), "-m", "-g", "5"],
      [...words(), "--group", "6", "-g", "4294967295", "--verbose"],
    ) as [Program, Program, Program, Program];
    const entries = await muchHappens(ear);
    const samples = asSamples(entries.filter((entry) => entry.type === "sample"));
    const both = entries.filter((entry) => entry.group !== 5);
    const dumped = (entry: Entry): string => entry.type === "sample" ? libpsampleDump(entry) : libpsampleLine(entry);
    await printed(dump, lines(samples, dumped));
    await printed(events, lines(entries.filter((entry) => entry.type !== "sample")));
    await printed(one, lines(ofGroup(entries, 5)));
    await printed(two, lines(both, dumped));
    for (const program of [dump, events, one, two]) program.signal("SIGTERM");
    assertEquals((await dump.ended).err, SUMMARY(7, 0));
    assertEquals(await events.ended, { status: 0, out: events.out, err: "" });
    assertEquals((await one.ended).err, SUMMARY(4, 1));
    assertEquals((await two.ended).err, SUMMARY(3, 3));
  });

  scene(`${name}: -l prints libpsample's table, and nothing if there are no groups`, async () => {
    assertEquals(await ending([...words(), "-l"]), { status: 0, out: "", err: "" });
    wire();
    await using ear = await hear();
    await muchHappens(ear);
    const row = (...cells: unknown[]): string => `${cells.map((cell) => String(cell).padEnd(15)).join(" ")}\n`;
    const table = row("Group Num", "Refcount", "Group Seq") + row(5, 1, 4) + row(4294967295, 1, 1);
    assertEquals(await ending([...words(), "-l"]), { status: 0, out: table, err: "" });
  });

  scene(`${name}: --json uses the library's keys; --count and --duration end it`, async () => {
    wire();
    await using ear = await hear();
    const [counting, all] = await startAllListening(
      [...words(), "--json", "--count", "2", "-g", "5"],
      [...words(), "--json"],
    ) as [Program, Program];
    const entries = await muchHappens(ear);
    const json = (entry: Entry): string => JSON.stringify(entry);
    const [created, first, second] = ofGroup(entries, 5);
    const { status, out } = await counting.ended;
    assertEquals([status, out], [0, lines([created!, first!, second!], json)]);
    await printed(all, lines(entries, json));
    const object = JSON.parse(all.out.split("\n").find((line) => line.includes(`"group":6,"sequence":1`))!);
    const last = asSamples(ofGroup(entries, 6).slice(1, -1)).at(-1)!;
    assertEquals(object, {
      type: "sample",
      group: 6,
      sequence: 1,
      rate: 1,
      rateIsProbability: false,
      oneIn: 1,
      outIfindex: 101,
      originalBytes: 142,
      protocol: 0x0800,
      timestampNs: String(last.timestampNs),
      unknown: [],
      portId: 0,
      data: [...frameOut({ id: 2 }).subarray(0, 33)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    });
    all.signal("SIGTERM");
    assertEquals((await all.ended).status, 0);
    // Nobody sends to group 999: only --duration ends it, and there is nothing to report.
    assertEquals(await ending([...words(), "--duration", "500ms", "-g", "999"]), { status: 0, out: "", err: "" });
  });

  scene(`${name}: psample read prints a recording (-w) exactly as it was printed live`, async () => {
    wire();
    const directory = openDirectory();
    const file = `${directory}/samples.pcap`;
    try {
      await using ear = await hear();
      await using program = await startListening([...words("--allow-write", "--allow-read"), "-w", file]);
      const entries = await muchHappens(ear);
      // Each batch is in the file as soon as it is written, not only at the end.
      await until("everything is in the recording", () => records(file) === 1 + entries.length);
      program.signal("SIGINT");
      assertEquals(await program.ended, { status: 0, out: "", err: SUMMARY(7, 4) });
      const read = (...options: string[]): string => {
        const [command, ...args] = [...words("--allow-read"), "read", ...options, file];
        return run(command!, args);
      };
      assertEquals(read("-q", "--text"), lines(entries));
      assertEquals(read("-q", "--json", "-g", "5"), lines(ofGroup(entries, 5), (entry) => JSON.stringify(entry)));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  scene(`${name}: the reader may stop: | head -1 ends it with status 0, and the summary`, "program:bash", async () => {
    wire();
    sample("a egress", "rate 1 group 1");
    const shell = '"$@" | head -1; echo "${PIPESTATUS[0]}"';
    await using pipe = new Program(["bash", "-c", shell, "bash", ...words()]);
    let over = false;
    pipe.ended.then(() => over = true, () => {});
    // The pipe breaks at the next write, so samples have to keep arriving.
    await until("head has seen enough", () => {
      send("a", frameOut());
      return over;
    });
    const { out, err } = await pipe.ended;
    const [line, status, end] = out.split("\n");
    assert(/^group 1 out-ifindex 101 origsize 142 sample-rate 1 seq \d+ timestamp .* nsec protocol 0x800 $/.test(line!), line!);
    assertEquals([status, end], ["0", ""]);
    assertMatch(err, /^psample: received \d+ samples, \d+ of them printed or recorded; lost 0\n$/);
  });
}

scene("psample: pairs that libpsample refuses are refused, with status 2", async () => {
  const { words } = COMMANDS.at(-1)!;
  for (const args of [["-c", "-s"], ["-w", "x", "-g", "1"]]) {
    const { status, out, err } = await ending([...words(), ...args]);
    assertEquals([status, out], [2, ""]);
    assertStringIncludes(err, "mutually exclusive");
  }
});

if (!BUN) {
  scene("psample: permission for libc alone is enough", async () => {
    wire();
    sample("a egress", "rate 1 group 1");
    await using ear = await hear({ events: false });
    // The runtime has it loaded, so its maps contain the path.
    const libc = /\s(\/\S*\/libc[.-]\S*)$/m.exec(readFileSync("/proc/self/maps", "utf8"))![1]!;
    await using program = await startListening([...script("cli/main.ts", `--allow-ffi=${libc}`), "-c", "--count", "2"]);
    send("a", ...inOrder(2, frameOut));
    assertEquals(await program.ended, { status: 0, out: lines(await ear.take(2)), err: SUMMARY(2, 0) });
  });
}

scene("psample: other tools read the recording", "program:tshark", async () => {
  wire();
  const directory = openDirectory();
  const file = `${directory}/samples.pcap`;
  try {
    await using ear = await hear();
    await using program = await startListening([...script("cli/main.ts", "--allow-write"), "-w", file, "--count", "7"]);
    const entries = await muchHappens(ear);
    await program.ended;
    const names = ["cmd", "sample_group", "group_seq_num", "iifindex", "oifindex", "origsize", "sample_rate", "proto"];
    const out = run("tshark", ["-r", file, "-Y", "psample", "-T", "fields", ...names.flatMap((name) => ["-e", `psample.${name}`])]);
    const rows = out.trimEnd().split("\n").map((row) => row.split("\t").map((cell) => cell === "" ? undefined : Number(cell)));
    const heard = entries.slice(0, entries.findLastIndex((entry) => entry.type === "sample") + 1);
    const commands = { "sample": 0, "group-created": 2, "group-deleted": 3 };
    assertEquals(
      rows,
      heard.map((entry) => {
        const { group, sequence } = entry;
        if (entry.type !== "sample") return [commands[entry.type], group, sequence, ...new Array(5).fill(undefined)];
        return [0, group, sequence, entry.inIfindex, entry.outIfindex, entry.originalBytes, entry.rate, entry.protocol];
      }),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

scene("psample --details: what libpsample does not print, after what it does", "module:vxlan", async () => {
  wire();
  ip("link add name tunnel0 index 120 type vxlan external dstport 4789", "link set dev tunnel0 up");
  tc("qdisc add dev tunnel0 clsact");
  sample("tunnel0 ingress", "rate 1 group 20");
  await using ear = await hear({ events: false });
  await using program = await startListening([...script("cli/main.ts"), "--details", "--count", "1", "-q"]);
  send("b", vxlan(4, true));
  const [entry] = asSamples(await ear.take(1));
  assertEquals(entry!.data, INNER);
  const { status, out, err } = await program.ended;
  assertEquals([status, err], [0, ""]);
  assert(out.startsWith(libpsampleLine(entry!)), out);
  const tunnel =
    "tunnel-id 42 tunnel-src 192.0.2.2 tunnel-dst 192.0.2.1 tunnel-tos 16 tunnel-ttl 64 tunnel-sport 50000 tunnel-dport 4789 tunnel-flags csum ";
  assertStringIncludes(out, tunnel);
});

scene("a user at a terminal is told that there are no groups, and what --count-at takes", async () => {
  for (const errIsTerminal of [true, false]) {
    const io = fakeIo({ errIsTerminal });
    assertEquals(await main(["-l"], io), 0);
    assertEquals([io.text(), io.errors().includes("there are no groups")], ["", errIsTerminal]);
  }
  const io = fakeIo();
  assertEquals(await main(["top", "--count-at", "nosuch"], io), 2);
  assertMatch(io.errors(), /--count-at: "nosuch" is neither a device nor one of port, bridge, lower, upper, in /);
});
