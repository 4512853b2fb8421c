/** Opening what a sink writes to: on the scripted kernel, and in real directories through the real seam. */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, SystemError } from "../../src/errors.ts";
import { openDescriptor, OutputFiles } from "../../src/sink/files.ts";
import { loadSys } from "../../src/sys/load.ts";
import { ENOENT, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY, type Sys } from "../../src/sys/sys.ts";
import { memory } from "../../src/wire/native.ts";
import { inDirectory } from "../support/directory.ts";

const sys = await loadSys();
const bytes = (text: string): Uint8Array<ArrayBuffer> => {
  const encoded = memory(text.length);
  new TextEncoder().encodeInto(text, encoded);
  return encoded;
};

function identityOf(path: string): string {
  const fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
  const status = sys.stat(fd);
  sys.close(fd);
  if (typeof status === "number") throw new Error(`stat ${path}: ${status}`);
  return status.identity;
}

test(
  "a file is made, or emptied, and written",
  inDirectory((path) => {
    writeFileSync(path("old"), "something longer");
    for (const name of ["old", "new"]) {
      const destination = new OutputFiles(sys).create(path(name));
      assertEquals([destination.name, destination.write(bytes("text"))], [path(name), 4]);
      destination.close();
      assertEquals(readFileSync(path(name), "utf8"), "text");
    }
  }),
);

test(
  "a guarded file is not emptied, by whatever name",
  inDirectory((path) => {
    writeFileSync(path("a"), "precious");
    linkSync(path("a"), path("hard"));
    symlinkSync("a", path("soft"));
    mkdirSync(path("d"));
    const files = new OutputFiles(sys, [identityOf(path("a"))]);
    for (const name of ["a", "hard", "soft", "./a", "d/../a"]) {
      assertThrows(() => files.create(join(path("."), "/", name)), ArgumentError, "it is the file that is being read");
      assertThrows(() => files.create(`${path(".")}/${name}`), ArgumentError);
    }
    assertEquals(readFileSync(path("a"), "utf8"), "precious");
    files.create(path("b")).close();
    files.guard(path("b"));
    files.guard(path("none"));
    assertThrows(() => files.create(path("b")), ArgumentError);
  }),
);

test(
  "a file is guarded until it is recorded to no more; one that is being read is so for good",
  inDirectory((path) => {
    for (const name of ["read", "recorded"]) writeFileSync(path(name), "precious");
    const files = new OutputFiles(sys, [identityOf(path("read"))]);
    const [read, recorded] = [files.guard(path("read")), files.guard(path("recorded"))];
    assertThrows(() => files.create(path("recorded")), ArgumentError, "it is the file that is recorded to");
    read();
    recorded();
    assertThrows(() => files.create(path("read")), ArgumentError, "it is the file that is being read");
    files.create(path("recorded")).close();
  }),
);

test(
  "a guarded file is not removed, and not written through a descriptor that is open already",
  inDirectory((path) => {
    writeFileSync(path("a"), "precious");
    symlinkSync("a", path("soft"));
    const files = new OutputFiles(sys, [identityOf(path("a"))]);
    for (const name of ["a", "soft"]) assertThrows(() => files.remove(path(name)), ArgumentError, "it is the file that is being read");
    const fd = sys.open(path("a"), O_WRONLY | O_CLOEXEC, 0);
    assertThrows(() => files.descriptor(fd, "standard output"), ArgumentError, "write standard output: it is the file that is being read");
    sys.close(fd);
    assertEquals(readFileSync(path("a"), "utf8"), "precious");
    writeFileSync(path("b"), "");
    files.remove(path("b"));
    files.remove(path("none"));
    assertEquals([...files.namesBeside(path("a"))].sort(), ["a", "soft"]);
  }),
);

test(
  "a file that was made and not used is removed, unless somebody else has used it or its name",
  inDirectory((path) => {
    const files = new OutputFiles(sys);
    for (const name of ["unused", "used", "replaced"]) files.createNew(path(name))!.close();
    writeFileSync(path("used"), "precious");
    unlinkSync(path("replaced"));
    mkdirSync(path("replaced"));
    for (const name of ["unused", "used", "replaced", "none"]) files.removeEmpty(path(name));
    assertEquals([...files.namesBeside(path("used"))].sort(), ["replaced", "used"]);
  }),
);

test(
  "what is in a file stays there until the first write, and a new file is there at once",
  inDirectory((path) => {
    writeFileSync(path("old"), "precious");
    const files = new OutputFiles(sys);
    files.create(path("old")).close();
    const used = files.create(path("old"));
    assertEquals(readFileSync(path("old"), "utf8"), "precious");
    used.write(bytes("te"));
    used.write(bytes("xt"));
    used.close();
    assertEquals(readFileSync(path("old"), "utf8"), "text");
    files.create(path("new")).close();
    assertEquals(readFileSync(path("new"), "utf8"), "");
  }),
);

test(
  "what cannot be opened is told with its name",
  inDirectory((path) => {
    mkdirSync(path("d"));
    for (const [name, code] of [["d", "EISDIR"], ["none/a", "ENOENT"], ["d\0", "ENOENT"]] as const) {
      const error = assertThrows(() => new OutputFiles(sys).create(path(name)), SystemError);
      assertEquals([error.code, error.op], [code, `write ${path(name)}`]);
      const hint = name === "none/a" ? `The directory ${path("none")} does not exist: create it, or choose another` : undefined;
      assertEquals(error.hint, hint, name);
    }
  }),
);

test("no other directory is named for a file in the working directory that cannot be created", () => {
  const missing = { open: () => -ENOENT } as unknown as Sys;
  for (const name of ["samples.pcapng", "/samples.pcapng"]) {
    const error = assertThrows(() => new OutputFiles(missing).create(name), SystemError);
    assertEquals([error.code, error.op, error.hint], ["ENOENT", `write ${name}`, undefined]);
  }
});

test(
  "a new file is made only if there is none",
  inDirectory((path) => {
    writeFileSync(path("a"), "old");
    const files = new OutputFiles(sys);
    assertEquals(files.createNew(path("a")), undefined);
    files.createNew(path("b"))!.close();
    assertEquals(readFileSync(path("a"), "utf8"), "old");
  }),
);

test(
  "names beside a file are those in its directory, however many",
  inDirectory((path) => {
    const names = Array.from({ length: 3000 }, (_, i) => `a-${String(i).padStart(5, "0")} with a name that takes some room`);
    for (const name of names) writeFileSync(path(name), "");
    const files = new OutputFiles(sys);
    assertEquals([...files.namesBeside(path("a"))].sort(), names);
    assertEquals(files.namesBeside(path("none/a")), []);
    assert(files.namesBeside("a").includes("mod.ts"));
  }),
);

test(
  "a file is removed; one that is gone already is no failure, a directory is",
  inDirectory((path) => {
    writeFileSync(path("a"), "");
    mkdirSync(path("d"));
    const files = new OutputFiles(sys);
    files.remove(path("a"));
    files.remove(path("a"));
    assertThrows(() => files.remove(path("d")), SystemError, path("d"));
  }),
);

test(
  "a pipe without a reader is waited for without blocking",
  inDirectory(async (path) => {
    spawnSync("mkfifo", [path("fifo")]);
    const destination = new OutputFiles(sys).create(path("fifo"));
    assertEquals([destination.name, destination.write(bytes("text"))], [path("fifo"), 0]);
    await destination.writable();
    assertEquals(destination.write(bytes("text")), 0);
    const reader = sys.open(path("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    assertEquals(destination.write(bytes("text")), 4);
    const into = memory(10);
    assertEquals([sys.read(reader, into), new TextDecoder().decode(into.subarray(0, 4))], [4, "text"]);
    // A reader that stalls fills the pipe: what it does not take waits.
    let taken = 0;
    for (let count = 1; count > 0; taken += count) count = destination.write(memory(1 << 17));
    assert(taken > 0 && taken < 1 << 21);
    sys.close(reader);
    assertEquals(assertThrows(() => destination.write(bytes("text")), SystemError).code, "EPIPE");
    destination.close();
  }),
);

test(
  "a pipe that is open already is opened once more, so that its own flags stay as they are",
  inDirectory((path) => {
    spawnSync("mkfifo", [path("fifo")]);
    const reader = sys.open(path("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    const blocking = sys.open(path("fifo"), 1 | O_CLOEXEC, 0);
    const flags = (): string => /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${blocking}`, "utf8"))![1]!;
    const before = flags();
    const destination = openDescriptor(sys, blocking, "standard output");
    let taken = 0;
    for (let count = 1; count > 0; taken += count) count = destination.write(memory(1 << 17));
    assert(taken >= 4096);
    assertEquals(flags(), before);
    destination.close();
    assertEquals(sys.close(blocking), 0);
    sys.close(reader);
  }),
);

test(
  "a file that is open already stays the caller's",
  inDirectory((path) => {
    writeFileSync(path("a"), "");
    const fd = sys.open(path("a"), 1 | O_CLOEXEC, 0);
    const destination = openDescriptor(sys, fd, "standard output");
    assertEquals(destination.write(bytes("text")), 4);
    destination.close();
    assertEquals(sys.close(fd), 0);
    assertEquals(readFileSync(path("a"), "utf8"), "text");
  }),
);
