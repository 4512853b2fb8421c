/** Packages for Debian and its derivatives, made by dpkg-deb. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { END_SERVICES, type PackageOptions, runTool, SERVICES, SUMMARY, TEXT } from "./recipe.ts";
import type { Tree } from "./tarball.ts";
import { sizeOf, textFile, writeTree } from "./tree.ts";

/** What a package says about itself, and how it is made. */
export type DebOptions = PackageOptions<"amd64" | "arm64">;

const SCRIPT = "#!/bin/sh\nset -e\n";

/** What dpkg runs: a service is not started by installing it, but one that runs goes on with the new version. */
const SCRIPTS: Record<string, string> = {
  postinst: `${SCRIPT}if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then systemd-sysusers psample.conf; fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart ${SERVICES.join(" ")}
  fi
fi
`,
  prerm: `${SCRIPT}if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  ${END_SERVICES}
fi
`,
  postrm: `${SCRIPT}if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then
  # What the services have written: systemd keeps the directories of their users in private/.
  for name in psample psample-export psample-record; do rm -rf "/var/lib/private/$name" "/var/lib/$name"; done
  rm -rf /etc/psample
fi
`,
};

/** Makes a package of a tree. */
export function makeDeb(tree: Tree, output: string, { version, architecture, maintainer, seconds, fast }: DebOptions): void {
  const control = `Package: psample
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(sizeOf(tree) / 1024)}
Depends: libc6 (>= 2.17)
Recommends: kmod
Section: net
Priority: optional
Description: ${SUMMARY}
${TEXT.map((line) => line === "" ? " ." : ` ${line}`).join("\n")}
`;
  const conffiles = [...tree.keys()].filter((path) => path.startsWith("etc/")).map((path) => `/${path}\n`).join("");
  const directory = mkdtempSync(join(tmpdir(), "psample-deb-"));
  try {
    const scripts = Object.entries(SCRIPTS).map(([name, script]) => [`DEBIAN/${name}`, textFile(script, 0o755)] as const);
    const about = [["DEBIAN/control", textFile(control)], ["DEBIAN/conffiles", textFile(conffiles)]] as const;
    writeTree(new Map([...tree, ...about, ...scripts]), join(directory, "root"));
    const compression = fast ? ["-Znone"] : ["-Zxz"];
    runTool("dpkg-deb", ["--root-owner-group", ...compression, "--build", join(directory, "root"), output], {
      SOURCE_DATE_EPOCH: `${seconds}`,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
