/** The words of matchall. */
import type { ClassifierSpec } from "../../../src/tc/filter.ts";
import { checkFlags, noWords, takeCommon, unknownWord } from "./classifier.ts";
import { TcRefusal } from "./refusal.ts";
import { strtoul } from "./values.ts";
import type { Words } from "./words.ts";

/** Reads what follows `matchall`. */
export function parseMatchall(words: Words): ClassifierSpec | undefined {
  if (words.left === 0) return undefined;
  const found = noWords();
  while (words.left > 0) {
    const word = words.word!;
    if (!takeCommon(words, found)) throw unknownWord(word);
    // To iproute2 it is an error as the last word, for matchall only.
    if (word === "skip_hw" || word === "skip_sw") words.demand();
  }
  checkFlags(found.flags);
  return { kind: "matchall", ...found };
}

/** strtol(3) without a look at what follows the number: `12xyz` is 12. */
export function matchallHandle(text: string | undefined): number {
  if (text === undefined) return 0;
  const signed = /^\s*-/.test(text);
  const magnitude = strtoul(text.replace("-", ""), 0)?.value ?? 0n;
  if (magnitude >= 1n << 63n || (!signed && magnitude === (1n << 63n) - 1n)) {
    throw new TcRefusal(`Illegal handle "${text}", must be numeric.`, 1);
  }
  return Number(BigInt.asUintN(32, signed ? -magnitude : magnitude));
}
