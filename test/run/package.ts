/**
 * Makes the files that people install, in `dist/package`: `deno task package`. They are the same for the same commit, whoever makes them.
 *
 *   --targets x64,arm64,x64-musl,arm64-musl   for which machines; Bun downloads its runtime for each, about 40 MB
 *   --formats tar,deb,rpm                     tarballs for all of them, packages for those with glibc
 *   --output DIRECTORY                        where; what an earlier run has made there is deleted first
 *   --fast                                    compresses little or not at all, for tests
 *
 * The time of everything in them is SOURCE_DATE_EPOCH if that is set, and otherwise the time of the commit. PSAMPLE_MAINTAINER is who
 * answers for the packages: "Name <address>".
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildWords } from "./build.ts";
import { makeDeb } from "./packages/deb.ts";
import { makeRpm } from "./packages/rpm.ts";
import { sbom } from "./packages/sbom.ts";
import { tarball } from "./packages/tarball.ts";
import { portableTree, systemTree } from "./packages/tree.ts";
import { BUN_PROGRAM, ROOT } from "./project.ts";
import { parsed, refuse, say } from "./suite.ts";

const USAGE = "deno task package [--targets x64,arm64,x64-musl,arm64-musl] [--formats tar,deb,rpm] [--output DIRECTORY] [--fast]";

/** What distributions call the machines; those without glibc get a tarball only. */
const TARGETS: Record<string, { deb: "amd64" | "arm64"; rpm: "x86_64" | "aarch64" } | undefined> = {
  "x64": { deb: "amd64", rpm: "x86_64" },
  "arm64": { deb: "arm64", rpm: "aarch64" },
  "x64-musl": undefined,
  "arm64-musl": undefined,
};
const FORMATS = ["tar", "deb", "rpm"];

/** The file of checksums. */
const SUMS = "SHA256SUMS";

/** Who answers for packages that nobody has given a maintainer. */
const NOBODY = "psample packages <nobody@psample.invalid>";

const { version } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")) as { version: string };

/** The name of the tarball for a target: `x64-musl`. */
export const tarballName = (target: string): string => `psample-${version}-linux-${target}.tar.gz`;
/** The name of Debian's package for a machine, as Debian calls it: `amd64`. */
export const debName = (machine: string): string => `psample_${version}_${machine}.deb`;
/** The name of the rpm for a machine, as rpm calls it: `x86_64`. */
export const rpmName = (machine: string): string => `psample-${version}-1.${machine}.rpm`;

/** The time of the sources, in seconds since 1970. */
function sourceTime(): number {
  const epoch = process.env.SOURCE_DATE_EPOCH;
  if (epoch !== undefined) {
    if (!/^\d+$/.test(epoch)) refuse(`SOURCE_DATE_EPOCH is ${JSON.stringify(epoch)}: expected seconds since 1970`, USAGE);
    return Number(epoch);
  }
  const { status, stdout } = spawnSync("git", ["log", "-1", "--format=%ct"], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) refuse("this is no clone of a repository, so the time of the sources is unknown: set SOURCE_DATE_EPOCH", USAGE);
  return Number(stdout);
}

/** Compiles the command for a target. */
function compile(target: string, directory: string): Uint8Array {
  // The name of the output is part of what Bun compiles.
  const file = join(directory, "psample");
  const words = buildWords([`--target=bun-linux-${target}`, `--outfile=${file}`]).slice(1);
  const { status, stdout, stderr, error } = spawnSync(BUN_PROGRAM, words, { cwd: ROOT, encoding: "utf8" });
  if (error) throw new Error(`Cannot start Bun: ${error.message} (deno task bun gets it)`);
  if (status !== 0) throw new Error(`bun build for ${target} ended with status ${status}: ${(stderr + stdout).trim()}`);
  return new Uint8Array(readFileSync(file));
}

/** Empties a directory, if it is one of ours: nobody's files are deleted because of a wrong word on a command line. */
function emptied(directory: string): void {
  const isOurs = directory.startsWith(join(ROOT, "dist/")) || !existsSync(directory) || readdirSync(directory).length === 0 ||
    existsSync(join(directory, SUMS));
  if (!isOurs) refuse(`--output ${directory}: there are files that no earlier run has made`, USAGE);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
}

/** Makes everything, and returns the names of the files. */
function makePackages(targets: readonly string[], formats: readonly string[], output: string, fast: boolean): string[] {
  const seconds = sourceTime();
  // An empty one is that of a workflow whose repository names nobody.
  const maintainer = process.env.PSAMPLE_MAINTAINER || NOBODY;
  const options = { version, maintainer, seconds, fast };
  emptied(output);
  for (const target of targets) {
    const directory = mkdtempSync(join(output, "compiling-"));
    const program = compile(target, directory);
    rmSync(directory, { recursive: true });
    if (formats.includes("tar")) {
      const name = tarballName(target);
      writeFileSync(join(output, name), tarball(portableTree(program), name.replace(".tar.gz", ""), seconds, fast ? 1 : 9));
    }
    const names = TARGETS[target];
    if (names && formats.includes("deb")) {
      const file = join(output, debName(names.deb));
      makeDeb(systemTree(program), file, { ...options, architecture: names.deb });
    }
    if (names && formats.includes("rpm")) {
      const file = join(output, rpmName(names.rpm));
      makeRpm(systemTree(program), file, { ...options, architecture: names.rpm });
    }
  }
  const hashOf = (name: string): string => createHash("sha256").update(readFileSync(join(output, name))).digest("hex");
  const artifacts = readdirSync(output).sort().map((name) => ({ name, sha256: hashOf(name) }));
  const tools = JSON.parse(readFileSync(join(ROOT, "test/tools/package.json"), "utf8")).dependencies;
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const bill = {
    name: `psample-${version}.spdx.json`,
    text: sbom(artifacts, { version, bun: tools.bun, std: dependencies["deno-std"], seconds }),
  };
  writeFileSync(join(output, bill.name), bill.text);
  const sums = [...artifacts, { name: bill.name, sha256: hashOf(bill.name) }].map(({ name, sha256 }) => `${sha256}  ${name}\n`);
  writeFileSync(join(output, SUMS), sums.join(""));
  return readdirSync(output).sort();
}

if (import.meta.main) {
  const { values } = parsed(() =>
    parseArgs({
      options: {
        targets: { type: "string", default: Object.keys(TARGETS).join(",") },
        formats: { type: "string", default: FORMATS.join(",") },
        output: { type: "string", default: join(ROOT, "dist/package") },
        fast: { type: "boolean", default: false },
      },
    }), USAGE);
  const [targets, formats] = [values.targets.split(","), values.formats.split(",")];
  for (const target of targets) {
    if (!(target in TARGETS)) refuse(`--targets ${target}: there are ${Object.keys(TARGETS).join(", ")}`, USAGE);
  }
  for (const format of formats) if (!FORMATS.includes(format)) refuse(`--formats ${format}: there are ${FORMATS.join(", ")}`, USAGE);
  try {
    const output = resolve(values.output);
    for (const name of makePackages(targets, formats, output, values.fast)) {
      say(`${(statSync(join(output, name)).size / 1e6).toFixed(1).padStart(7)} MB  ${name}`);
    }
  } catch (error) {
    say(`package: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
