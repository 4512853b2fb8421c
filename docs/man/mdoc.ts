/**
 * Plain text as mdoc, the language of manual pages: one sentence or part of one per line, references and options as macros. Source: mdoc(7)
 * of mandoc.
 */

/** What the lines of a page may have at most; mandoc warns of longer ones. */
const COLUMNS = 78;

/** An option in a text: `--rate`, `-tt`, with what follows it without a blank. */
const OPTION = /^(-{1,2}[A-Za-z][\w-]*)((?:[.,:;)?!])*)$/;
/** A page of the manual in a text: `tc(8)`. */
const PAGE = /^([A-Za-z][\w.-]*)\((\d)\)((?:[.,:;)?!])*)$/;

/** Characters that mean something to roff, or that it shows as others. */
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti" };

/** Text with nothing in it that roff would take for something else. */
export function escapeText(text: string): string {
  return text.replace(/[\\'`^~]|\P{ASCII}/gu, (character) => {
    return ESCAPES[character] ?? `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/** What is typed, such as a command line: hyphens are those of the keyboard, so that it can be copied from the page. */
export function escapeTyped(text: string): string {
  return escapeText(text).replaceAll("-", "\\-");
}

/** Words for the line of a macro: none is taken for a macro, for punctuation or for the end of quotes. */
export function macroWords(text: string): string {
  return text.split(/ +/).map((word) => {
    const escaped = escapeTyped(word).replaceAll('"', "\\(dq");
    return /^([A-Z%][A-Za-z]|[.,:;()[\]?!|])$/.test(word) ? `\\&${escaped}` : escaped;
  }).join(" ");
}

/** A line that does not begin as a request would. */
function guarded(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** Lines of literal text: a block that keeps them. */
export function literal(lines: readonly string[], offset = "2n"): string {
  return `.Bd -literal -offset ${offset}\n${lines.map((line) => `${guarded(escapeTyped(line))}\n`).join("")}.Ed\n`;
}

/** One paragraph in lines that end where a sentence does, or are full. */
export function paragraph(text: string): string {
  const lines: string[] = [];
  let line = "";
  const end = (): void => {
    if (line !== "") lines.push(guarded(line));
    line = "";
  };
  const words = text.trim().split(/\s+/);
  words.forEach((word, i) => {
    const macro = macroOf(word);
    if (macro !== undefined) {
      end();
      lines.push(macro);
      return;
    }
    const escaped = escapeWord(word);
    if (line !== "" && line.length + 1 + escaped.length > COLUMNS) end();
    line += line === "" ? escaped : ` ${escaped}`;
    if (!/[.!?][)"']*$/.test(word)) return;
    // At the end of a line it would be taken for the end of a sentence.
    if (/^[a-z]/.test(words[i + 1] ?? "")) line += "\\&";
    else end();
  });
  end();
  return lines.map((line) => `${line}\n`).join("");
}

/** Words in lines that are full. */
function filled(words: readonly string[]): string {
  const lines = [""];
  for (const word of words) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > COLUMNS) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** A word that is an option or a page of the manual, as a macro. */
function macroOf(word: string): string | undefined {
  const after = (signs: string): string => [...signs].map((sign) => ` ${sign}`).join("");
  const [, option, signs] = OPTION.exec(word) ?? [];
  if (option !== undefined) return `.Fl ${escapeTyped(option.slice(1))}${after(signs!)}`;
  const [, name, section, more] = PAGE.exec(word) ?? [];
  return name === undefined ? undefined : `.Xr ${name} ${section}${after(more!)}`;
}

/** Names of things, which are not divided at the end of a line. */
const IDENTIFIER = /[a-z][A-Z]|\w[.,:=/@_]\w/;

/**
 * A word; what is in it of options keeps the hyphens of the keyboard, names are not divided, and one in backticks is emphasised.
 */
function escapeWord(word: string): string {
  const [, before, name, after] = /^([("]*)`([\w.]+)`(.*)$/.exec(word) ?? [];
  if (name !== undefined) return `${before}\\fB${name}\\fR${escapeText(after!)}`;
  return `${IDENTIFIER.test(word) ? "\\%" : ""}${/(^|[^A-Za-z])-/.test(word) ? escapeTyped(word) : escapeText(word)}`;
}

/** Text of several paragraphs, as the help has them: those that are indented are lists, which keep their lines, or names in columns. */
export function textBlock(text: string): string {
  return text.split(/\n{2,}/).map((block, i) => {
    const gap = i > 0 ? ".Pp\n" : "";
    if (!/^ /.test(block)) return `${gap}${paragraph(block)}`;
    const lines = block.split("\n").map((line) => line.replace(/^ {2}/, ""));
    if (isColumns(lines)) return names(lines.join(" ").split(" "));
    const rows = lines.map((line) => /^(\S.*?) {2,}(\S.*)$/.exec(line));
    return rows.every((row) => row !== null) ? table(rows.map((row) => [row[1]!, row[2]!])) : literal(lines);
  }).join("");
}

/** Names, in as many lines as they need. */
export function names(all: readonly string[]): string {
  return `.Bd -ragged -offset 2n\n${filled(all.map((name) => `\\%${escapeTyped(name)}`))}.Ed\n`;
}

/** Two columns, the second of which is wrapped. */
function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return `.Bl -tag -compact -offset 2n -width ${width}n\n${
    rows.map(([left, right]) => `.It Li ${macroWords(left)}\n${paragraph(right)}`).join("")
  }.El\n`;
}

/** Whether these are only names, in as many columns as a line has room for. */
function isColumns(lines: readonly string[]): boolean {
  return lines.length > 1 && lines.slice(0, -1).every((line) => line.length > 50 && !/ {2}|, /.test(line));
}

/** The words of a usage line, as macros. */
export function usageLines(usage: string): string {
  const tokens = usage.match(/\[(?:[^[\]]|\[[^\]]*\])*\](?:\.\.\.)?|\S+/g) ?? [];
  const lines: string[] = [];
  for (const token of tokens) {
    const [, inside, more] = /^\[(.*)\](\.\.\.)?$/.exec(token) ?? [];
    if (inside !== undefined) lines.push(`.Op ${inside.split(" ").map(usageWord).join(" ")}${more ? " ..." : ""}`);
    else if (token === "...") lines.push(`${lines.pop()} ...`);
    else lines.push(`.${usageWord(token)}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function usageWord(word: string): string {
  const [, name, more = ""] = /^(.*?)(\.\.\.)?$/.exec(word)!;
  const macro = /^-/.test(name!) ? `Fl ${escapeTyped(name!.slice(1))}` : /^[A-Z]/.test(name!) ? `Ar ${escapeTyped(name!)}` : `Cm ${name}`;
  return more ? `${macro} ...` : macro;
}
