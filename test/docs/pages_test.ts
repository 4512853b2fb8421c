/** The rules for the pages of docs/: nothing in them is left to chance. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "../run/project.ts";
import { GUIDE, PAGES } from "../support/guide.ts";
import { blocksOn, commandsOn } from "../support/pages.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

test("every block of code on a page is run: by a test that names the page, or as part of the guide", () => {
  assert(GUIDE.length > 5);
  const unheld = GUIDE.flatMap((page) => {
    const blocks = blocksOn(page);
    return blocks.filter(({ language }, i) =>
      !/^(sh|ts|ts ignore)$/.test(language) && !(language === "text" && blocks[i - 1]?.language === "sh")
    );
  });
  assertEquals(unheld.map(({ page, line, language }) => `${page}:${line}: nothing runs a block of "${language}"`), []);
});

test("a block of code begins and ends with a line of three backquotes: else nothing finds it, and it is printed as text", () => {
  const wrong = PAGES.flatMap((page) => {
    return read(page).split("\n").flatMap((line, i) =>
      line.includes("```") && !/^ *```[a-z ]*$/.test(line) ? [`${page}:${i + 1}: ${line}`] : []
    );
  });
  assertEquals(wrong, []);
});

test("every command on these pages is one that the tests type", () => {
  const others = GUIDE.flatMap((page) => commandsOn(page).map(({ command }) => ({ page, command })))
    .filter(({ command }) => !/^(psample|tc|kill)( |$)/.test(command));
  assertEquals(others, []);
});

test("what a page links to exists, and so does every file of the project that it names", () => {
  const wrong = PAGES.flatMap((page) => {
    const text = read(page);
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)].map(([, path]) => join(dirname(page), path!));
    const named = [...text.matchAll(/`((?:src|cli|test|docs|examples)\/[\w./-]+)`/g)].map(([, path]) => path!);
    return [...links, ...named].filter((path) => !existsSync(join(ROOT, path))).map((path) => `${page}: ${path}`);
  });
  assertEquals(wrong, []);
});

test("every page is linked from the README, or from one that is", () => {
  // Nobody looks for a page in the changelog.
  const seen = new Set(["CHANGELOG.md"]);
  const follow = (page: string): void => {
    if (seen.has(page) || !existsSync(join(ROOT, page))) return;
    seen.add(page);
    for (const [, path] of read(page).matchAll(/\]\((?!https?:)([^)#\s]+\.md)/g)) follow(join(dirname(page), path!));
  };
  follow("README.md");
  assertEquals(PAGES.filter((page) => !seen.has(page)), []);
});

test("every decision has the same form, on half a page, and is in the list", () => {
  const decisions = PAGES.filter((page) => /^docs\/adr\/\d/.test(page));
  assert(decisions.length >= 5);
  const list = [...read("docs/adr/README.md").matchAll(/^(\d+)\. \[(.*)\]\((.*)\)$/gm)].map((
    [, number, title, file],
  ) => [`docs/adr/${file}`, `# ${number}. ${title}`]);
  assertEquals(decisions.map((page) => [page, read(page).split("\n")[0]]), list);
  for (const page of decisions) {
    const text = read(page);
    assertEquals([...text.matchAll(/^\*\*(\w+)\.\*\*/gm)].map(([, part]) => part), ["Context", "Decision", "Consequences", "Where"], page);
    assert(text.split("\n").length <= 30, page);
  }
});
