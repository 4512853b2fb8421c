/** `psample export --otlp` of what a kernel samples: what is sent is the account, and what stands beside it has the same. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pointsOf, readJson, type ReadRequest } from "../export/otlp/reader.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { get } from "../support/http.ts";
import { OtlpReceiver, silence, status } from "../support/otlp_receiver.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, ip, scene, send, until } from "./scene.ts";

const FRAMES = 200;

/** How many flow samples have arrived; samples of counters come beside them. */
function flowSamples(receiver: UdpReceiver): number {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples).filter(({ format }) => format === 1).length;
}

/** The last report. */
const lastOf = ({ reports }: OtlpReceiver): ReadRequest => readJson(reports.at(-1)!.body);

scene("at 1 in 1 what is sent equals the account, what Prometheus gets, and what sFlow collectors get, from one socket", async () => {
  bareWire();
  ip("link set lo up");
  await using receiver = await OtlpReceiver.listen();
  using sflow = new UdpReceiver();
  const words =
    `a:1 --direction egress --otlp ${receiver.url} --otlp-encoding json --interval 1s --sflow ${sflow.target} --polling 0 --prometheus 0`;
  const command = new Command(["export", ...words.split(" ")]);
  await command.samples();
  const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(command.io.errors())!;
  const frames = inOrder(FRAMES, frameOut);
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  send("a", ...frames);
  // The kernel's counters are read every second, and may be ahead of the samples.
  const isTold = (name: string): boolean => Object.values(pointsOf(lastOf(receiver), name))[0] === FRAMES;
  await until(
    () => `all are reported: ${command.io.errors()}`,
    () => receiver.reports.length > 0 && isTold("psample.sampler.packets") && isTold("psample.samples"),
  );
  const request = lastOf(receiver);
  const only = (name: string): unknown => {
    const points = Object.entries(pointsOf(request, name));
    assertEquals(points.length, 1, name);
    assertMatch(points[0]![0], /^a transmit( \d+)?$/);
    return points[0]![1];
  };
  for (const name of ["samples", "estimated.packets", "estimated.packets_low", "estimated.packets_high", "sampler.packets"]) {
    assertEquals(only(`psample.${name}`), FRAMES, name);
  }
  for (const name of ["io", "io_low", "io_high"]) assertEquals(only(`psample.estimated.${name}`), bytes, name);
  assertEquals([only("psample.sampling.one_in"), only("psample.sampler.deviates")], [1, 0]);
  for (const [name, count] of [["received", FRAMES], ["lost", 0], ["unusable", 0]] as const) {
    assertEquals(pointsOf(request, `psample.${name}_samples`), { "": count });
  }
  const { body } = await get(Number(port), "/metrics");
  assertEquals(Object.values(valuesOf(body, "psample_estimated_bytes_total")), [bytes]);
  assertEquals(Object.values(valuesOf(body, "psample_received_samples_total")), [FRAMES]);
  await command.end();
  assertEquals(flowSamples(sflow), FRAMES);
  assertEquals(pointsOf(lastOf(receiver), "psample.received_samples"), { "": FRAMES });
  assertMatch(
    command.io.errors(),
    /psample: 200 packets passed \(rule hits\), 1 in 1: 200 sampled; lost 0; sFlow \S+: \d+ datagrams? sent; OTLP \S+: \d+ reports? sent/,
  );
});

scene("a receiver that does not answer holds up no sample of the others, and gets the last numbers when it is well", async () => {
  bareWire();
  ip("link set lo up");
  await using receiver = await OtlpReceiver.listen();
  using sflow = new UdpReceiver();
  receiver.otherwise = silence;
  const words = `a:1 --direction egress --otlp ${receiver.url} --otlp-encoding json --interval 1s --sflow ${sflow.target} --polling 0`;
  const command = new Command(["export", ...words.split(" ")]);
  await command.samples();
  await receiver.has(1);
  const arrived = (): number => flowSamples(sflow);
  for (let i = 1; i <= 5; i++) {
    send("a", ...inOrder(FRAMES, frameOut));
    // The socket of a collector does not hold all datagrams at once.
    await until(() => `${i * FRAMES} have arrived, instead of ${arrived()}: ${command.io.errors()}`, () => arrived() === i * FRAMES);
  }
  receiver.otherwise = status(200);
  await command.end();
  assert(receiver.reports.length > 1);
  assertEquals(pointsOf(lastOf(receiver), "psample.samples"), { [`a transmit ${groupIn(command)}`]: 5 * FRAMES });
  assertMatch(command.io.errors(), /1,000 sampled; lost 0; .*OTLP \S+: 1 report sent/);
});

/** The group that a command samples into. */
function groupIn(command: Command): string {
  return /group (\d+)/.exec(command.io.errors())![1]!;
}

scene("a receiver that a reload adds gets what was counted before, and one that it takes away gets the last numbers", async () => {
  bareWire();
  ip("link set lo up");
  await using first = await OtlpReceiver.listen();
  await using second = await OtlpReceiver.listen();
  const configured = ({ url }: OtlpReceiver): Uint8Array =>
    new TextEncoder().encode(`device a:1\ndirection egress\notlp ${url}\notlp-encoding json\ninterval 1s\n`);
  const files = { "x.conf": configured(first) };
  const command = new Command(["export", "--config", "x.conf"], { input: files });
  await command.samples();
  const counted = (receiver: OtlpReceiver): number =>
    receiver.reports.length === 0 ? 0 : Number(Object.values(pointsOf(lastOf(receiver), "psample.samples"))[0] ?? 0);
  send("a", ...inOrder(FRAMES, frameOut));
  await until(() => `the first has all: ${command.io.errors()}`, () => counted(first) === FRAMES);
  files["x.conf"] = configured(second);
  assert(command.io.signal("SIGHUP"));
  await until(() => `it is read again: ${command.io.errors()}`, () => command.io.errors().includes("x.conf was read again"));
  await until(() => `the second has all: ${command.io.errors()}`, () => counted(second) === FRAMES);
  const left = first.reports.length;
  send("a", ...inOrder(FRAMES, frameOut));
  await until(() => `the second has more: ${command.io.errors()}`, () => counted(second) === 2 * FRAMES);
  await command.end();
  assertEquals([counted(first), first.reports.length], [FRAMES, left]);
  assertMatch(command.io.errors(), /exporting to OTLP \S+\n[^]*400 sampled; lost 0; OTLP \S+: \d+ reports? sent/);
});
