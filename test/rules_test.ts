/** What the rooms of this project may know about each other. Only the tests may know everything. */
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { Sources } from "./support/sources.ts";

/** Where numbers of the wire, the kernel's refusals and the seam to the runtime are known. */
const SOCKETS = ["src/wire/", "src/genl/", "src/sys/", "src/socket/"];

/** What the command and its screen know besides the public face. ARCHITECTURE.md says why. */
const COMMAND = [
  "src/wire/",
  "src/link/",
  "src/sys/sys.ts",
  "src/socket/",
  "src/stream/",
  "src/filter/",
  "src/format/",
  "src/estimate/",
  "src/receive/",
  "src/control/",
  "src/sink/",
];

/**
 * One line a room: what it may import beside its own files and `src/errors.ts`. A file belongs to the longest of these
 * names that its path begins with. ARCHITECTURE.md draws the same.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "src/errors.ts": [],
  "src/wire/": [],
  "src/genl/": ["src/wire/"],
  "src/psample/": ["src/wire/", "src/genl/"],
  "src/tc/": ["src/wire/"],
  "src/link/": ["src/wire/", "src/genl/"],
  "src/packet/": ["src/wire/"],
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
    "src/export/",
    "src/receive/",
    "src/control/",
  ],
  "mod.ts": ["src/"],
  "cli/": [
    "mod.ts",
    ...COMMAND,
    "src/sys/load.ts",
    "src/psample/group.ts",
    "src/tc/tcmsg.ts",
    "src/export/",
    "cli/tc/mod.ts",
    "cli/top/",
    "node:",
    "@std/",
  ],
  "cli/top/": [...COMMAND, "node:"],
  "cli/tc/": ["mod.ts", "src/wire/", "src/tc/", "src/link/", "src/filter/match.ts"],
};

const PROJECT = Sources.read();

/** The longest of the names that `path` begins with. */
function roomOf(path: string): string {
  return Object.keys(MAY_IMPORT).filter((room) => path.startsWith(room)).sort((a, b) => b.length - a.length)[0] ?? "";
}

/**
 * A rule: nobody offends against it, and it notices an offence, in a sentence that says where, what, and what is right.
 *
 * @param offences The sentences about all offences.
 * @param tried Files with which there would be offences.
 * @param sentences What it says of these then.
 */
function rule(
  name: string,
  offences: (sources: Sources) => string[],
  tried: Readonly<Record<string, string>>,
  sentences: readonly string[],
): void {
  test(name, () => {
    assertEquals(offences(PROJECT), []);
    assertEquals(offences(PROJECT.with(tried)), sentences);
  });
}

test("the rules read the sources: imports are found", () => {
  assert(PROJECT.all.length > 30);
  assertEquals(PROJECT.at("src/sys/load.ts")!.imports, ["src/errors.ts", "src/sys/sys.ts", "src/sys/bun.ts", "src/sys/deno.ts"]);
  for (const { path, imports } of PROJECT.all) {
    for (const imported of imports) assert(!imported.endsWith(".ts") || PROJECT.at(imported), `${path} imports ${imported}`);
  }
});

rule(
  "a room imports only what its row names",
  (sources) =>
    sources.all.flatMap(({ path, imports }) => {
      const room = roomOf(path);
      if (!room) return [`${path} is in no room: add a row for it, or move it`];
      const allowed = ["src/errors.ts", ...MAY_IMPORT[room]!];
      return imports.filter((imported) => roomOf(imported) !== room && !allowed.some((name) => imported.startsWith(name)))
        .map((imported) => `${path} imports ${imported}, but ${room} may import only ${allowed.join(", ")}`);
    }),
  { "src/genl/spare.ts": 'import { Batch } from "../stream/batch.ts";', "src/spare/spare.ts": "" },
  [
    "src/genl/spare.ts imports src/stream/batch.ts, but src/genl/ may import only src/errors.ts, src/wire/",
    "src/spare/spare.ts is in no room: add a row for it, or move it",
  ],
);

test("ARCHITECTURE.md has the same rooms: its table what each may import, its picture each above what it imports", () => {
  const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
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

test("no row names what its room does not import", () => {
  const unused = Object.entries(MAY_IMPORT).filter(([room]) => room !== "mod.ts").flatMap(([room, names]) => {
    const imports = PROJECT.all.filter(({ path }) => roomOf(path) === room).flatMap((source) => source.imports);
    return names.filter((name) => !imports.some((imported) => imported.startsWith(name)))
      .map((name) => `${room} may import ${name}, but imports nothing of it: take it off its row`);
  });
  assertEquals(unused, []);
});

rule(
  "no file imports itself on a way round",
  (sources) =>
    sources.all.flatMap(({ path }) => {
      const way = sources.way(path, path);
      return way ? [`${way.join(" imports ")}: put what both need into a file that imports neither`] : [];
    }),
  { "src/wire/spare.ts": 'import "./spare_too.ts";', "src/wire/spare_too.ts": 'import "./spare.ts";' },
  [
    "src/wire/spare.ts imports src/wire/spare_too.ts imports src/wire/spare.ts: put what both need into a file that imports neither",
    "src/wire/spare_too.ts imports src/wire/spare.ts imports src/wire/spare_too.ts: put what both need into a file that imports neither",
  ],
);

rule(
  "nothing but tests imports tests",
  (sources) =>
    sources.all.flatMap(({ path, imports }) =>
      imports.filter((name) => name.startsWith("test/")).map((name) => `${path} imports ${name}, which is not published`)
    ),
  { "src/wire/spare.ts": 'import { FakeSys } from "../../test/fake_sys.ts";' },
  ["src/wire/spare.ts imports test/fake_sys.ts, which is not published"],
);

rule(
  "each runtime is named in one file",
  (sources) => [
    ...sources.onlyIn(["src/sys/deno.ts"], /\bDeno\./, "what differs between the runtimes is in src/sys/deno.ts and src/sys/bun.ts"),
    ...sources.onlyIn(["src/sys/bun.ts"], /\bBun\.|"bun:/, "what differs between the runtimes is in src/sys/deno.ts and src/sys/bun.ts"),
  ],
  { "src/socket/spare.ts": "Deno.exit();", "cli/spare.ts": 'import "bun:ffi";' },
  [
    "src/socket/spare.ts says Deno.: what differs between the runtimes is in src/sys/deno.ts and src/sys/bun.ts",
    'cli/spare.ts says "bun:: what differs between the runtimes is in src/sys/deno.ts and src/sys/bun.ts',
  ],
);

/** What asks the kernel about its network is given the seam by `open()`. These have nothing to do with it. */
const APART =
  /^(src\/sys\/|src\/sink\/|src\/receive\/(recording|replay)\.ts|src\/control\/(privileges|service_manager)\.ts|src\/socket\/open\.ts|cli\/(io|outputs)\.ts)/;

rule(
  "every socket is opened in one place, which knows in which network namespace",
  (sources) => [
    ...sources.onlyIn(["src/socket/open.ts", "src/sys/bun.ts", "src/sys/deno.ts"], /\.socket\(/, "only src/socket/open.ts opens sockets"),
    ...sources.onlyIn(
      [
        "src/control/service_manager.ts",
        "src/socket/netlink_socket.ts",
        "src/socket/open.ts",
        "src/socket/tcp_socket.ts",
        "src/socket/udp_socket.ts",
      ],
      /\bopenSocket\(/,
      "there is a class for each kind of socket, which opens it",
    ),
    ...sources.thatSay(/\bloadSys\(/).filter(({ path }) => !APART.test(path))
      .map(({ path }) =>
        `${path} says loadSys(): what asks the kernel about its network gets the seam by open({ netns }) of src/socket/open.ts`
      ),
  ],
  { "src/control/spare.ts": "sys.socket(); openSocket(sys); await loadSys();" },
  [
    "src/control/spare.ts says .socket(: only src/socket/open.ts opens sockets",
    "src/control/spare.ts says openSocket(: there is a class for each kind of socket, which opens it",
    "src/control/spare.ts says loadSys(): what asks the kernel about its network gets the seam by open({ netns }) of src/socket/open.ts",
  ],
);

rule(
  "the library touches neither the process nor the console nor the file system; signals are handled, host names looked up, requests answered, and others asked, in one file each",
  (sources) =>
    sources.onlyIn(
      [
        // It asks for the architecture.
        "src/sys/bun.ts",
        "src/sys/host_addresses.ts",
        "src/sys/http_client.ts",
        "src/sys/http_server.ts",
        "src/sys/signals.ts",
      ],
      /\bconsole\.|"node:|\bprocess\./,
      "the library leaves the process, the console and the file system to the program",
    ).filter((sentence) => !sentence.startsWith("cli/")),
  { "src/format/spare.ts": "console.log();", "cli/spare.ts": "console.log();" },
  ["src/format/spare.ts says console.: the library leaves the process, the console and the file system to the program"],
);

const PURE = /^src\/(errors\.ts|(wire|genl|psample|tc|link|packet|filter|format|estimate|export)\/)/;

rule(
  "what turns bytes into values and back waits for nothing and has no clock: time is an argument",
  (sources) =>
    sources.thatSay(/\b(await|async|Date|performance|setTimeout|setInterval)\b/).filter(({ path }) => PURE.test(path))
      .map(({ path, said }) => `${path} says ${said}: this room waits for nothing and has no clock, time is an argument`),
  { "src/estimate/spare.ts": "const now = Date.now();" },
  ["src/estimate/spare.ts says Date: this room waits for nothing and has no clock, time is an argument"],
);

rule(
  "the library does not know the command's options",
  (sources) =>
    // Deno's own are another matter.
    sources.thatSay(/(?<=^|[\s"'`(])--(?!allow-)[a-z][a-z-]+/m).filter(({ path }) => path.startsWith("src/"))
      .map(({ path, said }) => `${path} says ${said}: the library has names of fields, and the command makes options of them`),
  { "src/filter/spare.ts": 'throw new ArgumentError("give --match");' },
  ["src/filter/spare.ts says --match: the library has names of fields, and the command makes options of them"],
);

rule(
  "losses are counted by the ledger, and the ledger is kept only in src/receive/",
  (sources) => {
    const why = "losses are counted in src/receive/ only, and batches bring them: lostBefore(i), lost, dropped";
    return [
      ...sources.all.filter(({ path }) => !path.startsWith("src/receive/")).flatMap(({ path, imports }) =>
        imports.filter((name) => /^src\/receive\/(ledger|numbering)\.ts$/.test(name)).map((name) => `${path} imports ${name}: ${why}`)
      ),
      ...sources.thatSay(/\bclass \w*Ledger\b|\b(gaps|late|duplicates) *(\+\+|[-+]=)/).filter(({ path }) =>
        !path.startsWith("src/receive/")
      )
        .map(({ path, said }) => `${path} says ${said}: ${why}`),
    ];
  },
  { "src/sink/spare.ts": 'import { Ledger } from "../receive/ledger.ts";', "src/export/spare.ts": "this.#gaps += sequence - this.#next;" },
  [
    "src/sink/spare.ts imports src/receive/ledger.ts: losses are counted in src/receive/ only, and batches bring them: lostBefore(i), lost, dropped",
    "src/export/spare.ts says gaps +=: losses are counted in src/receive/ only, and batches bring them: lostBefore(i), lost, dropped",
  ],
);

rule(
  "errors have fields: nobody reads the message of one",
  (sources) =>
    sources.onlyIn(
      // Deno tells the flag that a refused permission needs only in its message.
      ["cli/failure.ts"],
      /\bmessage\.(replace|replaceAll|slice|split|match|includes|startsWith|endsWith|search|indexOf)\(|\.(test|exec)\([\w.]*\bmessage\)/,
      "a message is for people, give the error a field for what is asked here",
    ),
  { "cli/spare.ts": 'throw new UsageError(error.message.replace("Cannot filter", option));' },
  ["cli/spare.ts says message.replace(: a message is for people, give the error a field for what is asked here"],
);

/** Where the command makes sinks of its options. ARCHITECTURE.md names them. */
const MAKES_SINKS = [
  "cli/collectors.ts",
  "cli/commands/inject.ts",
  "cli/commands/top.ts",
  "cli/metrics.ts",
  "cli/otlp.ts",
  "cli/outputs.ts",
];

/** What makes a sink: the functions of src/sink/ that are called for it, and the constructors there and in the command. */
function makersOfSinks(sources: Sources): RegExp {
  const names = sources.all.flatMap(({ path, code }) => [
    ...path.startsWith("src/sink/") ? [...code.matchAll(/\bexport (?:async )?function (\w+(?:To|Into)(?:With)?)\b/g)] : [],
    ...path.startsWith("src/sink/") || path.startsWith("cli/") ? [...code.matchAll(/\bclass (\w+)[^{]* implements [^{]*\b\w*Sink\b/g)] : [],
  ]).map(([, name]) => name);
  for (const name of ["linesTo", "sflowToWith", "injectInto", "Lines", "Recording", "Live"]) assert(names.includes(name), name);
  return new RegExp(`(?<!function )\\b(${names.join("|")})(<\\w+>)?\\(`);
}

rule(
  "the command makes its sinks in few places",
  (sources) => {
    const why = `the command makes sinks only in ${MAKES_SINKS.join(", ")}`;
    return sources.onlyIn(MAKES_SINKS, makersOfSinks(sources), why).filter((sentence) => !sentence.startsWith("src/"));
  },
  { "cli/commands/spare.ts": "const sink = await linesTo(writer);", "cli/spare.ts": "new Recording(recorder, next);" },
  ["cli/commands/spare.ts says linesTo(", "cli/spare.ts says Recording("].map((offence) =>
    `${offence}: the command makes sinks only in ${MAKES_SINKS.join(", ")}`
  ),
);

test("ARCHITECTURE.md names the places where the command makes its sinks", () => {
  const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
  assertEquals(MAKES_SINKS.filter((path) => !text.includes(`\`${path}\``)), []);
});

/** What the top level may have besides pages and what git ignores. */
const TOP_LEVEL = `deno.json deno.lock tsconfig.json package.json package-lock.json bunfig.toml mod.ts src cli test docs examples
    LICENSE .ci .github .gitignore .git`.split(/\s+/);

test("the top level has nothing but what belongs there", () => {
  const ignored = readFileSync(join(ROOT, ".gitignore"), "utf8").split("\n").map((line) => line.replace(/\//g, "")).filter(Boolean);
  // What Bun compiles to is there for a moment, while another process runs the tests of that.
  const isPassing = (name: string): boolean => /^\.[0-9a-f-]+\.bun-build$/.test(name);
  const offences = (names: readonly string[]): string[] =>
    names.filter((name) => ![...ignored, ...TOP_LEVEL].includes(name) && !name.endsWith(".md") && !isPassing(name))
      .map((name) => `${name} does not belong to the top level, which has pages and ${TOP_LEVEL.join(", ")}`);
  assertEquals(offences(readdirSync(ROOT)), []);
  assertEquals(offences(["mod.ts", "spare.ts"]), [
    `spare.ts does not belong to the top level, which has pages and ${TOP_LEVEL.join(", ")}`,
  ]);
});

rule(
  "there are no default exports",
  (sources) =>
    sources.thatSay(/\bexport\s+default\b|\bas\s+default\b/).map(({ path, said }) => `${path} says ${said}: what is exported has a name`),
  { "src/wire/spare.ts": "export default 1;" },
  ["src/wire/spare.ts says export default: what is exported has a name"],
);

rule(
  "files are called for what they do",
  (sources) =>
    sources.all.flatMap(({ path }) => {
      if (!/^[a-z0-9_/]+\.ts$/.test(path)) return [`${path} is not named in small letters with underscores`];
      return /(^|\/)(utils?|types|helpers|common|index)\.ts$/.test(path)
        ? [`${path} has a name that says nothing: call it for what it does`]
        : [];
    }),
  { "src/wire/utils.ts": "", "src/wire/Spare.ts": "" },
  [
    "src/wire/utils.ts has a name that says nothing: call it for what it does",
    "src/wire/Spare.ts is not named in small letters with underscores",
  ],
);

rule(
  "mod.ts has no logic: re-exports only",
  (sources) =>
    sources.at("mod.ts")!.code.split(/;\s*/).map((statement) => statement.trim())
      .filter((statement) => statement !== "" && !/^export (type )?\{[^}]*\} from "[^"]+"$/.test(statement))
      .map((statement) => `mod.ts has logic, not only re-exports: ${statement}`),
  { "mod.ts": 'export { pump } from "./src/stream/pump.ts";\nexport const MOST = 1;' },
  ["mod.ts has logic, not only re-exports: export const MOST = 1"],
);

rule(
  "the pure decoder runs anywhere: nothing it loads knows a runtime",
  (sources) => {
    const graph = [...sources.loadedWith("src/psample/mod.ts")];
    assert(graph.length > 5);
    return graph.flatMap((path) => {
      if (!/^src\/(errors\.ts|wire\/|genl\/|psample\/)/.test(path)) {
        return [`${sources.way("src/psample/mod.ts", path)!.join(" imports ")}, but the decoder must run in a browser too`];
      }
      const said = /\b(Deno|Bun|process)\.|\bBuffer\b|\brequire\(/.exec(sources.at(path)!.code)?.[0];
      return said === undefined ? [] : [`${path} says ${said}, but the decoder must run in a browser too`];
    });
  },
  { "src/genl/ctrl.ts": 'import { memory } from "node:fs";', "src/wire/message.ts": "Buffer.alloc(1);" },
  [
    "src/wire/message.ts says Buffer, but the decoder must run in a browser too",
    "src/psample/mod.ts imports src/genl/ctrl.ts imports node:fs, but the decoder must run in a browser too",
  ],
);

rule(
  "importing the package loads no backend",
  (sources) => [
    ...["./bun.ts", "./deno.ts"].filter((name) => !sources.at("src/sys/load.ts")!.code.includes(`import("${name}")`))
      .map((name) => `src/sys/load.ts does not load ${name} by a literal import() any more, which bundlers need`),
    ...sources.all.filter(({ path }) => path !== "src/sys/load.ts").flatMap(({ path, imports }) =>
      imports.filter((name) => /^src\/sys\/(bun|deno)\.ts$/.test(name))
        .map((name) => `${path} imports ${name}: only src/sys/load.ts loads it, in the runtime that has it`)
    ),
  ],
  { "src/sys/spare.ts": 'import { DenoSys } from "./deno.ts";' },
  ["src/sys/spare.ts imports src/sys/deno.ts: only src/sys/load.ts loads it, in the runtime that has it"],
);
