/** What happens to a packet after an action. */
import { type Control, TC_ACT_EXT_VAL_MASK } from "../../../src/tc/control.ts";
import { fail, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { unsigned } from "./values.ts";
import { isPrefix, keywordOf, type Words } from "./words.ts";

/** Controls in the order in which iproute2 compares prefixes with them; `stolen` it cannot say itself. */
export const CONTROL_WORDS = [
  "continue",
  "drop",
  "shot",
  "pass",
  "ok",
  "reclassify",
  "pipe",
  "goto",
  "jump",
  "trap",
  "stolen",
] as const;

/** Reads a control, if one is there. */
export function parseControl(words: Words): Control | undefined {
  const keyword = words.word === undefined ? undefined : keywordOf(words.word, CONTROL_WORDS);
  switch (keyword) {
    case undefined:
      return undefined;
    case "goto": {
      if (!isPrefix(words.value(), "chain")) throw new TcRefusal('"chain index" expected', STATUS_USAGE);
      const chain = unsigned(words.take(), 10, TC_ACT_EXT_VAL_MASK);
      return {
        gotoChain: chain ?? fail(new TcRefusal(`Illegal "chain index": it has to be between 0 and ${TC_ACT_EXT_VAL_MASK}`, STATUS_USAGE)),
      };
    }
    case "jump": {
      const value = words.value();
      return { jump: unsigned(value, 10, TC_ACT_EXT_VAL_MASK) ?? fail(new TcRefusal(`Invalid "jump count" (${value})`, STATUS_USAGE)) };
    }
    default:
      words.skip();
      return keyword === "shot" ? "drop" : keyword === "ok" ? "pass" : keyword;
  }
}
