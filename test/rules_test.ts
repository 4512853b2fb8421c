/** What the rooms of this project may know about each other. Only the tests may know everything. */
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";

/** Where numbers of the wire, the kernel's refusals and the seam to the runtime are known. */
const SOCKETS = ["src/wire/", "src/genl/", "src/sys/", "src/socket/"];

/**
 * One line a room: what it may import beside its own files and `src/errors.ts`. A file belongs to the longest of these
 * names that its path begins with. ARCHITECTURE.md draws the same.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "src/errors.ts": [],
  "src/wire/": [],
  "src/genl/": ["src/wire/"],
  "src/psample/": ["src/wire/", "src/genl/"],
  "src/tc/": ["src/wire/", "src/genl/"],
  "src/link/": ["src/wire/", "src/genl/"],
  "src/packet/": ["src/wire/", "src/link/"],
  "src/sys/": ["src/wire/", "bun:ffi", "node:dns", "node:http", "node:https", "node:net", "node:os", "node:process"],
  "src/socket/": ["src/wire/", "src/genl/", "src/sys/"],
  "src/stream/": ["src/psample/", "src/packet/", "src/link/"],
  "src/filter/": ["src/wire/", "src/genl/", "src/psample/", "src/tc/", "src/link/", "src/packet/", "src/stream/"],
  "src/format/": ["src/wire/", "src/genl/", "src/psample/", "src/packet/", "src/link/", "src/stream/"],
  "src/estimate/": ["src/psample/", "src/packet/", "src/link/", "src/stream/"],
  "src/export/": ["src/wire/", "src/genl/", "src/psample/", "src/packet/", "src/link/", "src/stream/", "src/estimate/"],
  "src/receive/": [...SOCKETS, "src/psample/", "src/link/", "src/filter/", "src/format/", "src/stream/"],
  "src/control/": [...SOCKETS, "src/psample/", "src/link/", "src/tc/", "src/filter/"],
  "src/sink/": [
    "src/wire/",
    "src/sys/",
    "src/socket/",
    "src/link/",
    "src/stream/",
    "src/format/",
    "src/estimate/",
    "src/export/",
    "src/receive/",
    "src/control/",
  ],
  "mod.ts": ["src/"],
  "cli/": ["mod.ts", "src/", "cli/tc/mod.ts", "cli/top/", "node:", "@std/"],
  "cli/top/": ["mod.ts", "src/", "node:", "@std/"],
  "cli/tc/": ["mod.ts", "src/wire/", "src/tc/", "src/link/", "src/filter/match.ts"],
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
  return [...sources.values()].filter(({ code }) => pattern.test(code)).map(({ path }) => path).sort();
}

test("the rules read the sources: imports are found", () => {
  assert(sources.size > 30);
  assertEquals(sources.get("src/sys/load.ts")!.imports, ["src/errors.ts", "src/sys/sys.ts", "src/sys/bun.ts", "src/sys/deno.ts"]);
  for (const { path, imports } of sources.values()) {
    for (const imported of imports) assert(!imported.endsWith(".ts") || sources.has(imported), `${path} imports ${imported}`);
  }
});

test("a room imports only what its row names", () => {
  const offences = [...sources.values()].flatMap(({ path, imports }) => {
    const room = roomOf(path);
    assert(room, `${path} is in no room: add a row for it, or move it`);
    const allowed = ["src/errors.ts", ...MAY_IMPORT[room]!];
    return imports.filter((imported) => roomOf(imported) !== room && !allowed.some((name) => imported.startsWith(name)))
      .map((imported) => `${path} imports ${imported}, but ${room} may import only ${allowed.join(", ")}`);
  });
  assertEquals(offences, []);
});

test("ARCHITECTURE.md has the same rooms: its table what each may import, its picture each above what it imports", () => {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const rows = [...text.matchAll(/^\| `?([\w./]+)`? +\| .*? \| (.*?) *\|$/gm)].filter(([, room]) => room! in MAY_IMPORT);
  const table = rows.map(([, room, names]) => [room, [...names!.matchAll(/`([^`]+)`/g)].map(([, name]) => name)]);
  assertEquals(Object.fromEntries(table), Object.fromEntries(Object.entries(MAY_IMPORT).map(([room, names]) => [room, [...names]])));
  const [, picture] = /```\n(cli\/\n[\s\S]*?)```/.exec(text)!;
  const floors = picture!.trim().split("\n").map((line) => line.trim().split(/ +/));
  assertEquals(floors.flat().sort(), Object.keys(MAY_IMPORT).sort());
  const floorOf = (room: string): number => floors.findIndex((rooms) => rooms.includes(room));
  for (const [room, names] of Object.entries(MAY_IMPORT)) {
    for (const name of names.map(roomOf).filter((name) => name !== "" && name !== room)) {
      assert(floorOf(name) > floorOf(room), `${room} is not drawn above ${name}`);
    }
  }
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

test("every socket is opened in one place, which knows in which network namespace", () => {
  assertEquals(thatSay(/\.socket\(/), ["src/socket/open.ts", "src/sys/bun.ts", "src/sys/deno.ts"]);
  assertEquals(thatSay(/\bopenSocket\(/), [
    "src/control/service_manager.ts",
    "src/socket/netlink_socket.ts",
    "src/socket/open.ts",
    "src/socket/tcp_socket.ts",
    "src/socket/udp_socket.ts",
  ]);
  // What asks the kernel about its network is given the seam by `open()`. These have nothing to do with it.
  const apart =
    /^(src\/sys\/|src\/sink\/|src\/receive\/(recording|replay)\.ts|src\/control\/(privileges|service_manager)\.ts|src\/socket\/open\.ts|cli\/(io|outputs)\.ts)/;
  assertEquals(thatSay(/\bloadSys\(/).filter((path) => !apart.test(path)), []);
});

test("the library touches neither the process nor the console nor the file system; signals are handled, host names looked up, requests answered, and others asked, in one file each", () => {
  const named = thatSay(/\bconsole\.|"node:|\bprocess\./).filter((path) => !path.startsWith("cli/"));
  // bun.ts asks for the architecture.
  assertEquals(named, [
    "src/sys/bun.ts",
    "src/sys/host_addresses.ts",
    "src/sys/http_client.ts",
    "src/sys/http_server.ts",
    "src/sys/signals.ts",
  ]);
});

test("what turns bytes into values and back waits for nothing and has no clock: time is an argument", () => {
  const pure = /^src\/(errors\.ts|(wire|genl|psample|tc|link|packet|filter|format|estimate|export)\/)/;
  assertEquals(thatSay(/\b(await|async|Date|performance|setTimeout|setInterval)\b/).filter((path) => pure.test(path)), []);
});

test("the library does not know the command's options", () => {
  // Deno's own are another matter.
  const offences = thatSay(/(^|[\s"'`(])--(?!allow-)[a-z][a-z-]+/m).filter((path) => path.startsWith("src/"));
  assertEquals(offences, []);
});

test("the top level has nothing but what belongs there", () => {
  const ignored = readFileSync(join(root, ".gitignore"), "utf8").split("\n").map((line) => line.replace(/\//g, "")).filter(Boolean);
  const belongs = `deno.json deno.lock tsconfig.json package.json package-lock.json bunfig.toml mod.ts src cli test docs examples
    LICENSE .ci .github .gitignore .git`.split(/\s+/);
  // What Bun compiles to is there for a moment, while another process runs the tests of that.
  const isPassing = (name: string): boolean => /^\.[0-9a-f-]+\.bun-build$/.test(name);
  const entries = readdirSync(root).filter((name) => ![...ignored, ...belongs].includes(name) && !name.endsWith(".md") && !isPassing(name));
  assertEquals(entries, []);
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
