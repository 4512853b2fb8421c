/** systemd as process 1 of namespaces of its own: what a unit's sandbox does to the command, for real. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { until } from "../support/waiting.ts";
import { BUN, ROOT } from "./runtime.ts";

/** Where the sandbox finds the project, the runtime and its cache: home directories are out of reach in there. */
const SOURCE = "/run/psample/source";
const RUNTIME = "/run/psample/runtime";
const CACHE = "/run/psample/cache";
/** The command, where an administrator would install it. */
const COMMAND = "/usr/bin/psample";

/** Where administrators put units. */
export const ETC = "/etc/systemd/system";

/** Units that a service depends on, as far as they matter in here: what a machine needs to boot does not. */
const UNITS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["default", "multi-user", "sysinit", "basic", "shutdown", "network-online"].map((
      name,
    ) => [`${name}.target`, "[Unit]\nDefaultDependencies=no\n"]),
  ),
  "modprobe@.service": "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=-/bin/sh -c 'exec modprobe -abq %i'\n",
};

/** A systemd, in the network namespace of the scene that starts it. */
export class Systemd implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "systemd-"));
  readonly #child: ChildProcess;
  /** Its process number out here. */
  #pid = 0;
  #log = "";

  private constructor() {
    for (const name of ["units", "cgroup"]) mkdirSync(this.#path(name));
    for (const [name, text] of Object.entries(UNITS)) writeFileSync(this.#path("units", name), text);
    // It manages a part of the control groups of its own, and keeps what it knows in a place that no other one has used.
    writeFileSync(
      this.#path("start"),
      `set -e
      mount -t cgroup2 cgroup2 "$1/cgroup"
      mkdir -p "$1/cgroup/systemd-$$"
      echo $$ >"$1/cgroup/systemd-$$/cgroup.procs"
      exec unshare --pid --fork --kill-child --mount --mount-proc --cgroup sh -c '
        set -e
        mount -t tmpfs run /run
        umount /sys/fs/cgroup 2>/dev/null || true
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        # As container managers do: systemd mounts credentials in another mount namespace, and this one has to see it.
        mount --make-rshared /
        exec systemd --system --unit=default.target --log-target=null --show-status=no
      ' sh "$1"\n`,
    );
    const env = { PATH: process.env.PATH!, container: "other", SYSTEMD_UNIT_PATH: `${this.#path("units")}:${ETC}` };
    this.#child = spawn("sh", [this.#path("start"), this.#directory], { stdio: ["ignore", "pipe", "pipe"], env });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) stream.setEncoding("utf8").on("data", (text) => this.#log += text);
  }

  /** Starts it, and waits until it takes commands. */
  static async start(): Promise<Systemd> {
    const systemd = new Systemd();
    try {
      await until(() => `systemd runs: ${systemd.log}`, () => {
        systemd.#pid ||= initOf(systemd.#child.pid!);
        return systemd.#pid > 0 && systemd.ctl("is-system-running").out.trim() === "running";
      });
    } catch (error) {
      await systemd[Symbol.asyncDispose]();
      throw error;
    }
    return systemd;
  }

  /** What it said if it could not start. */
  get log(): string {
    return this.#log;
  }

  /** What its services have printed. */
  get output(): string {
    return existsSync(this.#path("output")) ? readFileSync(this.#path("output"), "utf8") : "";
  }

  /** Runs systemctl, which waits until what it asks for is done. */
  ctl(...args: string[]): { status: number | null; out: string } {
    return this.run("systemctl", ...args);
  }

  /** Runs a program beside the services, to its end. */
  run(...program: string[]): { status: number | null; out: string } {
    const [enter, ...words] = this.words(...program);
    const { status, stdout, stderr } = spawnSync(enter!, words, { encoding: "utf8" });
    return { status, out: stdout + stderr };
  }

  /** The words that run a program beside the services. */
  words(...program: string[]): string[] {
    return ["nsenter", "-t", `${this.#pid}`, "-p", "-m", "-r", "-w", ...program];
  }

  /** A property of a unit. */
  show(unit: string, name: string): string {
    return this.ctl("show", unit, "--property", name, "--value").out.trimEnd();
  }

  /** The main process of a service, by its number out here. */
  mainPid(unit: string): number {
    const inside = this.show(unit, "MainPID");
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const [, numbers] = /^NSpid:\s+(.*)$/m.exec(statusOf(pid)) ?? [];
      const [, own] = numbers?.split(/\s+/) ?? [];
      if (own === inside) return Number(pid);
    }
    throw new Error(`there is no process ${inside} of ${unit}: ${this.ctl("status", unit).out}`);
  }

  /**
   * Installs the command, which is the project's source in this runtime, or `binary`, and a drop-in of these lines for the section Service
   * of a unit. The unit can reach the command, and prints into {@linkcode Systemd.output}.
   */
  prepare(unit: string, lines: readonly string[], binary?: string): void {
    const words = BUN ? "" : "run --no-check --no-prompt --allow-ffi --allow-read --allow-write --allow-net ";
    // Outside of the sandbox they are where they are.
    const start = (runtime: string, source: string): string => `exec ${runtime} ${binary ? "" : `${words}${source}/cli/main.ts `}"$@"`;
    const outside = start(binary ?? process.execPath, ROOT);
    writeFileSync(COMMAND, `#!/bin/sh\n[ -e ${RUNTIME} ] || ${outside}\n${start(RUNTIME, SOURCE)}\n`, { mode: 0o755 });
    const binds = [`${ROOT}:${SOURCE}`, `${binary ?? process.execPath}:${RUNTIME}`];
    const { DENO_DIR } = process.env;
    if (!BUN && DENO_DIR !== undefined) binds.push(`${DENO_DIR}:${CACHE}`);
    const file = this.#path("output");
    mkdirSync(this.#path("units", `${unit}.d`));
    writeFileSync(
      this.#path("units", `${unit}.d`, "scene.conf"),
      [
        "[Service]",
        ...binds.map((bind) => `BindReadOnlyPaths=${bind}`),
        `Environment=DENO_DIR=${CACHE} NO_COLOR=1`,
        `StandardOutput=append:${file}`,
        `StandardError=append:${file}`,
        ...lines,
        "",
      ].join("\n"),
    );
  }

  /** Installs a unit. */
  install(unit: string, text: string): void {
    writeFileSync(this.#path("units", unit), text);
    const { status, out } = this.ctl("daemon-reload");
    if (status !== 0) throw new Error(out);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once("close", resolve));
      this.#child.kill("SIGKILL");
      await ended;
    }
    spawnSync("umount", [this.#path("cgroup")]);
    rmSync(COMMAND, { force: true });
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #path(...names: string[]): string {
    return join(this.#directory, ...names);
  }
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

/** The child of a process that is the first one of its own namespace; 0 if it has none yet. */
function initOf(parent: number): number {
  const child = readdirSync("/proc").find((name) => {
    const status = /^\d+$/.test(name) ? statusOf(name) : "";
    return new RegExp(`^PPid:\\s+${parent}$`, "m").test(status) && /^NSpid:.*\s1$/m.test(status);
  });
  return Number(child ?? 0);
}
