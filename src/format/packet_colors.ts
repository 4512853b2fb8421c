/** Colours for lines about packets: the eight that every terminal has and users can choose, readable on dark and on light backgrounds. */

const RESET = "\x1b[0m";
const paint = (code: number) => (text: string): string => `\x1b[${code}m${text}${RESET}`;

/** For what is seldom read: the time, the line with the rate. */
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
  /** The headers in words. */
  readonly words: string;
}

/** The line with colours, otherwise unchanged. */
export function colored({ time, device, direction, size, words }: LineParts): string {
  const way = direction.startsWith("<") ? green : direction.startsWith(">") ? magenta : faint;
  return `${faint(time)}${cyan(device)}${way(direction)}${size}${coloredWords(words)}`;
}

function coloredWords(words: string): string {
  return words
    // Problems, at the end.
    .replace(/\[(?:\||bad )[^\]]*\]$/, yellow)
    // Addresses and ports, also inside tunnels.
    .replace(/[\da-fA-F.:]+ > [\da-fA-F.:]*[\da-fA-F]/g, strong)
    // Connections being opened and refused.
    .replace(/(?<=Flags \[)[^\]]+/, (flags) => flags.includes("R") ? red(flags) : flags.includes("S") ? green(flags) : flags);
}
