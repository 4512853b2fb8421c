/** The help: made from the descriptions of commands and options, for a terminal of 80 columns. */
import type { Description } from "./command.ts";
import { longName, type Option, type OptionTable } from "./options.ts";

const COLUMNS = 79;

/** The help of a command; the long form includes the details of each option. */
export function commandHelp({ usage, about, options, examples }: Description, long = false): string {
  const list = Object.keys(options).length === 0 ? "" : `\nOptions:\n${long ? longOptions(options) : optionTable(options)}`;
  const lines = examples.map(([line, what]) => `  ${line}\n${what ? wrap(what, 6) : ""}`).join("");
  return `Usage: psample ${usage}\n\n${wrap(about)}${list}\nExamples:\n${lines}`;
}

/** The help of one option: its line and its details. */
export function optionHelp(key: string, option: Option<unknown>): string {
  const [left, right] = row(key, option);
  return `  ${left.trim()}\n${wrap(sentence(right), 6)}${indent(option.details, 6)}`;
}

function longOptions(options: OptionTable): string {
  return Object.entries(options).map(([key, option]) => optionHelp(key, option)).join("\n");
}

function optionTable(options: OptionTable): string {
  return table(Object.entries(options).map(([key, option]) => row(key, option)));
}

function row(key: string, { letter, value, help, fallback }: Option<unknown>): [string, string] {
  const left = `${letter ? `-${letter}, ` : "    "}${longName(key)}${value ? ` ${value}` : ""}`;
  return [left, fallback ? `${help} (default: ${fallback})` : help];
}

function sentence(line: string): string {
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}.`;
}

/** Wraps paragraphs; those that are indented already keep their lines. */
function indent(text: string, margin: number): string {
  return text.split("\n\n").map((paragraph) => {
    if (!/^ /.test(paragraph)) return wrap(paragraph, margin);
    return paragraph.split("\n").map((line) => `${" ".repeat(margin)}${line}\n`).join("");
  }).join("\n");
}

/** Two columns, the second wrapped. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 4;
  return rows.map(([left, right]) => `  ${left.padEnd(width - 2)}${wrap(right, width).trimStart()}`).join("");
}

/** Text in indented lines of less than 80 columns. */
export function wrap(text: string, indent = 0): string {
  const margin = " ".repeat(indent);
  const lines: string[] = [];
  let line = margin;
  for (const word of text.split(/\s+/)) {
    if (line !== margin && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = margin;
    }
    line += line === margin ? word : ` ${word}`;
  }
  return [...lines, line].map((line) => `${line}\n`).join("");
}
