/** The commands of the guide that need no kernel, typed unchanged: they print exactly what the pages show. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "../run/project.ts";
import { installCommand } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { GUIDE, worksAnywhere } from "../support/guide.ts";
import { commandsOn } from "../support/pages.ts";

const RUNTIME = "Bun" in globalThis ? [process.execPath] : [process.execPath, "run", "--no-check", "-A"];

for (const page of GUIDE) {
  test(
    `${page}: commands that need no kernel print what the page shows`,
    { timeout: 120_000 },
    inDirectory((path) => {
      installCommand(path("psample"), [...RUNTIME, join(ROOT, "cli/main.ts")]);
      const env = { ...process.env, PATH: `${path("")}:${process.env.PATH}`, TZ: "UTC", NO_COLOR: "1" };
      for (const { command, shown } of commandsOn(page)) {
        if (!worksAnywhere(command, readdirSync(path("")))) continue;
        const ended = spawnSync("sh", ["-c", `{ ${command}; } 2>&1`], { cwd: path(""), env, encoding: "utf8" });
        // Lines of CSV end with CR LF, which no page contains.
        const stdout = ended.stdout.replaceAll("\r\n", "\n");
        assertEquals(ended.status, 0, `${command}: ${stdout}`);
        // What the page leaves out is between the parts that it shows.
        let at = 0;
        for (const part of (shown ?? "").split(/^\.\.\.\n/m).filter((part) => part !== "")) {
          const found = stdout.indexOf(part, at);
          assert(found >= 0, `${page}: ${command}: the page shows\n${part}\nbut this is what was printed:\n${stdout}`);
          at = found + part.length;
        }
        // Without that the page shows all.
        if (shown !== undefined && !/^\.\.\.$/m.test(shown)) assertEquals(stdout, shown, command);
      }
    }),
  );
}

test("there are such commands", () => {
  const typed = GUIDE.flatMap((page) => commandsOn(page)).filter(({ command }) => worksAnywhere(command, ["samples.pcapng"]));
  assert(typed.length >= 8, `${typed.length}`);
});
