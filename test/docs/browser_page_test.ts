/** The page of examples/browser: its module runs where a browser has less than the runtimes, and it can be bundled for one. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { rowsOf } from "../../examples/browser/recording.ts";
import { BUN_PROGRAM, ROOT } from "../run/project.ts";
import { inDirectory } from "../support/directory.ts";
import { programs } from "../support/programs.ts";

const inBun = "Bun" in globalThis;
const BUN = inBun ? process.execPath : BUN_PROGRAM;
const PAGE = readFileSync(join(ROOT, "examples/browser/index.html"), "utf8");
const RECORDING = join(ROOT, "test/golden/ingress.new.pcap");

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += 100) yield bytes.subarray(i, i + 100);
}

test("rows are what the command prints of the same recording", async () => {
  const { rows, lost } = await rowsOf(pieces(new Uint8Array(readFileSync(RECORDING))));
  const words = [...inBun ? [] : ["run", "--no-check", "-A"], "cli/main.ts", "read", RECORDING, "--json", "--details"];
  const { stdout, status, stderr } = spawnSync(process.execPath, words, { cwd: ROOT, encoding: "utf8" });
  assertEquals(status, 0, stderr);
  const samples = stdout.trim().split("\n").map((line) => JSON.parse(line)).filter(({ type }) => type === "sample");
  assertEquals(samples.length, 5);
  assertEquals(lost, 0);
  assertEquals(
    rows.map(({ at, group, oneIn, bytes }) => ({ at, group, oneIn, bytes })),
    samples.map(({ at, group, oneIn, originalBytes }) => ({ at: at.replace(/\d{6}Z$/, "Z"), group, oneIn, bytes: originalBytes })),
  );
  const [first] = rows;
  assertEquals(first!.packet, "udp 192.0.2.2 port 4000 > 192.0.2.1 port 5000");
});

test(
  "it needs nothing that browsers lack",
  { timeout: 60_000 },
  inDirectory((path) => {
    // Browsers have none of these. Of Bun's only `Bun` stays.
    const program = `import { readFileSync } from "node:fs";
      for (const name of ["setImmediate", "clearImmediate", "Buffer", "process", "Deno", "Bun"]) Reflect.deleteProperty(globalThis, name);
      const bytes = new Uint8Array(readFileSync(${JSON.stringify(RECORDING)}));
      const { rowsOf } = await import(${JSON.stringify(join(ROOT, "examples/browser/recording.ts"))});
      async function* file() {
        // Reading takes longer than one turn of the event loop.
        for (const end = performance.now() + 20; performance.now() < end;);
        yield bytes;
      }
      console.log((await rowsOf(file())).rows.length);`;
    writeFileSync(path("browser.mjs"), program);
    const words = inBun ? [path("browser.mjs")] : ["run", "--no-check", "-A", "--config", join(ROOT, "deno.json"), path("browser.mjs")];
    const { stdout, stderr, status } = spawnSync(process.execPath, words, { encoding: "utf8" });
    assertEquals([status, stderr], [0, ""]);
    assertEquals(stdout, "5\n");
  }),
);

test(
  "the command in the page bundles it, and what loads at the start imports nothing that browsers lack",
  programs(BUN),
  inDirectory((path) => {
    const [, command] = /<!-- bun (build .*?\.html) /.exec(PAGE)!;
    mkdirSync(path("out"));
    const words = command!.replace("DIR", path("out")).split(" ");
    const { status, stderr } = spawnSync(BUN, words, { cwd: ROOT, encoding: "utf8" });
    assertEquals(status, 0, stderr);
    const text = (name: string): string => readFileSync(path(`out/${name}`), "utf8");
    const imports = (code: string): string[] => [...code.matchAll(/(?:\bfrom|^import)\s*"([^"]+)"/gm)].map(([, name]) => name!);
    const loaded = [/src="\.\/([^"]+\.js)"/.exec(text("index.html"))![1]!];
    for (const name of loaded) {
      for (const imported of imports(text(name))) {
        assert(imported.startsWith("./"), `${name} imports ${imported}`);
        if (!loaded.includes(imported.slice(2))) loaded.push(imported.slice(2));
      }
    }
    // The backends of the runtimes are files of their own, which nothing asks for.
    assert(readdirSync(path("out")).length > loaded.length + 1);
  }),
);
