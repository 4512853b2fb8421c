/** What a shell offers for the words of `psample tc`. */
import { CONTROL_WORDS } from "./parse/control.ts";

/** Words, and whether devices or groups are meant. */
interface Offered {
  readonly words?: readonly string[];
  readonly things?: readonly ("device" | "group" | "namespace")[];
}

const OPTIONS = ["-s", "-d", "-r", "-j", "-p", "-o", "-n", "--netns"];
/** The words of the options that have a value. */
const WITH_VALUE: ReadonlySet<string> = new Set(["-n", "-netns", "--netns"]);

const SAMPLE = ["rate", "group", "trunc", "index", "cookie"];
/** The verbs of each object, and the words that may come after one. */
const OBJECTS: Readonly<Record<string, { readonly verbs: readonly string[]; readonly words: readonly string[] }>> = {
  qdisc: { verbs: ["add", "del", "replace", "show"], words: ["dev", "handle", "clsact", "ingress"] },
  filter: {
    verbs: ["add", "del", "replace", "change", "get", "show"],
    words: [
      ...["dev", "ingress", "egress", "root", "parent", "protocol", "pref", "handle", "chain"],
      ...["matchall", "flower", "u32", "bpf", "skip_hw", "skip_sw", "action", "sample"],
      ...SAMPLE,
      ...CONTROL_WORDS,
    ],
  },
  actions: {
    verbs: ["add", "replace", "change", "get", "del", "list", "flush"],
    words: ["action", "sample", ...SAMPLE, ...CONTROL_WORDS],
  },
};

/** What may come after these words, which follow `tc`. */
export function tcOffers(before: readonly string[]): Offered {
  const last = before.at(-1);
  if (last !== undefined && WITH_VALUE.has(last)) return { things: ["namespace"] };
  const words = before.filter((word, i) => !word.startsWith("-") && !WITH_VALUE.has(before[i - 1] ?? ""));
  const [object, verb] = words;
  if (object === undefined) return { words: [...Object.keys(OBJECTS), "help", ...OPTIONS] };
  const known = Object.hasOwn(OBJECTS, object) ? OBJECTS[object]! : undefined;
  if (!known) return {};
  if (verb === undefined) return { words: known.verbs };
  if (last === "dev") return { things: ["device"] };
  if (last === "group") return { things: ["group"] };
  return { words: known.words };
}
