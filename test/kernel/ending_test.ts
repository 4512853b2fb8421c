/** Other programs that use the library: whichever signal ends them, tc shows afterwards what it showed before. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { ethernet, PEER } from "./frames.ts";
import { BUN, listensToSamples, openDirectory, Program, ROOT } from "./runtime.ts";
import { ip, pause, run, scene, send, until } from "./scene.ts";
import { tcDump, tcFilters } from "./tc_dump.ts";

const ETH0 = 150;

/** The words that run a program which has this package installed. */
function program(code: string): string[] {
  const path = join(openDirectory(), "program.ts");
  writeFileSync(path, code.replace("@psample/psample", join(ROOT, "mod.ts")));
  return BUN ? [process.execPath, path] : [process.execPath, "run", "--no-check", "--no-prompt", "--allow-ffi", path];
}

/** The code of the README's program. */
function readmeCode(): string {
  return /^```ts ignore\n([^]*?)^```/m.exec(readFileSync(join(ROOT, "README.md"), "utf8"))![1]!;
}

/** The README's program. */
function readmeProgram(): string[] {
  return program(readmeCode());
}

function addEth0(): string {
  ip(`link add name eth0 index ${ETH0} type dummy`, "link set dev eth0 up");
  return tcDump("eth0");
}

const filters = (): number => tcFilters(["eth0"]).length;
const sendOne = (): void => send(ETH0, ethernet(PEER, PEER, 0x88b5, new Uint8Array(60)));

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR2", "SIGXCPU", "SIGIO"] as const) {
  scene(`README's program: ${signal} ends it, with its filters removed and its last line printed`, "module:dummy", async () => {
    const before = addEth0();
    await using running = new Program(readmeProgram());
    await until(() => `it samples; so far it said ${running.err}`, async () => filters() === 2 && await listensToSamples(running.pid));
    sendOne();
    running.signal(signal);
    const { status, out, err } = await running.ended;
    assertEquals([status, err], [0, ""]);
    assert(out.includes("received"), out);
    assertEquals(tcDump("eth0"), before);
  });
}

scene("README's program: a signal at any moment of its start leaves nothing", "module:dummy", async () => {
  const before = addEth0();
  const words = readmeProgram();
  const [program, ...args] = words;
  // A start takes some hundred milliseconds, depending on the machine.
  for (let ms = 0; ms < 600; ms += 40) {
    await using starting = new Program([program!, ...args]);
    await pause(ms);
    starting.signal("SIGTERM");
    const { status, err } = await starting.ended;
    // Before it handles signals, during the installation, and afterwards.
    assert([null, 143, 1, 0].includes(status), `${status} ${err}`);
    if (status === 1) assert(err.includes("The process received SIGTERM"), err);
    assertEquals(tcDump("eth0"), before, `after ${ms} ms, status ${status}`);
  }
});

scene("a SIGHUP that the caller ignores stays ignored", "module:dummy", async () => {
  const before = addEth0();
  const found = `import { loadSys } from "${ROOT}/src/sys/load.ts";\nconsole.log((await loadSys()).signalAction(1));\n`;
  await using running = new Program(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", ...program(found + readmeCode())]);
  await until(() => `it samples; so far it said ${running.err}`, async () => {
    return running.out.includes("\n") && filters() === 2 && await listensToSamples(running.pid);
  });
  // Deno handles the signal itself when its start takes seconds, as on an emulated processor: then it is no longer known that it was
  // ignored, and the program ends in good order.
  const isTaken = !BUN && running.out.startsWith("caught\n");
  assert(isTaken || running.out.startsWith("ignored\n"), running.out);
  running.signal("SIGHUP");
  await pause(200);
  if (!isTaken) {
    assertEquals(filters(), 2);
    running.signal("SIGTERM");
  }
  assertEquals((await running.ended).status, 0);
  assertEquals(tcDump("eth0"), before);
});

scene("a program that does not end: the first signal removes the filters, the second ends it", "module:dummy", async () => {
  const before = addEth0();
  const code = `import { addSampling, endOnSignals } from "@psample/psample";
    const signal = await endOnSignals();
    await addSampling({ device: "eth0", rate: 1, signal });
    setInterval(() => {}, 1000);
    console.log("ready");`;
  await using running = new Program(program(code));
  await until(() => `it samples; so far it said ${running.err}`, () => running.out.includes("ready"));
  assertEquals(filters(), 2);
  running.signal("SIGINT");
  await until("the filters are gone", () => tcDump("eth0") === before);
  let ended = false;
  void running.ended.then(() => ended = true);
  await pause(100);
  assertEquals(ended, false);
  running.signal("SIGINT");
  const { status } = await running.ended;
  assert(status === null || status === 130, `status ${status}`);
});

scene("a program without a descriptor to spare removes its filters all the same", "module:dummy", async () => {
  const before = addEth0();
  const code = `import { addSampling } from "@psample/psample";
    const sampling = await addSampling({ device: "eth0", rate: 1 });
    // Runs until its descriptors are taken away.
    process.once("SIGUSR2", () => void sampling.remove().then(() => console.log("removed")));
    console.log("ready");
    setTimeout(() => {}, 100_000);`;
  await using running = new Program(program(`import process from "node:process";\n${code}`));
  await until(() => `it samples; so far it said ${running.err}`, () => running.out.includes("ready"));
  run("prlimit", ["--nofile=3:3", "--pid", `${running.pid}`]);
  running.signal("SIGUSR2");
  await until(() => `it has removed them; so far it said ${running.err}`, () => running.out.includes("removed"));
  assertEquals(tcDump("eth0"), before);
});
