/** docs/wireshark.md says what `psample extcap` does: its interfaces, fields, controls and commands. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { extcap, NO_RIGHT } from "../../cli/commands/extcap.ts";
import { DEVICE_FIELDS, type Field, SAMPLED_FIELDS } from "../../cli/extcap/fields.ts";
import { personalFolders } from "../../cli/extcap/install.ts";
import { answerTo } from "../../cli/extcap/questions.ts";
import { commandsIn } from "../support/readme.ts";

const page = readFileSync(new URL("../../docs/wireshark.md", import.meta.url), "utf8");

/** The rows of the table below a heading, without its head. */
function rowsBelow(heading: string): string[][] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))!;
  const rows = section.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  return rows.slice(2);
}

test("its tables have the interfaces and every field of the dialog", async () => {
  const list = await answerTo(["--extcap-interfaces"]);
  for (const [display, value] of rowsBelow("Interfaces")) {
    const sentence = `interface {value=${value!.replaceAll("`", "")}}{display=${display}}`;
    // A device that every machine has.
    assertStringIncludes(list!, sentence.replaceAll("eth0", "lo"));
  }
  const fields = [DEVICE_FIELDS, SAMPLED_FIELDS].flatMap((fields) => Object.entries<Field>(fields));
  assertEquals(
    rowsBelow("Options"),
    fields.map(([key, { display, values, default: fallback, placeholder }]) => {
      return [display, `\`--${key}\``, values?.[0]?.[0] ?? fallback ?? placeholder ?? "no"];
    }),
  );
});

test("it names the folders, and the way to the right, as the program does", () => {
  for (const folder of personalFolders((name) => name === "HOME" ? "~" : undefined)) assertStringIncludes(page, `\`${folder}\``);
  const commands = [...page.matchAll(/^```sh\n([^]*?)```$/gm)].map(([, code]) => code!.trim());
  for (const command of NO_RIGHT) assert(commands.includes(command.replace("DEVICE", "eth0")), `${command} is not in ${commands}`);
});

test("its commands are those of the help, or have options that there are", () => {
  const examples = extcap.examples.map(([line]) => line);
  for (const line of commandsIn("docs/wireshark.md").flat().filter((line) => !/^sudo (-E setpriv|psample capture) /.test(line))) {
    const settings = [...line.matchAll(/ -o extcap\.psample_eth0\.(\w+):(\w+)/g)];
    if (settings.length === 0) assert(examples.includes(line), line);
    for (const [, key, value] of settings) {
      const field: Field | undefined = DEVICE_FIELDS[key as keyof typeof DEVICE_FIELDS];
      assert(field?.values ? field.values.some(([word]) => word === value) : field?.type === "unsigned" && /^\d+$/.test(value!), line);
    }
  }
});
