/** Key presses, as a terminal sends them. */

const ESCAPE = "\x1b";

/** What terminals send after an escape for keys without a character (xterm's ctlseqs; the application mode's forms too). */
const SEQUENCES: readonly (readonly [RegExp, string])[] = [
  [/^[[O](?:1;\d)?A/, "up"],
  [/^[[O](?:1;\d)?B/, "down"],
  [/^(?:\[|O)H|^\[[17]~/, "home"],
  [/^\[5~/, "page-up"],
  [/^\[6~/, "page-down"],
  // Any other sequence means nothing here.
  [/^\[[0-9;?]*[ -/]*[@-~]/, ""],
  [/^O./, ""],
];

/** Control characters that are keys. */
const CONTROLS: Readonly<Record<string, string>> = {
  "\r": "enter",
  "\n": "enter",
  "\x7f": "backspace",
  "\b": "backspace",
  "\t": "tab",
  "\x15": "clear",
};

/** The keys in what was read: characters as they are, others by name. One read may return several. */
export function keysOf(text: string): string[] {
  const keys: string[] = [];
  for (let rest = text; rest !== "";) {
    const character = String.fromCodePoint(rest.codePointAt(0)!);
    rest = rest.slice(character.length);
    if (character === ESCAPE) {
      const found = SEQUENCES.find(([pattern]) => pattern.test(rest));
      if (found?.[1] !== "") keys.push(found?.[1] ?? "escape");
      if (found) rest = rest.slice(found[0].exec(rest)![0].length);
      continue;
    }
    const control = CONTROLS[character];
    if (control !== undefined) keys.push(control);
    // Other control characters mean nothing.
    else if (!/\p{C}/u.test(character)) keys.push(character);
  }
  return keys;
}
