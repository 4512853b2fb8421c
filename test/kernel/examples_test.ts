/** The examples of the library's documentation that need a kernel which samples, run as they stand there. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { examples, withFiles } from "../support/examples.ts";
import { ethernet, PEER } from "./frames.ts";
import { openDirectory, Program, scriptWords } from "./runtime.ts";
import { ip, pause, scene, send, tc } from "./scene.ts";

const ETH0 = 150;

for (const { name, code } of examples().filter(({ needsKernel }) => needsKernel)) {
  scene(`the example in ${name} runs as it stands there`, "module:dummy", async () => {
    ip(`link add name eth0 index ${ETH0} type dummy`, "link set dev eth0 up");
    // What adds its own sampling has nothing before it; everybody else finds two groups that get everything.
    if (!code.includes("addSampling")) {
      tc("qdisc add dev eth0 clsact");
      for (const group of [5, 6]) tc(`filter add dev eth0 egress pref ${group} matchall action sample rate 1 group ${group} continue`);
    }
    const directory = openDirectory();
    try {
      if (code.includes("readRecording")) {
        const recorded =
          `import { listen, pump, recordTo } from "@psample/psample";\nawait pump(await listen(), [], [recordTo("samples.pcapng")], { count: 3 });`;
        assertEquals((await runs(recorded, directory)).status, 0);
      }
      const { status, out, err } = await runs(code, directory);
      assertEquals(status, 0, `${out}${err}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

/** Runs a program while somebody uses the network: else there would be nothing to sample. */
async function runs(code: string, directory: string): Promise<{ status: number | null; out: string; err: string }> {
  const file = join(directory, "example.ts");
  // Samples of one in a hundred and of one in a thousand are not waited for.
  writeFileSync(file, withFiles(code).replace(/rate: 100\d*/, "rate: 1"));
  await using program = new Program(scriptWords(file), {}, directory);
  let over = false;
  const ended = program.ended.finally(() => over = true);
  while (!over) {
    for (let i = 0; i < 20; i++) send(ETH0, ethernet(PEER, PEER, 0x88b5, new Uint8Array(60)));
    await Promise.race([ended, pause(50)]);
  }
  return await ended;
}
