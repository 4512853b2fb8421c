/** Which packets two filters have in common, as far as their conditions show. */
import { AttrReader } from "../wire/attr_reader.ts";
import { sameBytes } from "../wire/bytes.ts";
import { LITTLE } from "../wire/native.ts";
import { ETH_P_ALL } from "../wire/ether_types.ts";
import { readBpf } from "./bpf.ts";
import type { Filter } from "./filter.ts";
import type { FlowerKeys, MaskedNumber, PortRange } from "./flower.ts";
import type { MaskedAddress } from "./address.ts";
import { TC_U32_TERMINAL } from "./u32.ts";

/** How many of the packets of one filter another one matches too. */
export type Overlap = "all" | "some" | "none";

// include/uapi/linux/pkt_cls.h
const TCA_BASIC_EMATCHES = 2;
const TCA_EMATCH_TREE_HDR = 1;

/** How many of the packets that `mine` matches `other` matches too. `"some"` if that is not known. */
export function overlap(other: Filter, mine: Filter): Overlap {
  if (other.protocol !== ETH_P_ALL && mine.protocol !== ETH_P_ALL && other.protocol !== mine.protocol) return "none";
  const matched = matches(other, mine);
  return matched === "all" && other.protocol !== ETH_P_ALL && other.protocol !== mine.protocol ? "some" : matched;
}

/** The same for packets of the right protocol. */
function matches(other: Filter, mine: Filter): Overlap {
  const { classifier, kind } = other;
  if (!classifier) return "none";
  switch (classifier.kind) {
    case "matchall":
      return "all";
    case "flower":
      // A key that is not decoded is one more condition.
      return flowerOverlap(classifier.keys, mine.classifier?.kind === "flower" ? mine.classifier.keys : {}, classifier.unknown.length > 0);
    case "u32": {
      const { selector, divisor, link, mark, inputDevice, hash = 0x80000000 } = classifier;
      if (divisor !== undefined) return "none";
      // Only tables from 0x800 on are searched on their own, others through a filter that links to them.
      const anything = selector?.keys.every(({ mask }) => mask === 0) && selector.flags & TC_U32_TERMINAL;
      return anything && link === undefined && !mark && inputDevice === undefined && hash >>> 20 >= 0x800 ? "all" : "some";
    }
    case "other":
      if (kind === "basic") return hasConditions(classifier.bytes) ? "some" : "all";
      return kind === "bpf" ? bpfOverlap(classifier.bytes, mine) : "some";
  }
}

function bpfOverlap(options: Uint8Array, mine: Filter): Overlap {
  const { directAction, results, program } = readBpf(options);
  // With direct action every packet gets a result, which decides.
  if (directAction) return "all";
  if (!results || results.size === 0) return "some";
  if (!results.has(0)) return "all";
  const ours = mine.kind === "bpf" && mine.classifier?.kind === "other" ? readBpf(mine.classifier.bytes) : undefined;
  if (!ours?.directAction && ours?.program && sameBytes(ours.program, program!)) return "all";
  return results.size === 1 ? "none" : "some";
}

/** A basic filter without conditions has an empty tree of them: `struct tcf_ematch_tree_hdr`, u16 count, u16 program. */
function hasConditions(options: Uint8Array): boolean {
  const attr = AttrReader.of(options);
  while (attr.next()) {
    if (attr.type !== TCA_BASIC_EMATCHES) continue;
    const tree = attr.nested();
    while (tree.next()) if (tree.type === TCA_EMATCH_TREE_HDR) return tree.atLeast(4).getUint16(0, LITTLE) > 0;
  }
  return false;
}

function flowerOverlap(other: Readonly<FlowerKeys>, mine: Readonly<FlowerKeys>, narrower: boolean): Overlap {
  let all = !narrower;
  for (const [name, theirs] of Object.entries(other)) {
    // The EtherType is that of the filter, see FlowerKeys.etherType.
    if (theirs === undefined || name === "etherType") continue;
    const ours = mine[name as keyof FlowerKeys];
    const relation = ours === undefined ? "some" : keyOverlap(theirs, ours);
    if (relation === "none") return "none";
    if (relation === "some") all = false;
  }
  return all ? "all" : "some";
}

type KeyValue = NonNullable<FlowerKeys[keyof FlowerKeys]>;

/** How many of the values that `mine` covers `other` covers too; both belong to the same key. */
function keyOverlap(other: KeyValue, mine: KeyValue): Overlap {
  if (isRange(other) && isRange(mine)) {
    if (other.to < mine.from || mine.to < other.from) return "none";
    return other.from <= mine.from && mine.to <= other.to ? "all" : "some";
  }
  const [theirs, ours] = [bitsOf(other), bitsOf(mine)];
  if (theirs.length !== ours.length) return "none";
  let all = true;
  for (let i = 0; i < theirs.length; i++) {
    const [value, mask] = theirs[i]!;
    const [ownValue, ownMask] = ours[i]!;
    if ((value ^ ownValue) & mask & ownMask) return "none";
    if (mask & ~ownMask) all = false;
  }
  return all ? "all" : "some";
}

function isRange(value: KeyValue): value is PortRange {
  return typeof value === "object" && "from" in value;
}

/** A key as words of value and mask. */
function bitsOf(value: KeyValue): [value: number, mask: number][] {
  if (typeof value === "number") return [[value, -1]];
  if (typeof value === "string") return [...value].map((character) => [character.codePointAt(0)!, -1]);
  if (isRange(value)) return [];
  if ("address" in value) return addressBits(value);
  return [[value.value, (value satisfies MaskedNumber).mask ?? -1]];
}

function addressBits({ address, mask }: MaskedAddress): [number, number][] {
  return [...address].map((byte, i) => [byte, mask[i]!]);
}
