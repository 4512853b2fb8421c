/** `psample extcap`, as Wireshark starts it, and as tshark does. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { COMMAND } from "../../cli/extcap/control.ts";
import { CONTROL } from "../../cli/extcap/toolbar_sentences.ts";
import { listSampling } from "../../mod.ts";
import { optionNumber, optionText, type PcapngBlock, pcapngBlocks } from "../support/pcapng_blocks.ts";
import { WiresharkPipes } from "../support/wireshark_pipes.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { type Ended, ending, Program, script, WITHOUT_NET_ADMIN } from "./runtime.ts";
import { bareWire, pause, sample, scene, send, Sender, until, wire } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

const INTERFACE_BLOCK = 1;
const STATISTICS_BLOCK = 5;
const PACKET_BLOCK = 6;
const OPTION_NAME = 2;
const OPTION_COMMENT = 1;
const OPTION_FLAGS = 2;
/** epb_dropcount of a packet, isb_ifdrop of the statistics. */
const OPTION_DROP_COUNT = 4;
const OPTION_DROPPED = 5;

/** Starts a capture in this process, as Wireshark does, and reads from its pipe. */
function capture(pipes: WiresharkPipes, name: string, ...words: string[]): Command {
  pipes.read();
  return new Command(["extcap", "--capture", "--extcap-interface", name, ...words]);
}

/** What has been read of a recording, and where the rest begins. */
const read = new WeakMap<WiresharkPipes, { readonly blocks: PcapngBlock[]; end: number }>();

/** The recording without the block that may not be whole yet. */
function blocks(pipes: WiresharkPipes): readonly PcapngBlock[] {
  const bytes = pipes.recorded();
  const view = new DataView(bytes.buffer);
  const known = read.get(pipes) ?? { blocks: [], end: 0 };
  read.set(pipes, known);
  let { end } = known;
  while (end + 12 <= bytes.length && end + view.getUint32(end + 4, true) <= bytes.length) end += view.getUint32(end + 4, true);
  for (const block of pcapngBlocks(bytes.subarray(known.end, end))) known.blocks.push(block);
  known.end = end;
  return known.blocks;
}

const packets = (pipes: WiresharkPipes): PcapngBlock[] => blocks(pipes).filter(({ type }) => type === PACKET_BLOCK);

/** Sends frames until a condition holds. */
async function sendUntil(what: string | (() => string), yes: () => boolean): Promise<void> {
  await until(what, async () => {
    if (yes()) return true;
    send("a", frameOut());
    await pause(20);
    return yes();
  });
}

const devices = async (): Promise<string[]> =>
  (await listSampling()).filter(({ ours }) => ours).map(({ device, direction, rate }) => `${device} ${direction} ${rate}`).sort();

scene("a device is sampled into the pipe with names, directions and comments, until SIGTERM", async () => {
  bareWire();
  const before = tcDump("a");
  using pipes = new WiresharkPipes();
  const options = ["--rate", "1", "--direction", "egress", "--match", "ip", "--trunc", "40", "--group", ""];
  const extcap = capture(pipes, "psample-a", ...options, ...pipes.words(false));
  await sendUntil("there are packets", () => packets(pipes).length > 2);
  assertEquals(await devices(), ["a egress 1"]);
  extcap.io.signal("SIGTERM");
  assertEquals(await extcap.status, 0);
  // Standard error is what Wireshark shows as an error.
  assertEquals([extcap.io.errors(), extcap.io.text()], ["", ""]);
  assertEquals(tcDump("a"), before);
  const all = blocks(pipes);
  const [device] = all.filter(({ type }) => type === INTERFACE_BLOCK);
  assertEquals(optionText(device!, OPTION_NAME), "a");
  const [first] = packets(pipes);
  assertMatch(optionText(first!, OPTION_COMMENT)!, /^group \d+ sample-rate 1/);
  assertEquals(optionNumber(first!, OPTION_FLAGS), 2n);
  assertEquals(all.at(-1)!.type, STATISTICS_BLOCK);
});

scene("if nobody reads the pipe any more, the capture ends, and its filters are gone, without a packet", async () => {
  bareWire();
  const before = tcDump("a");
  using pipes = new WiresharkPipes();
  const extcap = capture(pipes, "psample-a", ...pipes.words(false));
  await until("it samples", async () => (await devices()).length === 2);
  pipes.leave();
  assertEquals(await extcap.status, 0);
  assertEquals([extcap.io.errors(), tcDump("a")], ["", before]);
});

scene("what is sampled already is an interface too, and can be limited to a group", async () => {
  wire();
  sample("a egress", "rate 1 group 5 continue", "pref 5 matchall");
  sample("a egress", "rate 1 group 6 continue", "pref 6 matchall");
  using pipes = new WiresharkPipes();
  const extcap = capture(pipes, "psample", "--group", "6", ...pipes.words(false));
  await sendUntil("there are packets", () => packets(pipes).length > 1);
  assertEquals(await devices(), []);
  extcap.io.signal("SIGTERM");
  assertEquals([await extcap.status, extcap.io.errors()], [0, ""]);
  for (const packet of packets(pipes)) assertMatch(optionText(packet, OPTION_COMMENT)!, /^group 6 sample-rate 1/);
});

scene("the toolbar shows the rate, the losses, the traffic and the log, and changes the rate", async () => {
  bareWire();
  const before = tcDump("a");
  using pipes = new WiresharkPipes();
  const extcap = capture(pipes, "psample-a", "--rate", "1", "--direction", "egress", ...pipes.words());
  await pipes.openToolbar();
  // What Wireshark repeats from the last capture does not count.
  pipes.tell({ control: CONTROL.rate, command: COMMAND.set, text: "77" });
  await until("it samples", async () => (await devices()).length === 1);
  assertEquals([await devices(), pipes.told()], [["a egress 1"], []]);
  pipes.tell({ control: 0, command: COMMAND.initialized, text: "" });
  await sendUntil("there is traffic", () => /^[1-9]\d* samples\/s, about /.test(pipes.shown(CONTROL.traffic) ?? ""));
  assertEquals([pipes.shown(CONTROL.rate), pipes.shown(CONTROL.lost)], ["1", "0"]);
  const disabled = pipes.told().filter(({ command }) => command === COMMAND.disable).map(({ control }) => control);
  assertEquals(new Set(disabled), new Set([CONTROL.lost, CONTROL.traffic]));

  pipes.tell({ control: CONTROL.rate, command: COMMAND.set, text: "2" });
  await until("the rate is another", async () => `${await devices()}` === "a egress 2");
  await until("the toolbar has it", () => pipes.shown(CONTROL.rate) === "2");
  const comments = (): string[] => packets(pipes).map((packet) => optionText(packet, OPTION_COMMENT)!);
  await sendUntil("packets are sampled at the new rate", () => comments().some((comment) => / sample-rate 2\b/.test(comment)));
  pipes.tell({ control: CONTROL.rate, command: COMMAND.set, text: "many" });
  await until("it is refused", () => pipes.told().some(({ text }) => text.includes('the rate "many" is not a whole number')));
  assertEquals(pipes.shown(CONTROL.rate), "2");
  extcap.io.signal("SIGTERM");
  assertEquals([await extcap.status, extcap.io.errors(), tcDump("a")], [0, "", before]);
  const log = pipes.told().filter(({ control, command }) => control === CONTROL.log && command === COMMAND.add).map(({ text }) => text);
  const said = ["sampling a, 1 in 1, egress", "sampling a, now 1 in 2", "lost 0"];
  for (const text of said) assert(log.some((line) => line.includes(text)), `${text} is not in ${log}`);
  assertEquals(pipes.shown(CONTROL.lost), "0");
  assert(comments().some((comment) => / sample-rate 1\b/.test(comment)));
  assertEquals(new Set(comments().map((comment) => /group \d+/.exec(comment)![0])).size, 1);
});

scene("what is lost is in the toolbar, in its log, and in the recording", async () => {
  bareWire();
  using pipes = new WiresharkPipes();
  const extcap = capture(pipes, "psample-a", "--rate", "1", "--direction", "egress", ...pipes.words());
  await pipes.openToolbar();
  pipes.tell({ control: 0, command: COMMAND.initialized, text: "" });
  await until("it samples", async () => (await devices()).length === 1);
  // Nothing is received while they are sent from here, and the socket's buffer has room for fewer.
  const sent = 120_000;
  {
    using sender = new Sender("a", frameOut());
    sender.send(sent);
  }
  const lost = (): number => Number(/^([1-9]\d*) \(/.exec(pipes.shown(CONTROL.lost) ?? "")?.[1] ?? 0);
  await until(
    () => `each of ${sent} is a packet (${packets(pipes).length}) or lost (${pipes.shown(CONTROL.lost)})`,
    () => packets(pipes).length + lost() === sent && lost() > 0,
  );
  assertMatch(pipes.shown(CONTROL.lost)!, /^\d+ \(\d+(?:\.\d+)? ?%\)$/);
  // The next one shows by its number which are missing.
  send("a", frameOut());
  await until("it has come", () => packets(pipes).length + lost() === sent + 1);
  assertEquals(optionNumber(packets(pipes).at(-1)!, OPTION_DROP_COUNT), BigInt(lost()));
  extcap.io.signal("SIGTERM");
  assertEquals([await extcap.status, extcap.io.errors()], [0, ""]);
  assertEquals(optionNumber(blocks(pipes).at(-1)!, OPTION_DROPPED), BigInt(lost()));
  const log = pipes.told().filter(({ control, command }) => control === CONTROL.log && command === COMMAND.add).map(({ text }) => text);
  assert(log.some((line) => line.includes(`lost ${lost()}`)), `${log}`);
});

scene("what fails before there are samples gives the pipe a recording without any, and is reported", async () => {
  bareWire();
  const faults: [[string, ...string[]], number, string][] = [
    [["psample-nothing"], 1, "find the device nothing"],
    [["psample-a", "--match", "tcp prt 3"], 2, "--match: "],
    [["psample-a", "--rate", "none"], 2, '--rate is "none"'],
    [["psample", "--rate", "5"], 2, "--rate is not an option of psample, which has --group, --wait"],
    [["psample-a", "--extcap-capture-filter", "tcp prt 3"], 2, "--filter: "],
    [["eth0"], 2, 'unknown interface "eth0"'],
  ];
  for (const [words, status, text] of faults) {
    using pipes = new WiresharkPipes();
    const extcap = capture(pipes, ...words, ...pipes.words(false));
    assertEquals(await extcap.status, status, extcap.io.errors());
    assertStringIncludes(extcap.io.errors(), text);
    assert(!extcap.io.errors().includes("--help"));
    assertEquals(packets(pipes), []);
    assertEquals(blocks(pipes).some(({ type }) => type === INTERFACE_BLOCK), true);
  }
  using pipes = new WiresharkPipes();
  const gone = new Command(["extcap", "--capture", "--extcap-interface", "psample-a", "--fifo", `${pipes.fifo}.gone`]);
  assertEquals(await gone.status, 1);
  assertStringIncludes(gone.io.errors(), `Cannot write ${pipes.fifo}.gone`);
  assertEquals(await devices(), []);
});

scene("CAP_NET_ADMIN and no other right is enough, as docs/wireshark.md gives it to Wireshark", "program:setpriv", async () => {
  bareWire();
  const before = tcDump("a");
  using pipes = new WiresharkPipes();
  pipes.read();
  const right = ["inh-caps", "ambient-caps", "bounding-set"].map((name) => `--${name}=-all,+net_admin`);
  const words = ["setpriv", ...right, ...script("cli/extcap/main.ts", "--allow-read", "--allow-write")];
  const asked = ["--capture", "--extcap-interface", "psample-a", "--rate", "1", ...pipes.words(false)];
  await using extcap = new Program([...words, ...asked]);
  await sendUntil(() => `there are packets; it said ${extcap.err}`, () => packets(pipes).length > 2);
  extcap.signal("SIGTERM");
  const { status, err } = await extcap.ended;
  assertEquals([status, err, tcDump("a")], [0, "", before]);
});

/** A home in which Wireshark finds psample. */
class Home implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "psample-home-"));
  readonly #environment = {
    HOME: this.path,
    // The runtime is that of the tests.
    DENO_DIR: process.env.DENO_DIR ?? join(homedir(), ".cache/deno"),
    XDG_CONFIG_HOME: join(this.path, "settings"),
  };

  async install(): Promise<string> {
    const { status, out, err } = await ending(
      [...script("cli/main.ts", "--allow-read", "--allow-write"), "extcap", "--install"],
      this.#environment,
    );
    assertEquals([status, err], [0, ""]);
    return out;
  }

  /** Runs tshark to its end. */
  async tshark(words: readonly string[], before: readonly string[] = []): Promise<Ended> {
    return await ending([...before, "tshark", "-n", ...words], this.#environment);
  }

  start(...words: string[]): Program {
    return new Program(["tshark", "-n", "-l", ...words], this.#environment);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

// Wireshark starts psample thirty times here, which takes the emulated processor of the old kernel many minutes. What that asks of a kernel
// is in the scenes above.
scene(
  "tshark lists the devices, captures two at once with options, and says what is missing without the right",
  "linux>=6.11",
  "program:tshark",
  "program:setpriv",
  async () => {
    bareWire();
    const before = tcDump("a", "b");
    using home = new Home();
    assertStringIncludes(
      await home.install(),
      `rm ${home.path}/.local/lib/wireshark/extcap/psample ${home.path}/settings/wireshark/extcap/psample\n`,
    );
    const listed = await home.tshark(["-D"]);
    for (
      const line of [
        "psample (psample: what is sampled already)",
        "psample-any (psample: every device that is up)",
        "psample-a (psample: a)",
      ]
    ) {
      assertStringIncludes(listed.out, line);
    }

    const fields = ["frame.interface_name", "frame.packet_flags_direction", "frame.comment"].flatMap((field) => ["-e", field]);
    const options = ["a.rate:1", "a.direction:egress", "b.rate:1", "b.direction:ingress"].flatMap((
      value,
    ) => ["-o", `extcap.psample_${value}`]);
    await using tshark = home.start(...options, "-i", "psample-a", "-i", "psample-b", "-T", "fields", ...fields);
    const rows = (): string[][] => tshark.out.split("\n").filter((line) => line !== "").map((line) => line.split("\t"));
    const places = (): string[] => [...new Set(rows().map(([name, direction]) => `${name} ${direction}`))].sort();
    await sendUntil(() => `there are packets of both; it said ${tshark.err}${tshark.out}`, () => places().length >= 2);
    tshark.signal("SIGINT");
    const { status, err } = await tshark.ended;
    assertEquals([status, err.includes("Error by extcap"), err.includes("Error from extcap")], [0, false, false], err);
    assertEquals(places(), ["a 0x00000002", "b 0x00000001"]);
    for (const [, , comment] of rows()) assertMatch(comment!, /^group \d+ sample-rate 1/);
    await until("the filters are removed", () => tcDump("a", "b") === before);

    // It closes the pipe when it has them.
    await using counting = home.start("-o", "extcap.psample_a.rate:1", "-i", "psample-a", "-c", "5");
    let ended: Ended | undefined;
    void counting.ended.then((end) => ended = end);
    await sendUntil(() => `it has its packets; it said ${counting.err}`, () => ended !== undefined);
    assertEquals([ended!.status, counting.out.trim().split("\n").length], [0, 5], counting.err);
    await until("the filters are removed", () => tcDump("a", "b") === before);

    const refused = await home.tshark(["-i", "psample-a", "-c", "1"], WITHOUT_NET_ADMIN);
    assertMatch(refused.err, /extcap pipe: psample: Cannot .* \(EPERM\).* CAP_NET_ADMIN .*setpriv .*--ambient-caps=\+net_admin wireshark/);
  },
);
