/** `psample tc actions`. */
import type { TcTask } from "../command.ts";
import { checkCount, parseActionList } from "./action.ts";
import { fail, invalidArgument, outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { unsigned } from "./values.ts";
import { takeVerb } from "./verbs.ts";
import type { Words } from "./words.ts";

/** Reads what follows `actions`: changes one after another, a list or a flush at the end. */
export function parseActions(words: Words): TcTask[] {
  const tasks: TcTask[] = [];
  while (words.left > 0) {
    const word = words.word!;
    const verb = takeVerb(words, ["add", "change", "replace", "delete", "get", "flush"], STATUS_USAGE);
    switch (verb) {
      case "add":
      case "change":
      case "replace": {
        const change = verb === "add" ? "add" : "replace";
        if (words.left === 0) throw new TcRefusal('Illegal "action"', STATUS_USAGE);
        tasks.push({ task: "change actions", change, actions: parseActionList(words, STATUS_USAGE) });
        break;
      }
      case "delete":
      case "get":
        tasks.push({ task: `${verb} actions`, indexes: parseIndexes(words) });
        break;
      case "list":
        takeKind(word, words);
        tasks.push({ task: "list actions", usedWithinMs: parseSince(words) });
        takeNothing(words);
        break;
      case "flush":
        takeKind(word, words);
        tasks.push({ task: "flush actions" });
        takeNothing(words);
        break;
    }
  }
  return tasks;
}

/** `action KIND index N` again and again. */
function parseIndexes(words: Words): number[] {
  const indexes: number[] = [];
  while (words.left > 0) {
    const word = words.take();
    if (word === "action") continue;
    if (word === "help") throw help(STATUS_USAGE);
    if (word !== "sample") throw outside(`actions about ${word}`);
    if (!words.is("index")) throw new TcRefusal(`Error: no index specified action: ${word}`, STATUS_USAGE);
    indexes.push(unsigned(words.value(), 10) ?? fail(new TcRefusal('Illegal "index"', STATUS_USAGE)));
  }
  checkCount(indexes.length);
  return indexes;
}

/** `action KIND`: all actions of the kind. */
function takeKind(verb: string, words: Words): void {
  if (words.left < 2) throw new TcRefusal(`Usage: psample tc actions ${verb} action sample`, STATUS_USAGE);
  words.skip();
  const kind = words.take();
  if (kind !== "sample") throw outside(`actions ${verb} about ${kind}`);
}

/** `since MS`, if it is there. */
function parseSince(words: Words): number | undefined {
  if (words.word !== "since") return undefined;
  const value = words.value();
  return unsigned(value, 0) ?? fail(invalidArgument('dump time "since" is invalid', value));
}

/** Refuses further words. iproute2 does not look at them, so that its `flush action sample index 5` removes all actions. */
function takeNothing(words: Words): void {
  if (words.left > 0) throw new TcRefusal(`What is "${words.word}"?`, STATUS_USAGE);
}
