import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { contextOf, openCollectors } from "../../cli/collectors.ts";
import { EXPORT_OPTIONS } from "../../cli/commands/export_options.ts";
import { ExportInForce } from "../../cli/commands/export_reload.ts";
import { ExportSettingsReader, planFor } from "../../cli/commands/export_settings.ts";
import { parse, UsageError } from "../../cli/options.ts";
import type { Sampled } from "../../cli/sampled.ts";
import { inSession, NOTHING, type Session } from "../../cli/session.ts";
import { LiveLinks } from "../../src/receive/live_links.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { nowNs } from "../../src/stream/clock.ts";
import { SinkSet } from "../../src/stream/sink_set.ts";
import { loadSys } from "../../src/sys/load.ts";
import { messageOf } from "../../src/wire/message.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { message, number } from "../psample/build.ts";
import { FakeSys } from "../fake_sys.ts";
import { TestSource, turn } from "../stream/pump_ends.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";
import { type FakeIo, fakeIo } from "./fake_io.ts";

/** Collectors are sockets of this machine; the kernel that knows the devices is scripted: it has none but what `named` names. */
interface Run {
  readonly io: FakeIo;
  readonly inForce: ExportInForce;
  readonly session: Session;
  readonly source: TestSource;
  readonly write: (...lines: string[]) => void;
  /** Sends a sample to all collectors that there are. */
  readonly push: (sequence: number) => Promise<void>;
  /** How often the recording was reopened. */
  readonly reopened: () => number;
  /** How often what is sampled was compared with what is wanted. */
  readonly reconsidered: () => number;
}

const COMMON = ["agent 192.0.2.1", "latency low"];

/** Runs what an export does with its file while it pumps. */
async function exporting(lines: readonly string[], work: (run: Run) => Promise<void>, samples = true): Promise<FakeIo> {
  const files: Record<string, Uint8Array> = {};
  const write = (...lines: string[]): void => void (files["x.conf"] = new TextEncoder().encode([...COMMON, ...lines].join("\n")));
  write(...lines);
  const io = fakeIo({ input: files });
  const reader = new ExportSettingsReader(parse(["--config", "x.conf"], EXPORT_OPTIONS), "export", io);
  const settings = await reader.read();
  const sys = await loadSys();
  const links = new LiveLinks(new FakeSys());
  let reconsidered = 0;
  let reopened = 0;
  const sampled = { reconsider: () => Promise.resolve(void reconsidered++) } as unknown as Sampled;
  await inSession(io, { quiet: false }, async (session) => {
    const metrics = { source: NOTHING };
    const context = contextOf({ latency: "low" }, { links, session, metrics });
    const inForce = new ExportInForce(settings, await openCollectors(sys, settings.options, context));
    const sinks = new SinkSet(inForce.collectors.all);
    inForce.begin({
      session,
      links,
      sampled: samples ? sampled : undefined,
      sinks,
      reader,
      check: ({ keep }) => {
        if (keep !== undefined) throw new UsageError("--keep requires --rotate", { keys: ["keep"] });
      },
      open: (options, before) => openCollectors(sys, options, context, before),
      changed: () => {},
      reopen: () => reopened++,
    });
    const source = new TestSource([], true);
    const pumping = session.pump(source, { sinks, account: () => "", summary: () => false, reload: () => void inForce.reload() });
    const push = async (sequence: number): Promise<void> => {
      const batch = new BatchBuffer();
      batch.add(
        viewSample(
          messageOf(message([[0, number(2, 3)], [2, number(4, 100)], [3, number(4, 1)], [4, number(4, sequence)], [5, number(4, 10)]])),
        ),
      );
      source.push(batch);
      await turn();
    };
    await work({ io, inForce, session, source, write, push, reopened: () => reopened, reconsidered: () => reconsidered });
    io.signal("SIGTERM");
    await pumping;
    await inForce.settled();
    links.close();
  });
  return io;
}

/** The sequence numbers of the datagrams that have arrived. */
function sequences(receiver: UdpReceiver): number[] {
  return receiver.receive().map((bytes) => decodeDatagram(new Uint8Array(bytes)).sequence);
}

test("a collector that stays keeps its socket and its numbers, beside one that comes and one that goes", async () => {
  using stays = new UdpReceiver();
  using goes = new UdpReceiver();
  using comes = new UdpReceiver();
  const io = await exporting([`sflow ${stays.target}`, `sflow ${goes.target}`], async ({ inForce, write, push }) => {
    const [kept, old] = inForce.collectors.sinks;
    await push(1);
    // Whether they are many or few, what is in the file as it was is not touched.
    write(`ipfix ${comes.target}`, `sflow ${stays.target}`);
    await inForce.reload();
    // What it had was delivered when it was closed.
    assertEquals([sequences(goes).length, old!.written], [1, 1]);
    await push(2);
    assertEquals(inForce.collectors.sinks.map(({ name }) => name), [`sFlow ${stays.target}`, `IPFIX ${comes.target}`]);
    assertEquals(inForce.collectors.sinks[0] === kept, true);
    await until("both have it", () => kept!.written === 2 && inForce.collectors.sinks[1]!.written === 1);
  });
  assertEquals(sequences(stays), sequences(stays).map((_, i) => i + 1));
  assertEquals(sequences(goes).length, 1);
  assertMatch(
    io.errors(),
    /^psample: sFlow \S+ is closed: 1 datagram sent\npsample: x\.conf was read again: exporting to sFlow \S+, IPFIX \S+\n$/,
  );
});

test("a collector whose options change is opened anew, and the other protocol is not", async () => {
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  const lines = [`sflow ${sflow.target}`, `ipfix ${ipfix.target}`];
  await exporting(lines, async ({ inForce, write }) => {
    for (
      const [more, kept] of [["domain 7", [true, false]], ["sub-agent 3", [false, false]], ["top 5\nprometheus 0", [false, true]]] as const
    ) {
      const before = inForce.collectors.sinks;
      write(...lines, more);
      await inForce.reload();
      assertEquals(inForce.collectors.sinks.map((sink) => before.includes(sink)), kept, more);
    }
  });
});

test("a wrong file changes nothing, and nothing that was opened for it stays open", async () => {
  using stays = new UdpReceiver();
  using unused = new UdpReceiver();
  const right = [`sflow ${stays.target}`, "device lo"];
  const wrong: [string[], RegExp][] = [
    [["sflow"], /^psample: x\.conf, line 3: sflow needs a value/],
    [["device lo"], /^psample: x\.conf: nowhere to export to/],
    [[...right, "device none0"], /^psample: x\.conf, line 5: there is no device none0/],
    [[...right, "device any"], /^psample: x\.conf, line 5: any means every device: lo cannot be given with it/],
    [[...right, `ipfix ${unused.target}`, "prometheus 203.0.113.7:1"], /^psample: Cannot listen on 203\.0\.113\.7:1: .*EADDRNOTAVAIL/],
    [[...right, "keep 3"], /^psample: x\.conf, line 5: --keep requires --rotate/],
  ];
  for (const [lines, told] of wrong) {
    const io = await exporting(right, async ({ inForce, write, reconsidered, reopened }) => {
      const before = inForce.collectors;
      write(...lines);
      await inForce.reload();
      // Whoever has renamed a recording needs it reopened in any case.
      assertEquals([inForce.collectors === before, reconsidered(), reopened()], [true, 0, 1]);
    });
    assertMatch(io.errors(), told);
    assertMatch(io.errors(), /\npsample: x\.conf was not applied: everything continues as before\n$/);
  }
});

test("a pattern that no device matches yet is told and in force, as at the start", async () => {
  using sflow = new UdpReceiver();
  const lines = [`sflow ${sflow.target}`, "device lo"];
  const io = await exporting(lines, async ({ inForce, write, reconsidered }) => {
    for (let i = 1; i <= 2; i++) {
      write(...lines, "device none*");
      await inForce.reload();
      assertEquals([inForce.sampling.named.words.at(-1), reconsidered()], ["none*", i]);
    }
  });
  const told = /psample: no device matches none\* yet: those that come later are sampled\npsample: x\.conf was read again/g;
  assertEquals(io.errors().match(told)?.length, 1, io.errors());
});

test("what cannot change is told at each reload until the next start; the rest changes", async () => {
  using sflow = new UdpReceiver();
  const io = await exporting(["device lo:7", `sflow ${sflow.target}`], async ({ inForce, write, reconsidered }) => {
    for (const rate of [8, 9]) {
      write(`device lo:${rate}`, `sflow ${sflow.target}`, "buffer 1MB", "write x.pcapng");
      await inForce.reload();
      assertEquals(planFor(inForce.sampling, { name: "lo", up: true }).rate, rate);
    }
    write(`sflow ${sflow.target}`, "sub-agent 9");
    await inForce.reload();
    assertEquals(planFor(inForce.sampling, { name: "lo", up: true }).rate, 9);
    assertEquals(reconsidered(), 2);
  });
  assertEquals(io.errors().match(/takes effect at the next start: buffer, write\n/g)!.length, 2);
  assertMatch(io.errors(), /takes effect at the next start: device\n/);
});

test("samples are counted while a receiver of metrics that is removed makes its last report wait", async () => {
  using sflow = new UdpReceiver();
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  try {
    await exporting([`sflow ${sflow.target}`, `otlp http://127.0.0.1:${port}`], async ({ inForce, write, push }) => {
      await push(1);
      write(`sflow ${sflow.target}`, "prometheus 0");
      const reloading = inForce.reload();
      await until("the metrics are there", () => inForce.collectors.metrics !== undefined);
      await until("the last report is on its way", () => sockets.length > 0);
      await push(2);
      const { metrics, numbers } = inForce.collectors;
      assertEquals(metrics!.written, 1);
      const counted = valuesOf(numbers!.metrics.text("text", nowNs(), numbers!.state()), "psample_samples_total");
      assertEquals(Object.values(counted).reduce((sum, count) => sum + count, 0), 2);
      for (const socket of sockets) socket.destroy();
      await reloading;
    });
  } finally {
    silent.close();
  }
});

test("signals during a reload lead to one more, with the file as it is then", async () => {
  using one = new UdpReceiver();
  using other = new UdpReceiver();
  const io = await exporting([`sflow ${one.target}`], async ({ io, inForce, write }) => {
    for (let i = 0; i < 5; i++) io.signal("SIGHUP");
    // It begins.
    await Promise.resolve();
    write(`sflow ${other.target}`);
    for (let i = 0; i < 5; i++) io.signal("SIGHUP");
    await inForce.settled();
    assertEquals(inForce.collectors.sinks.map(({ name }) => name), [`sFlow ${other.target}`]);
  }, false);
  assertEquals(io.errors().match(/was read again/g)!.length, 2);
});

test("a rate is the last one given for a device, by its name or a pattern", async () => {
  const io = fakeIo({ input: { "x.conf": new TextEncoder().encode("sflow 192.0.2.9\ndevice e*:5\ndevice eth1:7\ndevice x\nrate 9") } });
  const settings = await new ExportSettingsReader(parse(["--config", "x.conf"], EXPORT_OPTIONS), "export", io).read();
  const rates = ["eth0", "eth1", "x"].map((name) => planFor(settings, { name, up: true }).rate);
  assertEquals(rates, [5, 7, 9]);
});
