/** Locks of files that are written to: through the real seam against flock(1), and on the scripted kernel. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { SystemError } from "../../src/errors.ts";
import { flockHolder } from "../../src/sink/file_lock.ts";
import { OutputFiles } from "../../src/sink/files.ts";
import { recordTo } from "../../src/sink/open.ts";
import { loadSys } from "../../src/sys/load.ts";
import { memory } from "../../src/wire/native.ts";
import { FakeSys } from "../fake_sys.ts";
import { inDirectory } from "../support/directory.ts";
import { programs } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

const sys = await loadSys();

/** That this is refused because of a lock. */
function refused(work: () => unknown): SystemError {
  const error = assertThrows(work, SystemError);
  assertEquals(error.code, "EBUSY");
  return error;
}

test(
  "a file that is written to cannot be opened a second time, by whatever name, until it is closed; nothing of it is lost",
  inDirectory((at) => {
    const [path, link] = [at("a"), at("link")];
    const [one, other] = [new OutputFiles(sys), new OutputFiles(sys)];
    const first = one.createNew(path)!;
    symlinkSync("a", link);
    first.write(memory(4).fill(65));
    for (const name of [path, link]) {
      const error = refused(() => other.create(name));
      assertEquals(error.op, `write ${name}`);
      assertEquals(error.hint, "This program already writes to it: end that first, or choose another file");
    }
    first.write(memory(4).fill(66));
    assertEquals(readFileSync(path, "utf8"), "AAAABBBB");
    first.close();
    const second = other.create(path);
    refused(() => one.create(path));
    second.close();
  }),
);

test(
  "a check of whether a file can be written is not refused, since what it checks may be running",
  inDirectory((at) => {
    const running = new OutputFiles(sys).create(at("a"));
    new OutputFiles(sys).probe(at("a"));
    running.close();
  }),
);

test(
  "a file of a series that another program writes is not removed; our own is, also while it is open",
  inDirectory((at) => {
    const [ours, theirs] = [new OutputFiles(sys), new OutputFiles(sys)];
    const [a, b] = [ours.createNew(at("a"))!, theirs.createNew(at("b"))!];
    ours.remove(at("a"));
    assertEquals(refused(() => ours.remove(at("b"))).op, `remove ${at("b")}`);
    assert(statSync(at("b")).isFile());
    b.close();
    ours.remove(at("b"));
    a.close();
  }),
);

test(
  "a recording of the library is refused like that too, and the first one stays whole",
  inDirectory(async (at) => {
    const first = await recordTo(at("a.pcapng"));
    const error = await recordTo(at("a.pcapng")).then(() => undefined, (error) => error);
    assert(error instanceof SystemError && error.code === "EBUSY", `${error}`);
    first.abort();
    (await recordTo(at("a.pcapng"))).abort();
  }),
);

test(
  "who holds the lock is named: flock(1)",
  programs("flock"),
  inDirectory(async (at) => {
    const path = at("a");
    writeFileSync(path, "precious");
    const holder = spawn("flock", [path, "cat"], { stdio: ["pipe", "pipe", "inherit"] });
    let echo = "";
    holder.stdout.on("data", (part) => echo += part);
    holder.stdin.write("locked");
    await until("the lock", () => echo === "locked");
    const error = refused(() => new OutputFiles(sys).create(path));
    assertStringIncludes(
      error.message,
      "has it locked, as psample does with a file that it writes: end that first, or choose another file",
    );
    // Overlay file systems and containers may hide who it is.
    if (error.message.includes("Process")) assertStringIncludes(error.message, `Process ${holder.pid} has it locked`);
    assertEquals(readFileSync(path, "utf8"), "precious");
    const ended = new Promise((resolve) => holder.on("close", resolve));
    holder.stdin.end();
    await ended;
    new OutputFiles(sys).create(path).close();
  }),
);

test("the holder is found in /proc/locks", () => {
  const text = [
    "1: POSIX  ADVISORY  WRITE 7 fd:01:99 0 EOF",
    "2: FLOCK  ADVISORY  WRITE 0 fd:01:99 0 EOF",
    "2: -> FLOCK  ADVISORY  WRITE 8 fd:01:99 0 EOF",
    "3: FLOCK  ADVISORY  READ 9 fd:01:99 0 EOF",
    "4: FLOCK  ADVISORY  WRITE 10 fd:01:98 0 EOF",
    "5: FLOCK  ADVISORY  WRITE 11 fd:01:99 0 EOF",
    "",
  ].join("\n");
  assertEquals(flockHolder(text, "253:1:99"), 11);
  assertEquals([flockHolder(text, "253:1:97"), flockHolder("", "253:1:99")], [undefined, undefined]);
});

test("without locks on its file system, and if nobody can be named, a file is written all the same, or refused all the same", () => {
  const fake = new FakeSys();
  const EOPNOTSUPP = 95;
  const ENOLCK = 37;
  for (const errno of [EOPNOTSUPP, ENOLCK]) {
    fake.fail("flock", errno);
    new OutputFiles(fake).create("a").close();
  }
  const first = new OutputFiles(fake).create("a");
  assertStringIncludes(refused(() => new OutputFiles(fake).create("a")).message, "Another process has it locked");
  first.close();
  assertEquals(fake.faults, []);
});

test(
  "standard output that is a file is opened again by name, even if its owner has locked it",
  programs("flock"),
  inDirectory((at) => {
    // The lock of flock(1) is on what the shell has opened as standard output.
    const code = `
      import { loadSys } from ${JSON.stringify(new URL("../../src/sys/load.ts", import.meta.url).href)};
      import { OutputFiles } from ${JSON.stringify(new URL("../../src/sink/files.ts", import.meta.url).href)};
      new OutputFiles(await loadSys()).create("/dev/stdout").write(new TextEncoder().encode("written"));
    `;
    writeFileSync(at("program.ts"), code);
    const runtime = process.versions["bun"] === undefined ? [process.execPath, "run", "-A", "--no-check"] : [process.execPath];
    const words = [...runtime, at("program.ts")].map((word) => `'${word}'`).join(" ");
    const { status } = spawnSync("sh", ["-c", `{ flock -n 1 && ${words}; } >'${at("out")}'`], { stdio: ["ignore", "ignore", "inherit"] });
    assertEquals(status, 0);
    assertEquals(readFileSync(at("out"), "utf8"), "written");
  }),
);
