/** The options that pages name with a value, such as `--buffer 128M` in a sentence: some command accepts each as it is written there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../cli/command_list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { type Option, UsageError } from "../../cli/options.ts";
import { ROOT } from "../run/project.ts";
import { PAGES } from "../support/guide.ts";

const ALL = [monitor, ...COMMANDS];

/** The options of that name, of all commands. */
function optionsNamed(name: string): Option<unknown>[] {
  const key = name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return ALL.flatMap(({ options }) => options[key] ?? []);
}

function isAccepted(option: Option<unknown>, name: string, text: string): boolean {
  if (option.value === undefined) return false;
  try {
    option.read([text], name);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** Words that stand for a value: `FILE`, `N`, `HOST`, `NAME=VALUE`. */
const STANDS_FOR_A_VALUE = /^[A-Z]+([=:][A-Z]+)?$/;

test("an option that a page names with a value accepts it", () => {
  let checked = 0;
  const wrong = ["README.md", "SECURITY.md", ...PAGES].flatMap((page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    return [...text.matchAll(/`--([a-z-]+)[ =](?:'([^'`\n]+)'|([^-\s'`][^\s'`]*))`/g)].flatMap(([written, name, quoted, bare]) => {
      const options = optionsNamed(name!);
      const value = quoted ?? bare!;
      if (options.length === 0 || STANDS_FOR_A_VALUE.test(value)) return [];
      checked++;
      return options.some((option) => isAccepted(option, `--${name}`, value)) ? [] : `${page}: ${written}`;
    });
  });
  assertEquals(wrong, []);
  assert(checked > 10, `${checked}`);
});
