/** `psample top`: its figures for known flows, and that it leaves nothing behind. */
import process from "node:process";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listSampling } from "../../mod.ts";
import { ETH_IPV4, ethernet, hex, OURS, PEER, udp } from "./frames.ts";
import { Command } from "./in_process.ts";
import { COMMANDS, ending, Program, script, WITHOUT_NET_ADMIN } from "./runtime.ts";
import { bareWire, ip, pause, scene, send, Sender, until } from "./scene.ts";
import { tcActions, tcDump } from "./tc_dump.ts";

/** `psample top` within this process. */
class Top extends Command {
  constructor(words: readonly string[]) {
    super(["top", ...words]);
  }

  /** Ends it, and resolves to its lines of JSON. */
  async rows(): Promise<Row[]> {
    await this.end();
    return this.io.text().trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
}

interface Row {
  by: Record<string, string>;
  samples: number;
  packets: number;
  packetsRange: [number, number];
  bytes: number;
  bytesRange: [number, number];
  lost: number;
  countedTwice?: [string, string][];
}

/** A frame sent on `a` from this port, with `size` bytes. */
function frameFrom(port: number, size: number): Uint8Array {
  return ethernet(PEER, OURS, ETH_IPV4, udp({ from: "192.0.2.1", to: "192.0.2.2" }, port, 5000, new Uint8Array(size - 42)));
}

const FLOWS = 10;
/** Setting up sampling takes a second or more on an emulated processor. */
const WINDOWS = process.env.PSAMPLE_GUEST === "old" ? 20 : 100;
/** 95 of 100, minus less than three standard deviations. */
const LEAST_INSIDE = Math.floor(FLOWS * WINDOWS * 0.95 - 3 * Math.sqrt(FLOWS * WINDOWS * 0.95 * 0.05));
/** Each flow has more and larger packets than the one before. */
const flows = Array.from({ length: FLOWS }, (_, i) => ({ port: 4001 + i, packets: 20 * (i + 1), bytes: 100 + 100 * i }));

scene(
  `ten known flows, in ${WINDOWS} windows: their packets and bytes lie within the ranges as often as claimed`,
  async () => {
    bareWire();
    using senders = new DisposableStack();
    const ready = flows.map((flow) => ({ ...flow, sender: senders.use(new Sender("a", frameFrom(flow.port, flow.bytes))) }));
    const inside = { packets: 0, bytes: 0 };
    for (let window = 0; window < WINDOWS; window++) {
      const top = new Top("a --rate 10 --direction egress --once --json --interval 1h --by udpsourceport".split(" "));
      await top.samples();
      for (const { sender, packets } of ready) sender.send(packets);
      const rows = new Map((await top.rows()).map((row) => [row.by.udpsourceport, row]));
      for (const { port, packets, bytes } of flows) {
        const row = rows.get(`${port}`);
        assertEquals(row?.lost ?? 0, 0);
        // A flow without samples has up to 3.69 times as many packets as one sample stands for.
        const [low, high] = row?.packetsRange ?? [0, 37];
        if (low <= packets && packets <= high) inside.packets++;
        const [lowBytes, highBytes] = row?.bytesRange ?? [0, 37 * 1522];
        if (lowBytes <= packets * bytes && packets * bytes <= highBytes) inside.bytes++;
      }
    }
    assert(inside.packets >= LEAST_INSIDE && inside.bytes >= LEAST_INSIDE, JSON.stringify(inside));
  },
);

scene(
  "with devices it sets up sampling, at a rate that fits the traffic, and removes it; what it reports about the link is right",
  async () => {
    bareWire();
    const before = tcDump("a", "b");
    const actions = tcActions();
    using sender = new Sender("a", frameFrom(4000, 1000));
    const sending = setInterval(() => sender.send(20), 5);
    const top = new Top(["a", "--once", "--interval", "1s", "--by", "device,direction"]);
    try {
      await top.samples();
      const ours = (await listSampling()).filter((sampling) => sampling.ours);
      const [, pass, rate] = /psample: (\S+ k?pps) pass now: sampling 1 in (\d+) \(--rate N sets it\)\n/.exec(top.io.errors())!;
      assert(pass, top.io.errors());
      assertEquals(ours.map(({ device, direction, truncateBytes, rate }) => [device, direction, truncateBytes, rate]).sort(), [
        ["a", "egress", 256, Number(rate)],
        ["a", "ingress", 256, Number(rate)],
      ]);
      assertEquals(await top.status, 0, top.io.errors());
    } finally {
      clearInterval(sending);
    }
    const text = top.io.text();
    assertMatch(text, /^total +\d[\d.]* [kM]bit\/s +±[\d.]+% +\d\S* k?pps +±[\d.]+%$/m);
    assertMatch(text, /^a out +\d[\d.]* [kM]bit\/s +±[\d.]+% +\d\S* k?pps +±[\d.]+% {2}0\.\d±0(\.\d)?% of 10\.0 Gbit\/s$/m);
    assertMatch(text, /^a {7}out +\d/m);
    assertMatch(top.io.errors(), /psample: [\d,]+ packets passed \(rule hits\), 1 in \d+: [\d,]+ sampled; about .*bit\/s ±.*; lost 0\n$/);
    assertEquals(tcDump("a", "b"), before);
    await until("the actions are what they were", () => tcActions() === actions);
  },
);

scene(
  "--rate, --direction, --match, --group and --trunc determine the sampling; reports are printed at each interval until a signal",
  async () => {
    bareWire();
    const before = tcDump("a");
    const top = new Top(
      [
        "a",
        "--rate",
        "1",
        "--direction",
        "egress",
        "--match",
        "ip proto udp",
        "--group",
        "9",
        "--trunc",
        "42",
        "--json",
        "--interval",
        "200ms",
      ],
    );
    await top.samples();
    const [ours, ...more] = (await listSampling()).filter((sampling) => sampling.ours);
    assertEquals([ours!.direction, ours!.rate, ours!.group, ours!.truncateBytes, more], ["egress", 1, 9, 42, []]);
    using sender = new Sender("a", frameFrom(4000, 1000));
    // Until there are two reports, however busy the machine is.
    await until("there are reports", async () => {
      sender.send(3);
      await pause(50);
      return top.io.text().trim().split("\n").length >= 2;
    });
    const rows = await top.rows();
    for (const { by, packets, packetsRange, bytes, bytesRange: [low, high] } of rows) {
      const flow = { ipsource: "192.0.2.1", ipdestination: "192.0.2.2" };
      assertEquals([by, packetsRange, bytes], [flow, [packets, packets], 1000 * packets]);
      // They are equal unless some samples arrived after their packets were counted.
      assert(low <= bytes && bytes <= high, `${low} ${bytes} ${high}`);
    }
    assertEquals(tcDump("a"), before);
  },
);

scene("packets that pass a bridge and its ports are reported as counted twice, and counted once with --count-at", async () => {
  ip(
    "link add name br0 index 205 address 02:00:00:00:00:05 type bridge",
    "link add name p1 index 201 type veth peer name q1 index 202",
    "link add name p2 index 203 type veth peer name q2 index 204",
    "link set dev p1 master br0",
    "link set dev p2 master br0",
    ...["br0", "p1", "q1", "p2", "q2"].map((name) => `link set dev ${name} up`),
  );
  const frameTo = (to: string): Uint8Array =>
    ethernet(hex(to), PEER, ETH_IPV4, udp({ from: "192.0.2.1", to: "192.0.2.2" }, 4000, 5000, new Uint8Array(100)));
  const run = async (...args: string[]): Promise<Top> => {
    // What the stack sends on its own does not count.
    const words = ["p1", "p2", "br0", "--rate", "1", "--once", "--interval", "1h", "--by", "device,direction"];
    const top = new Top([...words, "--filter", "udp dst port 5000", ...args]);
    await top.samples();
    // Ten to the bridge itself, and ten that it passes on.
    for (let i = 0; i < 10; i++) send(202, frameTo("020000000005"), frameTo("020000000099"));
    return top;
  };
  const counts = (rows: readonly Row[]): Record<string, number> =>
    Object.fromEntries(rows.map(({ by, samples }) => [`${by.device} ${by.direction}`, samples]));
  const twice = (rows: readonly Row[]): unknown => rows[0]?.countedTwice;

  const all = await (await run("--json")).rows();
  assertEquals(counts(all), { "p1 in": 20, "br0 in": 10, "p2 out": 10 });
  assertEquals(twice(all), [["p1 in", "br0 in"], ["p1 in", "p2 out"]]);
  const once = await (await run("--json", "--count-at", "port,in")).rows();
  assertEquals([counts(once), twice(once)], [{ "p1 in": 20 }, undefined]);
  const bridge = await (await run("--json", "--count-at", "bridge")).rows();
  assertEquals([counts(bridge), twice(bridge)], [{ "br0 in": 10 }, undefined]);
  const port = await (await run("--json", "--count-at", "p2", "--count-at", "br0")).rows();
  assertEquals([counts(port), twice(port)], [{ "br0 in": 10, "p2 out": 10 }, undefined]);
  const table = await run("--count-at", "port");
  assert(table.io.signal("SIGINT"));
  assertEquals(await table.status, 0, table.io.errors());
  const text = table.io.text().replace(/\s+/g, " ");
  assertMatch(text, /counted twice \(--count-at in counts it once\): what passes p1 in and p2 out left out by --count-at: br0 in/);
});

scene("top of a device that does not exist measures nothing first", async () => {
  bareWire();
  const top = new Command(["top", "a", "nosuch"]);
  assertEquals(await top.status, 1);
  assertMatch(top.io.errors(), /^psample: Cannot find the device nosuch: .*\n$/);
});

scene("top without privilege measures nothing first: it says what is missing, as capture does", "program:setpriv", async () => {
  bareWire();
  for (const command of ["top", "capture"]) {
    const { status, out, err } = await ending([...WITHOUT_NET_ADMIN, ...script("cli/main.ts"), command, "a"]);
    assertEquals([status, out], [1, ""]);
    assertMatch(err, /^psample: Cannot .*operation not permitted \(EPERM\).*CAP_NET_ADMIN in this network namespace: run as root\n$/);
  }
});

for (const { name, words } of COMMANDS) {
  scene(`${name} top: SIGINT, SIGTERM and a pipe that nobody reads leave nothing behind`, async () => {
    bareWire();
    const before = tcDump("a");
    const line = words().map((word) => `'${word}'`).join(" ");
    const args = ["top", "a", "--rate", "1", "--interval", "100ms", "--json", "--by", "device"];
    await using stack = new AsyncDisposableStack();
    const [int, term] = [1, 2].map(() => stack.use(new Program([...words(), ...args])));
    const head = stack.use(new Program(["sh", "-c", `{ ${line} ${args.join(" ")}; echo status $? >&2; } | head -1`]));
    const all = [int!, term!, head];
    await until(() => `all sample: ${all.map(({ err }) => err)}`, () => all.every(({ err }) => err.includes("Ctrl-C ends it")));
    using sender = new Sender("a", frameFrom(4000, 1000));
    let over = false;
    void head.ended.then(() => over = true);
    await until("head has ended it", async () => {
      sender.send(1);
      await pause(20);
      return over;
    });
    assertMatch((await head.ended).err, /status 0\n/);
    int!.signal("SIGINT");
    term!.signal("SIGTERM");
    for (const program of [int!, term!]) assertEquals((await program.ended).status, 0, program.err);
    assertEquals(tcDump("a"), before);
  });
}
