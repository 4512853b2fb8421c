/** What `deno task package` makes: the same files for the same commit, which other programs can read, unpack and run. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { daemonsWanted } from "../run/daemons.ts";
import { debName, rpmName, tarballName } from "../run/package.ts";
import { RPM_ENVIRONMENT } from "../run/packages/rpm.ts";
import { BUN_PROGRAM, ROOT } from "../run/project.ts";
import { CONFIG } from "../run/release.ts";
import { instructions, noRoot, runStep } from "../support/container.ts";
import { inDirectory } from "../support/directory.ts";
import { programs, unmet } from "../support/programs.ts";
import { DENO } from "../support/published.ts";
import { untar } from "../support/tar.ts";

const TIMEOUT_MS = 300_000;
const TOOLS = [DENO, BUN_PROGRAM, "dpkg-deb", "rpmbuild", "rpm", "rpm2archive"];
const needs = { ...programs(...TOOLS), timeout: TIMEOUT_MS };
const { version } = CONFIG;
const noRootHere = inEmpty(noRoot);
const needsRoot = needs.skip || !noRootHere ? needs : { ...unmet("a root directory of its own", noRootHere), timeout: TIMEOUT_MS };
/** What this machine is called: only its own executables run here. */
const HERE = process.arch === "arm64" ? { target: "arm64", deb: "arm64", rpm: "aarch64" } : { target: "x64", deb: "amd64", rpm: "x86_64" };
/** ELF: the machine at 18 (EM_X86_64 62, EM_AARCH64 183), and the name of the loader. */
const MACHINES: readonly (readonly [target: string, machine: number, loader: string])[] = [
  ["x64", 62, "/lib64/ld-linux-x86-64.so.2"],
  ["arm64", 183, "/lib/ld-linux-aarch64.so.1"],
  ["x64-musl", 62, "/lib/ld-musl-x86_64.so.1"],
  ["arm64-musl", 183, "/lib/ld-musl-aarch64.so.1"],
];

interface Ended {
  status: number | null;
  out: string;
  err: string;
}

function run(words: readonly string[], cwd = ROOT, environment: Record<string, string> = {}): Ended {
  const [program, ...args] = words;
  const { status, stdout, stderr, error } = spawnSync(program!, args, {
    cwd,
    env: { ...process.env, ...environment },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (error) throw error;
  return { status, out: stdout, err: stderr };
}

/** The output of a program that must succeed. */
function output(words: readonly string[], cwd = ROOT, environment: Record<string, string> = {}): string {
  const { status, out, err } = run(words, cwd, environment);
  assertEquals(status, 0, `${words.join(" ")}: ${err}${out}`);
  return out;
}

/** The time of the sources: without it, that of the commit, which git does not tell of a clone of another user (gitfaq(7)). */
const EPOCH = { SOURCE_DATE_EPOCH: "1769860800" };
const make = (words: readonly string[]): Ended =>
  run([DENO, "run", "-A", "--no-check", "test/run/package.ts", "--fast", ...words], ROOT, EPOCH);

/** Calls something with a directory that is empty, and deleted afterwards. */
function inEmpty<Result>(use: (directory: string) => Result): Result {
  const directory = mkdtempSync(join(tmpdir(), "psample-root-"));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Each file with its hash. */
function hashes(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory).sort().map((name) => {
      return [name, createHash("sha256").update(readFileSync(join(directory, name))).digest("hex")];
    }),
  );
}

describe("the files that people install", needs, () => {
  let directory: string;
  let made: string;
  /** The paths of the three of them. */
  const [archive, deb, rpm] = [tarballName(HERE.target), debName(HERE.deb), rpmName(HERE.rpm)];
  const place = (name: string): string => join(made, name);

  before(() => {
    // Not in /tmp: the files have 300 MB.
    mkdirSync(join(ROOT, "dist"), { recursive: true });
    directory = mkdtempSync(join(ROOT, "dist/test-"));
    made = join(directory, "made");
    const { status, out, err } = make(["--targets", HERE.target, "--output", made]);
    assertEquals(status, 0, out + err);
  }, { timeout: TIMEOUT_MS });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** A program that was unpacked runs as it does from a clone: it was not stripped. */
  function assertRuns(program: string): void {
    assertEquals(output([program, "--version"]), `psample ${version}\n`);
    const { status, out, err } = run([program, "demo", "--count", "2"], directory);
    assertEquals(status, 0, err);
    assertEquals(out.split("\n").filter((line) => /^\d\d:\d\d:\d\d\.\d{6} /.test(line)).length, 2, out);
  }

  test("there are a tarball, both packages, checksums and a bill of materials", needs, () => {
    assertEquals(readdirSync(made).sort(), ["SHA256SUMS", archive, rpm, `psample-${version}.spdx.json`, deb].sort());
    output(["sha256sum", "--check", "--strict", "SHA256SUMS"], made);
    assertEquals(readFileSync(place("SHA256SUMS"), "utf8").trim().split("\n").length, 4);
  });

  test("they are the same again, for another user in another place", needs, () => {
    const again = join(directory, "again");
    const elsewhere = join(directory, "elsewhere");
    mkdirSync(elsewhere);
    const environment = { ...EPOCH, TZ: "Pacific/Auckland", TMPDIR: elsewhere, LC_ALL: "C" };
    const script = `umask 077; exec "$@"`;
    const words = [DENO, "run", "-A", "--no-check", "test/run/package.ts", "--fast", "--targets", HERE.target, "--output", again];
    output(["sh", "-c", script, "sh", ...words], ROOT, environment);
    assertEquals(hashes(again), hashes(made));
    rmSync(again, { recursive: true });
  });

  test("the tarball is unpacked and runs from there", needs, () => {
    output(["tar", "-xzf", place(archive), "-C", directory]);
    const unpacked = join(directory, `psample-${version}-linux-${HERE.target}`);
    assertRuns(join(unpacked, "psample"));
    // In Wireshark's folder it is a link (docs/wireshark.md).
    const link = join(directory, "link");
    symlinkSync(join(unpacked, "psample"), link);
    assertMatch(output([link, "--extcap-interfaces", "--extcap-version=4.0"]), /^extcap \{version=/);
    for (
      const name of [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/service.md",
        "man/man8/psample.8",
        "completions/psample.bash",
        "completions/_psample",
        "completions/psample.fish",
        "examples/psample.service",
      ]
    ) {
      assert(existsSync(join(unpacked, name)), name);
    }
    const listed = output(["tar", "--list", "--verbose", "--gzip", "--numeric-owner", "--file", place(archive)], ROOT, { TZ: "UTC" });
    for (const line of listed.trim().split("\n")) assertMatch(line, /^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--) 0\/0 +\d+ 2026-01-31 12:00 /);
  });

  test("dpkg reads the deb: what it needs, what is configuration, what belongs to root", needs, () => {
    const fields = output(["dpkg-deb", "--field", place(deb)]);
    for (const line of ["Package: psample", `Version: ${version}`, `Architecture: ${HERE.deb}`, "Depends: libc6 (>= 2.17)"]) {
      assertStringIncludes(fields, `${line}\n`);
    }
    assertEquals(output(["dpkg-deb", "--info", place(deb), "conffiles"]), "/etc/psample/export.conf\n");
    const listed = output(["dpkg-deb", "--contents", place(deb)], ROOT, { TZ: "UTC" });
    for (const line of listed.trim().split("\n")) {
      assertMatch(line, /^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--) root\/root +\d+ 2026-01-31 12:00 \.\//);
    }
    for (
      const path of [
        "usr/bin/psample",
        "usr/share/man/man8/psample.8.gz",
        "usr/lib/systemd/system/psample-export.service",
        "usr/lib/systemd/system/psample-record@.service",
        "usr/lib/systemd/system/psample-record@.timer",
        "usr/share/bash-completion/completions/psample",
        "usr/share/zsh/vendor-completions/_psample",
        "usr/share/fish/vendor_completions.d/psample.fish",
      ]
    ) {
      assertStringIncludes(listed, ` ./${path}\n`);
    }
    for (const name of ["postinst", "prerm", "postrm"]) {
      const script = join(directory, name);
      writeFileSync(script, output(["dpkg-deb", "--info", place(deb), name]));
      output(["sh", "-n", script]);
    }
  });

  test("what is in the deb runs, and its units start it from where it is", needs, () => {
    const root = join(directory, "deb");
    output(["dpkg-deb", "--extract", place(deb), root]);
    assertRuns(join(root, "usr/bin/psample"));
    const units = join(root, "usr/lib/systemd/system");
    for (const unit of readdirSync(units)) {
      for (const [, path] of readFileSync(join(units, unit), "utf8").matchAll(/^Exec\w+=(\/\S*psample)\b/gm)) {
        assert(existsSync(join(root, path!)), `${unit}: ${path}`);
      }
    }
    rmSync(root, { recursive: true });
  });

  test("the container file installs the deb that is beside it, and starts what it brings", needsRoot, () => {
    const [from, step, entry, ...more] = instructions(readFileSync(join(ROOT, "examples/Containerfile"), "utf8"));
    assertEquals([from, more], [{ word: "FROM", text: "docker.io/library/debian:stable-slim" }, []]);
    const [, target, command] = /^--mount=type=bind,target=(\S+) +(.*)$/.exec(step!.text)!;
    assertEquals([step!.word, entry!.word], ["RUN", "ENTRYPOINT"]);
    const [program, ...words]: string[] = JSON.parse(entry!.text);
    assertEquals(words, []);
    const { status, out, err } = inEmpty((empty) => {
      return runStep(empty, made, target!, command!, `${program} --version && ${program} demo --count 2 && ls ${target}`);
    });
    assertEquals(status, 0, err);
    assertStringIncludes(err, `Setting up psample (${version})`);
    assert(out.startsWith(`psample ${version}\n`), out);
    // Its own root directory, its own copy: this machine has neither the command nor what the step had seen.
    assertEquals(out.match(/^\d\d:\d\d:\d\d\.\d{6} /gm)?.length, 2, out);
    assert(!out.includes(".deb"), out);
  });

  test("rpm reads the rpm: it has the files of the deb, root's, and the same configuration", needs, () => {
    const query = (...words: string[]): string => output(["rpm", "-qp", ...words, place(rpm)], ROOT, RPM_ENVIRONMENT);
    assertEquals(
      query("--queryformat", "%{NAME} %{VERSION} %{ARCH} %{BUILDHOST} %{BUILDTIME}"),
      `psample ${version} ${HERE.rpm} localhost 1769860800`,
    );
    const inDeb = output(["dpkg-deb", "--contents", place(deb)]).split("\n").filter((line) => line.startsWith("-"))
      .map((line) => line.replace(/^.* \./, ""));
    const inRpm = query("--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]").trim().split("\n");
    assertEquals(inRpm.filter((line) => line.startsWith("-")).map((line) => line.replace(/^.* /, "")), inDeb.sort());
    for (const line of inRpm) assertMatch(line, /^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--) root:root \//);
    assertEquals(query("--configfiles"), "/etc/psample/export.conf\n");
    assertStringIncludes(query("--requires"), "libc.so.6(GLIBC_2.17)(64bit)\n");
    assertStringIncludes(query("--scripts"), "postinstall scriptlet");
  });

  test("what is in the rpm runs", needs, () => {
    const root = join(directory, "rpm");
    mkdirSync(root);
    output(["rpm2archive", "--nocompression", place(rpm)], root, RPM_ENVIRONMENT);
    output(["tar", "-xf", `${place(rpm)}.tar`, "-C", root, "./usr/bin/psample"]);
    rmSync(`${place(rpm)}.tar`);
    assertRuns(join(root, "usr/bin/psample"));
    rmSync(root, { recursive: true });
  });

  test("the bill of materials has what is in them, and their hashes", needs, () => {
    const bill = JSON.parse(readFileSync(place(`psample-${version}.spdx.json`), "utf8"));
    assertEquals([bill.spdxVersion, bill.dataLicense, bill.creationInfo.created], ["SPDX-2.3", "CC0-1.0", "2026-01-31T12:00:00Z"]);
    const inBill = bill.files.map((file: { fileName: string; checksums: { checksumValue: string }[] }) => [
      file.fileName.slice(2),
      file.checksums[0]!.checksumValue,
    ]);
    const all = hashes(made);
    assertEquals(Object.fromEntries(inBill), { [archive]: all[archive], [deb]: all[deb], [rpm]: all[rpm] });
    const ids = new Set([bill.SPDXID, ...[...bill.packages, ...bill.files].map(({ SPDXID }: { SPDXID: string }) => SPDXID)]);
    for (const { spdxElementId, relatedSpdxElement } of bill.relationships) assert(ids.has(spdxElementId) && ids.has(relatedSpdxElement));
    assertEquals(bill.packages.map(({ name }: { name: string }) => name), ["psample", "deno-std", "bun"]);
  });

  /** The directory with the files for other machines, which are made once. */
  function others(): string {
    const place = join(directory, "others");
    if (existsSync(place)) return place;
    const targets = MACHINES.map(([target]) => target).filter((target) => target !== HERE.target);
    const { status, out, err } = make(["--targets", targets.join(","), "--output", place]);
    assertEquals(status, 0, out + err);
    return place;
  }

  const noOthers = daemonsWanted() ? false : "runtimes of other machines, 120 MB, are downloaded only in deno task test --daemons";

  test("the executables of other machines are theirs", { ...needs, skip: needs.skip || noOthers }, () => {
    for (const [target, machine, loader] of MACHINES.filter(([target]) => target !== HERE.target)) {
      const name = tarballName(target);
      const program = untar(new Uint8Array(readFileSync(join(others(), name)))).get(`${name.replace(".tar.gz", "")}/psample`)!;
      assertEquals(new TextDecoder().decode(program.subarray(1, 4)), "ELF", target);
      assertEquals(new DataView(program.buffer).getUint16(18, true), machine, target);
      const beginning = new TextDecoder("latin1").decode(program.subarray(0, 1 << 20));
      assertStringIncludes(beginning, `${loader}\0`, target);
      // On Alpine these are packages: libstdc++ and libgcc.
      assertEquals(new TextDecoder("latin1").decode(program).includes("libstdc++.so.6\0"), target.endsWith("-musl"), target);
    }
  });

  test("the packages for the other machine have the files of ours", { ...needs, skip: needs.skip || noOthers }, () => {
    const there = HERE.target === "x64" ? { deb: "arm64", rpm: "aarch64" } : { deb: "amd64", rpm: "x86_64" };
    const theirs = (name: string): string => join(others(), name);
    const inDeb = (file: string): string[] => {
      return output(["dpkg-deb", "--contents", file]).trim().split("\n").map((line) => line.replace(/^(\S+ \S+) .* /, "$1 "));
    };
    assertEquals(output(["dpkg-deb", "--field", theirs(debName(there.deb)), "Architecture"]), `${there.deb}\n`);
    assertEquals(inDeb(theirs(debName(there.deb))), inDeb(place(deb)));
    const inRpm = (file: string, format: string): string => output(["rpm", "-qp", "--queryformat", format, file], ROOT, RPM_ENVIRONMENT);
    const FILES = "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]";
    assertEquals(inRpm(theirs(rpmName(there.rpm)), "%{NAME} %{VERSION} %{ARCH}"), `psample ${version} ${there.rpm}`);
    assertEquals(inRpm(theirs(rpmName(there.rpm)), FILES), inRpm(place(rpm), FILES));
  });

  test("the executable for arm64 prints a recording, with the same bytes as the one for x86-64", {
    timeout: TIMEOUT_MS,
    skip: process.arch === "x64" ? programs(...TOOLS, "qemu-aarch64").skip : "it compares with this machine, which must be x86-64",
  }, () => {
    const [here, there, libraries] = ["x64", "arm64", "libraries"].map((name) => join(directory, name));
    for (const [from, target, place] of [[made, "x64", here!], [others(), "arm64", there!]] as const) {
      const name = tarballName(target);
      mkdirSync(place);
      output(["tar", "-xzf", join(from, name), "-C", place, "--strip-components=1", `${name.replace(".tar.gz", "")}/psample`]);
    }
    output([join(ROOT, "test/tools/unpack"), libraries!, "libc6-arm64-cross"]);
    const emulated = ["qemu-aarch64", "-L", join(libraries!, "usr/aarch64-linux-gnu")];
    const printed = (...words: string[]): Ended => run([...words, "read", join(ROOT, "test/golden/egress.new.pcap"), "--details"]);
    const ours = printed(join(here!, "psample"));
    assertEquals(ours.status, 0, ours.err);
    assert(ours.out.split("\n").length > 5, ours.out);
    assertEquals(printed(...emulated, join(there!, "psample")), ours);
  });
});

test(
  "words that it does not know are refused with the usage, and nothing is deleted",
  programs(DENO),
  inDirectory((path) => {
    for (
      const [words, text] of [
        [["--targets", "vax"], "--targets vax: there are x64, arm64, x64-musl, arm64-musl"],
        [["--formats", "zip"], "--formats zip: there are tar, deb, rpm"],
        [["--output", path("")], `--output ${path("").replace(/\/$/, "")}: there are files that no earlier run has made`],
      ] as const
    ) {
      writeFileSync(path("precious"), "");
      const { status, err } = make(words);
      assertEquals([status, err.split("\n")[0]], [2, text]);
      assertStringIncludes(err, "usage: deno task package");
      assert(lstatSync(path("precious")).isFile());
    }
  }),
);
