/** Packages for Fedora, RHEL, SUSE and the like, made by rpmbuild. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CACHE } from "../install.ts";
import { END_SERVICES, type PackageOptions, runTool, SERVICES, SUMMARY, TEXT } from "./recipe.ts";
import type { Tree } from "./tarball.ts";
import { writeTree } from "./tree.ts";

/** What a package says about itself, and how it is made. */
export type RpmOptions = PackageOptions<"x86_64" | "aarch64">;

/** Where rpm's settings are if it was unpacked and not installed (test/tools/programs). */
const UNPACKED = join(CACHE, "psample-programs/tree/usr/lib/rpm");

/** For the environment of rpm's programs: where their settings are. */
export const RPM_ENVIRONMENT: Record<string, string> = !existsSync("/usr/lib/rpm/rpmrc") && existsSync(UNPACKED)
  ? { RPM_CONFIGDIR: UNPACKED }
  : {};

/** What it installs, how, and what rpm runs: a service is not started by installing it, but one that runs goes on with the new version. */
function spec(tree: Tree, { version, architecture, maintainer, fast }: RpmOptions): string {
  const files = [...tree.keys()].sort().map((path) => {
    const kind = path.startsWith("etc/") ? "%config(noreplace) " : path.startsWith("usr/share/doc/") ? "%doc " : "";
    const { mode } = tree.get(path)!;
    return `%attr(${mode.toString(8)}, root, root) ${kind}"/${path}"`;
  });
  // All others belong to the system.
  const directories = [...new Set([...tree.keys()].map(dirname))].filter((path) => /^(etc|usr\/share\/doc)\/psample/.test(path)).sort();
  return `# Stripping removes the program, and leaves the runtime.
%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
# The same sources make the same package.
%global _buildhost localhost
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global _binary_payload ${fast ? "w.ufdio" : "w10.zstdio"}

Name: psample
Version: ${version.replaceAll("-", "~")}
Release: 1
Summary: ${SUMMARY}
License: Apache-2.0 AND MIT
Packager: ${maintainer}
AutoReqProv: no
Requires: libc.so.6(GLIBC_2.17)(64bit)
Recommends: kmod

%description
${TEXT.join("\n")}

%install
cp -a %{_sourcedir}/root/. %{buildroot}/

%post
if command -v systemd-sysusers >/dev/null; then systemd-sysusers psample.conf; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

%preun
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
  ${END_SERVICES}
fi

%postun
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ "$1" != 0 ]; then systemctl try-restart ${SERVICES.join(" ")}; fi
fi

%files
# For ${architecture}.
${directories.map((path) => `%dir %attr(755, root, root) "/${path}"`).join("\n")}
${files.join("\n")}
`;
}

/** Makes a package of a tree. */
export function makeRpm(tree: Tree, output: string, options: RpmOptions): void {
  const directory = mkdtempSync(join(tmpdir(), "psample-rpm-"));
  try {
    mkdirSync(join(directory, "SOURCES"));
    writeTree(tree, join(directory, "SOURCES/root"));
    writeFileSync(join(directory, "psample.spec"), spec(tree, options));
    const { architecture, seconds } = options;
    const words = [
      "-bb",
      "--quiet",
      "--target",
      `${architecture}-linux`,
      "--define",
      `_topdir ${directory}`,
      "--define",
      `_tmppath ${directory}`,
    ];
    runTool("rpmbuild", [...words, join(directory, "psample.spec")], {
      ...RPM_ENVIRONMENT,
      SOURCE_DATE_EPOCH: `${seconds}`,
      HOME: directory,
    });
    const [name] = readdirSync(join(directory, "RPMS", architecture));
    copyFileSync(join(directory, "RPMS", architecture, name!), output);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
