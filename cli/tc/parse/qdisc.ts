/** `psample tc qdisc`: clsact and ingress. */
import type { TcTask } from "../command.ts";
import { TC_H_CLSACT, TC_H_FFFF, TC_H_INGRESS, TC_H_ROOT, TC_H_UNSPEC, type TcChange } from "../../../src/tc/tcmsg.ts";
import { duplicateArgument, fail, invalidArgument, outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { classId, qdiscHandle } from "./values.ts";
import { takeVerb } from "./verbs.ts";
import { isPrefix, type Words } from "./words.ts";

/** Reads what follows `qdisc`. */
export function parseQdisc(words: Words): TcTask {
  const { word } = words;
  if (word === undefined) return listQdiscs(words);
  const verb = takeVerb(words, ["add", "change", "replace", "link", "delete"], 0);
  if (verb === "link") throw outside(`qdisc ${word}`);
  return verb === "list" ? listQdiscs(words) : changeQdisc(verb, words);
}

function changeQdisc(change: TcChange, words: Words): TcTask {
  let name = "";
  let handle = TC_H_UNSPEC;
  let parent = TC_H_UNSPEC;
  let kind: "clsact" | "ingress" | undefined;
  while (words.left > 0 && !kind) {
    const word = words.word!;
    if (word === "dev") {
      name = words.valueOnce("dev", name !== "");
    } else if (word === "handle") {
      if (handle) throw duplicateArgument("handle", word);
      const value = words.value();
      handle = qdiscHandle(value) ?? fail(invalidArgument("invalid qdisc ID", value));
    } else if (word === "clsact" || word === "ingress") {
      if (parent) throw new TcRefusal(`Error: "${word}" is a duplicate parent ID`, STATUS_USAGE);
      parent = word === "clsact" ? TC_H_CLSACT : TC_H_INGRESS;
      if (handle !== TC_H_UNSPEC) checkHandle(handle, word);
      handle = TC_H_FFFF;
      kind = word;
      words.skip();
    } else if (word === "parent") {
      const value = words.valueOnce("parent", parent !== TC_H_UNSPEC);
      parent = classId(value) ?? fail(invalidArgument("invalid parent ID", value));
    } else if (isPrefix(word, "help")) {
      throw help(STATUS_USAGE);
    } else {
      // root, estimator, stab, shared blocks, and every other kind.
      throw outside(`qdisc ${words.rest()}`);
    }
  }
  while (words.left > 0) {
    if (kind !== "ingress" || words.word !== "handle") throw new TcRefusal(`What is "${words.word}"?`, 1);
    const value = words.value();
    checkHandle(qdiscHandle(value) ?? fail(invalidArgument("invalid qdisc ID", value)), kind);
  }
  if (parent !== TC_H_UNSPEC && parent !== TC_H_INGRESS) throw outside("qdisc of another parent than ffff:fff1");
  words.device = name || undefined;
  return { task: "change qdisc", change, qdisc: { kind, handle, parent } };
}

/** Refuses a handle that these qdiscs cannot have: iproute2 makes ffff: of any. */
function checkHandle(handle: number, kind: string): void {
  if (handle === TC_H_FFFF) return;
  throw invalidArgument(`the handle of ${kind} is ffff:`, `${(handle >>> 16).toString(16)}:`);
}

function listQdiscs(words: Words): TcTask {
  let name = "";
  let parent = 0;
  let handle = 0;
  const free = (word: string): void => {
    if (parent) throw invalidArgument("parent is already specified", word);
    if (handle) throw invalidArgument("handle is already specified", word);
  };
  while (words.left > 0) {
    const word = words.take();
    if (word === "dev") {
      name = words.take();
    } else if (word === "root") {
      free(word);
      parent = TC_H_ROOT;
    } else if (word === "ingress" || word === "clsact") {
      free(word);
      parent = TC_H_INGRESS;
    } else if (isPrefix(word, "parent")) {
      free(word);
      const value = words.take();
      parent = classId(value) ?? fail(invalidArgument("invalid parent ID", value));
    } else if (isPrefix(word, "handle")) {
      free(word);
      const value = words.take();
      handle = qdiscHandle(value) ?? fail(invalidArgument("invalid handle ID", value));
    } else if (word === "invisible") {
      throw outside("qdisc show invisible");
    } else if (isPrefix(word, "help")) {
      throw help(STATUS_USAGE);
    } else {
      throw new TcRefusal(`What is "${word}"? Try "psample tc help".`, STATUS_USAGE);
    }
  }
  words.device = name || undefined;
  return { task: "list qdiscs", parent, handle };
}
