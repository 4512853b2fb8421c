/** Calibration by the kernel's counters: packets that a card segments, and samplers that do not keep to their rates. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { addSampling, aggregateTo, listen, listSampling, pump, watchLinks } from "../../mod.ts";
import { Estimator } from "../../src/estimate/mod.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, ip, pause, run, scene, Sender, soon, tc, until } from "./scene.ts";

/** A wire between two addresses of this namespace, which packets really take, instead of being delivered locally. */
function loopedWire(): void {
  bareWire();
  ip("neighbour flush dev a", "address add 198.51.100.2/24 dev b");
  run("sh", [
    "-c",
    "for c in all a b; do echo 1 > /proc/sys/net/ipv4/conf/$c/accept_local; echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter; done",
  ]);
  ip(
    "rule add pref 10 iif a lookup local",
    "rule add pref 11 iif b lookup local",
    "rule del pref 0",
    "route add 198.51.100.2/32 dev a src 192.0.2.1",
    "route add 192.0.2.1/32 dev b src 198.51.100.2",
  );
}

/** Sends `bytes` bytes over one TCP connection, from 192.0.2.1 out of `a`, to 198.51.100.2. */
async function transfer(bytes: number): Promise<void> {
  const server = createServer();
  let received = 0;
  const whole = new Promise<void>((resolve, reject) => {
    server.on("connection", (socket: Socket) => {
      socket.on("data", (data: Uint8Array) => received += data.length);
      socket.on("end", () => socket.end(resolve));
      socket.on("error", reject);
    });
  });
  server.listen(0, "198.51.100.2");
  await soon(once(server, "listening"), "the server");
  const socket = connect({ host: "198.51.100.2", port: (server.address() as AddressInfo).port });
  socket.end(new Uint8Array(bytes));
  await soon(whole, () => `${bytes} bytes, of which ${received} have come`);
  await soon(once(socket, "close"), "the end of the connection");
  assertEquals(received, bytes);
  await new Promise((resolve) => server.close(resolve));
}

interface Row {
  by: { device: string; direction: string };
  samples: number;
  packets: number;
  packetsRange: [number, number];
  bytes: number;
  bytesRange: [number, number];
  lost: number;
  calibrated?: string[];
}

function rowsOf({ io }: Command): Map<string, Row> {
  const rows: Row[] = io.text().trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return new Map(rows.map((row) => [row.by.direction, row]));
}

const BY = ["--json", "--once", "--interval", "1h", "--by", "device,direction"];

/** Packets on the wire in both directions, according to the summary. */
function onWire({ io }: Command): number {
  const [, hits, wire] = /psample: ([\d,]+) packets passed \(rule hits(?:, ([\d,]+) on the wire)?\)/.exec(io.errors()) ?? [];
  return Number((wire ?? hits)!.replaceAll(",", ""));
}

scene("TCP with offload, every packet sampled: estimated segments agree with the action's counter within 1 %", async () => {
  loopedWire();
  await using sampling = await addSampling({ device: "a", rate: 1, group: 5, truncateBytes: 256 });
  const source = await listen({ groups: [5], devices: await watchLinks() });
  const estimator = new Estimator();
  const pumped = pump(source, [], [aggregateTo(estimator)]);
  await transfer(4_000_000);
  const { trials, packets } = await sampling.passed();
  source.end();
  const { stats } = await soon(pumped, "the end of the samples");
  assertEquals([stats.received, stats.lost], [Number(trials), 0]);
  const { total } = estimator.snapshot(BigInt(Date.now()) * 1_000_000n);
  // Otherwise there was no offload, which this is about.
  assert(packets! > 4n * trials!, `${packets} of ${trials}`);
  assertAlmostEquals(total.packets / Number(packets), 1, 0.01);
  assertEquals(total.calibrated, undefined);
});

scene("if the other end asks for smaller segments than the device carries, the counters say how many there were", async () => {
  loopedWire();
  ip("route change 192.0.2.1/32 dev b src 198.51.100.2 advmss 500");
  const top = new Command(["top", "a", "--rate", "1", ...BY]);
  await top.samples();
  await transfer(2_000_000);
  await top.end();
  const { out } = Object.fromEntries(rowsOf(top)) as { out: Row };
  assertEquals([out.calibrated, out.lost], [["packets", "bytes"], 0]);
  // 2 MB in pieces of at most 500 bytes. Nothing is estimated: both ends of the range are the number itself.
  assert(out.packets >= 4000, `${out.packets}`);
  assertEquals(out.packetsRange, [out.packets, out.packets]);
  const rows = [...rowsOf(top).values()];
  assertEquals(rows.reduce((sum, { packets }) => sum + packets, 0), onWire(top));
  // Ethernet, IPv4, and TCP with time stamps or without.
  assert(out.bytes >= 2_000_000 + out.packets * 54 && out.bytes <= 2_000_000 + out.packets * 78, JSON.stringify(out));
});

scene(
  "the rows of flows are as many packets and bytes together as the counters show, and the segments are those of the flow that has them",
  async () => {
    loopedWire();
    // A third of what the device would carry: whoever guesses from its MTU finds too few.
    ip("route change 192.0.2.1/32 dev b src 198.51.100.2 advmss 500");
    const top = new Command([
      "top",
      "a",
      "--rate",
      "4",
      "--json",
      "--once",
      "--interval",
      "1h",
      "--rows",
      "1000",
      "--by",
      "ethernetprotocol,ipsource",
    ]);
    await top.samples();
    await transfer(4_000_000);
    await top.end();
    const rows: Row[] = top.io.text().trim().split("\n").map((line) => JSON.parse(line));
    const told = JSON.stringify(rows);
    const counted = onWire(top);
    assert(counted >= 8000, told);
    // Whatever has no address is in the totals only, and that is next to nothing. Rows are whole numbers.
    const sum = rows.reduce((sum, { packets }) => sum + packets, 0);
    assert(sum <= counted + rows.length && sum >= 0.98 * counted, `${sum} of ${counted}: ${told}`);
    // Each acknowledgement is one packet: all the others are data.
    const [largest] = rows;
    const { packets, packetsRange: [low, high] } = largest!;
    assert(packets >= 7200 && low <= packets && packets <= high && high <= counted, told);
    // Only figures that the counters make sure are called that.
    assert(rows.every(({ calibrated }) => calibrated === undefined), told);
  },
);

const WINDOWS = 10;

scene(
  `TCP with offload, 1 in 100, in ${WINDOWS} windows: packets are the counter's, and the bytes lie within the error bar`,
  async () => {
    loopedWire();
    await using oracle = await addSampling({ device: "a", direction: "egress", rate: 1_000_000_000, group: 77 });
    const counted = async (): Promise<readonly [packets: number, bytes: number]> => {
      const one = (await listSampling()).find(({ group }) => group === 77)!;
      return [Number(one.packets), Number(one.bytes)];
    };
    let inside = 0;
    for (let window = 0; window < WINDOWS; window++) {
      const top = new Command(["top", "a", "--rate", "100", "--direction", "egress", ...BY]);
      await top.samples();
      const [packets, bytes] = await counted();
      await transfer(20_000_000);
      const [packetsThen, bytesThen] = await counted();
      await top.end();
      const row = rowsOf(top).get("out");
      // Nothing is reported about traffic that was never sampled.
      if (row) {
        assertEquals([row.calibrated, row.lost], [["packets", "bytes"], 0]);
        assertEquals(row.packetsRange, [row.packets, row.packets]);
        // Packets that the stack sends on its own may pass before or after the other counter is read.
        assertAlmostEquals(row.packets, packetsThen - packets, 10);
      }
      const [low, high] = row?.bytesRange ?? [0, Infinity];
      if (low <= bytesThen - bytes && bytesThen - bytes <= high) inside++;
    }
    assertEquals(oracle.group, 77);
    // 95 of 100 claimed; fewer than 6 of 10 happen once in 10,000 runs.
    assert(inside >= 6, `${inside} of ${WINDOWS}`);
  },
);

scene("with a filter, packets and bytes are estimated from the rule hits; the table says what is calibrated", async () => {
  loopedWire();
  const words = ["top", "a", "--rate", "1", "--direction", "egress", "--filter", "tcp dst portrange 1-65535 and greater 1000"];
  const all = new Command([...words, ...BY]);
  const table = new Command([...words, "--once", "--interval", "1h"]);
  await all.samples();
  await table.samples();
  await transfer(1_000_000);
  await all.end();
  await table.end();
  const row = rowsOf(all).get("out")!;
  assertEquals([row.calibrated, row.packetsRange], [["packets", "bytes"], [row.packets, row.packets]]);
  assert(row.bytes > 1_000_000 && row.bytes < 1_100_000, JSON.stringify(row));
  assertMatch(table.io.text(), /\ncalibrated by the kernel's counters: a out\n/);
});

for (
  const [what, change, told] of [
    [
      "few",
      "actions replace action sample rate 4 group 4242 index INDEX",
      /1 in 4 of [\d,]+ packets is about [\d,]+ samples, and there were [\d,]+/,
    ],
    [
      "many",
      "filter add dev a egress pref 9 matchall action sample rate 4 group GROUP",
      /1 in 4 of [\d,]+ packets is about [\d,]+ samples, and there were/,
    ],
  ] as const
) {
  for (const command of ["capture", "top"]) {
    scene(
      `${command}: a sampler of which too ${what} samples come is named in the account, and one that keeps to its rate is not`,
      async () => {
        bareWire();
        using sender = new Sender("a", frameOut());
        const words = [command, "a", "--rate", "4", "--direction", "egress", ...command === "top" ? ["--json", "--interval", "1h"] : []];
        const running = new Command(words);
        await running.samples();
        const says = (): boolean => {
          running.io.signal("SIGUSR1");
          return running.io.errors().includes("does not keep to its rate");
        };
        const [ours] = (await listSampling()).filter((sampling) => sampling.ours);
        const since = Date.now();
        await until("it has looked at the counters a few times", async () => {
          sender.send(200);
          await pause(50);
          return Date.now() - since > 3000;
        });
        assert(!says(), running.io.errors());
        tc(change.replace("INDEX", `${ours!.index}`).replace("GROUP", `${ours!.group}`));
        await until(() => `it says so: ${running.io.errors()}`, async () => {
          sender.send(500);
          await pause(50);
          return says();
        });
        await running.end();
        const account = running.io.errors().trim().split("\n").at(-1)!;
        assertMatch(account, /; the sampler of a out does not keep to its rate: /);
        assertMatch(account, told);
      },
    );
  }
}
