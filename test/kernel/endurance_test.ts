/** What happens around a program that runs for months: it survives if it can, says why if it cannot, and its summary stays true. */
import { spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { frameOut, inOrder } from "./frames.ts";
import { accountsFor, hearsOneMore, Load } from "./load.ts";
import { COMMANDS, ending, genericSocket, openDirectory, script, startListening, writingTo } from "./runtime.ts";
import {
  asSamples,
  hear,
  IFINDEX,
  ip,
  pause,
  run,
  sample,
  sampled,
  sampledInOrder,
  scene,
  secondWire,
  send,
  until,
  wire,
} from "./scene.ts";

const COMMAND = COMMANDS[0]!.words("--allow-read", "--allow-write");

const PACKETS = inOrder(20, frameOut);

// --- network namespaces -----------------------------------------------------------------------------

/** A network namespace with a name and no process inside. */
class Named implements Disposable {
  readonly name: string;

  constructor(word: string) {
    this.name = `psample-${process.pid}-${word}`;
    ip(`netns add ${this.name}`);
  }

  /** Puts the far end of a new wire there: what is sent on `near` arrives at `far`, and is sampled. */
  connect(near: string, far: string, parameters: string): void {
    ip(`link add name ${near} type veth peer name ${far} netns ${this.name}`, `link set dev ${near} up`);
    const quiet = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    run("ip", ["netns", "exec", this.name, "sh", "-ec", `${quiet}; ip link set dev ${far} up; tc qdisc add dev ${far} clsact`]);
    run("tc", [
      "-n",
      this.name,
      ..."filter add dev".split(" "),
      far,
      ..."ingress matchall action sample".split(" "),
      ...parameters.split(" "),
    ]);
  }

  remove(): void {
    ip(`netns del ${this.name}`);
  }

  [Symbol.dispose](): void {
    spawnSync("ip", ["netns", "del", this.name]);
  }
}

function ifindex(device: string): number {
  return Number(/"ifindex":(\d+)/.exec(run("ip", ["-json", "link", "show", "dev", device]))![1]);
}

scene("ip netns del while a command runs inside: it continues until it is ended; then the namespace is gone", async () => {
  using there = new Named("one");
  there.connect("e", "f", "rate 1 group 5");
  await using program = await startListening(["ip", "netns", "exec", there.name, ...COMMAND, "-c"]);
  const near = ifindex("e");
  const lines = (): number => program.out.split("\n").length - 1;
  send(near, ...PACKETS);
  await until("it has printed all", () => lines() === PACKETS.length);
  there.remove();
  assert(!existsSync(`/run/netns/${there.name}`), "the name is still there");
  send(near, ...PACKETS);
  await until("it continues", () => lines() === 2 * PACKETS.length);
  program.signal("SIGINT");
  const { status, err } = await program.ended;
  assertEquals([status, err], [0, `psample: received ${2 * PACKETS.length} samples; lost 0\n`]);
  // It was the last in there: the wire goes with the namespace.
  await until("the namespace is gone", () => spawnSync("ip", ["link", "show", "dev", "e"]).status !== 0);
});

scene("allNamespaces: one is removed, the others are still heard, and so is the one that replaces it", async () => {
  using first = new Named("first");
  using second = new Named("second");
  ip(`netns set ${first.name} 7`, `netns set ${second.name} 8`);
  wire();
  sample("a egress", "rate 1 group 5");
  first.connect("e", "f", "rate 1 group 5");
  second.connect("g", "h", "rate 1 group 5");
  const [e, g] = [ifindex("e"), ifindex("g")];
  await using ear = await hear({ allNamespaces: true, events: false });
  const heard = async (count: number): Promise<unknown[]> => {
    return asSamples(await ear.take(count)).map(({ nsid, group, sequence }) => ({ nsid, group, sequence }));
  };
  const numbers = (nsid: number | undefined, first: number): unknown[] => PACKETS.map((_, i) => ({ nsid, group: 5, sequence: first + i }));
  send(e, ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(7, 0));
  send(g, ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(8, 0));
  send("a", ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(undefined, 0));
  first.remove();
  await until("the namespace is gone", () => spawnSync("ip", ["link", "show", "dev", "e"]).status !== 0);
  send(g, ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(8, 20));
  send("a", ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(undefined, 20));
  // Another one under the same number counts from 0 again: that is no loss.
  using third = new Named("third");
  ip(`netns set ${third.name} 7`);
  third.connect("e", "f", "rate 1 group 5");
  send(ifindex("e"), ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(7, 0));
  send(g, ...PACKETS);
  assertEquals(await heard(PACKETS.length), numbers(8, 40));
  assertEquals(ear.listener.stats().groups.map(({ nsid, received, lost }) => [nsid, received, lost]), [[undefined, 40, 0], [7, 40, 0], [
    8,
    60,
    0,
  ]]);
  await ear.hearsNoMore();
});

// --- devices ----------------------------------------------------------------------------------------

scene("a sampled device is removed: the listener still hears the group's other device, and later both again", async () => {
  wire();
  secondWire();
  await using ear = await hear();
  sample("a egress", "rate 1 group 5");
  sample("c egress", "rate 1 group 5");
  await ear.hearsEvents({ type: "group-created", group: 5 });
  send("a", ...PACKETS);
  await ear.hears(...sampledInOrder(PACKETS, { group: 5, outIfindex: IFINDEX.a }));
  ip("link del dev a");
  // One group, one numbering.
  const [packet] = PACKETS;
  send("c", packet!);
  await ear.hears(sampled({ group: 5, outIfindex: IFINDEX.c, sequence: 20, data: packet! }));
  ip("link del dev c");
  await ear.hearsEvents({ type: "group-deleted", group: 5, sequence: 21 });
  wire();
  sample("a egress", "rate 1 group 5");
  await ear.hearsEvents({ type: "group-created", group: 5 });
  send("a", ...PACKETS);
  await ear.hears(...sampledInOrder(PACKETS, { group: 5, outIfindex: IFINDEX.a }));
  await ear.hearsNoMore();
});

// --- a process that cannot go on --------------------------------------------------------------------

/** Room for less than what arrives meanwhile: without a loss there would be nothing to account for. */
const SMALL_BUFFER = ["--buffer", "1000000"];

scene("suspended for 5 seconds while samples arrive: it continues, and received and lost add up to what was sent", async () => {
  wire();
  using load = new Load([5]);
  await using program = await startListening([...COMMAND, "-c", ...SMALL_BUFFER]);
  await hearsOneMore(program, load);
  program.signal("SIGSTOP");
  await load.offer(1000, 5);
  program.signal("SIGCONT");
  await hearsOneMore(program, load);
  const { received, lost } = await accountsFor(program, load);
  assert(lost > 0, "nothing was lost: the scene proves nothing");
  assertEquals(program.out.split("\n").length - 1, received);
});

scene("nobody reads its output for 10 seconds: what does not fit into the pipe waits in whole lines, and nothing is lost", async () => {
  const directory = openDirectory();
  const pipe = `${directory}/pipe`;
  run("mkfifo", [pipe]);
  // For both, so that neither end waits for the other, and the pipe outlives the command.
  const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    let text = "";
    const read = (): void => {
      const chunk = new Uint8Array(1 << 16);
      try {
        for (;;) text += new TextDecoder().decode(chunk.subarray(0, readSync(fd, chunk)));
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
      }
    };
    wire();
    using load = new Load([5]);
    await using program = await startListening(writingTo(pipe, [...COMMAND, "-c", ...SMALL_BUFFER]));
    await hearsOneMore(program, load);
    await load.offer(1000, 10);
    // It keeps receiving.
    await until("nothing waits in the socket", () => genericSocket(program.pid)!.queued === 0);
    const reading = setInterval(read, 10);
    try {
      await hearsOneMore(program, load);
      const { received, lost } = await accountsFor(program, load);
      read();
      assertEquals(lost, 0);
      assert(text.endsWith("\n"), "the last line is cut off");
      const lines = text.slice(0, -1).split("\n");
      for (const line of lines) {
        assertMatch(line, /^group 5 out-ifindex 101 origsize 142 sample-rate 1 seq \d+ timestamp [^\n]{24} \d{9} nsec protocol 0x800 $/);
      }
      assertEquals(lines.length, received);
    } finally {
      clearInterval(reading);
    }
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
});

// --- a disk that is full ------------------------------------------------------------------------------

for (const format of ["pcap", "pcapng"]) {
  scene(`-w onto a full disk (${format}): it says so, ends with status 1, and what was written can be read`, async () => {
    const directory = openDirectory();
    const [disk, file, copy] = [`${directory}/disk`, `${directory}/disk/samples.${format}`, `${directory}/copy.${format}`];
    try {
      wire();
      using load = new Load([5]);
      // The mount belongs to the command, and disappears with it.
      const mount = 'mkdir "$0"; mount -t tmpfs -o size=256k none "$0"; exec "$@"';
      await using program = await startListening(["unshare", "--mount", "sh", "-ec", mount, disk, ...COMMAND, "-w", file]);
      const path = `/proc/${program.pid}/root${file}`;
      await until("the file is there", () => existsSync(path));
      // An open file outlives the mount.
      const fd = openSync(path, "r");
      let over = false;
      program.ended.then(() => over = true, () => {});
      await until("the disk is full", async () => {
        if (!over) load.send(50);
        await pause(20);
        return over;
      });
      const { status, out, err } = await program.ended;
      assertEquals([status, out], [1, ""]);
      assertMatch(err, /no space left on device/i);
      assertStringIncludes(err, file);
      writeFileSync(copy, readFileSync(fd));
      closeSync(fd);
      // The last record may be cut off: reading says so, after everything before it.
      const read = await ending([...COMMAND, "read", "--text", copy]);
      const sequences = read.out.trimEnd().split("\n").map((line) => Number(/ seq (\d+) /.exec(line)?.[1]));
      assertEquals(sequences, sequences.map((_, i) => i));
      // Everything that fitted is there, and all of it can be read except the last record.
      const { size } = statSync(copy);
      assert(size > 250_000, `the recording has ${size} bytes`);
      const left = Number(/cut off here: (\d+) bytes left/.exec(read.err)?.[1] ?? 0);
      assertEquals([read.status, left < 1000], [left === 0 ? 0 : 1, true], read.err);
      assert(sequences.length > size / 1000, `${sequences.length} samples were read of ${size} bytes`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

// --- no descriptors left ------------------------------------------------------------------------------

/** Enough for the runtime alone. */
const FEW_DESCRIPTORS = ["prlimit", "--nofile=64:64"];

scene("no descriptors left at the start: it says so, names the cure, and leaves none open", async () => {
  const { status, out, err } = await ending([...FEW_DESCRIPTORS, ...script("test/kernel/descriptors.ts", "--allow-read"), "start"]);
  assertEquals([status, err], [0, ""]);
  const attempts = JSON.parse(out) as { free: number; left: number; said: string }[];
  assertEquals(attempts.at(-1)!.said, "listening");
  assert(attempts.length > 1, "it listens without a descriptor");
  for (const { free, left, said } of attempts) {
    assertEquals(left, free, said);
    if (said !== "listening") assertMatch(said, /^(System|Netlink)Error: Cannot [^:]+: too many open files \(EMFILE\)\. .*ulimit -n/);
  }
});

scene("no descriptors left while it runs: it continues, also after an overflow", async () => {
  wire();
  using load = new Load([5]);
  const words = script("test/kernel/descriptors.ts", "--allow-read");
  await using program = await startListening([...FEW_DESCRIPTORS, ...words, "later", "-c", ...SMALL_BUFFER]);
  await hearsOneMore(program, load);
  program.signal("SIGUSR2");
  await until("no descriptor is left", () => program.err.includes("no descriptors left\n"));
  await hearsOneMore(program, load);
  program.signal("SIGSTOP");
  load.send(5000);
  program.signal("SIGCONT");
  await hearsOneMore(program, load);
  // A second after drops the listener asks whether the family still exists.
  await pause(1500);
  await hearsOneMore(program, load);
  const { lost } = await accountsFor(program, load);
  assert(lost > 0, "nothing was lost: the scene proves nothing");
});
