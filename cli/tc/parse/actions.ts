/** `psample tc actions`. */
import { encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "../../../src/tc/action.ts";
import { parseActionList } from "./action.ts";
import { fail, invalidArgument, outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { DUMP_FAILED, NO_VIEW, TALK_FAILED, type TcRequest } from "../request.ts";
import { help } from "./usage.ts";
import { unsigned } from "./values.ts";
import { takeVerb } from "./verbs.ts";
import type { Words } from "./words.ts";

/** Reads what follows `actions`: changes one after another, up to a list or a flush. */
export function parseActions(words: Words): TcRequest[] {
  const requests: TcRequest[] = [];
  const request = { show: undefined, view: NO_VIEW, failureStatus: STATUS_USAGE, failureLine: TALK_FAILED } as const;
  while (words.left > 0) {
    const word = words.word!;
    const verb = takeVerb(words, ["add", "change", "replace", "delete", "get", "flush"], STATUS_USAGE);
    switch (verb) {
      case "add":
      case "change":
      case "replace": {
        const change = verb === "add" ? "add" : "replace";
        if (words.left === 0) throw new TcRefusal('Illegal "action"', STATUS_USAGE);
        const actions = parseActionList(words, STATUS_USAGE);
        requests.push({ ...request, op: `${change} a sample action`, bytes: encodeActions(change, actions) });
        break;
      }
      case "delete": {
        const bytes = encodeActionsByIndex("delete", parseIndexes(words));
        requests.push({ ...request, op: "delete a sample action", bytes });
        break;
      }
      case "get": {
        const bytes = encodeActionsByIndex("get", parseIndexes(words));
        requests.push({ ...request, op: "get a sample action", bytes, show: "actions" });
        break;
      }
      case "list": {
        const bytes = encodeActionDump(parseWhole(word, words));
        requests.push({ ...request, op: "list sample actions", bytes, show: "actions", failureLine: DUMP_FAILED });
        return requests;
      }
      case "flush":
        parseWhole(word, words);
        requests.push({
          ...request,
          op: "flush sample actions",
          bytes: encodeActionFlush(),
          failureStatus: 1,
          failureLine: "We have an error flushing",
        });
        return requests;
    }
  }
  return requests;
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
  return indexes;
}

/** `action KIND [since MS]`: the time. */
function parseWhole(command: string, words: Words): number | undefined {
  if (words.left < 2) throw new TcRefusal(`Usage: psample tc actions ${command} action sample`, STATUS_USAGE);
  words.skip();
  const kind = words.take();
  if (kind !== "sample") throw outside(`actions ${command} about ${kind}`);
  if (words.word !== "since") return undefined;
  const value = words.value();
  return unsigned(value, 0) ?? fail(invalidArgument('dump time "since" is invalid', value));
}
