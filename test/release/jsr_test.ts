/** What is published on JSR: made by `deno task release`, uploaded by `deno publish` to a stand-in, and used from there by Deno. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROOT } from "../run/project.ts";
import { CONFIG, deno, PUBLISHED, versionProblems } from "../run/release.ts";
import { programs } from "../support/programs.ts";
import { DENO, type Published, publishRelease } from "../support/published.ts";

const TIMEOUT_MS = 300_000;
const needs = { ...programs(DENO), timeout: TIMEOUT_MS };

/** Changes of the three files that have the version. */
const FILES: Record<string, string> = {
  "cli/version.ts": 'export const VERSION = "1.2.3";',
  "CHANGELOG.md": "# Changelog\n\n## 1.2.3 (2026-01-31)\n\n- Something.\n\n## 1.2.2 (2025-12-31)\n",
};
const problems = (version: string, files: Record<string, string> = {}, tag?: string): string[] =>
  versionProblems({ version }, (path) => ({ ...FILES, ...files })[path]!, tag);

test("the version is the same in deno.json, in the command and in the changelog", () => assertEquals(versionProblems(), []));

test("a version that is not the same everywhere, a tag of another and a release without a date are refused, with the cure", () => {
  assertEquals(problems("1.2.3"), []);
  assertEquals(problems("1.2.3", {}, "v1.2.3"), []);
  assertEquals(problems("1.2.4", {}), [
    "deno.json has version 1.2.4, but cli/version.ts has 1.2.3: set both",
    "deno.json has version 1.2.4, but CHANGELOG.md begins with 1.2.3: add a section for it",
  ]);
  assertEquals(problems("1.2.3", {}, "1.2.3"), ["the tag is 1.2.3, but deno.json has version 1.2.3: the tag of that is v1.2.3"]);
  const unreleased = { "CHANGELOG.md": "# Changelog\n\n## 1.2.3 (unreleased)\n" };
  assertEquals(problems("1.2.3", unreleased), []);
  assertEquals(problems("1.2.3", unreleased, "v1.2.3"), [
    'CHANGELOG.md says "unreleased" of version 1.2.3: write the date of the release there, such as 2026-01-31',
  ]);
});

/** What `deno doc --json` says about the entry points; JSR counts on the same (api/src/analysis.rs). */
interface Documented {
  doc?: string;
  tags?: { kind: string }[];
}
interface Documentation {
  nodes: Record<string, {
    module_doc?: Documented;
    symbols?: {
      name: string;
      declarations: { declarationKind: string; jsDoc?: Documented; kind: string; def?: { hasBody?: boolean } }[];
    }[];
  }>;
}

const isDocumented = (comment: Documented | undefined): boolean => Boolean(comment?.doc || comment?.tags?.length);

describe("published on JSR", needs, () => {
  let published: Published;
  let entries: [entry: string, documentation: Documentation["nodes"][string]][];

  before(async () => {
    published = await publishRelease();
    const files = Object.values(CONFIG.exports).map((file) => join(published.release, file));
    const { status, out, err } = await deno(DENO, published.release, ["doc", "--json", ...files], {
      jsr: published.registry.url,
      cache: published.cache,
    });
    assertEquals(status, 0, err);
    const { nodes } = JSON.parse(out) as Documentation;
    entries = Object.entries(CONFIG.exports).map(([entry, file]) => [entry, nodes[`file://${join(published.release, file)}`]!]);
  }, { timeout: TIMEOUT_MS });
  after(async () => await published?.[Symbol.asyncDispose]());

  const text = (path: string): string => new TextDecoder().decode(published.upload.files.get(path));
  const paths = (): string[] => [...published.upload.files.keys()].sort();

  test("the files of a clone are uploaded, and no others", needs, () => {
    const wanted = ["deno.json", ...PUBLISHED].flatMap((name) => {
      const isDirectory = statSync(join(ROOT, name)).isDirectory();
      const inside = isDirectory
        ? readdirSync(join(ROOT, name), { recursive: true, encoding: "utf8" }).map((path) => join(name, path))
        : [name];
      return inside.filter((path) => statSync(join(ROOT, path)).isFile());
    });
    assertEquals(paths(), wanted.sort());
  });

  test("a clone itself cannot be published by mistake: it imports npm's mirror of @std", needs, () => {
    const { status, stderr } = spawnSync(DENO, ["publish", "--dry-run", "--allow-dirty"], { cwd: ROOT, encoding: "utf8" });
    assertEquals(status, 1);
    assertStringIncludes(stderr, "'publish' field is false");
  });

  test("they are the same as in the clone, but for the specifiers of @std", needs, () => {
    const changed = paths().filter((path) => text(path) !== readFileSync(join(ROOT, path), "utf8"));
    assertEquals(changed, ["cli/words.ts", "deno.json"]);
    const ours = text("cli/words.ts").replaceAll("jsr:/@std/text@^1.0.0/", "@std/text/");
    assertEquals(ours, readFileSync(join(ROOT, "cli/words.ts"), "utf8"));
    assertEquals(published.upload.version, CONFIG.version);
    assertEquals(published.upload.exports, CONFIG.exports);
  });

  test("nothing names npm's mirror of @std, or the machine that it was made on", needs, () => {
    const names = ["deno-std", "npm:", ROOT.replace(/\/$/, ""), published.directory];
    assertEquals(paths().filter((path) => names.some((name) => text(path).includes(name))), []);
    assertEquals(JSON.parse(text("deno.json")).imports, { "@std/text": "jsr:@std/text@^1.0.0" });
  });

  test("JSR's limits are kept: sizes, and lengths of paths", needs, () => {
    const sizes = [...published.upload.files.values()].map(({ length }) => length);
    assert(sizes.reduce((sum, size) => sum + size, 0) < 20 * 2 ** 20);
    assert(Math.max(...sizes) < 4 * 2 ** 20);
    for (const path of paths()) assert(path.length < 155 && path.split("/").at(-1)!.length < 95, path);
  });

  test("the workflow proves who it is, for this version only, and needs no password", needs, () => {
    const [request] = published.registry.tokenRequests;
    assertEquals(request!.authorization, "Bearer request-token");
    const [permission, ...others] = JSON.parse(request!.audience).permissions;
    assertEquals(others, []);
    const { tarballHash, ...rest } = permission;
    assertMatch(tarballHash, /^sha256-[0-9a-f]{64}$/);
    const [scope, name] = CONFIG.name.slice(1).split("/");
    assertEquals(rest, { permission: "package/publish", scope, package: name, version: CONFIG.version });
    assertEquals(published.upload.authorization, "githuboidc token-of-the-workflow");
  });

  test("the command runs from there, with no more than --allow-ffi", needs, async () => {
    const elsewhere = join(published.directory, "elsewhere");
    mkdirSync(elsewhere);
    const words = ["run", "--allow-ffi", `jsr:${CONFIG.name}/cli`, "demo", "--count", "3"];
    const { status, out, err } = await deno(DENO, elsewhere, words, { jsr: published.registry.url, cache: published.cache });
    assertEquals(status, 0, err);
    assertEquals(out.split("\n").filter((line) => /^\d\d:\d\d:\d\d\.\d{6} /.test(line)).length, 3, out);
    assertStringIncludes(err, "lost 0");
    assertEquals(readdirSync(elsewhere), []);
  });

  test("a program imports every entry point from there, with its types", needs, async () => {
    const directory = join(published.directory, "program");
    mkdirSync(directory);
    const names = Object.keys(CONFIG.exports).map((entry, i) => ({ entry: entry.slice(1), name: `entry${i}` }));
    const imports = names.map(({ entry, name }) => `import * as ${name} from "jsr:${CONFIG.name}@${CONFIG.version}${entry}";`);
    const counts = names.map(({ name }) => `Object.keys(${name}).length`);
    const types = `const decode: (message: entry1.Message) => unknown = entry1.decodeMessage;\nif (!decode) throw new Error();`;
    writeFileSync(join(directory, "program.ts"), `${imports.join("\n")}\n${types}\nconsole.log(JSON.stringify([${counts.join(", ")}]));\n`);
    const { status, out, err } = await deno(DENO, directory, ["run", "--check", "program.ts"], {
      jsr: published.registry.url,
      cache: published.cache,
    });
    assertEquals(status, 0, err);
    const exported = JSON.parse(out) as number[];
    assertEquals(exported.length, names.length);
    assert(exported.every((count) => count > 0), out);
  });

  // JSR's score (api/src/api/types.rs): 18 points are offered, 17 are 100 %. The one for provenance is given when the workflow publishes.
  const points: Record<string, number> = {};
  function point(name: string, worth: number, check: () => void): void {
    points[name] = worth;
    test(`JSR's score, ${worth} of 17: ${name}`, needs, check);
  }

  point("there is a README", 2, () => assert(paths().includes("README.md")));

  point("with an example", 1, () => assertMatch(text("README.md"), /^```ts/m));

  point("every entry point has a module doc, and an example in it", 1, () => {
    const without = entries.filter(([, { module_doc }]) => !module_doc?.doc || !module_doc.tags?.some(({ kind }) => kind === "example"));
    assertEquals(without.map(([entry]) => entry), []);
  });

  point("every symbol is documented", 5, () => {
    const declarations = entries.flatMap(([entry, { symbols = [] }]) =>
      symbols.flatMap(({ name, declarations }) => {
        const shown = declarations.filter(({ declarationKind }) => declarationKind !== "private");
        const areOverloads = shown.length > 1 && shown.every(({ kind }) => kind === "function");
        // The implementation of overloads is nobody's business, and what another entry point documents counts there (jsr-io/jsr#1507).
        return shown.filter(({ kind, def }) => kind !== "reference" && !(areOverloads && def?.hasBody)).map(({ jsDoc }) => ({
          name: `${entry} ${name}`,
          jsDoc,
        }));
      })
    );
    assert(declarations.length > 200, `${declarations.length}`);
    assertEquals(declarations.filter(({ jsDoc }) => !isDocumented(jsDoc)).map(({ name }) => name), []);
  });

  point("no slow types", 5, () => {
    // `deno publish` has accepted it without --allow-slow-types. It refuses them:
    const slow = join(published.directory, "slow");
    mkdirSync(slow);
    writeFileSync(
      join(slow, "deno.json"),
      JSON.stringify({ name: "@psample/slow", version: "1.0.0", license: "MIT", exports: "./mod.ts" }),
    );
    writeFileSync(join(slow, "mod.ts"), "export const slow = Math.max(1, 2);\n");
    const { status, stderr } = spawnSync(DENO, ["publish", "--dry-run", "--allow-dirty"], { cwd: slow, encoding: "utf8" });
    assertEquals(status, 1);
    assertStringIncludes(stderr, "missing-explicit-type");
  });

  const settings = (): string =>
    /^JSR's settings of the package\b[\s\S]*?(?=^\d\. )/m.exec(readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8"))![0];

  point("a description, which is a setting on JSR", 1, () => {
    const [, description] = /> (.+)/.exec(settings())!;
    assert(description!.length > 40 && description!.length <= 250, description);
  });

  point("a runtime that it works in, which is a setting on JSR", 1, () => assertMatch(settings(), /\bDeno\b/));

  // That it does is shown by npm_test.ts.
  point("a second one", 1, () => assertMatch(settings(), /\bBun\b/));

  test("these are the 17 points", () => assertEquals(Object.values(points).reduce((sum, worth) => sum + worth, 0), 17));
});
