/** Which devices `psample export` samples, whatever there is when it starts. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listActions, listSampling } from "../../mod.ts";
import { decodeDatagram, type DecodedSample } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { unloadPsample } from "./module.ts";
import { ip, pause, scene, send, until } from "./scene.ts";

/** Starts an export, which follows devices when this resolves. */
async function start(words: string): Promise<Command> {
  // Counters have tests of their own.
  const command = new Command(["export", ...words.split(" "), "--polling", "0"]);
  await command.samples();
  return command;
}

/** The flow samples that have arrived. */
function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

scene("words that mean no device yet are told and followed, also if there is none at all", "guest", "module:dummy", async () => {
  ip("link set dev lo up");
  await unloadPsample();
  using sflow = new UdpReceiver();
  using other = new UdpReceiver();
  const words = "--direction egress --agent 192.0.2.1 --sflow";
  const command = await start(`x*:1 y* ${words} ${sflow.target}`);
  const any = await start(`any:2 ${words} ${other.target}`);
  const told = ["x", "y"].map((name) => `psample: no device matches ${name}* yet: those that come later are sampled\n`).join("");
  assert(command.io.errors().startsWith(`${told}psample: sampling nothing yet, group `), command.io.errors());
  assertMatch(
    any.io.errors(),
    /^psample: no device is up but lo: those that come up later are sampled\npsample: sampling nothing yet, group /,
  );
  const numbers = [command, any].map(({ io }) => /group (\d+)/.exec(io.errors())![1]);
  assertEquals([new Set(numbers).size, (await listActions()).length], [2, 0]);
  ip("link add name x0 type dummy", "link set dev x0 up");
  const rates = async (): Promise<string> => (await listSampling()).map(({ device, rate }) => `${device} ${rate}`).sort().join();
  await until(() => `it is sampled: ${command.io.errors()}`, async () => await rates() === "x0 1,x0 2");
  const { ifindex } = (await listSampling())[0]!;
  await until("it has arrived", async () => {
    send(ifindex!, frameOut());
    await pause(20);
    return samplesOf(sflow).length > 0 && samplesOf(other).length > 0;
  });
  for (const one of [command, any]) await one.end();
  assertEquals(await rates(), "");
  assertMatch(command.io.errors(), /packets? passed \(rule hits\), 1 in 1: \d+ sampled; lost 0; sFlow/);
});
