/**
 * `psample tc`: iproute2's words to requests. Nothing here opens a socket or prints.
 *
 * The order in which mistakes are found is iproute2's, because it decides the exit status: a mistake in the words
 * exits with 255, one in a classifier's words with 1, the kernel's refusal with 2, of `actions` with 255.
 */
import { ArgumentError } from "../../../src/errors.ts";
import type { TcLinks } from "./devices.ts";
import { parseOptions, type TcOptions } from "./options.ts";
import { parseActions } from "./actions.ts";
import { parseFilter } from "./filter.ts";
import { parseQdisc } from "./qdisc.ts";
import { outside, STATUS_OUTSIDE, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import type { TcRequest } from "../request.ts";
import { help, TC_HELP } from "./usage.ts";
import { keywordOf, Words } from "./words.ts";

/** A command that can be sent. */
export interface TcCommand {
  /** Tells it from a refusal. */
  readonly kind: "command";
  /** The options before the object. */
  readonly options: TcOptions;
  /** The requests, in order; the first that is refused ends the command. */
  readonly requests: readonly TcRequest[];
}

/** A command that cannot. */
export interface TcUsage {
  /** Tells it from a command. */
  readonly kind: "usage";
  /** The exit status: 0 where help was asked for. */
  readonly status: number;
  /** The text for standard error. */
  readonly text: string;
}

/** Thrown by a lookup before the devices are known: see {@linkcode needsLinks}. */
class LinksNeeded extends Error {}

/**
 * Whether a command looks a device up, so that {@linkcode parseTc} needs the link table. Mistakes that iproute2 finds
 * before it looks are found without.
 */
export function needsLinks(words: readonly string[]): boolean {
  try {
    parseTc(words, {
      indexOf(): never {
        throw new LinksNeeded();
      },
    });
    return false;
  } catch (error) {
    if (error instanceof LinksNeeded) return true;
    throw error;
  }
}

/** Reads the words behind `psample tc`. */
export function parseTc(words: readonly string[], links: TcLinks): TcCommand | TcUsage {
  try {
    const cursor = new Words(words);
    const options = parseOptions(cursor);
    if (cursor.left === 0) return { kind: "usage", status: 0, text: TC_HELP };
    const requests = parseObject(cursor, links);
    return { kind: "command", options, requests };
  } catch (error) {
    if (error instanceof TcRefusal) return { kind: "usage", status: error.status, text: error.message };
    // Words that make sense one by one, and together no message: 33 actions, ports of a protocol without.
    if (error instanceof ArgumentError) {
      return { kind: "usage", status: STATUS_OUTSIDE, text: error.message };
    }
    throw error;
  }
}

function parseObject(words: Words, links: TcLinks): TcRequest[] {
  const word = words.take();
  switch (keywordOf(word, ["qdisc", "class", "filter", "chain", "actions", "monitor", "exec", "help"])) {
    case "qdisc":
      return [parseQdisc(words, links)];
    case "filter":
      return [parseFilter(words, links)];
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
