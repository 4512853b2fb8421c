import { readdirSync, readFileSync, statSync } from "node:fs";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { parse } from "../../cli/options.ts";
import { OUTPUT_OPTIONS } from "../../cli/output_options.ts";
import { planOutput } from "../../cli/outputs.ts";
import { processIo } from "../../cli/io.ts";
import { inSession } from "../../cli/session.ts";
import { isTelling, received } from "../../cli/summary.ts";
import { NetlinkError } from "../../mod.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { message, number } from "../psample/build.ts";
import { type BatchesOptions, BatchesSource } from "../support/batches.ts";
import { recordings } from "../psample/recordings.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { optionNumber, optionText, type PcapngBlock, pcapngBlocks } from "../support/pcapng_blocks.ts";
import { output, programs } from "../support/programs.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";
import { messageOf } from "../../src/wire/message.ts";

const GOLDEN = new URL("../golden/", import.meta.url).pathname;

async function run(args: string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(args, io) });
}

/** The output of read for a file. */
async function json(io: FakeIo, path: string): Promise<string> {
  const input = io.files.get(path);
  const back = await run(["read", "--json", path], input && { input: { [path]: input } });
  assertEquals([back.status, back.errors().includes("malformed")], [0, false], back.errors());
  return back.text();
}

const ofType = (file: Uint8Array, type: number): PcapngBlock[] => pcapngBlocks(file).filter((block) => block.type === type);

test("read -w FILE.pcapng records packets, and read prints the same samples", async () => {
  for (const { name } of recordings()) {
    const path = `${GOLDEN}${name}`;
    const io = await run(["read", "-w", "x.pcapng", path]);
    assertEquals([io.status, io.text()], [0, ""]);
    assertEquals(await json(io, "x.pcapng"), await json(io, path), name);
  }
});

test("the format is determined by the name, or by --format", async () => {
  const path = `${GOLDEN}ingress.new.pcap`;
  const formatOf = async (...args: string[]): Promise<string> => {
    const io = await run(args);
    assertEquals(io.status, 0, io.errors());
    const bytes = [...io.files.values()][0] ?? io.bytes();
    if (bytes[0] === 0x0a) return "pcapng";
    return new DataView(bytes.buffer).getUint32(20, bytes[0] === 0x4d || bytes[0] === 0xd4) === 253 ? "netlink" : "pcap";
  };
  const read = (...args: string[]): Promise<string> => formatOf("read", path, ...args);
  assertEquals(await read("-w", "x.pcapng"), "pcapng");
  assertEquals(await read("-w", "X.PCAPNG"), "pcapng");
  assertEquals(await read("-w", "x.pcap"), "pcap");
  assertEquals(await read("-w", "x"), "pcapng");
  assertEquals(await read("-w", "-"), "pcapng");
  assertEquals(await read("-w", "x", "--format", "pcap"), "pcap");
  assertEquals(await read("-w", "-", "--format=netlink"), "netlink");
  assertEquals(await read("-w", "x.pcapng", "--format", "pcap"), "pcap");
  assertEquals(await formatOf("demo", "-q", "-w", "x.pcap", "--format", "netlink"), "netlink");
});

test("only psample without a command records in libpsample's format, unless to FILE.pcapng", async () => {
  for (const [file, bare, others] of [["x", 253, 0x0a], ["x.pcap", 253, 0xd4], ["x.pcapng", 0x0a, 0x0a]] as const) {
    for (const [other, expected] of [["netlink", bare], ["pcapng", others]] as const) {
      const io = fakeIo();
      const values = parse(["-w", file], OUTPUT_OPTIONS).options;
      const plan = planOutput(values, io, { lines: "text", recording: other });
      const status = await inSession(io, values, async (session) => {
        const outputs = await plan.open(session);
        await session.pump(new BatchesSource([samples([1])]), { ...outputs.start(), account: received, summary: isTelling });
      });
      const bytes = io.files.get(file)!;
      const first = bytes[0] === 0x0a ? 0x0a : bytes[20] === 253 ? 253 : bytes[0] === 0x4d ? 0xd4 : bytes[0];
      assertEquals([status, first], [0, expected], `${file} ${other}`);
    }
  }
});

test("that a file was not moved away is told to whoever asks for it to be reopened, not at each reload", async () => {
  const io = fakeIo();
  const values = parse(["-w", "x.pcapng"], OUTPUT_OPTIONS).options;
  await inSession(io, values, async (session) => {
    const { reopen, sinks } = (await planOutput(values, io).open(session)).start();
    reopen("if-moved");
    assertEquals(io.errors(), "");
    reopen();
    assertEquals(io.errors(), "psample: x.pcapng is not reopened: it is still the file being recorded to\n");
    for (const sink of sinks) sink.abort();
  });
});

test("a recording of packets can be combined with text and JSON", async () => {
  const path = `${GOLDEN}forward.new.pcap`;
  for (const form of ["--packets", "--text", "--json", "--details"]) {
    const alone = await run(["read", form, path]);
    const both = await run(["read", form, "-w", "x.pcapng", path]);
    assertEquals([both.status, both.text()], [0, alone.text()]);
    assertEquals(ofType(both.files.get("x.pcapng")!, 6).length, 3);
  }
});

test("names of interfaces are recorded, read, and kept when it is recorded again", async () => {
  const io = await run(["demo", "-q", "-w", "x.pcapng"]);
  assertEquals(io.status, 0, io.errors());
  const file = io.files.get("x.pcapng")!;
  const names = (file: Uint8Array): (string | undefined)[] => ofType(file, 1).map((block) => optionText(block, 2));
  assertEquals(names(file), ["a", "c", "tun0", "vxlan0"]);
  const again = await run(["read", "--details", "-w", "y.pcapng", "x.pcapng"], { input: { "x.pcapng": file } });
  assertMatch(again.text(), /in-name tun0 link-type raw-ip /);
  assertMatch(again.text(), /in-name a out-name c link-type ethernet /);
  assertEquals(names(again.files.get("y.pcapng")!), names(file));
  assertEquals(ofType(again.files.get("y.pcapng")!, 1).map((block) => block.body), ofType(file, 1).map((block) => block.body));
});

test("a file of packets that psample did not record is read as packets", async () => {
  const { files } = await run(["read", "-w", "x.pcapng", `${GOLDEN}ingress.new.pcap`]);
  const foreign = files.get("x.pcapng")!.slice();
  // The signature of everything of ours.
  const text = new TextDecoder("latin1").decode(foreign);
  for (let at = text.indexOf("psmp"); at >= 0; at = text.indexOf("psmp", at + 1)) foreign[at] = 0;
  const io = await run(["read", "--text", "x.pcapng"], { input: { "x.pcapng": foreign } });
  assertEquals([io.status, io.text()], [0, "origsize 142 \n".repeat(3) + "origsize 98 \n".repeat(2)]);
});

/** Samples of one group at these times, in seconds, of `bytes` bytes. */
function samples(times: readonly number[], bytes = 100): EntryView[] {
  return times.map((time, i) =>
    viewSample(messageOf(message([
      [0, number(2, 3)],
      [2, number(4, bytes)],
      [3, number(4, 1)],
      [4, number(4, i)],
      [5, number(4, 1)],
      [13, number(8, BigInt(time) * 1_000_000_000n)],
      [6, new Uint8Array(bytes).fill(i & 0x3f)],
    ])))
  );
}

async function record(io: FakeIo, args: string[], batches: readonly EntryView[][], options: BatchesOptions = {}): Promise<number> {
  const values = parse(args, OUTPUT_OPTIONS).options;
  const plan = planOutput(values, io);
  return await inSession(io, values, async (session) => {
    const outputs = await plan.open(session);
    await session.pump(new BatchesSource(batches, options), { ...outputs.start(), account: received, summary: isTelling });
  });
}

test("--rotate SIZE: no file is longer, each is complete, and together they contain everything", async () => {
  for (const format of ["pcapng", "netlink"]) {
    const entries = samples(Array.from({ length: 500 }, (_, i) => i));
    const io = fakeIo();
    await record(io, ["-w", "dir.d/x.rec", "--format", format, "--rotate", "20kB"], [entries.slice(0, 3), entries.slice(3)]);
    const names = [...io.files.keys()];
    assert(names.length > 5);
    assertEquals(names, names.map((_, i) => `dir.d/x-${String(i + 1).padStart(5, "0")}.rec`));
    let all = "";
    for (const name of names) {
      const file = io.files.get(name)!;
      assert(file.length <= 20_000 && (file.length > 15_000 || name === names.at(-1)), `${name}: ${file.length}`);
      if (format === "pcapng") {
        assertEquals(ofType(file, 1).length, 1);
        assertEquals(optionNumber(ofType(file, 5)[0]!, 4), BigInt(ofType(file, 6).length));
        assertEquals(optionNumber(ofType(file, 5)[0]!, 5), 0n);
      }
      all += await json(io, name);
    }
    const { text } = await (async (): Promise<{ text: string }> => {
      const one = fakeIo();
      await record(one, ["-w", "one.pcapng"], [entries]);
      return { text: await json(one, "one.pcapng") };
    })();
    assertEquals(all, text);
  }
});

test("--rotate TIME: a recording is divided by its own times; --keep removes the oldest files, also those of earlier runs", async () => {
  const entries = samples([0, 1, 3599, 3600, 3601, 7199, 7200, 20000, 20001, 19999]);
  const io = fakeIo();
  await record(io, ["-w", "x.pcapng", "--rotate", "1h"], [entries], { recorded: true });
  const seconds = (file: Uint8Array): number[] =>
    ofType(file, 6).map(({ body, little }) => {
      const view = new DataView(body.buffer, body.byteOffset);
      return Number((BigInt(view.getUint32(4, little)) << 32n | BigInt(view.getUint32(8, little))) / 1_000_000_000n);
    });
  assertEquals([...io.files].map(([name, file]) => [name, seconds(file)]), [
    ["x-00001.pcapng", [0, 1, 3599]],
    ["x-00002.pcapng", [3600, 3601, 7199]],
    ["x-00003.pcapng", [7200]],
    ["x-00004.pcapng", [20000, 20001, 19999]],
  ]);
  const kept = fakeIo();
  kept.files.set("x-00007.pcapng", new Uint8Array());
  const each = entries.map((entry) => [entry]);
  await record(kept, ["-w", "x.pcapng", "--rotate", "1h", "--keep", "2"], each, { recorded: true });
  assertEquals([...kept.files.keys()], ["x-00010.pcapng", "x-00011.pcapng"]);
  const both = fakeIo();
  await record(both, ["-w", "x", "--rotate", "1h", "--rotate", "2kB"], [entries], { recorded: true });
  assert(both.files.size > 4);
  assert([...both.files.keys()].every((name) => /^x-\d{5}$/.test(name)));
});

test("a file contains the drops of the socket, and the losses, also when it ends early", async () => {
  const entries = samples([0, 1, 2, 3, 4, 5]);
  const io = fakeIo();
  await record(io, ["-w", "x.pcapng"], [[entries[0]!, entries[3]!], [entries[4]!]], { dropped: 1 });
  const [statistics] = ofType(io.files.get("x.pcapng")!, 5);
  // Received, lost by number, dropped by the socket as it was at the end, delivered.
  assertEquals([4, 5, 7, 8].map((code) => optionNumber(statistics!, code)), [3n, 2n, 2n, 3n]);
  assertEquals(ofType(io.files.get("x.pcapng")!, 6).map((block) => optionNumber(block, 4)), [0n, 2n, 0n]);

  const broken = fakeIo();
  const failure = new NetlinkError("receive samples", 19);
  const error = await record(broken, ["-w", "x.pcapng"], [[entries[0]!]], { failure }).catch((error) => error);
  assertEquals(error, failure);
  assertEquals(ofType(broken.files.get("x.pcapng")!, 5).length, 1);
});

test("when the reader of the text is gone the recording continues, and says so", async () => {
  const entries = samples([0, 1, 2, 3, 4, 5]);
  let writes = 0;
  const io = fakeIo({
    onWrite: () => {
      if (++writes === 2) throw new NetlinkError("write the output", 32);
    },
  });
  const status = await record(io, ["-w", "x.pcapng", "--text"], entries.map((entry) => [entry]));
  assertEquals(status, 0);
  assertEquals(ofType(io.files.get("x.pcapng")!, 6).length, 6);
  assertEquals(
    io.errors(),
    "psample: nobody reads standard output any more; x.pcapng continues\npsample: received 6 samples; lost 0\n",
  );
});

test("when one output fails the others continue, and the exit status is 1", async () => {
  const entries = samples([0, 1, 2]);
  const io = fakeIo({
    onWrite: () => {
      throw new NetlinkError("write standard output", 28);
    },
  });
  assertEquals(await record(io, ["-w", "x.pcapng", "--text"], entries.map((entry) => [entry])), 1);
  assertEquals(ofType(io.files.get("x.pcapng")!, 6).length, 3);
  assertMatch(io.errors(), /^psample: Cannot write standard output: no space left on device \(ENOSPC\)/);
});

test("a recording that is read is never overwritten, but may belong to a series that is continued", async () => {
  const path = `${GOLDEN}ingress.new.pcap`;
  const recorded = (await run(["read", "-q", "-w", "x.pcapng", path])).files.get("x.pcapng")!;
  for (const args of [["-w", "x.pcapng"], ["-w", "x.pcapng", "--json"], ["-w", "x.pcapng", "-q", "--format=netlink"]]) {
    const io = fakeIo();
    io.files.set("x.pcapng", recorded);
    assertEquals(await main(["read", ...args, "x.pcapng"], io), 2);
    assertMatch(io.errors(), /--write would overwrite the input file/);
    assertEquals(io.files.get("x.pcapng"), recorded);
  }
  const io = fakeIo();
  io.files.set("x-00002.pcapng", recorded);
  assertEquals(await main(["read", "-q", "-w", "x.pcapng", "--rotate", "1MB", "x-00002.pcapng"], io), 0, io.errors());
  assertEquals([...io.files.keys()], ["x-00002.pcapng", "x-00003.pcapng"]);
  assertEquals(io.files.get("x-00002.pcapng"), recorded);
});

test("a usage error says why, and creates no file", async () => {
  const wrong: [string[], RegExp][] = [
    [["--format", "pcapng"], /--format requires --write FILE/],
    [["--rotate", "1h"], /--rotate requires --write FILE/],
    [["--keep", "1"], /--keep requires --rotate/],
    [["-w", "x", "--keep", "1"], /--keep requires --rotate/],
    [["-w", "x", "--format", "text"], /--format is "text": expected pcapng, pcap or netlink/],
    [["-w", "-", "--rotate", "1h"], /cannot be combined with --write -/],
    [["-w", "x", "--rotate", "100"], /--rotate is "100": expected a size such as 100MB or a time such as 1h/],
    [["-w", "x", "--rotate", "0MB"], /--rotate is "0MB"/],
    [["-w", "x", "--rotate", "5 MB"], /--rotate is "5 MB"/],
    [["-w", "x", "--rotate", "1MB", "--rotate", "2MB"], /two sizes/],
    [["-w", "x", "--rotate", "1s", "--rotate", "2h"], /two times/],
    [["-w", "x", "--rotate", "1MB", "--keep", "0"], /--keep is "0"/],
  ];
  for (const [args, why] of wrong) {
    const io = await run(["read", ...args, `${GOLDEN}ingress.new.pcap`]);
    assertEquals([io.status, io.files.size], [2, 0], args.join(" "));
    assertMatch(io.errors(), why);
  }
});

test(
  "files that a killed psample leaves open in tshark, and read gives as many samples",
  programs("tshark"),
  inDirectory(async (at) => {
    const words = [...COMMAND, "demo", "-q", "--loop", "1000000", "-w", at("x.pcapng"), "--rotate", "300kB", "--keep", "3"];
    const child = spawn(words[0]!, words.slice(1), { stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("close", resolve));
    try {
      const files = (): string[] => readdirSync(at("")).sort();
      const until = Date.now() + 30_000;
      while (!(files().length >= 3 && !files().includes("x-00001.pcapng"))) {
        assert(Date.now() < until && child.exitCode === null, `after 30 s there are ${files()}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
    const names = readdirSync(at("")).sort();
    assert(names.length === 3 || names.length === 4, names.join());
    for (const [i, name] of names.entries()) {
      const path = at(name);
      const io = fakeIo();
      const status = await main(["read", "--json", path], io);
      const lines = io.text().split("\n").filter((line) => line.startsWith('{"type":"sample"')).length;
      assertEquals(
        output("tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.number").out.trim().split("\n").filter(Boolean).length,
        lines,
        name,
      );
      if (i < names.length - 1) assertEquals([status, statSync(path).size <= 300_000], [0, true], name);
    }
  }),
);

test(
  "the real files: made, rotated, removed",
  inDirectory(async (at) => {
    const entries = samples(Array.from({ length: 100 }, (_, i) => i));
    const io = Object.assign(fakeIo(), { openFiles: processIo().openFiles });
    await record(io, ["-w", at("x.pcapng"), "--rotate", "10s", "--keep", "4"], [entries], { recorded: true });
    assertEquals(readdirSync(at("")).sort(), [7, 8, 9, 10].map((i) => `x-000${String(i).padStart(2, "0")}.pcapng`));
    for (const name of readdirSync(at(""))) assertEquals(ofType(readFileSync(at(name)), 6).length, 10);
  }),
);
