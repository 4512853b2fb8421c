/** The word after an object: what to do. */
import { STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { keywordOf, type Words } from "./words.ts";

/**
 * Takes the verb: the first of `verbs`, or of the words that every object has, of which the word is a prefix.
 *
 * @param helpStatus The exit status of `help`.
 */
export function takeVerb<T extends string>(words: Words, verbs: readonly T[], helpStatus: number): T | "list" {
  const word = words.take();
  const verb = keywordOf<string>(word, [...verbs, "list", "show", "lst", "help"]);
  switch (verb) {
    case "list":
    case "show":
    case "lst":
      return "list";
    case "help":
      throw help(helpStatus);
    case undefined:
      throw new TcRefusal(`Command "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
    default:
      return verb as T;
  }
}
