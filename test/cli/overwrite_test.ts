/** `psample read -w` never writes to the file that it reads, under any name. */
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { main } from "../../cli/main.ts";
import { processIo } from "../../cli/io.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { fakeIo } from "./fake_io.ts";

const RECORDED = readFileSync(new URL("../golden/ingress.new.pcap", import.meta.url));

/** A test in a directory that has a recording. */
function besideRecording(work: (path: (name: string) => string) => Promise<void>): () => Promise<void> {
  return inDirectory(async (path) => {
    writeFileSync(path("a.pcap"), RECORDED);
    await work((name) => `${path("")}/${name}`);
  });
}

/** The command with the real files, and everything else in memory. */
async function read(...args: string[]): Promise<{ status: number; err: string }> {
  const { openFiles, openRecording } = processIo();
  const io = Object.assign(fakeIo(), { openFiles, openRecording });
  return { status: await main(["read", ...args], io), err: io.errors() };
}

test(
  "another path, a symbolic link and a hard link are the same file",
  besideRecording(async (path) => {
    symlinkSync("a.pcap", path("soft"));
    linkSync(path("a.pcap"), path("hard"));
    for (const output of ["a.pcap", "./a.pcap", "soft", "hard"]) {
      for (const input of ["a.pcap", "soft", "hard"]) {
        const { status, err } = await read("-w", path(output), path(input));
        assertEquals(status, 2, `${input} to ${output}`);
        assertStringIncludes(err, "--write would overwrite the input file");
        assertEquals(readFileSync(path("a.pcap")), RECORDED);
      }
    }
    assertEquals((await read("-w", path("b.pcap"), path("a.pcap"))).status, 0);
  }),
);

test(
  "a file of a series is continued after, and not overwritten; a link in its place is not followed",
  besideRecording(async (path) => {
    writeFileSync(path("x-00001.pcapng"), RECORDED);
    symlinkSync("a.pcap", path("x-00002.pcapng"));
    const { status, err } = await read("-q", "-w", path("x.pcapng"), "--rotate", "1MB", path("x-00001.pcapng"));
    assertEquals(status, 0, err);
    for (const name of ["a.pcap", "x-00001.pcapng", "x-00002.pcapng"]) assertEquals(readFileSync(path(name)), RECORDED, name);
  }),
);

test(
  "standard input that is the file: also that is not overwritten",
  besideRecording((path) => {
    for (const input of ["-", "/dev/stdin"]) {
      const words = [...COMMAND, "read", "-w", path("a.pcap"), input].map((word) => `'${word}'`).join(" ");
      const { status, stderr } = spawnSync("sh", ["-c", `exec ${words} <'${path("a.pcap")}'`], { encoding: "utf8" });
      assertEquals(status, 2, stderr);
      assertStringIncludes(stderr, "--write would overwrite the input file");
      assertEquals(readFileSync(path("a.pcap")), RECORDED);
    }
    return Promise.resolve();
  }),
);

test(
  "standard output that is the file: nothing is added to it",
  besideRecording((path) => {
    for (const command of ["read --json", "top", "top --json", "read -w -", `read --json -w '${path("new.pcapng")}'`]) {
      const words = COMMAND.map((word) => `'${word}'`).join(" ");
      const { status, stderr } = spawnSync("sh", ["-c", `exec ${words} ${command} '${path("a.pcap")}' >>'${path("a.pcap")}'`], {
        encoding: "utf8",
      });
      assertEquals(status, 2, stderr);
      assertStringIncludes(stderr, "standard output is the input file");
      assertEquals(readFileSync(path("a.pcap")), RECORDED);
      assertEquals(existsSync(path("new.pcapng")), false);
    }
    return Promise.resolve();
  }),
);

test(
  "a capture that cannot begin leaves what is there, makes no file, and says only why",
  besideRecording(async (path) => {
    const { openFiles } = processIo();
    for (const [name, before] of [["new.pcapng", undefined], ["a.pcap", RECORDED]] as const) {
      const io = Object.assign(fakeIo(), { openFiles });
      assertEquals(await main(["capture", "no.such.device", "-w", path(name)], io), 1);
      assertStringIncludes(io.errors(), "no.such.device");
      assertEquals(io.errors().trimEnd().split("\n").length, 1, io.errors());
      assertEquals(existsSync(path(name)) ? readFileSync(path(name)) : undefined, before);
    }
  }),
);

test(
  "a start that fails leaves what is there, and makes no file",
  besideRecording(async (path) => {
    assertEquals((await read("-w", path("a.pcap"), path("none"))).status, 1);
    assertEquals(readFileSync(path("a.pcap")), RECORDED);
    assertEquals((await read("-w", path("new.pcap"), path("none"))).status, 1);
    assertEquals(spawnSync("test", ["-e", path("new.pcap")]).status, 1);
  }),
);

test(
  "what somebody else is writing is left to them",
  besideRecording(async (path) => {
    const files = await processIo().openFiles([]);
    const other = files.create(path("x.pcapng"));
    const { status, err } = await read("-w", path("x.pcapng"), path("a.pcap"));
    assertEquals(status, 1);
    assertStringIncludes(err, `Cannot write ${path("x.pcapng")}: device or resource busy (EBUSY). This program already writes to it`);
    assertEquals(readFileSync(path("x.pcapng"), "utf8"), "");
    other.close();
    assertEquals((await read("-w", path("x.pcapng"), path("a.pcap"))).status, 0);
  }),
);
