/** What Wireshark lists as interfaces: what is sampled already, and every device. */

/** The interface for what others sample. */
export const SAMPLED = "psample";

const utf8 = new TextEncoder();
const PREFIX = `${SAMPLED}-`;
/** What is left as it is: nothing that means something in a sentence, in the name of a file, or in Wireshark's settings. */
const PLAIN = /[A-Za-z0-9_.:@+-]/;

/** The name of the interface for a device. It is not the device's own, which Wireshark can capture itself. */
export function interfaceOf(device: string): string {
  return PREFIX +
    [...device].map((character) => PLAIN.test(character) ? character : [...utf8.encode(character)].map(escaped).join("")).join("");
}

function escaped(byte: number): string {
  return `%${byte.toString(16).padStart(2, "0").toUpperCase()}`;
}

/** The device of such an interface; `undefined` for any other name. */
export function deviceOf(name: string): string | undefined {
  if (!name.startsWith(PREFIX)) return undefined;
  try {
    return decodeURIComponent(name.slice(PREFIX.length)) || undefined;
  } catch {
    return undefined;
  }
}
