/** Suggestions for words that may have been meant differently. */
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The known word that was probably meant, if there is one. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  // A single letter is near every short word.
  if (word.length < 2) return undefined;
  const near = closestString(word, [...known]);
  const distance = levenshteinDistance(word, near);
  // Many short words are near each other: "foo" is not a mistyped "loop".
  const isLikely = distance <= 1 || word[0] === near[0];
  return isLikely && 2 * distance <= Math.max(word.length, near.length) ? near : undefined;
}

/** The message about an unknown word, with the nearest known one. */
export function unknownWord(word: string, what: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return `unknown ${what} ${JSON.stringify(word)}${near ? `; the nearest is ${near}` : ""}`;
}

/** The counterparts of tcpdump's options, by letter. Commands that have the letter themselves do not use this. */
export const TCPDUMP_ANSWERS: Readonly<Record<string, string>> = {
  A: "--verbose prints each packet's bytes, also as characters",
  B: "--buffer SIZE sets the size of the receive buffer",
  C: "--rotate SIZE starts a new file, such as --rotate 100MB",
  D: "ip link lists the devices, psample list those that are sampled",
  F: 'psample capture --match "$(cat FILE)" selects packets',
  G: "--rotate TIME starts a new file, such as --rotate 1h",
  Q: "psample capture --direction ingress, egress or both",
  S: "the numbers of TCP are always absolute; --packets --link-level shows them",
  U: "output is never held back; no option is needed",
  W: "--keep N keeps only the last N of the files that --rotate makes",
  c: "--count N stops after N samples",
  e: "--details adds the device and its type, --packets --link-level the link-layer addresses",
  i: "psample capture DEVICE samples a device",
  l: "output is never held back; no option is needed",
  p: "sampling never makes a device promiscuous",
  r: "psample read FILE prints a recording",
  s: "psample capture --trunc BYTES truncates packets",
  t: "the text always has the time, --json has it in nanoseconds, and lines of --packets have that of --times",
  y: "--details prints the link type",
};

/** Names of commands elsewhere, and what to type here. */
const OTHER_COMMANDS: ReadonlyMap<string, string> = new Map(
  ([
    ["monitor listen watch", "psample without a command"],
    ["record write save", "psample -w FILE, or psample capture DEVICE -w FILE"],
    ["dump sniff tcpdump sample start add", "psample capture DEVICE"],
    ["print show cat decode replay", "psample read FILE"],
    ["ls status stats", "psample list"],
    ["groups", "psample --list-groups"],
    ["stop clean clear remove delete del", "psample cleanup"],
    ["send sflow ipfix agent collector", "psample export --sflow HOST, or --ipfix HOST"],
    ["check diagnose why", "psample doctor"],
    ["version", "psample --version"],
  ] as const).flatMap(([words, meant]) => words.split(" ").map((word) => [word, meant] as const)),
);

/** Whether a word names a file rather than a device. */
export function isFile(word: string): boolean {
  return word === "-" || word.includes("/") || /\.pcap(ng)?$/i.test(word);
}

/** The answer to a first word that is not a command. */
export function notACommand(word: string, commands: readonly string[]): string {
  if (word === "") return "the command is an empty argument: psample --help lists the commands";
  const meant = OTHER_COMMANDS.get(word);
  if (meant) return `unknown command ${JSON.stringify(word)}: did you mean ${meant}?`;
  if (isFile(word)) return `unknown command ${JSON.stringify(word)}: to print a recording, psample read ${word}`;
  const near = /\d/.test(word) ? undefined : nearest(word, commands);
  if (near) return `unknown command ${JSON.stringify(word)}; the nearest is ${near}`;
  return `unknown command ${JSON.stringify(word)}: to sample a device of that name, psample capture ${word}`;
}

/** Words that begin, or are part of, a tcpdump expression, and are unlikely to be names of devices. */
const FILTER_WORDS: ReadonlySet<string> = new Set(
  ("and or not ! && || ( ) tcp udp icmp icmp6 icmpv6 sctp ip ip6 ipv6 arp rarp ether vlan mpls host net port portrange proto src dst " +
    "sport dport greater less len broadcast multicast inbound outbound").split(" "),
);

/** The hint for a tcpdump expression in several words. */
export function filterHint(words: readonly string[]): string {
  return `a filter goes into one option: did you mean --filter '${words.join(" ")}'? (psample help filter explains the language)`;
}

/** Index of the word at which a tcpdump expression begins among words that should name devices; -1 if none does. */
export function filterStart(words: readonly string[]): number {
  return words.findIndex((word, i) => i > 0 && FILTER_WORDS.has(word.toLowerCase()));
}
