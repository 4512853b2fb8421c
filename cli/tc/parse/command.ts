/**
 * iproute2's words to a command. Nothing here opens a socket, encodes or prints.
 *
 * The order in which mistakes are found is iproute2's, because it decides the exit status: a mistake in the words
 * exits with 255, one in a classifier's words with 1, the kernel's refusal with 2, of `actions` with 255.
 */
import type { TcCommand, TcTask, TcUsage } from "../command.ts";
import { parseActions } from "./actions.ts";
import { parseFilter } from "./filter.ts";
import { parseOptions } from "./options.ts";
import { parseQdisc } from "./qdisc.ts";
import { outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help, TC_HELP } from "./usage.ts";
import { keywordOf, Words } from "./words.ts";

/** Reads the words after `psample tc`. */
export function parseTc(list: readonly string[]): TcCommand | TcUsage {
  const words = new Words(list);
  try {
    const options = parseOptions(words);
    if (words.left === 0) return { kind: "usage", status: 0, text: TC_HELP, netns: words.netns, device: undefined };
    const tasks = parseObject(words);
    return { kind: "command", options, netns: words.netns, device: words.device, tasks };
  } catch (error) {
    if (error instanceof TcRefusal) {
      return { kind: "usage", status: error.status, text: error.message, netns: words.netns, device: words.device };
    }
    throw error;
  }
}

function parseObject(words: Words): TcTask[] {
  const word = words.take();
  switch (keywordOf(word, ["qdisc", "class", "filter", "chain", "actions", "monitor", "exec", "help"])) {
    case "qdisc":
      return [parseQdisc(words)];
    case "filter":
      return [parseFilter(words)];
    case "actions":
      return parseActions(words);
    case "help":
      throw help(0);
    case undefined:
      throw new TcRefusal(`Object "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
    default:
      throw outside(word);
  }
}
