/** Words that somebody types who means something else: what that may be. */
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The known word that is likely to be meant, if there is one. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const near = closestString(word, [...known]);
  const distance = levenshteinDistance(word, near);
  // Of short words many are near: "foo" means no "loop", and is no slip of the fingers.
  const isLikely = distance <= 1 || word[0] === near[0];
  return isLikely && 2 * distance <= Math.max(word.length, near.length) ? near : undefined;
}

/** A word that a command does not know, and the nearest that it does. */
export function unknownWord(word: string, what: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return `unknown ${what} ${JSON.stringify(word)}${near ? `; the nearest is ${near}` : ""}`;
}

/** What does here what tcpdump's options do, by their letters. Commands that have such a letter do not ask. */
export const TCPDUMP_ANSWERS: Readonly<Record<string, string>> = {
  A: "--verbose prints each packet's bytes, also as characters",
  B: "--buffer BYTES sets the size of the receive buffer",
  C: "--rotate SIZE starts a new file, such as --rotate 100MB",
  D: "ip link lists the devices, psample list those that are sampled",
  F: 'psample capture --match "$(cat FILE)" selects packets',
  G: "--rotate TIME starts a new file, such as --rotate 1h",
  Q: "psample capture --direction ingress, egress or both",
  S: "the numbers of TCP are always absolute; --packets --link-level shows them",
  U: "output is never held back, it needs no option",
  W: "--keep N keeps only the last N of the files that --rotate makes",
  c: "--count N stops after N samples",
  e: "--details adds the device and its type, --packets --link-level the link-layer addresses",
  i: "psample capture DEVICE samples a device",
  l: "output is never held back, it needs no option",
  p: "sampling never makes a device promiscuous",
  r: "psample read FILE prints a recording",
  s: "psample capture --trunc BYTES truncates packets",
  t: "the text always has the time, --json has it in nanoseconds, and lines of --packets have that of --times",
  y: "--details prints the link type",
};

/** What people call commands elsewhere, and what to type here. */
const OTHER_COMMANDS: ReadonlyMap<string, string> = new Map(
  ([
    ["monitor listen watch", "psample without a command"],
    ["record write save", "psample -w FILE, or psample capture DEVICE -w FILE"],
    ["dump sniff tcpdump sample start add", "psample capture DEVICE"],
    ["print show cat decode replay", "psample read FILE"],
    ["ls status stats", "psample list"],
    ["groups", "psample --list-groups"],
    ["stop clean clear remove delete del", "psample cleanup"],
    ["check diagnose why", "psample doctor"],
    ["version", "psample --version"],
  ] as const).flatMap(([words, meant]) => words.split(" ").map((word) => [word, meant] as const)),
);

/** Whether a word names a file, and not a device. */
export function isFile(word: string): boolean {
  return word === "-" || word.includes("/") || /\.pcap(ng)?$/i.test(word);
}

/** What to answer to a first word that is no command. */
export function notACommand(word: string, commands: readonly string[]): string {
  const meant = OTHER_COMMANDS.get(word);
  if (meant) return `unknown command ${JSON.stringify(word)}: did you mean ${meant}?`;
  if (isFile(word)) return `unknown command ${JSON.stringify(word)}: to print a recording, psample read ${word}`;
  const near = /\d/.test(word) ? undefined : nearest(word, commands);
  if (near) return `unknown command ${JSON.stringify(word)}; the nearest is ${near}`;
  return `unknown command ${JSON.stringify(word)}: to sample a device of that name, psample capture ${word}`;
}

/** Words that begin, or are part of, an expression of tcpdump's, and are hardly the names of devices. */
const FILTER_WORDS: ReadonlySet<string> = new Set(
  ("and or not ! && || ( ) tcp udp icmp icmp6 icmpv6 sctp ip ip6 ipv6 arp rarp ether vlan mpls host net port portrange proto src dst " +
    "sport dport greater less len broadcast multicast inbound outbound").split(" "),
);

/** What to say to an expression of tcpdump's in several words. */
export function filterHint(words: readonly string[]): string {
  return `a filter goes into one option: did you mean --filter '${words.join(" ")}'? (psample help filter tells its words)`;
}

/** Where among words that should name devices an expression of tcpdump's begins; -1 if nowhere. */
export function filterStart(words: readonly string[]): number {
  return words.findIndex((word, i) => i > 0 && FILTER_WORDS.has(word.toLowerCase()));
}
