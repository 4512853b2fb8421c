/** Reads what scrapers read, by itself: the lines of a text, strictly. */

/** One number. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/gy;

/** All numbers of a text; throws if a line is none of the format. */
export function readExposition(text: string): Series[] {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("the last line is not ended");
  return lines.filter((line) => !line.startsWith("#")).map((line) => {
    const [, name, inBraces = "", value] = LINE.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a line of the format: ${line}`);
    const labels: Record<string, string> = {};
    let end = 0;
    for (const [whole, label, escaped] of inBraces.matchAll(LABEL)) {
      labels[label!] = escaped!.replace(/\\(.)/g, (_, letter) => letter === "n" ? "\n" : letter);
      end += whole.length;
    }
    if (end !== inBraces.length) throw new Error(`not labels: ${inBraces}`);
    const number = value === "+Inf" ? Infinity : value === "-Inf" ? -Infinity : Number(value);
    return { name, labels, value: number };
  });
}

/** The values of a metric, by its labels as text. */
export function valuesOf(text: string, name: string): Record<string, number> {
  return Object.fromEntries(
    readExposition(text).filter((series) => series.name === name).map(({ labels, value }) => [Object.values(labels).join(" "), value]),
  );
}
