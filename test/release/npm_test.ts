/** What users of Bun and Node get from JSR: the npm form of the package, installed in `node_modules`. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BUN_PROGRAM } from "../run/project.ts";
import { CONFIG, deno } from "../run/release.ts";
import { examples } from "../support/examples.ts";
import { stdText } from "../support/jsr_registry.ts";
import { installNpmForm, npmName, type Packer } from "../support/npm_form.ts";
import { programs } from "../support/programs.ts";
import { DENO, type Published, publishRelease } from "../support/published.ts";

const TIMEOUT_MS = 300_000;
/** The Bun that runs this, or that of the tests. */
const BUN = "Bun" in globalThis ? process.execPath : BUN_PROGRAM;
const NODE = "node";
const NAME = npmName(CONFIG.name);
const ENTRIES = Object.keys(CONFIG.exports).map((entry) => `${NAME}${entry.slice(1)}`);

const needs = { ...programs(DENO), timeout: TIMEOUT_MS };
const needsBun = { ...programs(DENO, BUN), timeout: TIMEOUT_MS };
const needsNode = { ...programs(DENO, NODE), timeout: TIMEOUT_MS };

/** The examples that run everywhere, with the package's npm name. */
const EXAMPLES = examples().filter(({ needsKernel }) => !needsKernel)
  .map(({ name, code }) => ({ name, code: code.replaceAll(`"${CONFIG.name}`, `"${NAME}`) }));
/** Those of the entry points that ask nothing of the kernel. */
const PURE = EXAMPLES.filter(({ code }) => !code.includes(`"${NAME}"`));

describe("the npm form", needs, () => {
  let published: Published;
  let packer: Packer;
  let installed: string;
  /** Where the package is installed. */
  let project: string;

  before(async () => {
    // jsr_test.ts checks the types.
    published = await publishRelease("--no-check");
    packer = { program: DENO, jsr: published.registry.url, cache: published.cache };
    project = join(published.directory, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", dependencies: { [NAME]: CONFIG.version } }));
    installed = await installNpmForm(published.upload, join(project, "node_modules"), packer);
    await installNpmForm(stdText(), join(project, "node_modules"), packer);
  }, { timeout: TIMEOUT_MS });
  after(async () => await published?.[Symbol.asyncDispose]());

  /** Runs a program in the project, as a file that it writes there. */
  function run(program: string, words: readonly string[], file = "", code = ""): { status: number | null; out: string; err: string } {
    if (file !== "") writeFileSync(join(project, file), code);
    // What the tests' own runtime is told is not for this one.
    const { status, stdout, stderr, error } = spawnSync(program, [...words, ...file === "" ? [] : [file]], {
      cwd: project,
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    if (error) throw error;
    return { status, out: stdout, err: stderr };
  }

  test("it has every file as JavaScript, and what JSR's package.json has", needs, () => {
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assertEquals([manifest.name, manifest.version, manifest.type], ["@jsr/psample__psample", CONFIG.version, "module"]);
    assertEquals(manifest.dependencies, { "@jsr/std__text": "^1.0.0" });
    assertEquals(manifest.exports["./decode"], { types: "./_dist/src/psample/mod.d.ts", default: "./src/psample/mod.js" });
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    const sources = files.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
    assert(sources.length > 300, `${sources.length}`);
    // A file that has only types becomes an empty module, or none.
    const isTypes = (path: string): boolean =>
      !/^export (async )?(const|function|class|\{)|^import "/m.test(readFileSync(join(installed, path), "utf8"));
    assertEquals(sources.filter((path) => !files.includes(path.replace(/\.ts$/, ".js")) && !isTypes(path)), []);
    for (const path of files.filter((path) => /(?<!\.d)\.(ts|js)$/.test(path))) {
      const code = readFileSync(join(installed, path), "utf8");
      assertEquals(code.match(/^(import|export)\b.*\bfrom "(\.[^"]*\.ts|jsr:[^"]*|npm:[^"]*)"/m), null, path);
    }
  });

  test("its declarations are those of every entry point", needs, async () => {
    const imports = ENTRIES.map((entry, i) => `import * as entry${i} from ${JSON.stringify(entry)};`);
    const uses = [
      `import { listen, type Listener, type Sample } from "${NAME}";`,
      "export const listening: Promise<Listener> = listen({ groups: [1] });",
      "export const bytesOf = (sample: Sample): number | undefined => sample.originalBytes;",
      // Were the types lost, everything would be allowed.
      "// @ts-expect-error A group is a number.",
      'listen({ groups: ["one"] });',
    ];
    writeFileSync(join(project, "types.ts"), [...imports, ...uses, `console.log(${ENTRIES.map((_, i) => `entry${i}`)});`].join("\n"));
    const words = ["check", "--node-modules-dir=manual", "types.ts"];
    const { status, err } = await deno(DENO, project, words, { jsr: packer.jsr, cache: packer.cache });
    assertEquals(status, 0, err);
  });

  /** A program that prints how many names each entry point exports. */
  const COUNTS = `for (const entry of ${JSON.stringify(ENTRIES)}) console.log(entry, Object.keys(await import(entry)).length);`;
  function assertCounts(out: string): void {
    const lines = out.trim().split("\n").map((line) => line.split(" "));
    assertEquals(lines.map(([entry]) => entry), ENTRIES);
    assert(lines.every(([, count]) => Number(count) > 0), out);
  }

  test("Bun imports every entry point", needsBun, () => {
    const { status, out, err } = run(BUN, [], "counts.mjs", COUNTS);
    assertEquals(status, 0, err);
    assertCounts(out);
  });

  for (const { name, code } of EXAMPLES) {
    test(`Bun runs the example in ${name}`, needsBun, () => {
      const { status, err } = run(BUN, [], "example.ts", code);
      assertEquals(status, 0, err);
    });
  }

  test("Bun runs the command", needsBun, () => {
    const main = join("node_modules", NAME, "cli/main.js");
    assertEquals(run(BUN, [main, "--version"]).out, `psample ${CONFIG.version}\n`);
    const { status, out, err } = run(BUN, [main, "demo", "--count", "3"]);
    assertEquals(status, 0, err);
    assertEquals(out.split("\n").filter((line) => /^\d\d:\d\d:\d\d\.\d{6} /.test(line)).length, 3, out);
    assertStringIncludes(err, "lost 0");
    const wrong = run(BUN, [main, "captrue"]);
    assertEquals(wrong.status, 2);
    // This is what the package imports @std/text for.
    assertStringIncludes(wrong.err, "capture");
  });

  test("Node imports every entry point", needsNode, () => {
    const { status, out, err } = run(NODE, [], "counts.mjs", COUNTS);
    assertEquals(status, 0, err);
    assertCounts(out);
  });

  test("in Node decoding, packets, formats, estimates, filters, encoders and recordings work: their examples run", needsNode, async () => {
    const entries = ["decode", "packet", "format", "estimate", "filter", "export", "record"];
    assertEquals(entries.filter((entry) => !PURE.some(({ code }) => code.includes(`"${NAME}/${entry}"`))), []);
    // Older versions of Node run JavaScript only, and do not know \`using\`.
    const directory = mkdtempSync(join(project, "examples-"));
    PURE.forEach(({ code }, i) => writeFileSync(join(directory, `${i}.ts`), code.replace(/\bawait using\b/g, "const")));
    const files = PURE.map((_, i) => `${i}.ts`);
    const transpiled = await deno(DENO, directory, ["transpile", "--no-check", "--outdir", "js", ...files], {
      jsr: packer.jsr,
      cache: packer.cache,
    });
    assertEquals(transpiled.status, 0, transpiled.err);
    for (const [i, { name }] of PURE.entries()) {
      const { status, err } = run(NODE, [join(directory, `js/${i}.js`)]);
      assertEquals(status, 0, `${name}: ${err}`);
    }
  });

  const REFUSED = "Cannot call the kernel: function not implemented (ENOSYS). Only Deno and Bun can, and this runtime is neither. " +
    "Everything that does not need the kernel works in any: decoding, filters, formats, estimates, encoders";

  test("in Node whatever needs a socket or a file fails, with one sentence that says why", needsNode, () => {
    const code = `
      import { addSampling, listen, listGroups, listLinks, sflowTo, SystemError } from "${NAME}";
      import { readRecording } from "${NAME}/record";
      const calls = [
        () => listen(), () => listGroups(), () => listLinks(), () => addSampling({ device: "lo", rate: 1 }), () => sflowTo("127.0.0.1"),
        () => readRecording("samples.pcapng"),
      ];
      for (const call of calls) {
        const error = await call().catch((error) => error);
        console.log(error instanceof SystemError ? error.code + " " + error.message : error);
      }`;
    const { status, out, err } = run(NODE, [], "sockets.mjs", code);
    assertEquals(status, 0, err);
    assertEquals(out.trim().split("\n"), new Array(6).fill(`ENOSYS ${REFUSED}`));
  });

  test("in Node the command says the same instead of nothing", needsNode, () => {
    const main = join("node_modules", NAME, "cli/main.js");
    assertEquals(run(NODE, [main, "--version"]).out, `psample ${CONFIG.version}\n`);
    assertEquals(run(NODE, [main, "list"]), { status: 1, out: "", err: `psample: ${REFUSED}\n` });
  });
});
