/** The words that all classifiers have. */
import type { ActionSpec } from "../../../src/tc/action.ts";
import { TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW } from "../../../src/tc/tcmsg.ts";
import { parseActionWords } from "./action.ts";
import { fail, illegal, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { classId } from "./values.ts";
import { isPrefix, type Words } from "./words.ts";

/** What they say. */
interface ClassifierWords {
  /** `classid` or `flowid`. */
  classId: number | undefined;
  /** `skip_hw` and its like. */
  flags: number;
  /** `action`. */
  actions: ActionSpec[] | undefined;
}

/** Nothing said yet. */
export function noWords(): ClassifierWords {
  return { classId: undefined, flags: 0, actions: undefined };
}

/** Takes such a word as matchall and u32 know it, and what belongs to it; `false` for another word. */
export function takeCommon(words: Words, found: ClassifierWords): boolean {
  const word = words.word!;
  if (isPrefix(word, "classid") || word === "flowid") takeClassId(words, found);
  else if (isPrefix(word, "action")) takeActions(words, found);
  else if (word === "skip_hw") takeFlag(words, found, TCA_CLS_FLAGS_SKIP_HW);
  else if (word === "skip_sw") takeFlag(words, found, TCA_CLS_FLAGS_SKIP_SW);
  else return false;
  return true;
}

/** Takes `classid` and its value. */
export function takeClassId(words: Words, found: ClassifierWords): void {
  found.classId = classId(words.value()) ?? fail(illegal("classid"));
}

/** Takes `action` and all that belongs to the actions. */
export function takeActions(words: Words, found: ClassifierWords): void {
  found.actions = parseActionWords(words, 1);
}

/** Takes the word for a flag. */
export function takeFlag(words: Words, found: ClassifierWords, flag: number): void {
  found.flags |= flag;
  words.skip();
}

/** The refusal of a word that a classifier does not know. */
export function unknownWord(word: string): TcRefusal {
  return word === "help" ? help(1) : new TcRefusal(`What is "${word}"?`, 1);
}

/** Refuses both flags at once, which flower leaves to the kernel. */
export function checkFlags(flags: number): void {
  if (flags === (TCA_CLS_FLAGS_SKIP_HW | TCA_CLS_FLAGS_SKIP_SW)) {
    throw new TcRefusal("skip_hw and skip_sw are mutually exclusive", 1);
  }
}
