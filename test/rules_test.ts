/** What the rooms of this project may know of each other. The tests are the only room that may know everything. */
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";

/** The command is a user of the library: it knows the public face, what only prints, and descriptors to print to. */
const COMMAND = [
  "cli/",
  "mod.ts",
  "src/errors.ts",
  "src/wire/",
  "src/format/",
  "src/tc/",
  "src/link/",
  "src/diagnose.ts",
  "src/sys/load.ts",
  "src/sys/output.ts",
  "node:",
  "@std/",
];

/**
 * What each room may import beside its own files: rooms, files, or packages. A file belongs to the longest of
 * these names that its path begins with.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "src/errors.ts": [],
  "src/wire/": ["src/errors.ts"],
  "src/genl/": ["src/errors.ts", "src/wire/"],
  "src/psample/": ["src/errors.ts", "src/wire/", "src/genl/"],
  "src/tc/": ["src/errors.ts", "src/wire/"],
  "src/link/": ["src/errors.ts", "src/wire/"],
  // What is lost is part of what is written down.
  "src/format/": ["src/errors.ts", "src/wire/", "src/genl/", "src/psample/", "src/link/", "src/ledger.ts"],
  "src/sys/": ["src/errors.ts", "src/wire/", "bun:ffi"],
  // The files right under src put the rooms together.
  "src/": ["src/errors.ts", "src/wire/", "src/genl/", "src/psample/", "src/tc/", "src/link/", "src/sys/"],
  "src/ledger.ts": ["src/psample/"],
  "mod.ts": ["src/"],
  "cli/": COMMAND,
  // tc's own words become tc's own requests, which the library has no names for.
  "cli/tc/command.ts": [...COMMAND, "src/netlink_socket.ts", "src/sys/sys.ts"],
};

const root = fileURLToPath(new URL("..", import.meta.url));

interface Source {
  /** Relative to the project. */
  path: string;
  /** Without comments. */
  code: string;
  /** Paths relative to the project, or package names. */
  imports: string[];
}

const sources: Map<string, Source> = new Map(
  ["mod.ts", ...filesIn("src"), ...filesIn("cli")].map((path) => [path, read(path)]),
);

function filesIn(directory: string): string[] {
  return readdirSync(join(root, directory), { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => path.endsWith(".ts"));
}

function read(path: string): Source {
  const code = readFileSync(join(root, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
  const imports = [...code.matchAll(/\b(?:from |import |import\()"([^"\s]+)"/g)].map(([, specifier]) => {
    return specifier!.startsWith(".") ? normalize(join(dirname(path), specifier!)) : specifier!;
  });
  return { path, code, imports };
}

/** The longest of the names that `path` begins with. */
function roomOf(path: string): string {
  return Object.keys(MAY_IMPORT).filter((room) => path.startsWith(room)).sort((a, b) => b.length - a.length)[0] ?? "";
}

/** Everything that is loaded with a file. */
function reached(path: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const imported of sources.get(path)?.imports ?? []) reached(imported, seen);
  return seen;
}

/** The files whose code, comments aside, matches. */
function thatSay(pattern: RegExp): string[] {
  return [...sources.values()].filter(({ code }) => pattern.test(code)).map(({ path }) => path);
}

test("the rules read the sources: imports are found", () => {
  assert(sources.size > 30);
  assertEquals(sources.get("src/sys/load.ts")!.imports, ["src/sys/sys.ts", "src/sys/bun.ts", "src/sys/deno.ts"]);
  for (const { path, imports } of sources.values()) {
    for (const imported of imports) assert(!imported.endsWith(".ts") || sources.has(imported), `${path} imports ${imported}`);
  }
});

test("a room imports only what it may", () => {
  const wrong: string[] = [];
  for (const { path, imports } of sources.values()) {
    const room = roomOf(path);
    assert(room, `${path} is in no room`);
    for (const imported of imports) {
      // "src/" by itself means the files right under it, and to mod.ts everything.
      const inRoom = roomOf(imported) === room;
      const allowed = MAY_IMPORT[room]!.some((name) => imported.startsWith(name));
      const neighbour = room === "src/" && /^src\/[^/]+$/.test(imported);
      if (!inRoom && !allowed && !neighbour) wrong.push(`${path} imports ${imported}`);
    }
  }
  assertEquals(wrong, []);
});

test("no file imports itself on a way round", () => {
  const circles = [...sources.values()].filter(({ path, imports }) => imports.some((imported) => reached(imported).has(path)));
  assertEquals(circles.map(({ path }) => path), []);
});

test("nothing but tests imports tests", () => {
  assertEquals([...sources.values()].filter(({ imports }) => imports.some((name) => name.startsWith("test/"))), []);
});

test("each runtime is named in one file", () => {
  assertEquals(thatSay(/\bDeno\./), ["src/sys/deno.ts"]);
  assertEquals(thatSay(/\bBun\.|"bun:/), ["src/sys/bun.ts"]);
});

test("the library touches neither the process nor the console nor the file system", () => {
  assertEquals(thatSay(/\bconsole\.|"node:|\bprocess\./).filter((path) => !/^(cli|src\/sys)\//.test(path)), []);
});

test("there are no default exports", () => {
  assertEquals(thatSay(/\bexport\s+default\b|\bas\s+default\b/), []);
});

test("files are called for what they do", () => {
  const bad = [...sources.keys()].filter((path) =>
    !/^[a-z0-9_/]+\.ts$/.test(path) || /(^|\/)(utils?|types|helpers|common|index)\.ts$/.test(path)
  );
  assertEquals(bad, []);
});

test("mod.ts has no logic: re-exports only", () => {
  const statements = sources.get("mod.ts")!.code.split(/;\s*/).map((statement) => statement.trim()).filter(Boolean);
  assertEquals(statements.filter((statement) => !/^export (type )?\{[^}]*\} from "[^"]+"$/.test(statement)), []);
});

test("the pure decoder runs anywhere: nothing it loads knows a runtime", () => {
  const graph = [...reached("src/psample/mod.ts")];
  assert(graph.length > 5);
  assertEquals(graph.filter((path) => !/^src\/(errors\.ts|wire\/|genl\/|psample\/)/.test(path)), []);
  for (const path of graph) assert(!/\b(Deno|Bun|process)\.|\bBuffer\b|\brequire\(/.test(sources.get(path)!.code), path);
});

test("importing the package loads no backend", () => {
  const literal = (path: string, specifier: string): boolean => new RegExp(`import\\("${specifier}"\\)`).test(sources.get(path)!.code);
  assert(literal("src/sys/load.ts", "./bun.ts") && literal("src/sys/load.ts", "./deno.ts"));
  const importers = [...sources.values()].filter(({ imports }) => imports.some((name) => /^src\/sys\/(bun|deno)\.ts$/.test(name)));
  assertEquals(importers.map(({ path }) => path), ["src/sys/load.ts"]);
});
