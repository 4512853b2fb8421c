/** sudo in a guest: Debian's package, which only works where it belongs and as root's. */
import { chmodSync, cpSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "./scene.ts";

const SUDO = "/usr/bin/sudo";
const FILES = ["usr/bin/sudo", "usr/libexec/sudo", "etc/sudoers", "etc/pam.d/sudo"];

/** Installs it, unless the machine has it. What is written stays in the guest. */
export function installSudo(): void {
  if (!existsSync(SUDO)) {
    // test/tools/programs has unpacked it beside the directory that is in PATH.
    const tree = join(dirname(run("sh", ["-c", "command -v sudo"]).trim()), "../tree");
    for (const file of FILES) cpSync(join(tree, file), `/${file}`, { recursive: true, verbatimSymlinks: true });
    chmodSync(SUDO, 0o4755);
    chmodSync("/etc/sudoers", 0o440);
  }
  mkdirSync("/etc/sudoers.d", { recursive: true });
}
