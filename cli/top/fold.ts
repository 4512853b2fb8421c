/** Lines of a terminal: text is folded between words, which the terminal itself does not do. */
import { widthOf } from "./width.ts";

/**
 * A line as several that fit `columns`, if its words do. Lines after the first one begin with `indent` blanks.
 */
export function folded(line: string, columns: number, indent = 2): string[] {
  const margin = " ".repeat(indent);
  const lines: string[] = [];
  // Blanks at the beginning belong to the first word.
  for (const word of line.split(/(?<=\S) /)) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : `${margin}${word.trimStart()}`);
  }
  return lines;
}

/** Each line of a text, {@linkcode folded}; lines that begin with a blank stay as they are: somebody has laid them out. */
export function foldedText(text: string, columns: number): string {
  return text.split("\n").flatMap((line) => line.startsWith(" ") ? [line] : folded(line, columns)).join("\n");
}
