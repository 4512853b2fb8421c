/** The systemd units in examples/: systemd understands them, and says how much their sandboxes leave exposed. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { inDirectory } from "./support/directory.ts";
import { filesOn } from "./support/pages.ts";
import { output, programs } from "./support/programs.ts";

const UNIT = "psample-export.service";
const DROP_IN = join(`${UNIT}.d`, "collectors.conf");
const needed = programs("systemd-analyze");

/** How much is exposed, from 0 to 10, by a unit that no drop-in changes but those beside it. */
function exposure(file: string): number {
  const { out, err } = output("systemd-analyze", "security", "--offline=true", file);
  const [, level] = /Overall exposure level for \S+: ([\d.]+)/.exec(out) ?? [];
  assert(level !== undefined, out + err);
  return Number(level);
}

test(
  "psample-export.service exposes at most 1.6 as shipped, and 1.5 with the drop-in that names the collectors",
  needed,
  inDirectory((path) => {
    cpSync(join(ROOT, "examples", UNIT), path(UNIT));
    assert(exposure(path(UNIT)) <= 1.6);
    mkdirSync(path(`${UNIT}.d`));
    cpSync(join(ROOT, "examples", DROP_IN), path(DROP_IN));
    assert(exposure(path(UNIT)) <= 1.5);
  }),
);

for (const unit of [UNIT, "psample.service"]) {
  test(
    `systemd has nothing to say about ${unit}`,
    needed,
    inDirectory((path) => {
      const text = readFileSync(join(ROOT, "examples", unit), "utf8");
      // The command is not installed here.
      writeFileSync(path(unit), text.replace(/\/usr\/(local\/)?bin\/psample/g, "/bin/true"));
      const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--recursive-errors=no", path(unit)], { encoding: "utf8" });
      assertEquals([status, stderr.split("\n").filter((line) => line.includes(unit))], [0, []]);
    }),
  );
}

test(
  "systemd has nothing to say about the timer of psample-record@.service either, nor about the drop-ins in docs/recipes.md",
  needed,
  inDirectory((path) => {
    for (const kind of ["service", "timer"]) {
      const unit = `psample-record@.${kind}`;
      const text = readFileSync(join(ROOT, "examples", unit), "utf8");
      // Neither the command nor its manual pages are installed here.
      writeFileSync(path(unit), text.replace(/\/usr\/bin\/psample/g, "/bin/true"));
      mkdirSync(path(`${unit}.d`));
      const dropIn = filesOn("docs/recipes.md").get(`/etc/systemd/system/${unit}.d/settings.conf`);
      assert(dropIn !== undefined, unit);
      writeFileSync(path(`${unit}.d/settings.conf`), dropIn!);
    }
    const units = ["service", "timer"].map((kind) => path(`psample-record@.${kind}`));
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", ...units], {
      encoding: "utf8",
    });
    assertEquals([status, stderr.split("\n").filter((line) => line.includes("psample"))], [0, []]);
  }),
);

test("psample-record@.service exposes at most 1.2", needed, () => {
  assert(exposure(join(ROOT, "examples/psample-record@.service")) <= 1.2);
});

test("the service may do nothing but what psample needs", () => {
  const text = readFileSync(join(ROOT, "examples", UNIT), "utf8");
  assertMatch(text, /^AmbientCapabilities=CAP_NET_ADMIN$/m);
  assertMatch(text, /^CapabilityBoundingSet=CAP_NET_ADMIN$/m);
  assertMatch(text, /^RestrictAddressFamilies=AF_NETLINK AF_INET AF_INET6 AF_UNIX$/m);
});
