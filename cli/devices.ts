/** The arguments that name devices to sample: names, patterns, and `any`. */
import { listLinks, SystemError } from "../mod.ts";
import type { LiveLinks } from "../src/receive/live_links.ts";
import { printable, printableText, shellWord } from "../src/wire/text.ts";
import type { Io } from "./io.ts";
import { UsageError } from "./options.ts";
import { answering } from "./session.ts";

/** What matters about a device here. */
export interface Known {
  readonly name: string;
  /** Defaults to none. */
  readonly alternativeNames?: readonly string[];
  readonly up: boolean;
}

/** What SIGUSR1 is answered with while the kernel is asked for its devices. */
export const ASKING_FOR_DEVICES = "asking the kernel for its devices: nothing is sampled yet";

/**
 * The devices that the words name now; the kernel is asked only if one is not a plain name.
 *
 * @param isFollowed Whether devices that come later count too: then a word without any now is no error.
 */
export async function expandDevices(
  words: readonly string[],
  netns: string | undefined,
  io: Io,
  isFollowed = false,
): Promise<readonly string[]> {
  if (!words.some(isOpen)) return words;
  const links = await answering(io, ASKING_FOR_DEVICES, () => listLinks({ netns }));
  return expandAmong(words, [...links.links()].map(({ name, up }) => ({ name: name ?? "", up })), isFollowed);
}

/**
 * The devices among the existing ones that the words name: `any` is every device that is up, except lo; in a pattern `*` is any number
 * of characters, `?` is one, and `[a-c]` one of several.
 */
export function expandAmong(words: readonly string[], known: readonly Known[], isFollowed = false): readonly string[] {
  checkAny(words);
  if (words.includes("any")) {
    const up = known.filter(({ up, name }) => up && name !== "lo");
    if (up.length === 0 && !isFollowed) throw new UsageError("no device is up but lo");
    return up.map(({ name }) => name);
  }
  const named = words.flatMap((word) => {
    // A name may contain these characters too.
    if (!isPattern(word) || known.some(({ name }) => name === word)) return [word];
    const pattern = patternOf(word);
    const matching = known.filter(({ name }) => pattern.test(name));
    if (matching.length > 0 || isFollowed) return matching.map(({ name }) => name);
    throw noneMatches(word, known);
  });
  return [...new Set(named)];
}

function noneMatches(pattern: string, known: readonly Known[]): UsageError {
  const names = known.map(({ name }) => printable(name)).join(", ");
  return new UsageError(`no device matches ${printableText(pattern)}: there are ${names}`, { keys: ["device"], value: pattern });
}

/** Refuses `any` beside other devices. */
export function checkAny(words: readonly string[]): void {
  if (!words.includes("any") || words.length === 1) return;
  const other = words.find((word) => word !== "any");
  const why = other === undefined ? "it was given twice" : `${printable(other)} cannot be given with it`;
  throw new UsageError(`any means every device: ${why}`, { keys: ["device"], value: "any" });
}

/** Whether a word means this device. */
export function means(word: string, { name, alternativeNames = [], up }: Known): boolean {
  if (word === "any") return up && name !== "lo";
  return word === name || alternativeNames.includes(word) || (isPattern(word) && patternOf(word).test(name));
}

/**
 * The place of the last of these words that {@linkcode means} a device, for many devices; -1 if none does. Names are looked up, and patterns
 * are compiled once.
 */
export function matcherOf(words: readonly string[]): (device: Known) => number {
  const places = new Map(words.map((word, i) => [word, i]));
  const any = places.get("any") ?? -1;
  places.delete("any");
  const patterns = [...places].filter(([word]) => isPattern(word)).map(([word, i]) => [patternOf(word), i] as const);
  return ({ name, alternativeNames = [], up }) => {
    let last = up && name !== "lo" ? any : -1;
    for (const own of [name, ...alternativeNames]) last = Math.max(last, places.get(own) ?? -1);
    for (const [pattern, i] of patterns) if (i > last && pattern.test(name)) last = i;
    return last;
  };
}

/** Whether a word may mean devices that come later: `any`, and patterns. A plain name means one that there has to be. */
export function isOpen(word: string): boolean {
  return word === "any" || isPattern(word);
}

/** What is said about words that mean no device yet. */
export function notYet(words: readonly string[], known: readonly Known[]): string[] {
  const lonely = words.filter((word) => isOpen(word) && !known.some((device) => means(word, device)));
  return lonely.map((word) => {
    if (word === "any") return "no device is up but lo: those that come up later are sampled";
    return `no device matches ${printableText(word)} yet: those that come later are sampled`;
  });
}

function isPattern(word: string): boolean {
  return /[*?[]/.test(word);
}

/** A pattern of the shell's, glob(7), without its classes of characters. */
function patternOf(word: string): RegExp {
  const parts = [...word.matchAll(/\[(!?)([^\]]+)\]|\*|\?|[^]/g)].map(([text, negated, characters]) => {
    if (characters !== undefined) return `[${negated ? "^" : ""}${characters.replace(/[\\^\]]/g, "\\$&")}]`;
    if (text === "*") return ".*";
    return text === "?" ? "." : text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  });
  try {
    return new RegExp(`^${parts.join("")}$`, "s");
  } catch {
    throw new UsageError(`${printableText(word)} is not a valid pattern: a range in brackets is reversed`);
  }
}

/** The devices that there are now. */
export function present(links: LiveLinks): (Known & { readonly index: number })[] {
  links.watch();
  return [...links.links()].map(({ name, alternativeNames, index, up }) => ({ name: name ?? "", alternativeNames, index, up }));
}

/** Refuses a name that no device has now; words that follow those that come mean none that there has to be. */
export function checkPresent(known: readonly Known[], word: string): void {
  if (isOpen(word) || known.some((device) => means(word, device))) return;
  throw new UsageError(`there is no device ${printable(word)}`, { keys: ["device"], value: word });
}

/** The error, with what was meant if the device has a rate behind it, as `psample export` takes it and `command` does not. */
export function withRateHint(error: unknown, command: string): unknown {
  if (!(error instanceof SystemError) || error.code !== "ENODEV") return error;
  const [, device, rate] = /^find the device (.+):(\d+)$/.exec(error.op) ?? [];
  if (device !== undefined) {
    const word = shellWord(device);
    error.message += `. To sample 1 in ${rate} packets of ${printable(device)}, psample ${command} ${word} --rate ${rate}`;
  }
  return error;
}
