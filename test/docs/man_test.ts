/** The manual pages: mandoc has nothing to say about their source, man shows them, and they have every option of every command. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { COMMANDS } from "../../cli/command_list.ts";
import { EXPORT_OPTIONS, NOT_IN_CONFIG } from "../../cli/commands/export_options.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { longName } from "../../cli/options.ts";
import { writePages } from "../../docs/man/make.ts";
import { escapeText, macroWords, paragraph, textBlock, usageLines } from "../../docs/man/mdoc.ts";
import { manualPages } from "../../docs/man/pages.ts";
import * as library from "../../mod.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { parseFilter } from "../../src/filter/language/parse.ts";
import { has } from "../run/install.ts";
import { inDirectory } from "../support/directory.ts";
import { output, programs } from "../support/programs.ts";

const PAGES = manualPages();
/** The man(1) of this machine, or that of mandoc. */
const MAN = has("man") ? "man" : "mman";

function sourceOf(name: string): string {
  return PAGES.find((page) => page.name === name)!.text;
}

/** A page as it is shown, in lines that are not divided. */
function shown(directory: string, section: number, name: string): string {
  const { stdout, stderr, status } = spawnSync(MAN, ["-M", directory, `${section}`, name], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8", MANPAGER: "cat", PAGER: "cat", MANWIDTH: "80", TERM: "dumb" },
  });
  // mandoc's man(1) looks for an index, and does without.
  assertEquals([status, stderr.replace(/^mman: outdated mandoc.db .*\n/gm, "")], [0, ""], name);
  // Letters that are struck twice, or underlined, where there is no other way to emphasise them.
  return stdout.replace(/.[\b]/g, "");
}

/** Text without what the formatter decides: where lines end, how wide gaps are, which signs are typographic. */
function words(text: string): string {
  const plain = text.replace(/[\u2010\u00ad]\n\s*/g, "").replace(/[\u2010\u2212]/g, "-").replace(/[\u2018\u2019]/g, "'");
  return plain.replace(/[\u201c\u201d]/g, '"').replace(/-\s+/g, "-").replace(/\s+/g, " ");
}

test("every command has a page, and so have the file, the language and the library", () => {
  assertEquals(PAGES.map(({ name, section }) => `${name}(${section})`), [
    "psample(8)",
    ...COMMANDS.map(({ name }) => `psample-${name}(8)`),
    "psample-export.conf(5)",
    "psample-filter(7)",
    "psample-library(3)",
  ]);
});

test(
  "mandoc has nothing to say about the pages, but that some that they refer to are not installed",
  programs("mandoc"),
  inDirectory((path) => {
    const { out } = output("mandoc", "-T", "lint", ...writePages(path("")));
    const messages = out.split("\n").filter((line) => line !== "" && !/STYLE: referenced manual not found/.test(line));
    assertEquals(messages, []);
  }),
);

test("a page refers only to pages that exist", () => {
  const own = new Set(PAGES.map(({ name, section }) => `${name} ${section}`));
  for (const { name, text } of PAGES) {
    const pages = [...text.matchAll(/^\.Xr (psample\S*) (\d)/gm)].map(([, page, section]) => `${page} ${section}`);
    assertEquals(pages.filter((page) => !own.has(page)), [], name);
  }
});

test(
  "man shows every option of every command, with what it does",
  programs(MAN),
  inDirectory((path) => {
    writePages(path(""));
    for (const { name, options, about, examples } of [monitor, ...COMMANDS]) {
      const page = name === "" ? "psample" : `psample-${name}`;
      const text = shown(path(""), 8, page);
      const flat = words(text);
      assertStringIncludes(flat, words(about), page);
      for (const [example] of examples) assertStringIncludes(flat, words(example), page);
      for (const [key, { letter, value, help, details }] of Object.entries(options)) {
        const term = `     ${letter ? `-${letter}, ` : ""}${longName(key)}${value ? ` ${value}` : ""}`;
        assert(text.split("\n").some((line) => line === term || line.startsWith(`${term}  `)), `${page} has no line ${term}`);
        assertStringIncludes(flat.toLowerCase(), words(help).toLowerCase(), `${page} ${key}`);
        // Names in backticks are emphasised.
        assertStringIncludes(flat, words(details.replaceAll("`", "")), `${page} ${key}`);
      }
    }
  }),
);

test(
  "man shows every page in 80 columns",
  programs(MAN),
  inDirectory((path) => {
    writePages(path(""));
    for (const { name, section } of PAGES) {
      assertEquals(shown(path(""), section, name).split("\n").filter((line) => line.length > 80), [], name);
    }
  }),
);

test("psample-export.conf(5) has every option that the file may have, and no other", () => {
  const terms = [...sourceOf("psample-export.conf").matchAll(/^\.It Cm (\S+)/gm)].map(([, term]) => term!.replaceAll("\\-", "-"));
  assertEquals(terms, Object.keys(EXPORT_OPTIONS).filter((key) => !NOT_IN_CONFIG.has(key)).map((key) => longName(key).slice(2)));
});

test("the examples of psample-filter(7) are expressions, and its list of words that are refused is right", () => {
  const text = sourceOf("psample-filter");
  const part = (heading: string): string[] => {
    const [, lines] = new RegExp(`^\\.Sh ${heading}\\n([^]*?)^\\.Sh `, "m").exec(text)!;
    return [...lines!.matchAll(/^\.It (?:Li|Cm) (.*)/gm)].map(([, words]) => words!.replaceAll("\\-", "-").replaceAll("\\&", ""));
  };
  assert(part("EXAMPLES").length >= 5);
  for (const expression of part("EXAMPLES")) assert(parseFilter(expression), expression);
  const refused = part("WORDS THAT ARE REFUSED");
  assert(refused.length >= 5);
  for (const word of refused) assertThrows(() => parseFilter(`${word} 1`), FilterError, undefined, word);
});

test("psample-library(3) names functions and errors that exist, and all entry points", () => {
  const text = sourceOf("psample-library");
  const named = [...text.matchAll(/\bFn (\w+)/g)].map(([, name]) => name!).filter((name) => name !== "lentBatches" && name !== "stats");
  const errors = [...text.matchAll(/^\.(?:It )?Li (\w+Error)/gm)].map(([, name]) => name!);
  const imported = [...text.matchAll(/^import \{ (.*) \}/gm)].flatMap(([, names]) => names!.split(", "));
  assert(named.length > 20 && errors.length > 3 && imported.length > 2);
  for (const name of [...named, ...errors, ...imported]) assert(name in library, name);
  const { exports } = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8")) as { exports: Record<string, string> };
  for (const entry of Object.keys(exports)) {
    assertMatch(text, new RegExp(`^\\.It Li @psample/psample${entry.slice(1)}$`, "m"));
  }
});

test("text becomes mdoc: nothing in it is taken for a request, and sentences begin lines", () => {
  assertEquals(escapeText("a\\b 'c' ^ ~ \u00b1 \u{1f600}"), "a\\eb \\(aqc\\(aq \\(ha \\(ti \\[u00B1] \\[u1F600]");
  assertEquals(
    paragraph(".1 is a name. Then --rate, as in tc(8). 'x'"),
    "\\&.1 is a name.\nThen\n.Fl \\-rate ,\nas in\n.Xr tc 8 .\n\\(aqx\\(aq\n",
  );
  assertEquals(paragraph("and ? explains"), "and ?\\& explains\n");
  assertEquals(macroWords('Fl is . "x" -y'), "\\&Fl is \\&. \\(dqx\\(dq \\-y");
  assertEquals(usageLines("read [-n NAME] [OPTION]... FILE|- ..."), ".Cm read\n.Op Fl n Ar NAME\n.Op Ar OPTION ...\n.Ar FILE|\\- ...\n");
  assertEquals(
    textBlock("One.\n\n  a  b\n  cc  d\n\nTwo."),
    "One.\n.Bl -tag -compact -offset 2n -width 2n\n.It Li a\nb\n.It Li cc\nd\n.El\n.Pp\nTwo.\n",
  );
});
