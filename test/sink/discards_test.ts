import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { reportDiscardsWith } from "../../src/sink/discards.ts";
import { sflowToWith } from "../../src/sink/export.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { DropKernel } from "../control/drop_kernel.ts";
import { decodeDatagram, type DecodedSample, headerOf, recordOf } from "../export/sflow/decoder.ts";
import { until } from "../support/waiting.ts";

const FRAME = new Uint8Array([...Array(12).fill(2), 8, 0, ...Array(100).fill(7)]);

const text = (body: Uint8Array | undefined): string | undefined =>
  body && new TextDecoder().decode(body.subarray(4, 4 + new DataView(body.buffer, body.byteOffset).getUint32(0)));

function discardsIn({ sys }: DropKernel): DecodedSample[] {
  return sys.arrived.flatMap(({ bytes }) => decodeDatagram(bytes.slice()).samples);
}

test("discarded packets reach every collector, in datagrams of their own, with what is known of them", async () => {
  const kernel = new DropKernel();
  const options = { agent: "192.0.2.1", forwards: false } as const;
  const sinks = [await sflowToWith(kernel.sys, "192.0.2.8", options), await sflowToWith(kernel.sys, "192.0.2.9", options)];
  const reports = await reportDiscardsWith(kernel.sys, () => sinks, { headerBytes: 64, latency: "low" });
  assertEquals(kernel.config.truncateBytes, 64);
  kernel.report(
    { ifindex: 70_000, symbol: "ip_forward+0x1/0x2", reason: "IP_INHDR", protocol: 0x800, data: FRAME.subarray(0, 64), originalBytes: 114 },
    { protocol: 0x800, data: FRAME.subarray(0, 64), originalBytes: 114, trap: ["acl_drops", "ingress_flow_action_drop"], ifindex: 5 },
  );
  await until("both have left to both", () => discardsIn(kernel).length === 4);
  const [first, second] = discardsIn(kernel);
  assertEquals(
    [first!.format, first!.sequence, first!.sourceIndex, first!.input, first!.output, first!.reason, first!.drops],
    [5, 1, 70_000, 70_000, 0, 257, 0],
  );
  assertEquals(headerOf(first!), { protocol: 1, frameLength: 118, stripped: 4, header: FRAME.slice(0, 64) });
  assertEquals([text(recordOf(first!, 1038)), text(recordOf(first!, 1042)), recordOf(first!, 1041)], ["ip_forward", "IP_INHDR", undefined]);
  assertEquals([second!.reason, text(recordOf(second!, 1041)), recordOf(second!, 1038), recordOf(second!, 1042)], [
    258,
    "acl_drops",
    undefined,
    undefined,
  ]);
  assertEquals(reports.stats().reported, 2);
  await reports.stop();
  for (const sink of sinks) await sink.close({} as Closing);
  kernel.sys.assertClean();
});

test("what is waiting when it is stopped leaves with the last datagrams, and a closed sink takes nothing", async () => {
  const kernel = new DropKernel();
  const sink = await sflowToWith(kernel.sys, "192.0.2.9", { agent: "192.0.2.1", forwards: false });
  const closed = await sflowToWith(kernel.sys, "192.0.2.8", { agent: "192.0.2.1", forwards: false });
  closed.abort();
  const reports = await reportDiscardsWith(kernel.sys, () => [closed, sink]);
  kernel.report(...Array.from({ length: 80 }, (_, i) => ({ ifindex: 1 + i, protocol: 0x800, data: FRAME })));
  await reports.stop();
  await sink.close({} as Closing);
  assertEquals(discardsIn(kernel).map(({ sourceIndex }) => sourceIndex), Array.from({ length: 80 }, (_, i) => 1 + i));
  assert(kernel.sys.arrived.every(({ to }) => to === "192.0.2.9:6343"));
  kernel.sys.assertClean();
});

test("wrong options are refused before anything is started", async () => {
  const kernel = new DropKernel();
  for (const options of [{ perSecond: 0 }, { perSecond: 5001 }, { perSecond: 1.5 }, { headerBytes: 0 }, { headerBytes: 65536 }]) {
    await assertRejects(() => reportDiscardsWith(kernel.sys, () => [], options), ArgumentError, "expected a whole number");
  }
  assertEquals(kernel.commands, []);
  kernel.sys.assertClean();
});
