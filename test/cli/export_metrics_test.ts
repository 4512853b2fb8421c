/** `psample export --prometheus`: what it serves is what the account says. */
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { COMMAND } from "../support/command.ts";
import { get } from "../support/http.ts";
import { programs } from "../support/programs.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";
import { fakeIo } from "./fake_io.ts";

const RECORDING = new URL("../golden/rate100.new.pcap", import.meta.url).pathname;
const IS_BUN = "Bun" in globalThis;

/** The port in what was printed. */
function portIn(errors: string): number | undefined {
  const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(errors) ?? [];
  return port === undefined ? undefined : Number(port);
}

test("the metrics of a recording are its account, and the other collectors are among them", async () => {
  using receiver = new UdpReceiver();
  const io = fakeIo();
  // As slowly as it takes to be asked: it is ended by a signal.
  const words = [
    "--from",
    RECORDING,
    "--speed",
    "0.000001",
    "--sflow",
    receiver.target,
    "--agent",
    "192.0.2.1",
    "--prometheus",
    "0",
    "--top",
    "3",
  ];
  const running = main(["export", ...words], io);
  await until("it listens", () => portIn(io.errors()) !== undefined);
  const port = portIn(io.errors())!;
  let body = "";
  let received = 0;
  for (let i = 0; i < 500 && !body.includes("\npsample_samples_total{"); i++) {
    body = (await get(port, "/metrics")).body;
    received = valuesOf(body, "psample_received_samples_total")[""]!;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const counted = Object.values(valuesOf(body, "psample_samples_total")).reduce((sum, count) => sum + count, 0);
  const packets = Object.values(valuesOf(body, "psample_estimated_packets_total")).reduce((sum, count) => sum + count, 0);
  // More is read than its time has come for.
  assertEquals([counted > 0, counted <= received, packets], [true, true, 100 * counted], body);
  assertEquals(Object.keys(valuesOf(body, "psample_sink_written_samples_total")), [`sFlow ${receiver.target}`]);
  assertMatch(Object.keys(valuesOf(body, "psample_build_info"))[0]!, /^\d+\.\d+\.\d+/);
  assertMatch((await get(port, "/")).body, /Exported/);
  io.signal("SIGINT");
  assertEquals(await running, 0, io.errors());
  assertMatch(io.errors(), /exporting to sFlow \S+, Prometheus at http:/);
});

test("--check says whether it can listen", async () => {
  const io = fakeIo();
  assertEquals(await main(["export", "--prometheus", "0", "--check"], io), 0, io.errors());
  assertMatch(io.text(), /^Prometheus at http:\/\/127\.0\.0\.1:\d+\/: it can listen there\n$/);
  const other = fakeIo();
  assertEquals(await main(["export", "--prometheus", "192.0.2.77:9410", "--check"], other), 1);
  assertMatch(other.errors(), /Cannot listen on 192\.0\.2\.77:9410: .*It is not an address of this machine/);
});

test("without the permission of Deno the error says which flag it needs", {
  ...programs(),
  ...IS_BUN ? { skip: "Bun has no permissions" } : {},
}, () => {
  const [program, ...args] = COMMAND;
  const { status, stderr } = spawnSync(program!, [...args, "export", "--prometheus", "9410", "--check"], { encoding: "utf8" });
  assertEquals(status, 1, stderr);
  assertMatch(
    stderr,
    /Requires net access to "127\.0\.0\.1:9410", run again with the --allow-net flag\. .*deno run --allow-ffi --allow-net cli/,
  );
});

test("a command that serves metrics ends at once when it is told to", programs(), async () => {
  const [program, ...args] = COMMAND;
  const words = IS_BUN ? args : args.map((word) => word === "--allow-ffi" ? "--allow-ffi --allow-net" : word).join(" ").split(" ");
  const child = spawn(program!, [...words, "export", "--from", RECORDING, "--speed", "0.000001", "--prometheus", "0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (bytes) => errors += bytes);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await until("it listens", () => portIn(errors) !== undefined || child.exitCode !== null);
  assertEquals((await get(portIn(errors)!, "/healthz")).body, "ok\n");
  process.kill(child.pid!, "SIGTERM");
  assertEquals(await ended, 0, errors);
  assert(!errors.includes("Error"), errors);
});
