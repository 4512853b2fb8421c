/** `psample read` of recordings from elsewhere. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import { NetlinkWriter } from "../../src/format/pcap/netlink_writer.ts";
import { IterableInput } from "../../src/receive/recording_input.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { message, number } from "../psample/build.ts";
import { netlinkRecord, pcapFile } from "../support/capture_files.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { optionText, pcapngBlocks } from "../support/pcapng_blocks.ts";
import { record } from "../support/recorded.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";
import { messageOf } from "../../src/wire/message.ts";

const ODD = new URL("../golden/odd/", import.meta.url).pathname;

async function run(args: string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(args, io) });
}

test("a recording of the other byte order is recorded again unchanged", async () => {
  const odd = `${ODD}be.pcap`;
  const printed = await run(["read", "--json", odd]);
  assertEquals([printed.status, printed.text().split("\n").length], [0, 2], printed.errors());
  for (const args of [["-w", "x.pcapng"], ["-w", "x", "--format", "netlink"]]) {
    const again = await run(["read", ...args, odd]);
    assertEquals(again.status, 0, again.errors());
    const [[name, file]] = [...again.files] as [[string, Uint8Array]];
    const back = await run(["read", "--json", name], { input: { [name]: file } });
    assertEquals(back.text(), printed.text());
  }
  const netlink = (await run(["read", "-w", "x", "--format", "netlink", odd])).files.get("x")!;
  assertEquals(netlink.slice(netlink.length - 124), new Uint8Array(readFileSync(odd)).slice(-124));
});

test("devices of two hosts with the same index are kept apart, also when they are recorded again", async () => {
  for (const name of ["two-hosts-cat.pcapng", "two-hosts-mergecap.pcapng"]) {
    for (const pieceBytes of [7, 65536]) {
      const printed = await run(["read", "--details", "-w", "x.pcapng", `${ODD}${name}`], { pieceBytes });
      assertEquals([...printed.text().matchAll(/in-name (\S+)/g)].map(([, name]) => name), [
        "uplink-A",
        "uplink-A",
        "storage-B",
        "storage-B",
      ]);
      const blocks = pcapngBlocks(printed.files.get("x.pcapng")!);
      const interfaces = blocks.filter(({ type }) => type === 1).map((block) => optionText(block, 2));
      assertEquals(interfaces, ["uplink-A", "storage-B"]);
      assertEquals(blocks.filter(({ type }) => type === 6).map(({ body }) => interfaces[body[0]!]), [
        "uplink-A",
        "uplink-A",
        "storage-B",
        "storage-B",
      ]);
    }
  }
});

/** The bytes; the second half only once `time` resolves. */
async function* inHalves(bytes: Uint8Array, time: Promise<void>): AsyncGenerator<Uint8Array> {
  yield bytes.slice(0, bytes.length / 2);
  await time;
  yield bytes.slice(bytes.length / 2);
}

test("progress is a line at a terminal, which makes way for others, and is left out by quiet", async () => {
  const bytes = new Uint8Array(readFileSync(`${ODD}be.pcap`));
  for (const words of [["read", "--json"], ["top", "--json"]]) {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => finish = resolve);
    const [quiet, loud] = [["-q"], []].map((given) => {
      const io = fakeIo({ errIsTerminal: true });
      io.openRecording = () => Promise.resolve(new IterableInput(inHalves(bytes, finished), bytes.length));
      return { io, status: main([...words, ...given, "a.pcap"], io) };
    });
    let isOver = false;
    void loud!.status.finally(() => isOver = true);
    while (!isOver && !loud!.io.errors().includes("read")) await new Promise((resolve) => setTimeout(resolve, 10));
    loud!.io.signal("SIGUSR1");
    finish();
    assertEquals([await quiet!.status, await loud!.status], [0, 0]);
    const shown = loud!.io.errors().replaceAll("\r\x1b[K", "<erase>").replaceAll(/(<erase>psample: \d+ % read)+/g, "<progress>");
    assertMatch(shown, /^<progress><erase>psample: read .*\n(<progress><erase>)?psample: read .*\n$/);
    assertEquals(quiet!.io.errors(), "");
  }
});

test("read reports the losses that a recording shows, but none for what was filtered out", async () => {
  const items = [1, 2, 5, 6, 9].map((sequence) => viewSample(messageOf(message([[3, number(4, 1)], [4, number(4, sequence)]]))));
  for (const writer of [new PcapngWriter(), new NetlinkWriter()]) {
    const file = record(
      writer,
      items,
      writer instanceof PcapngWriter ? { dropped: 3, ending: { period: { startNs: 0n, endNs: 0n } } } : {},
    );
    const io = await run(["read", "a"], { input: { a: file } });
    assertMatch(io.errors(), /read 5 samples; 4 lost before they were recorded/);
    if (writer instanceof PcapngWriter) assertMatch(io.errors(), /3 messages dropped by the kernel while recording/);
    for (const format of ["pcapng", "netlink"]) {
      const thin = await run(["read", "-w", "b", "--format", format, "--count", "2", "a"], { input: { a: file } });
      const back = await run(["read", "b"], { input: { b: thin.files.get("b")! } });
      for (const io of [thin, back]) assertMatch(io.errors(), /^psample: read 2 samples(; 3 messages dropped.*)?\n$/);
    }
  }
});

test("read -g reports the losses of the given groups", async () => {
  const items = [[1, 1], [1, 5], [2, 1], [2, 3]].map(([group, sequence]) => {
    return viewSample(messageOf(message([[3, number(4, group!)], [4, number(4, sequence!)]])));
  });
  const a = record(new NetlinkWriter(), items);
  const one = await run(["read", "-g", "2", "-w", "b.pcapng", "a"], { input: { a } });
  assertMatch(one.errors(), /read 2 samples; 2 of other groups; 1 lost before/);
  const back = await run(["read", "b.pcapng"], { input: { "b.pcapng": one.files.get("b.pcapng")! } });
  assertMatch(back.errors(), /read 2 samples; 1 lost before/);
});

test(
  "an error in a recording names the file",
  inDirectory((at) => {
    const cut = at("cut.pcap");
    const file = pcapFile([{ bytes: new Uint8Array(60) }], { linkType: 1 });
    writeFileSync(cut, file.subarray(0, file.length - 1));
    const { stderr, status } = spawnSync(COMMAND[0]!, [...COMMAND.slice(1), "read", "-q", cut], { encoding: "utf8" });
    assertEquals([status, stderr], [
      1,
      `psample: ${cut}: Cannot decode recording at byte 24: the file is cut off here: 75 bytes left, 76 expected\n`,
    ]);
  }),
);

test("a user at a terminal is told that a recording is waited for on standard input", async () => {
  for (const [inIsTerminal, expected] of [[true, 1], [false, 0]] as const) {
    for (const command of [["read", "-"], ["top", "-", "--rate", "1"]]) {
      const io = fakeIo({ inIsTerminal, input: { "-": pcapFile([{ bytes: new Uint8Array(60) }], { linkType: 1 }) } });
      assertEquals(await main(command, io), 0, io.errors());
      assertEquals(io.errors().split("waiting for a recording on standard input").length - 1, expected, io.errors());
    }
  }
});

test("an error in what comes through a pipe names standard input", () => {
  const { stderr, status } = spawnSync(COMMAND[0]!, [...COMMAND.slice(1), "read", "-q", "-"], { encoding: "utf8", input: "" });
  assertEquals([status, stderr], [1, "psample: standard input: Cannot decode recording at byte 0: the file is empty\n"]);
});

test("read without the family's number names the option", async () => {
  const a = pcapFile([{ bytes: netlinkRecord(message([[3, number(4, 1)]])) }]);
  const io = await run(["read", "a"], { input: { a } });
  assertEquals(io.status, 1);
  assertMatch(io.errors(), /1 generic netlink message of family 30 \(1\): give psample's with --family-id N/);
  assertEquals((await run(["read", "--text", "--family-id", "30", "a"], { input: { a } })).text(), "group 1 \n");
});

test("packets from other programs are read, and recorded as packets", async () => {
  const a = pcapFile([{ bytes: new Uint8Array(60).fill(2), originalBytes: 1500 }], { linkType: 1 });
  const io = await run(["read", "-w", "b.pcap", "--text", "a"], { input: { a } });
  assertEquals([io.status, io.text()], [0, "origsize 1500 \n"]);
  const b = io.files.get("b.pcap")!;
  assertEquals([b.length, b[20], b.slice(40)], [100, 1, new Uint8Array(60).fill(2)]);
});

test("read --filter prints the samples whose packets match, all of the filters if there are several", async () => {
  const file = new URL("../golden/vlan.new.pcap", import.meta.url).pathname;
  const lines = async (...args: string[]): Promise<string[]> => {
    const io = await run(["read", "--text", ...args, file]);
    assertEquals(io.status, 0, io.errors());
    return io.text().split("\n").filter((line) => line.startsWith("group "));
  };
  const all = await lines();
  const udp = await lines("--filter", "udp");
  const others = await lines("--filter", "not udp");
  assertEquals([all.length, udp.length, others.length], [2, 1, 1]);
  assertEquals([...udp, ...others].sort(), all.sort());
  assertEquals(await lines("--filter", "udp", "--filter", "rate = 1"), udp);
  assertEquals(await lines("--filter", "udp", "--filter", "not udp"), []);
  assertEquals(await lines("--filter", "vlan or not vlan", "--count", "1"), all.slice(0, 1));
  const io = await run(["read", "--filter", "not udp", file]);
  assertMatch(io.errors(), /^psample: read 1 sample;/);
});

test("an invalid filter is a usage error, with a mark below the word", async () => {
  for (const args of [["read", "x.pcap"], [], ["capture", "eth0"], ["demo"]]) {
    const io = await run([...args, "--filter", "tcp port foo"]);
    assertEquals(io.status, 2);
    assertMatch(io.errors(), /^psample: --filter: expected a port.*\n {2}tcp port foo\n {11}\^~~\nTry: /);
  }
});
