/** The words of u32. */
import type { ClassifierSpec } from "../../../src/tc/filter.ts";
import { type U32Key, withKey } from "../../../src/tc/u32.ts";
import { checkFlags, noWords, takeCommon, unknownWord } from "./classifier.ts";
import { fail, illegal, outside } from "./refusal.ts";
import { integer, prefixOf, unsigned } from "./values.ts";
import { isPrefix, keywordOf, type Words } from "./words.ts";

/** Keywords of u32 that are not about sampling, and those that iproute2 wants whole. */
const U32_WORDS = ["offset", "hashkey", "divisor", "order", "police"] as const;
const U32_WHOLE_WORDS: ReadonlySet<string> = new Set(["link", "ht", "sample", "indev"]);

/** Reads what follows `u32`. */
export function parseU32(words: Words): ClassifierSpec | undefined {
  if (words.left === 0) return undefined;
  const found = noWords();
  let keys: U32Key[] | undefined;
  while (words.left > 0) {
    const word = words.word!;
    if (isPrefix(word, "match")) {
      words.skip();
      words.demand();
      keys = parseSelector(words, keys ?? []) ?? fail(illegal("match"));
    } else if (!takeCommon(words, found)) {
      throw keywordOf(word, U32_WORDS) || U32_WHOLE_WORDS.has(word) ? outside(`u32 ${word}`) : unknownWord(word);
    }
  }
  checkFlags(found.flags);
  return { kind: "u32", keys, ...found };
}

/** Where the fields of IPv4 and IPv6 are, and how wide; the offset mask of an ICMPv6 code is iproute2's own. */
const IP_FIELDS: Readonly<Record<string, readonly [bits: 8 | 16, offset: number, offsetMask: number]>> = {
  ihl: [8, 0, 0],
  protocol: [8, 9, 0],
  sport: [16, 20, 0],
  dport: [16, 22, 0],
  icmp_type: [8, 20, 0],
  icmp_code: [8, 21, 0],
};
const IP6_FIELDS: typeof IP_FIELDS = {
  protocol: [8, 6, 0],
  sport: [16, 40, 0],
  dport: [16, 42, 0],
  icmp_type: [8, 40, 0],
  icmp_code: [8, 41, 1],
};
/** Words of `match ip` that are whole keys: value and mask of the 16 bits at offset 6. */
const IP_FRAGMENTS: Readonly<Record<string, readonly [value: number, mask: number]>> = {
  nofrag: [0, 0x3fff],
  firstfrag: [0x2000, 0x3fff],
  df: [0x4000, 0x4000],
  mf: [0x2000, 0x2000],
};

/** What follows `match`; `undefined` if iproute2 finds it illegal. */
function parseSelector(words: Words, keys: U32Key[]): U32Key[] | undefined {
  const word = words.word!;
  const keyword = keywordOf(word, ["u32", "u16", "u8", "ip", "ip6", "udp", "tcp", "icmp", "mark", "ether"]);
  if (keyword === undefined) return undefined;
  if (keyword === "mark" || keyword === "ether") throw outside(`u32 match ${keyword}`);
  words.skip();
  words.demand();
  switch (keyword) {
    case "u32":
      return parseField(words, keys, 32, 0, 0);
    case "u16":
      return parseField(words, keys, 16, 0, 0);
    case "u8":
      return parseField(words, keys, 8, 0, 0);
    case "ip":
    case "ip6":
      return parseIp(words, keys, keyword === "ip" ? 4 : 6);
    default:
      return parseTransport(words, keys, keyword);
  }
}

function parseTransport(words: Words, keys: U32Key[], keyword: "udp" | "tcp" | "icmp"): U32Key[] | undefined {
  if (words.left < 2) return undefined;
  const field = words.take();
  if (keyword === "icmp") {
    return field === "type" || field === "code" ? parseField(words, keys, 8, field === "type" ? 0 : 1, -1) : undefined;
  }
  return field === "src" || field === "dst" ? parseField(words, keys, 16, field === "src" ? 0 : 2, -1) : undefined;
}

function parseIp(words: Words, keys: U32Key[], family: 4 | 6): U32Key[] | undefined {
  if (words.left < 2) return undefined;
  const field = words.take();
  if (field === "src" || field === "dst") return parseAddress(words, keys, family, field);
  if (family === 4) {
    if (field === "tos" || isPrefix(field, "dsfield") || isPrefix(field, "precedence")) return parseField(words, keys, 8, 1, 0);
    const fragment = Object.hasOwn(IP_FRAGMENTS, field) ? IP_FRAGMENTS[field] : undefined;
    if (fragment) return pack(keys, 16, fragment[0], fragment[1], 6, 0);
  } else if (field === "flowlabel") {
    return parseField(words, keys, 32, 0, 0);
  } else if (field === "priority") {
    const value = numbers(words, 0xff, 0xff);
    return value && pack(keys, 32, value[0] << 20, value[1] << 20, 0, 0);
  }
  const fields = family === 4 ? IP_FIELDS : IP6_FIELDS;
  const place = Object.hasOwn(fields, field) ? fields[field] : undefined;
  return place && parseField(words, keys, ...place);
}

/** A value and a mask, of which the second is hexadecimal whatever it looks like. */
function numbers(words: Words, maxValue: number, maxMask: number): [number, number] | undefined {
  if (words.left < 2) return undefined;
  const value = unsigned(words.take(), 0, maxValue);
  const mask = unsigned(words.take(), 16, maxMask);
  return value === undefined || mask === undefined ? undefined : [value, mask];
}

function parseField(words: Words, keys: U32Key[], bits: 8 | 16 | 32, offset: number, offsetMask: number): U32Key[] | undefined {
  const max = 2 ** bits - 1;
  const value = numbers(words, max, max);
  const at = value && parseAt(words, offset, offsetMask);
  return at && pack(keys, bits, value[0], value[1], ...at);
}

/** `at OFFSET` or `at nexthdr+OFFSET`, if it is there. */
function parseAt(words: Words, offset: number, offsetMask: number): [number, number] | undefined {
  if (words.word !== "at") return [offset, offsetMask];
  let text = words.value();
  let mask = offsetMask;
  if (text.startsWith("nexthdr+") && text.length > "nexthdr+".length) {
    mask = -1;
    text = text.slice("nexthdr+".length);
  } else if (isPrefix(text, "nexthdr+")) {
    mask = -1;
    text = words.take();
  }
  const number = integer(text);
  return number === undefined ? undefined : [number, mask];
}

function pack(keys: U32Key[], bits: 8 | 16 | 32, value: number, mask: number, offset: number, offsetMask: number): U32Key[] | undefined {
  if (bits === 32) return withKey(keys, { value, mask, offset, offsetMask });
  // A narrow field is part of the word around it; 16 bits begin in its first half only at a multiple of 4.
  const inWord = offset & 3;
  const shift = bits === 16 ? (inWord === 0 ? 16 : 0) : 24 - 8 * inWord;
  const place = { offset: offset & ~3, offsetMask };
  return withKey(keys, { value: (value << shift) >>> 0, mask: (mask << shift) >>> 0, ...place });
}

function parseAddress(words: Words, keys: U32Key[], family: 4 | 6, field: "src" | "dst"): U32Key[] | undefined {
  const prefix = prefixOf(words.take(), family);
  const start = family === 4 ? (field === "src" ? 12 : 16) : (field === "src" ? 8 : 24);
  const at = prefix && parseAt(words, start, 0);
  if (!at) return undefined;
  const [offset, offsetMask] = at;
  const address = new DataView(prefix.address.buffer, prefix.address.byteOffset);
  const mask = new DataView(prefix.mask.buffer, prefix.mask.byteOffset);
  let result: U32Key[] | undefined = keys;
  for (let i = 0; i < prefix.address.length && result; i += 4) {
    // An IPv4 address without a prefix is a key that matches all; IPv6 leaves such words out.
    if (family === 6 && mask.getUint32(i) === 0) break;
    result = withKey(result, { value: address.getUint32(i), mask: mask.getUint32(i), offset: offset + i, offsetMask });
  }
  return result;
}
