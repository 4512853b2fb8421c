/** `psample tc qdisc`: clsact and ingress. */
import { encodeQdisc, encodeQdiscDump } from "../../../src/tc/qdisc.ts";
import { TC_H_CLSACT, TC_H_FFFF, TC_H_INGRESS, TC_H_ROOT, TC_H_UNSPEC, type TcChange } from "../../../src/tc/tcmsg.ts";
import { device, type TcLinks } from "./devices.ts";
import { duplicateArgument, fail, invalidArgument, outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { DUMP_FAILED, NO_VIEW, type TcRequest } from "../request.ts";
import { help } from "./usage.ts";
import { classId, qdiscHandle } from "./values.ts";
import { takeVerb } from "./verbs.ts";
import { isPrefix, type Words } from "./words.ts";

/** Reads what follows `qdisc`. */
export function parseQdisc(words: Words, links: TcLinks): TcRequest {
  const { word } = words;
  if (word === undefined) return listQdiscs(words, links);
  const verb = takeVerb(words, ["add", "change", "replace", "link", "delete"], 0);
  if (verb === "link") throw outside(`qdisc ${word}`);
  return verb === "list" ? listQdiscs(words, links) : changeQdisc(verb, words, links);
}

function changeQdisc(change: TcChange, words: Words, links: TcLinks): TcRequest {
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
    // The word "handle" behind ingress takes a value, and nothing is done with it.
    if (kind !== "ingress" || words.word !== "handle") throw new TcRefusal(`What is "${words.word}"?`, 1);
    words.value();
  }
  if (parent !== TC_H_UNSPEC && parent !== TC_H_INGRESS) throw outside("qdisc of another parent than ffff:fff1");
  const ifindex = name ? device(name, links) : 0;
  return {
    op: `${change} the qdisc ${kind ?? ""} of ${name}`,
    bytes: encodeQdisc(change, { ifindex, kind, handle, parent }),
    show: undefined,
    view: NO_VIEW,
    failureStatus: 2,
    failureLine: undefined,
  };
}

function listQdiscs(words: Words, links: TcLinks): TcRequest {
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
  const ifindex = name ? device(name, links) : 0;
  return {
    op: "list qdiscs",
    bytes: encodeQdiscDump(ifindex),
    show: "qdiscs",
    view: { ...NO_VIEW, ifindex, parent, handle },
    failureStatus: 1,
    failureLine: DUMP_FAILED,
  };
}
