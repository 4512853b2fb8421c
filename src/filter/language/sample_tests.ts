/** Conditions about a sample rather than its packet. */
import { fromHex } from "../../wire/text.ts";
import type { TokenReader } from "./token_reader.ts";
import type { SampleTest } from "./tree.ts";
import { nanosecondsOf } from "./values.ts";
import { NAMES_A_DEVICE, RELATIONS, SAMPLE_NUMBERS } from "./words.ts";

/** A condition about a sample; `undefined` if the word does not begin one. */
export function sampleTest(reader: TokenReader, word: string): SampleTest | undefined {
  if (word === "ingress" || word === "egress") {
    reader.next();
    return { about: "direction", egress: word === "egress" };
  }
  if (NAMES_A_DEVICE.has(word)) {
    reader.next();
    const { kind, text } = reader.token;
    if (kind !== "word") throw reader.expected("the name of a device");
    reader.next();
    return { about: word as "device" | "in" | "out", name: text };
  }
  if (word === "cookie") {
    reader.next();
    const bytes = reader.token.kind === "word" ? fromHex(reader.token.text) : undefined;
    if (!bytes || bytes.length < 1 || bytes.length > 16) throw reader.expected("an even number of hexadecimal digits, from 2 to 32");
    reader.next();
    return { about: "cookie", bytes };
  }
  if (!SAMPLE_NUMBERS.has(word)) return undefined;
  reader.next();
  const relation = reader.token.kind === "sign" ? RELATIONS.get(reader.token.text) : undefined;
  if (relation) reader.next();
  const value = word === "latency" ? time(reader) : reader.number(0xffffffff, "a number");
  return { about: word as "group" | "rate" | "queue" | "latency", relation: relation ?? "=", value };
}

/** A span of time, in nanoseconds. */
function time(reader: TokenReader): number {
  const value = nanosecondsOf(reader.token.text);
  if (value === undefined) throw reader.expected("a time such as 500ns, 20us, 1.5ms or 1s");
  reader.next();
  return value;
}
