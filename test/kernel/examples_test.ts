/** The examples in the library's documentation that need a kernel with psample, run unchanged. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { examples, withFiles } from "../support/examples.ts";
import { ETH_EXPERIMENT, ETH_IPV4, ethernet, ip as ipPacket, PEER, words } from "./frames.ts";
import { Named } from "./namespace.ts";
import { needs } from "./needs.ts";
import { openDirectory, Program, scriptWords } from "./runtime.ts";
import { ip, PATIENCE_MS, pause, scene, send, tc } from "./scene.ts";

const ETH0 = 150;
/** What is sent: an unknown protocol, and TCP to port 443. */
const FRAMES = [
  ethernet(PEER, PEER, ETH_EXPERIMENT, new Uint8Array(60)),
  ethernet(PEER, PEER, ETH_IPV4, ipPacket({ from: "192.0.2.1", to: "198.51.100.7" }, 6, words(40000, 443, 0, 1, 0, 1, 0x5010, 1024, 0, 0))),
];

for (const { name, code } of examples().filter(({ needsKernel }) => needsKernel)) {
  const title = `the example in ${name} runs unchanged`;
  const play = async (): Promise<void> => {
    using there = code.includes("netns") ? new Named() : undefined;
    const addEth0 = (): void => ip(`link add name eth0 index ${ETH0} type dummy`, "link set dev eth0 up");
    there ? there.inside(addEth0) : addEth0();
    // Examples that add sampling start without any; the others find two groups that receive everything.
    if (!code.includes("addSampling")) {
      tc("qdisc add dev eth0 clsact");
      for (const group of [5, 6]) tc(`filter add dev eth0 egress pref ${group} matchall action sample rate 1 group ${group} continue`);
    }
    const directory = openDirectory();
    try {
      if (code.includes("readRecording")) {
        const recorded =
          `import { listen, pump, recordTo } from "@psample/psample";\nawait pump(await listen(), [], [recordTo("samples.pcapng")], { count: 3 });`;
        assertEquals((await runs(recorded, directory, there)).status, 0);
      }
      const { status, out, err } = await runs(code, directory, there);
      assertEquals(status, 0, `${out}${err}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  if (!code.includes("reportDiscards")) {
    scene(title, "module:dummy", play);
    continue;
  }
  // The drop monitor answers in the initial network namespace only, which is our own in a guest.
  const options = needs("guest", "psample", "net_admin", "module:dummy", "module:drop_monitor");
  test(title, { ...options, timeout: 4 * PATIENCE_MS }, async () => {
    try {
      await play();
    } finally {
      ip("link del dev eth0");
    }
  });
}

/** Runs a program while packets are sent: otherwise there would be nothing to sample. */
async function runs(
  code: string,
  directory: string,
  there: Named | undefined,
): Promise<{ status: number | null; out: string; err: string }> {
  const file = join(directory, "example.ts");
  // Waiting for samples of 1 in 100 or 1 in 1000 would take too long.
  const text = withFiles(code).replace(/rate: 100\d*/, "rate: 1");
  writeFileSync(file, there ? text.replace('"blue"', JSON.stringify(there.name)) : text);
  const sendAll = (): void => send(ETH0, ...Array.from({ length: 10 }, () => FRAMES).flat());
  await using program = new Program(scriptWords(file), {}, directory);
  let over = false;
  const ended = program.ended.finally(() => over = true);
  while (!over) {
    there ? there.inside(sendAll) : sendAll();
    await Promise.race([ended, pause(50)]);
  }
  return await ended;
}
