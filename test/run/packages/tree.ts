/** What is installed beside the compiled file, in packages and in tarballs. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { COMPLETION_SCRIPTS } from "../../../cli/commands/completions.ts";
import { manualPages } from "../../../docs/man/pages.ts";
import { ROOT } from "../project.ts";
import { RECORDINGS, SERVICES } from "./recipe.ts";
import type { InstalledFile, Tree } from "./tarball.ts";

const PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"];

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(join(ROOT, path)));
const file = (content: Uint8Array, mode = 0o644): InstalledFile => ({ mode, content });

/** A file that is text. */
export const textFile = (content: string, mode = 0o644): InstalledFile => file(new TextEncoder().encode(content), mode);

/** The pages in docs/ and the files in examples/ with their paths in the project: README.md links to them. */
function documentation(): [string, InstalledFile][] {
  return ["docs", "examples"].flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length))
      // The manual pages are made of these, and installed as such.
      .filter((path) => !path.startsWith("docs/man/"))
  ).map((path) => [path, file(read(path))]);
}

/** The content of a tarball, which is used where it is unpacked. */
export function portableTree(program: Uint8Array): Tree {
  return new Map<string, InstalledFile>([
    ["psample", file(program, 0o755)],
    ...PAGES.map((name): [string, InstalledFile] => [name, file(read(name))]),
    ...documentation(),
    ...manualPages().map((
      { name, section, text: page },
    ): [string, InstalledFile] => [`man/man${section}/${name}.${section}`, textFile(page)]),
    ["completions/psample.bash", textFile(COMPLETION_SCRIPTS.bash)],
    ["completions/_psample", textFile(COMPLETION_SCRIPTS.zsh)],
    ["completions/psample.fish", textFile(COMPLETION_SCRIPTS.fish)],
  ]);
}

/** A group without members: the administrator may let only its members execute the command (SECURITY.md). */
const SYSUSERS = `# Nothing uses it until the administrator decides that only its members may execute psample: SECURITY.md, "Without root".
g psample -
`;

/** The content of a package of a distribution, below the root directory. */
export function systemTree(program: Uint8Array): Tree {
  const doc = "usr/share/doc/psample";
  const unit = (name: string): InstalledFile =>
    textFile(new TextDecoder().decode(read(`examples/${name}`)).replaceAll("/usr/local/bin/psample", "/usr/bin/psample"));
  return new Map<string, InstalledFile>([
    ["usr/bin/psample", file(program, 0o755)],
    ["etc/psample/export.conf", file(read("docs/export.conf"))],
    ["usr/lib/sysusers.d/psample.conf", textFile(SYSUSERS)],
    ...[...SERVICES, ...RECORDINGS].map((name): [string, InstalledFile] => [`usr/lib/systemd/system/${name}`, unit(name)]),
    ...PAGES.filter((name) => name !== "LICENSE").map((name): [string, InstalledFile] => [`${doc}/${name}`, file(read(name))]),
    [`${doc}/copyright`, textFile(copyright())],
    ...documentation().map(([path, content]): [string, InstalledFile] => [`${doc}/${path}`, content]),
    ...manualPages().map(({ name, section, text: page }): [string, InstalledFile] => {
      return [`usr/share/man/man${section}/${name}.${section}.gz`, file(gzipSync(page, { level: 9 }))];
    }),
    ["usr/share/bash-completion/completions/psample", textFile(COMPLETION_SCRIPTS.bash)],
    // Where Debian's zsh looks, and where all others do.
    ["usr/share/zsh/vendor-completions/_psample", textFile(COMPLETION_SCRIPTS.zsh)],
    ["usr/share/zsh/site-functions/_psample", textFile(COMPLETION_SCRIPTS.zsh)],
    ["usr/share/fish/vendor_completions.d/psample.fish", textFile(COMPLETION_SCRIPTS.fish)],
  ]);
}

/** Debian's copyright file, in its machine-readable format; rpm packages have it too. */
function copyright(): string {
  const license = new TextDecoder().decode(read("LICENSE")).trimEnd().split("\n").map((line) => line.trim() === "" ? " ." : ` ${line}`);
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: psample
Comment: The executable also contains Bun (MIT, with parts under other licences: https://bun.sh/docs/project/license), and @std/text (MIT).

Files: *
Copyright: the psample authors
License: Apache-2.0

License: Apache-2.0
${license.join("\n")}
`;
}

/** Writes the files of a tree below a directory. */
export function writeTree(tree: Tree, directory: string): void {
  // The modes are those of the package, not what the user of this machine prefers.
  const umask = process.umask(0o022);
  try {
    for (const [path, { mode, content }] of tree) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), content, { mode });
    }
  } finally {
    process.umask(umask);
  }
}

/** The size of the files, in bytes. */
export function sizeOf(tree: Tree): number {
  return [...tree.values()].reduce((sum, { content }) => sum + content.length, 0);
}
