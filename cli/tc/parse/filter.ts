/** `psample tc filter`: the words in front of the classifier, and which classifier it is. */
import type { TcTask } from "../command.ts";
import { ETH_P_ALL } from "../../../src/wire/ether_types.ts";
import type { ClassifierSpec } from "../../../src/tc/filter.ts";
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS, TC_H_ROOT, type TcChange } from "../../../src/tc/tcmsg.ts";
import { parseBpf } from "./bpf.ts";
import { parseFlower } from "./flower.ts";
import { matchallHandle, parseMatchall } from "./matchall.ts";
import { parseU32 } from "./u32.ts";
import { fail, illegal, invalidArgument, outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { classId, etherType, u32Handle, unsigned } from "./values.ts";
import { takeVerb } from "./verbs.ts";
import { isPrefix, type Words } from "./words.ts";

/** Reads what follows `filter`. */
export function parseFilter(words: Words): TcTask {
  if (words.left === 0) return listFilters(words);
  const verb = takeVerb(words, ["add", "change", "replace", "delete", "get"], 0);
  return verb === "list" ? listFilters(words) : changeFilter(verb, words);
}

/** What all commands about filters have before the classifier. */
interface FilterWords {
  name: string;
  parent: number;
  handle: string | undefined;
  preference: number;
  protocol: number | undefined;
  chain: number | undefined;
  kind: string | undefined;
}

function filterWords(words: Words, list: boolean): FilterWords {
  const found: FilterWords = {
    name: "",
    parent: 0,
    handle: undefined,
    preference: 0,
    protocol: undefined,
    chain: undefined,
    kind: undefined,
  };
  while (words.left > 0) {
    const word = words.word!;
    if (word === "dev") {
      found.name = words.valueOnce("dev", found.name !== "");
    } else if (isPrefix(word, "block")) {
      throw outside(`filter of a shared ${word}`);
    } else if (word === "root" || word === "ingress" || word === "egress") {
      if (found.parent) throw new TcRefusal(`Error: "${word}" is duplicate parent ID`, STATUS_USAGE);
      found.parent = word === "root" ? TC_H_ROOT : word === "ingress" ? TC_H_CLSACT_INGRESS : TC_H_CLSACT_EGRESS;
      words.skip();
    } else if (word === "parent") {
      const value = words.valueOnce("parent", found.parent !== 0);
      found.parent = classId(value) ?? fail(invalidArgument(list ? "invalid parent ID" : "Invalid parent ID", value));
    } else if (word === "handle") {
      // iproute2 takes it in a list too, and lists everything.
      if (list) throw new TcRefusal('"handle" selects nothing in a list, try "psample tc filter get"', STATUS_USAGE);
      found.handle = words.valueOnce("handle", found.handle !== undefined);
    } else if (isPrefix(word, "preference") || isPrefix(word, "priority")) {
      const value = words.valueOnce("priority", found.preference !== 0);
      const number = unsigned(value, 0, list ? 0xffffffff : 0xffff);
      found.preference = number ?? fail(invalidArgument(list ? "invalid preference" : "invalid priority value", value));
    } else if (isPrefix(word, "protocol")) {
      const value = words.valueOnce("protocol", found.protocol !== undefined);
      found.protocol = etherType(value) ?? fail(invalidArgument("invalid protocol", value));
    } else if (isPrefix(word, "chain")) {
      const value = words.valueOnce("chain", found.chain !== undefined);
      found.chain = unsigned(value, 0) ?? fail(invalidArgument("invalid chain index value", value));
    } else if (!list && isPrefix(word, "estimator")) {
      throw outside(`filter with an ${word}`);
    } else if (isPrefix(word, "help")) {
      throw help(list ? STATUS_USAGE : 0);
    } else if (list) {
      throw new TcRefusal(` What is "${word}"? Try "psample tc help"`, STATUS_USAGE);
    } else {
      found.kind = words.take();
      break;
    }
  }
  return found;
}

function changeFilter(what: TcChange | "get", words: Words): TcTask {
  const found = filterWords(words, false);
  const { name, parent, handle, preference, chain, kind } = found;
  const creates = what === "add" || what === "replace";
  const protocol = found.protocol ?? (creates ? ETH_P_ALL : 0);
  if (what === "get") {
    if (found.protocol === undefined) throw new TcRefusal("Must specify filter protocol", STATUS_USAGE);
    if (!preference) throw new TcRefusal("Must specify filter priority", STATUS_USAGE);
    if (!parent) throw new TcRefusal("Must specify filter parent", STATUS_USAGE);
    if (kind === undefined) throw new TcRefusal("Must specify filter type", STATUS_USAGE);
    if (!name) throw new TcRefusal('Must specify netdevice "dev" or block index "block"', STATUS_USAGE);
  }
  words.device = name || undefined;
  let number = 0;
  let classifier: ClassifierSpec | undefined;
  switch (kind) {
    case undefined:
      if (handle !== undefined) throw new TcRefusal('Must specify filter type when using "handle"', STATUS_USAGE);
      break;
    case "matchall":
      number = matchallHandle(handle);
      classifier = parseMatchall(words);
      break;
    case "flower":
      number = handle === undefined ? 0 : unsigned(handle, 0) ?? fail(illegal("handle"));
      classifier = parseFlower(words, protocol);
      break;
    case "u32":
      number = handle === undefined ? 0 : u32Handle(handle) ?? fail(new TcRefusal("Illegal filter ID", 1));
      classifier = parseU32(words);
      break;
    case "bpf":
      number = handle === undefined ? 0 : unsigned(handle, 0) ?? fail(illegal("handle"));
      classifier = parseBpf(words);
      break;
    default:
      throw outside(`filter of the kind ${kind}`);
  }
  if (what === "get" && handle === undefined) throw new TcRefusal('Must specify filter "handle"', STATUS_USAGE);
  if ((creates || what === "change") && kind !== undefined && !classifier?.actions) {
    throw outside(`filter ${what} … ${kind} without action sample`);
  }
  const key = { parent, preference, protocol, handle: number, chain, kind };
  return what === "get" ? { task: "get filter", key, classifier } : { task: "change filter", change: what, key, classifier };
}

function listFilters(words: Words): TcTask {
  const { name, parent, preference, protocol = 0, chain } = filterWords(words, true);
  words.device = name || undefined;
  return { task: "list filters", parent, preference, protocol, chain };
}
