/** Makes Wireshark find psample: a file in its folder of extcaps that starts `psample extcap`. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { EnvironmentName } from "../../src/sys/sys.ts";
import { shellWord } from "../../src/wire/text.ts";
import { UsageError } from "../options.ts";
import { VERSION } from "../version.ts";

/** The name of the file: Wireshark lists the interfaces of every executable in the folder. */
const NAME = "psample";
/** By this line a file of ours is recognised. */
const MARK = "# Made by psample extcap --install.";

/**
 * The folders of one user, of which a Wireshark reads one: since 4.2 the first. Source: init_extcap_pers_dir() in wsutil/filesystem.c of
 * Wireshark, and of 4.0 get_extcap_dir(), which looks into the folder of the settings.
 */
export function personalFolders(environment: (name: EnvironmentName) => string | undefined): string[] {
  const own = environment("WIRESHARK_EXTCAP_DIR");
  if (own) return [own];
  const home = environment("HOME");
  if (!home) throw new UsageError("HOME is not set: name the folder (usage: psample extcap --install DIRECTORY)");
  const settings = environment("WIRESHARK_CONFIG_DIR") || join(environment("XDG_CONFIG_HOME") || join(home, ".config"), "wireshark");
  return [join(home, ".local/lib/wireshark/extcap"), join(settings, "extcap")];
}

/** The words that start `psample extcap` as this program was started, from any directory and whatever is in that: SECURITY.md explains them. */
export function ownWords(): string[] {
  const { execPath } = process;
  const runtime = /^(deno|bun)/.exec(basename(execPath))?.[1];
  if (runtime === undefined) return [execPath, "extcap"];
  // In the form for npm, this file is JavaScript.
  const main = new URL(import.meta.url.endsWith(".js") ? "./main.js" : "./main.ts", import.meta.url);
  // From JSR, the command is what has a name there.
  const program = main.protocol === "file:" ? [fileURLToPath(main)] : [`jsr:@psample/psample@${VERSION}/cli`, "extcap"];
  if (runtime === "deno") return [execPath, "run", "--quiet", "--no-prompt", "--allow-ffi", "--allow-read", "--allow-write", ...program];
  const settings = fileURLToPath(new URL("../../tsconfig.json", import.meta.url));
  const override = existsSync(settings) ? [`--tsconfig-override=${settings}`] : [];
  return [execPath, "--config=/dev/null", "--no-env-file", ...override, ...program];
}

/** Whether a file was written here, and is not a program that has the mark in its code. */
function isOurs(path: string): boolean {
  return statSync(path).size < 4096 && readFileSync(path, "utf8").includes(MARK);
}

/** Writes the file into each of these folders. Returns its paths. */
export function install(folders: readonly string[], words: readonly string[]): string[] {
  const paths = folders.map((folder) => join(folder, NAME));
  const foreign = paths.find((path) => existsSync(path) && !isOurs(path));
  if (foreign !== undefined) {
    throw new UsageError(`${foreign} exists, and is not from psample extcap --install: remove it, or name another folder`);
  }
  const command = words.map(shellWord).join(" ");
  for (const [i, path] of paths.entries()) {
    mkdirSync(folders[i]!, { recursive: true });
    // Put in place at once: Wireshark may start it at any time.
    const unfinished = `${path}.new`;
    writeFileSync(unfinished, `#!/bin/sh\n${MARK}\nexec ${command} "$@"\n`);
    chmodSync(unfinished, 0o755);
    renameSync(unfinished, path);
  }
  return paths;
}
