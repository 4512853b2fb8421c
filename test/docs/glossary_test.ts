/** The words on docs/glossary.md that the library and the command have for the same thing: there are such fields, and such options. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../cli/command_list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { longName } from "../../cli/options.ts";
import { ROOT } from "../run/project.ts";
import { programs } from "../support/programs.ts";
import { publicFace } from "../support/public_face.ts";
import { DENO } from "../support/published.ts";

const ROWS = [...readFileSync(join(ROOT, "docs/glossary.md"), "utf8").matchAll(/^\| `(\w+)\.(\w+)(?:: false)?` +\| `(--[a-z-]+)` +\|/gm)]
  .map(([, type, field, option]) => ({ type: type!, field: field!, option: option! }));

const OPTIONS = new Set([monitor, ...COMMANDS].flatMap((command) => Object.keys(command.options).map(longName)));
const needs = { ...programs(DENO), timeout: 120_000 };

test("fields and options that have different names exist", needs, async () => {
  assert(ROWS.length > 15, `${ROWS.length}`);
  const symbols = await publicFace();
  const offences = ROWS.flatMap(({ type, field, option }) => {
    const fields = symbols.filter(({ name }) => name === type).flatMap(({ declarations }) => declarations[0]!.def?.properties ?? []);
    return [
      ...fields.some(({ name }) => name === field) ? [] : [`${type} has no ${field}`],
      ...OPTIONS.has(option) ? [] : [`no command has ${option}`],
      ...longName(field) === option ? [`${field} is ${option}, as it should be: it needs no row`] : [],
    ];
  });
  assertEquals(offences, []);
});

/** What the command gives itself, instead of its user. */
const OF_PROGRAMS = new Set(["signal", "onWarning", "onFamily", "devices"]);

test("every field of sampling and listening has an option of the same name, or a row", needs, async () => {
  const missing = (await publicFace()).filter(({ name }) => ["SamplingOptions", "ListenOptions"].includes(name)).flatMap((symbol) =>
    symbol.declarations[0]!.def!.properties!.map(({ name }) => name)
      .filter((field) => !OF_PROGRAMS.has(field) && !OPTIONS.has(longName(field)))
      .filter((field) => !ROWS.some((row) => row.type === symbol.name && row.field === field))
      .map((field) => `${symbol.name}.${field} is not an option: give it a row`)
  );
  assertEquals(missing, []);
});
