/** The options in front of the object. */
import type { TcOptions } from "../command.ts";
import { outside, STATUS_USAGE, TcRefusal } from "./refusal.ts";
import { help } from "./usage.ts";
import { keywordOf, type Words } from "./words.ts";

const OPTIONS = [
  "-stats",
  "-statistics",
  "-details",
  "-raw",
  "-pretty",
  "-graph",
  "-Version",
  "-iec",
  "-help",
  "-force",
  "-batch",
  "-netns",
  "-Numeric",
  "-names",
  "-nm",
  "-cf",
  "-conf",
  "-color",
  "-timestamp",
  "-tshort",
  "-json",
  "-oneline",
  "-brief",
] as const;

/** Reads the options up to the object. */
export function parseOptions(words: Words): TcOptions {
  const options = { stats: false, raw: false, json: false, pretty: false, oneline: false };
  while (words.word?.startsWith("-")) {
    const word = words.take();
    // The only option that all commands of this program share, so it may be written as in the others.
    switch (word === "--netns" ? "-netns" : keywordOf(word, OPTIONS)) {
      case "-stats":
      case "-statistics":
        options.stats = true;
        break;
      case "-details":
        // Accepted, and changes nothing.
        break;
      case "-raw":
        options.raw = true;
        break;
      case "-pretty":
        options.pretty = true;
        break;
      case "-json":
        options.json = true;
        break;
      case "-oneline":
        options.oneline = true;
        break;
      case "-netns":
        words.netns = words.take();
        break;
      case "-help":
        throw help(0);
      case undefined:
        throw new TcRefusal(`Option "${word}" is unknown, try "psample tc -help".`, STATUS_USAGE);
      default:
        throw outside(word);
    }
  }
  return options;
}
