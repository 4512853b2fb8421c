/** The programs in examples/, each run to its end on a device of this scene. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { frameIn, frameOut, inOrder } from "./frames.ts";
import { genericSocket, listensToSamples, Program, script } from "./runtime.ts";
import { bareWire, sample, scene, send, Sender, soon, until, wire } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

/** Starts an example, and waits until it listens. */
async function started(name: string, args: readonly string[], ...permissions: string[]): Promise<Program> {
  const program = new Program([...script(`examples/${name}.ts`, ...permissions), ...args]);
  let ended = false;
  program.ended.then(() => ended = true, () => {});
  await until(() => `${name} listens: ${program.err}${program.out}`, async () => ended || await listensToSamples(program.pid));
  return program;
}

scene("examples/top_talkers.ts prints who talks most, and leaves nothing behind", async () => {
  bareWire();
  const before = tcDump("a");
  await using program = await started("top_talkers", ["a", "1"]);
  send("a", ...inOrder(30, frameOut));
  send("b", ...inOrder(5, frameIn));
  const flows = (): string[] => [...program.out.matchAll(/^ {2}(\S+ > \S+): /gm)].map(([, flow]) => flow!);
  await until(() => `both are printed: ${program.err}${program.out}`, () => flows().length >= 2);
  program.signal("SIGINT");
  const { status, out, err } = await program.ended;
  assertEquals([status, err], [0, ""]);
  assertStringIncludes(out, "a: 1 in 1, lost 0\n");
  assertEquals([...new Set(flows())].sort(), ["192.0.2.1 > 192.0.2.2", "192.0.2.2 > 192.0.2.1"]);
  assertMatch(out, /: (\d+\.\d{3}) Mbit\/s \(\d+\.\d{3} to \d+\.\d{3}\)$/m);
  assertEquals(tcDump("a"), before);
});

scene("examples/prometheus.ts serves the metrics of a device", async () => {
  bareWire();
  const before = tcDump("a");
  await using program = await started("prometheus", ["a", "9410", "1"], "--allow-net");
  await until(() => `it serves: ${program.err}`, () => program.out === "scrape http://127.0.0.1:9410/metrics\n");
  send("a", ...inOrder(20, frameOut));
  // By a program: the runtimes' own requests may come from a thread that is in another network namespace.
  const get = "exec 3<>/dev/tcp/127.0.0.1/9410; printf 'GET /metrics HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3";
  let metrics = "";
  await until(() => `all are counted: ${metrics}`, async () => {
    await using request = new Program(["bash", "-c", get]);
    metrics = (await request.ended).out;
    return /^psample_samples_total\S* 20$/m.test(metrics);
  });
  assertMatch(metrics, /ipsource="192\.0\.2\.1",ipdestination="192\.0\.2\.2"/);
  program.signal("SIGTERM");
  assertEquals((await program.ended).status, 0, program.err);
  assertEquals(tcDump("a"), before);
});

scene("examples/sum.ts sums up what passes a device: at 1 in 1, all packets", async () => {
  bareWire();
  const before = tcDump("a");
  await using program = await started("sum", ["a", "3600", "1"]);
  send("a", ...inOrder(50, frameOut));
  // What is queued still counts.
  program.signal("SIGINT");
  const { status, out, err } = await program.ended;
  const bytes = 50 * frameOut().length;
  assertEquals([status, out, err], [
    0,
    `50 samples stand for 50 packets and ${bytes} bytes (${bytes} to ${bytes} at 95 %)\nlost 0\n`,
    "",
  ]);
  assertEquals(tcDump("a"), before);
});

scene("examples/sum.ts without a device sums up what others sample, for ten seconds", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  await using program = await started("sum", []);
  send("a", ...inOrder(3, frameOut));
  const { status, out } = await program.ended;
  assertEquals(status, 0, program.err);
  // On a machine that is very busy they may be over before anything is sent.
  assertMatch(out, /^([0-3]) samples stand for \1 packets and /);
});

scene("examples/alert_on_loss.ts is silent while nothing is lost, and reports a loss with its reason and its number", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  await using program = await started("alert_on_loss", []);
  send("a", ...inOrder(3, frameOut));
  // Nobody reads while it is stopped. Of these samples the buffer, which the kernel makes twice 32 MiB, holds fewer than 30,000.
  program.signal("SIGSTOP");
  using sender = new Sender("a", frameOut({ size: 1400 }));
  sender.send(40_000);
  program.signal("SIGCONT");
  await until(() => `it reports the loss: ${program.out}`, () => program.err.endsWith("\n"));
  const isRead = (): Promise<void> => until("nothing is queued", () => genericSocket(program.pid)!.queued === 0);
  await isRead();
  send("a", frameOut());
  await isRead();
  program.signal("SIGINT");
  const { status, out, err } = await soon(program.ended, "its end");
  assertEquals(status, 0, err);
  assertMatch(err, /^\S+Z ALERT \d+ samples lost: the receive buffer was full\n/);
  const [, received, lost] = /^received (\d+) samples, lost (\d+)\n$/.exec(out)!;
  const alerts = [...err.matchAll(/ALERT (\d+) /g)].map(([, count]) => Number(count));
  assertEquals(alerts.reduce((sum, count) => sum + count, 0), Number(lost));
  assertEquals(Number(received) + Number(lost), 40_004);
  assert(Number(lost) > 0);
});
