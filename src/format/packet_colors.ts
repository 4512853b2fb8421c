/** Colours for lines about packets: the eight that every terminal has and its user has chosen, readable on dark and on light. */

const RESET = "\x1b[0m";
const paint = (code: number) => (text: string): string => `\x1b[${code}m${text}${RESET}`;

/** What is seldom looked at: the time, the line with the rate. */
export const faint = paint(2);
const strong = paint(1);
const red = paint(31);
const green = paint(32);
const yellow = paint(33);
const magenta = paint(35);
const cyan = paint(36);

/** The parts of a line, as they are printed without colour. */
export interface LineParts {
  /** When. */
  readonly time: string;
  /** The device, filled up with blanks. */
  readonly device: string;
  /** `<`, `>` or `-`. */
  readonly direction: string;
  /** The size, filled up with blanks. */
  readonly size: string;
  /** What the headers say. */
  readonly words: string;
}

/** The line in colours: without them it is the same. */
export function colored({ time, device, direction, size, words }: LineParts): string {
  const way = direction.startsWith("<") ? green : direction.startsWith(">") ? magenta : faint;
  return `${faint(time)}${cyan(device)}${way(direction)}${size}${coloredWords(words)}`;
}

function coloredWords(words: string): string {
  return words
    // What is wrong, at the end.
    .replace(/\[(?:\||bad )[^\]]*\]$/, yellow)
    // Who talks to whom, also inside tunnels.
    .replace(/[\da-fA-F.:]+ > [\da-fA-F.:]*[\da-fA-F]/g, strong)
    // How connections begin, and how they are refused.
    .replace(/(?<=Flags \[)[^\]]+/, (flags) => flags.includes("R") ? red(flags) : flags.includes("S") ? green(flags) : flags);
}
