/**
 * Gets what the tests need and the machine lacks, without installing anything on it: `deno task tools`, or `deno task tools --daemons`.
 * Bun comes from npm into `test/tools`; other programs are unpacked from Debian's packages into a cache.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DAEMON_PACKAGES, DAEMON_PACKAGES_MEGABYTES, DAEMONS, DAEMONS_MEGABYTES, daemonsWanted, wantDaemons } from "./daemons.ts";
import { BUN_PROGRAM, DAEMON_TOOLS, ROOT, TOOLS } from "./project.ts";

/** The programs that tests start, and the Debian packages that have them; those of {@linkcode DAEMONS} only if they are wanted. */
const PROGRAMS: Record<string, string> = {
  tshark: "tshark",
  capinfos: "wireshark-common",
  editcap: "wireshark-common",
  mergecap: "wireshark-common",
  tcpdump: "tcpdump",
  ip: "iproute2",
  tc: "iproute2",
  ping: "iputils-ping",
  modprobe: "kmod",
  systemd: "systemd",
  systemctl: "systemd",
  "systemd-analyze": "systemd",
  openssl: "openssl",
  mandoc: "mandoc",
  mman: "mandoc",
  rpm: "rpm",
  rpmbuild: "rpm",
  rpm2archive: "rpm",
  zsh: "zsh-static,zsh-common",
  fish: "fish",
  jq: "jq",
  curl: "curl",
  logrotate: "logrotate",
  nginx: "nginx-light",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  sshd: "openssh-server",
  sudo: "sudo",
};

/** Where Debian installs the server of PostgreSQL. */
const POSTGRESQL = "/usr/lib/postgresql/15/bin";

/** Where caches are kept. */
export const CACHE: string = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");

/** A pending download. */
export interface Download {
  what: string;
  where: string;
  megabytes: number;
}

/** Whether a program is in PATH. */
export function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v "$0"`, program]).status === 0;
}

/** Adds the directory of unpacked programs, and those where root's are, to PATH. */
function extendPath(): void {
  const path = process.env.PATH?.split(":") ?? [];
  const more = ["/usr/sbin", "/sbin", POSTGRESQL, join(CACHE, "psample-programs/bin")].filter((directory) => !path.includes(directory));
  process.env.PATH = [...path, ...more].join(":");
}
extendPath();

/** All that the tests of this run start. */
const wanted = (): Record<string, string> => daemonsWanted() ? { ...PROGRAMS, ...DAEMONS } : PROGRAMS;
const missing = (): string[] => Object.keys(wanted()).filter((program) => !has(program));

/** Whether this Bun works, or is only the placeholder that is there until its install script has run. */
const bunWorks = (): boolean => spawnSync(BUN_PROGRAM, ["--version"]).status === 0;

/** Whether a package of `test/tools` or `test/tools/daemons` is installed. */
export function hasPackage(name: string): boolean {
  return [TOOLS, DAEMON_TOOLS].some((directory) => existsSync(join(directory, "node_modules", name, "package.json")));
}

/** The packages of `test/tools/daemons` that this run needs, and that are not installed. */
const missingPackages = (): readonly string[] => daemonsWanted() ? DAEMON_PACKAGES.filter((name) => !hasPackage(name)) : [];

/** What would be downloaded. */
export function downloads(): Download[] {
  const list: Download[] = [];
  if (!bunWorks()) list.push({ what: "Bun", where: `${TOOLS} and npm's cache`, megabytes: 52 });
  const where = join(CACHE, "psample-programs");
  const [daemons, programs] = [missing().filter((name) => name in DAEMONS), missing().filter((name) => !(name in DAEMONS))];
  if (programs.length > 0) list.push({ what: programs.join(", "), where, megabytes: 50 });
  if (daemons.length > 0) list.push({ what: daemons.join(", "), where, megabytes: DAEMONS_MEGABYTES });
  const packages = missingPackages();
  if (packages.length > 0) list.push({ what: packages.join(", "), where: DAEMON_TOOLS, megabytes: DAEMON_PACKAGES_MEGABYTES });
  return list;
}

/** Runs a program in a directory, and shows its output. */
function run(directory: string, program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { cwd: directory, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}

/** Installs Bun, and with it what it resolves in the root. */
export function installBun(): void {
  if (!bunWorks() || !hasPackage("protobufjs")) run(TOOLS, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
  // Newer versions of npm run no install scripts unless told to. Bun's moves its binary into place.
  if (!bunWorks()) run(TOOLS, "node", "node_modules/bun/install.js");
  if (!bunWorks()) throw new Error(`Cannot install Bun: npm ci in ${TOOLS} left no Bun that runs`);
  if (!existsSync(join(ROOT, "node_modules/deno-std"))) run(ROOT, BUN_PROGRAM, "install", "--frozen-lockfile");
}

/** Gets missing programs and packages; if one is not available, the tests that need it are skipped. */
export function unpackPrograms(): boolean {
  const hasPackages = missingPackages().length === 0 || run(DAEMON_TOOLS, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
  const programs = missing().map((program) => `${program}:${wanted()[program]}`);
  if (programs.length === 0) return hasPackages;
  const { status } = spawnSync(join(TOOLS, "programs"), programs, { stdio: ["ignore", "ignore", "inherit"] });
  return status === 0 && hasPackages;
}

if (import.meta.main) {
  if (process.argv.includes("--daemons")) wantDaemons();
  installBun();
  if (!process.argv.includes("--bun")) process.exit(unpackPrograms() ? 0 : 1);
}
