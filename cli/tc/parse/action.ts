/** The words of an action, wherever actions stand. */
import { type ActionSpec, TCA_ACT_MAX_PRIO } from "../../../src/tc/action.ts";
import type { SampleActionSpec } from "../../../src/tc/sample_action.ts";
import { fromHex } from "../../../src/wire/text.ts";
import { CONTROL_WORDS, parseControl } from "./control.ts";
import { fail, invalidArgument, outside, STATUS_OUTSIDE, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { unsigned } from "./values.ts";
import { keywordOf, type Words } from "./words.ts";

/** Kinds of action that iproute2 knows; other words it takes for a misspelt control. */
const OTHER_ACTIONS: ReadonlySet<string> = new Set(
  "bpf connmark csum ct ctinfo gact gate ife ipt mirred mpls nat pedit police simple skbedit skbmod tunnel_key vlan xt".split(" "),
);

const NEW_COMMANDS = ["change", "replace", "delete", "get", "add"] as const;

/** What follows `action`, from that word on; `status` is that of a mistake which iproute2 reports up, not at once. */
export function parseActionWords(words: Words, status: number): ActionSpec[] {
  words.skip();
  words.demand();
  return parseActionList(words, status);
}

/** Reads actions up to a word that belongs to none of them. */
export function parseActionList(words: Words, status: number): ActionSpec[] {
  const actions: ActionSpec[] = [];
  let empty = false;
  while (words.left > 0) {
    const word = words.word!;
    if (word === "action") {
      empty = true;
      words.skip();
      continue;
    }
    if (word === "flowid" || word === "classid") break;
    if (word === "help") throw help(status);
    if (keywordOf(word, NEW_COMMANDS)) break;
    if (word !== "sample") {
      if (keywordOf(word, CONTROL_WORDS) || OTHER_ACTIONS.has(word)) throw outside(`action ${word}`);
      throw new TcRefusal(`Bad action type ${word}`, STATUS_USAGE);
    }
    empty = false;
    actions.push(parseAction(words, status));
  }
  if (empty) throw new TcRefusal("bad action empty 1", status);
  checkCount(actions.length);
  return actions;
}

/** Refuses more actions than a request holds. */
export function checkCount(actions: number): void {
  if (actions <= TCA_ACT_MAX_PRIO) return;
  throw new TcRefusal(`Too many actions: ${actions}; the kernel accepts at most ${TCA_ACT_MAX_PRIO}`, STATUS_OUTSIDE);
}

function parseAction(words: Words, status: number): ActionSpec {
  const sample = parseSample(words, status);
  let cookie: Uint8Array | undefined;
  let hardwareStats: ActionSpec["hardwareStats"];
  let noPerCpuStats = false;
  let skipHardware = false;
  let skipSoftware = false;
  if (words.word === "cookie") {
    const value = words.value();
    if (value.length > 32) throw invalidArgument(`${value.length} Max allowed size 32`, value);
    cookie = fromHex(value) ?? fail(invalidArgument("cookie must be a hex string", value));
  }
  if (words.is("hw_stats")) {
    const value = words.value();
    hardwareStats = keywordOf(value, ["immediate", "delayed", "disabled"]) ?? fail(invalidArgument("value is invalid", value));
  }
  if (words.word === "no_percpu") {
    noPerCpuStats = true;
    words.skip();
  }
  // Either order, each once: what comes after is taken for another action.
  for (let i = 0; i < 2; i++) {
    if (words.word === "skip_sw") skipSoftware = true;
    else if (words.word === "skip_hw") skipHardware = true;
    else continue;
    words.skip();
  }
  return { sample, cookie, hardwareStats, noPerCpuStats, skipHardware, skipSoftware };
}

function parseSample(words: Words, status: number): SampleActionSpec {
  if (words.left <= 1) throw new TcRefusal(`sample bad argument count ${words.left}`, STATUS_USAGE);
  words.skip();
  const sample: SampleActionSpec = {};
  for (let keyword; (keyword = words.word && keywordOf(words.word, ["rate", "group", "trunc", "help"]));) {
    if (keyword === "help") throw help(STATUS_USAGE);
    const value = words.value();
    const number = unsigned(value, 10);
    if (number === undefined) {
      const what = { rate: "rate", group: "group num", trunc: "truncation size" }[keyword];
      throw new TcRefusal(`Illegal ${what} ${value}: it has to be between 0 and 4294967295`, STATUS_USAGE);
    }
    if (keyword === "rate") sample.rate = number;
    else if (keyword === "group") sample.group = number;
    else sample.truncateBytes = number;
  }
  sample.control = parseControl(words);
  if (words.is("index")) {
    sample.index = unsigned(words.value(), 10) ?? fail(new TcRefusal('sample: Illegal "index"', status));
  }
  for (const [name, value] of [["group", sample.group], ["rate", sample.rate]] as const) {
    if (!sample.index && value === undefined) throw new TcRefusal(`param "${name}" not set`, STATUS_USAGE);
  }
  return sample;
}
