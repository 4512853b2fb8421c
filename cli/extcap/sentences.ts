/** What Wireshark reads from an extcap: sentences, one per line. Source: extcap(4) and doc/README.extcap of Wireshark. */
import type { Field } from "./fields.ts";

/** One sentence, such as `interface {value=psample-eth0}{display=psample: eth0}`. Fields without a value are left out. */
export function sentence(kind: string, fields: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return `${kind} ${given.map(([name, value]) => `{${name}=${plain(`${value}`)}}`).join("")}\n`;
}

/** Text that cannot end a value: Wireshark looks for the brace, and has no way to escape one. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replaceAll("{", "(").replaceAll("}", ")");
}

/** The sentences about an option; `number` tells it apart from the others. */
export function fieldSentences(number: number, key: string, { values = [], ...field }: Field): string {
  const arg = sentence("arg", { number, call: `--${key}`, ...field });
  return arg + values.map(([value, display], i) => sentence("value", { arg: number, value, display, default: `${i === 0}` })).join("");
}
