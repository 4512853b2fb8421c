/** Files through the seam, in whichever runtime this is. */
import { spawnSync } from "node:child_process";
import { chownSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { loadSys } from "../../src/sys/load.ts";
import {
  EACCES,
  EAGAIN,
  EBADF,
  EEXIST,
  EISDIR,
  ENOENT,
  ENXIO,
  type FileStatus,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
} from "../../src/sys/sys.ts";
import { memory } from "../../src/wire/native.ts";
import { inDirectory } from "../support/directory.ts";

const sys = await loadSys();
const isDeno = process.versions["bun"] === undefined;

function open(path: string, flags: number): number {
  const fd = sys.open(path, flags | O_CLOEXEC, 0o644);
  assert(fd >= 0, `${path}: ${fd}`);
  return fd;
}

function stat(fd: number): FileStatus {
  const status = sys.stat(fd);
  if (typeof status === "number") throw new Error(`stat: ${status}`);
  return status;
}

test(
  "a file is made, written, read back, cut and removed",
  inDirectory((at) => {
    const path = at("größe");
    assertEquals(sys.open(path, O_RDONLY, 0), -ENOENT);
    const out = open(path, O_WRONLY | O_CREAT | O_EXCL);
    assertEquals(sys.open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644), -EEXIST);
    assertEquals(sys.write(out, memory(100).fill(7)), 100);
    assertEquals(statSync(path).mode & 0o777 & ~process.umask(), 0o644 & ~process.umask());
    const back = open(path, O_RDONLY);
    const into = memory(60);
    assertEquals(sys.poll(back, POLLIN), POLLIN);
    assertEquals([sys.read(back, into), sys.read(back, into), sys.read(back, into)], [60, 40, 0]);
    assertEquals(into, memory(60).fill(7));
    const { uid: owner, mode } = statSync(path);
    assertEquals(stat(back), { kind: "file", identity: stat(out).identity, size: 100, owner, mode: mode & 0o7777 });
    assertEquals([sys.ftruncate(out, 10), stat(back).size, sys.seekable(back)], [0, 10, true]);
    assertEquals([sys.close(out), sys.close(back)], [0, 0]);
    assertEquals([sys.unlink(path), sys.unlink(path)], [0, -ENOENT]);
  }),
);

test(
  "a file is the same by every name, and two files are not",
  inDirectory((at) => {
    const path = at("a");
    writeFileSync(path, "some");
    linkSync(path, at("hard"));
    symlinkSync("a", at("soft"));
    writeFileSync(at("b"), "some");
    const fds = ["a", "hard", "soft", "b"].map((name) => open(at(name), O_RDONLY));
    const [a, hard, soft, b] = fds.map((fd) => stat(fd).identity);
    for (const fd of fds) sys.close(fd);
    assertEquals([hard, soft], [a, a]);
    assertNotEquals(b, a);
    const { dev, ino } = statSync(path);
    assertEquals(a!.split(":")[2], String(ino));
    assert(dev > 0);
    // Opening to write does not empty what is there; that takes O_TRUNC.
    sys.close(open(path, O_WRONLY | O_CREAT));
    assertEquals(readFileSync(path, "utf8"), "some");
    sys.close(open(path, O_WRONLY | O_CREAT | O_TRUNC));
    assertEquals(readFileSync(path, "utf8"), "");
  }),
);

test(
  "a call that cannot be done returns the negative error number",
  inDirectory((at) => {
    assertEquals([sys.read(-1, memory(1)), sys.stat(-1), sys.ftruncate(-1, 0)], [-EBADF, -EBADF, -EBADF]);
    // The C library would use the part before the NUL.
    for (const path of ["", "/dev/null\0", "\0"]) assertEquals([sys.open(path, O_RDONLY, 0), sys.unlink(path)], [-ENOENT, -ENOENT]);
    const fd = open(at(""), O_RDONLY);
    assertEquals([stat(fd).kind, sys.read(fd, memory(1)), sys.unlink(at(""))], ["directory", -EISDIR, -EISDIR]);
    assertEquals(sys.open(at(""), O_WRONLY, 0), -EISDIR);
    sys.close(fd);
  }),
);

test(
  "a FIFO never blocks: poll tells whether there is data, a writer, a reader",
  inDirectory((at) => {
    const path = at("fifo");
    assertEquals(spawnSync("mkfifo", [path]).status, 0);
    assertEquals(sys.open(path, O_WRONLY | O_NONBLOCK, 0), -ENXIO);
    const from = open(path, O_RDONLY | O_NONBLOCK);
    assertEquals([stat(from).kind, sys.seekable(from)], ["fifo", false]);
    // There was no writer yet: that is not the end.
    assertEquals(sys.poll(from, POLLIN), 0);
    const to = open(path, O_WRONLY | O_NONBLOCK);
    assertEquals([sys.poll(from, POLLIN), sys.read(from, memory(10)), sys.poll(to, POLLOUT)], [0, -EAGAIN, POLLOUT]);
    assertEquals(sys.write(to, memory(3)), 3);
    assertEquals(sys.poll(from, POLLIN), POLLIN);
    sys.close(to);
    assertEquals(sys.poll(from, POLLIN), POLLIN | POLLHUP);
    assertEquals([sys.read(from, memory(10)), sys.poll(from, POLLIN), sys.read(from, memory(10))], [3, POLLHUP, 0]);
    const again = open(path, O_WRONLY | O_NONBLOCK);
    sys.close(from);
    assertEquals(sys.poll(again, POLLOUT) & POLLERR, POLLERR);
    sys.close(again);
  }),
);

test(
  "the kernel's protection of sticky directories holds",
  {
    skip: (process.getuid!() !== 0 || readFileSync("/proc/sys/fs/protected_symlinks", "utf8").trim() !== "1") &&
      "the sysctl fs.protected_symlinks is off, or this is not root",
  },
  inDirectory((at) => {
    const sticky = at("sticky");
    mkdirSync(sticky);
    chmodSync(sticky, 0o1777);
    writeFileSync(at("precious"), "some");
    const link = join(sticky, "link");
    symlinkSync("../precious", link);
    spawnSync("chown", ["-h", "65534", link]);
    chownSync(at(""), 65534, 65534);
    assertEquals(sys.open(link, O_WRONLY | O_CREAT | O_TRUNC, 0o644), -EACCES);
    assertEquals(readFileSync(at("precious"), "utf8"), "some");
  }),
);

test(
  "Deno is asked before libc opens or removes a file",
  { skip: !isDeno && "Bun has no permissions", timeout: 60_000 },
  inDirectory((at) => {
    writeFileSync(at("a"), "some");
    const load = new URL("../../src/sys/load.ts", import.meta.url).href;
    const code = `
      const { loadSys } = await import(${JSON.stringify(load)});
      const sys = await loadSys();
      for (const [what, call] of Object.entries({
        read: () => sys.open("a", 0, 0),
        write: () => sys.open("a", 1, 0),
        both: () => sys.open("a", 2, 0),
        make: () => sys.open("b", 0x41, 0o644),
        remove: () => sys.unlink("a"),
      })) {
        try {
          console.log(what, call() >= 0);
        } catch (error) {
          console.log(what, error.name, error.message);
        }
      }`;
    const run = (...permissions: string[]): string[] => {
      const args = ["run", "--no-prompt", "--allow-ffi", ...permissions, "-"];
      const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: at(""), input: code, encoding: "utf8" });
      assert(stdout, stderr);
      return stdout.trim().split("\n");
    };
    const refused = (name: string, path: string): string =>
      `NotCapable Requires ${name} access to "${path}", run again with the --allow-${name} flag`;
    assertEquals(run(), [
      `read ${refused("read", "a")}`,
      `write ${refused("write", "a")}`,
      `both ${refused("read", "a")}`,
      `make ${refused("write", "b")}`,
      `remove ${refused("write", "a")}`,
    ]);
    assertMatch(run("--allow-read=a").join("\n"), /^read true\nwrite NotCapable.*\nboth NotCapable.*write access.*\n/);
    assertEquals(run("--allow-read=a", "--allow-write=a,b"), ["read true", "write true", "both true", "make true", "remove true"]);
  }),
);
