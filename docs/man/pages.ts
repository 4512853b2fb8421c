/**
 * The manual pages: what commands and options are comes from the same tables as the help, the rest from the files of prose beside this one
 * (`NAME.mdoc`).
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Description } from "../../cli/command.ts";
import { COMMANDS } from "../../cli/command_list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { EXPORT_OPTIONS, NOT_IN_CONFIG } from "../../cli/commands/export_options.ts";
import { longName, type Option, type OptionTable } from "../../cli/options.ts";
import { TC_HELP } from "../../cli/tc/mod.ts";
import { SCREEN_KEYS } from "../../cli/top/screen.ts";
import { BYTE_NAMES, ETHER_TYPES, IP_PROTOCOL_NUMBERS, PORTS } from "../../src/filter/language/names.ts";
import { REFUSED } from "../../src/filter/language/words.ts";
import { PROTOCOLS } from "../../src/filter/language/tree.ts";
import { escapeTyped, literal, macroWords, names, paragraph, textBlock, usageLines } from "./mdoc.ts";

/** One page. */
export interface Page {
  /** Its name, as for man(1): `psample-capture`. */
  readonly name: string;
  /** The section of the manual: 8 for commands. */
  readonly section: number;
  /** Its source, in mdoc. */
  readonly text: string;
}

/** A part of a page, with its heading. */
interface Part {
  readonly heading: string;
  /** Its lines, without the heading. */
  readonly text: string;
}

/** The conventional order of sections, from mdoc(7); all others come after the options. */
const ORDER =
  "NAME,SYNOPSIS,DESCRIPTION,OPTIONS,COMMANDS,,ENVIRONMENT,FILES,EXIT STATUS,EXAMPLES,DIAGNOSTICS,ERRORS,SEE ALSO,STANDARDS,CAVEATS"
    .split(",");

/** All pages. */
export function manualPages(): Page[] {
  return [commandPage(monitor), ...COMMANDS.map(commandPage), configPage(), filterPage(), libraryPage()];
}

function commandPage(command: Description): Page {
  const { name, summary, usage, about, options, examples } = command;
  const page = name === "" ? "psample" : `psample-${name}`;
  const parts: Part[] = [
    { heading: "NAME", text: nameLines(page, name === "" ? "print, record and explain Linux packet samples" : summary) },
    { heading: "SYNOPSIS", text: `.Nm psample\n${usageLines(usage)}` },
    { heading: "DESCRIPTION", text: paragraph(about) },
    ...Object.keys(options).length === 0 ? [] : [{ heading: "OPTIONS", text: optionList(options) }],
    ...name === "" ? [{ heading: "COMMANDS", text: commandList() }] : [],
    ...ownParts(name),
    { heading: "EXAMPLES", text: exampleList(examples) },
  ];
  return { name: page, section: 8, text: source(page, 8, [...parts, ...prose(page)]) };
}

/** The page about the file of `psample export --config`. */
function configPage(): Page {
  const name = "psample-export.conf";
  const options = Object.fromEntries(Object.entries(EXPORT_OPTIONS).filter(([key]) => !NOT_IN_CONFIG.has(key)));
  const heading = { heading: "NAME", text: nameLines(name, "configuration of psample export") };
  return { name, section: 5, text: source(name, 5, [heading, { heading: "OPTIONS", text: settingList(options) }, ...prose(name)]) };
}

function filterPage(): Page {
  const name = "psample-filter";
  const named = list([
    ["Protocols", names(PROTOCOLS)],
    ["Ports", names([...PORTS.keys()])],
    ["Protocols of IP, after proto", names([...IP_PROTOCOL_NUMBERS.keys()])],
    ["EtherTypes, after ether proto", names([...ETHER_TYPES.keys()])],
    ["Bytes of a header and their values", names([...BYTE_NAMES.keys()])],
  ]);
  const refused = list([...REFUSED].map(([word, why]) => [`Cm ${word}`, paragraph(sentence(why))]));
  const parts = [{ heading: "NAMED VALUES", text: named }, { heading: "WORDS THAT ARE REFUSED", text: refused }];
  return { name, section: 7, text: source(name, 7, [...prose(name), ...parts]) };
}

function libraryPage(): Page {
  const name = "psample-library";
  return { name, section: 3, text: source(name, 3, prose(name)) };
}

/** Parts that only some commands have, from their own tables. */
function ownParts(name: string): Part[] {
  if (name === "top") return [{ heading: "KEYS AND SIGNS", text: list(SCREEN_KEYS.filter(([key]) => key !== "").map(keyRow)) }];
  return name === "tc" ? [{ heading: "GRAMMAR", text: literal(TC_HELP.split("\n"), "0n") }] : [];
}

function keyRow([key, what]: readonly [string, string]): [string, string] {
  return [macroWords(key), paragraph(sentence(what))];
}

function nameLines(name: string, summary: string): string {
  return `.Nm ${name}\n.Nd ${macroWords(summary)}\n`;
}

/** The whole source of a page; parts with the same heading become one. */
function source(name: string, section: number, parts: readonly Part[]): string {
  const texts = new Map<string, string>();
  for (const { heading, text } of parts) {
    const before = texts.get(heading);
    texts.set(heading, before === undefined ? text : `${before}.Pp\n${text}`);
  }
  const place = (heading: string): number => ORDER.indexOf(ORDER.includes(heading) ? heading : "");
  const sorted = [...texts].sort(([a], [b]) => place(a) - place(b));
  const head =
    `.\\" Made by deno task man from the tables of options: do not edit.\n.Dd ${pageDate()}\n.Dt ${name.toUpperCase()} ${section}\n`;
  return `${head}.Os\n${sorted.map(([heading, text]) => `.Sh ${heading}\n${text}`).join("")}`;
}

/** The date of the release, as mdoc writes it; before that SOURCE_DATE_EPOCH, or today. */
function pageDate(): string {
  const changes = readFileSync(new URL("../../CHANGELOG.md", import.meta.url), "utf8");
  const released = /^## \S+ \((\d{4}-\d\d-\d\d)\)/m.exec(changes)?.[1];
  const epoch = process.env.SOURCE_DATE_EPOCH;
  const date = released ? new Date(released) : epoch ? new Date(Number(epoch) * 1000) : new Date();
  const month = date.toLocaleString("en", { month: "long", timeZone: "UTC" });
  return `${month} ${date.getUTCDate()}, ${date.getUTCFullYear()}`;
}

/** The parts of a file of prose. What precedes the first heading belongs to the description. */
function prose(name: string): Part[] {
  const text = readFileSync(new URL(`${name}.mdoc`, import.meta.url), "utf8").replace(/^\.\\".*\n/gm, "")
    .replace(/^\.\.include (\S+)\n/gm, (_, file: string) => readFileSync(new URL(file, import.meta.url), "utf8"));
  return `.Sh DESCRIPTION\n${text}`.split(/^\.Sh /m).slice(1).map((part) => {
    const end = part.indexOf("\n");
    const [heading, lines] = [part.slice(0, end), part.slice(end + 1)];
    return { heading, text: heading === "SEE ALSO" ? sortedPages(lines) : lines };
  }).filter((part) => part.text !== "");
}

/** References in their conventional order: by section, then by name. */
function sortedPages(lines: string): string {
  const pages = [...lines.matchAll(/^\.Xr (\S+) (\d)/gm)].map(([, name, section]) => ({ name: name!, section: Number(section) }));
  pages.sort((a, b) => a.section - b.section || (a.name < b.name ? -1 : 1));
  return pages.map(({ name, section }, i) => `.Xr ${name} ${section}${i < pages.length - 1 ? " ," : ""}\n`).join("");
}

function optionList(options: OptionTable): string {
  return list(
    Object.entries(options).map(([key, option]) => {
      const { letter, value } = option;
      const names = [...letter ? [`Fl ${letter}`] : [], `Fl ${escapeTyped(longName(key).slice(1))}`].join(" , ");
      return [`${names}${value ? ` Ar ${macroWords(value)}` : ""}`, optionText(option)];
    }),
  );
}

function settingList(options: OptionTable): string {
  return list(
    Object.entries(options).map(([key, option]) => [
      `Cm ${escapeTyped(longName(key).slice(2))}${option.value ? ` Ar ${macroWords(option.value)}` : ""}`,
      optionText(option),
    ]),
  );
}

/** The line of an option as a sentence, and its details. */
function optionText({ help, fallback, details }: Option<unknown>): string {
  return `${paragraph(sentence(`${help}${fallback ? ` (default: ${fallback})` : ""}`))}${textBlock(details)}`;
}

/** A line of the help as a sentence. */
function sentence(line: string): string {
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}.`;
}

function commandList(): string {
  const rows = COMMANDS.map(({ name, summary }): [string, string] => {
    return [`Cm ${name}`, `${paragraph(sentence(summary))}.Xr psample-${name} 8\ndescribes it.\n`];
  });
  return list(rows);
}

function exampleList(examples: Description["examples"]): string {
  return list(examples.map(([line, what]) => [`Li ${macroWords(line)}`, paragraph(sentence(what))]));
}

/** A list of terms, each with its text. */
function list(rows: readonly (readonly [string, string])[]): string {
  return `.Bl -tag -width Ds\n${rows.map(([term, text]) => `.It ${term}\n${text}`).join("")}.El\n`;
}
