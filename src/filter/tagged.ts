/**
 * Tests of frames whose outermost VLAN tag the kernel keeps beside the bytes, as it does for packets that arrive (`skb_vlan_untag` in
 * net/core/skbuff.c) and for those that VLAN devices send. Tests of the frame as it is on the wire become tests of the bytes and of the
 * tag.
 */
import { all, any, compare as holds, type Comparison, load, not, number, type Test, type Value } from "./condition.ts";
import { ETH_P_8021AD, ETH_P_8021Q } from "../wire/ether_types.ts";

/** The tag follows the two hardware addresses: two bytes of EtherType, two of priority and number. */
const TAG = 12;
const TAG_END = 16;
/** The EtherTypes of tags that the kernel takes off, `eth_type_vlan` in include/linux/if_vlan.h. */
const TAG_TYPES = [ETH_P_8021Q, ETH_P_8021AD];

const TYPE: Value = { kind: "tag", part: "type" };
const CONTROL: Value = { kind: "tag", part: "control" };
const PRESENT: Value = { kind: "tag", part: "present" };

/** A test of whole Ethernet frames, translated to packets as tc has them: with the tag beside the bytes or among them. */
export function asKernelHasIt(test: Test): Test {
  const tagged = behindTag(test);
  if (JSON.stringify(tagged) === JSON.stringify(test)) return test;
  const isTagged = (yes: number): Test => ({ kind: "compare", comparison: "=", left: PRESENT, right: number(yes) });
  const bare = all(isTagged(0), test);
  if (tagged.kind !== "constant") return any(bare, all(isTagged(1), tagged));
  return tagged.value ? any(bare, isTagged(1)) : bare;
}

/** The test for a packet that has its tag beside it. */
function behindTag(test: Test): Test {
  switch (test.kind) {
    case "constant":
    case "sample":
    case "vni":
    case "inner":
      return test;
    case "not":
      return not(behindTag(test.term));
    case "and":
      return all(...test.terms.map(behindTag));
    case "or":
      return any(...test.terms.map(behindTag));
    case "compare":
      return comparison(test.comparison, test.left, test.right);
  }
}

/** A comparison; one for each place where the bytes may be, if that depends on the packet. */
function comparison(relation: Comparison, left: Value, right: Value): Test {
  const unplaced = findUnplaced(left) ?? findUnplaced(right);
  if (!unplaced) return decided({ kind: "compare", comparison: relation, left: placed(left), right: placed(right) });
  const { size, offset, index } = unplaced;
  const within = (bytes: Value): Test => comparison(relation, replaced(left, unplaced, bytes), replaced(right, unplaced, bytes));
  const isIndex = (how: Comparison, at: number): Test => comparison(how, index, number(at));
  const places: Test[] = [];
  for (let at = 0; offset + at < TAG_END; at++) places.push(all(isIndex("=", at), within(load(size, offset + at))));
  const beyond = TAG_END - offset;
  const rest: Value = { kind: "calculation", operation: "-", left: index, right: number(beyond) };
  return any(...places, all(isIndex(">=", beyond), within(load(size, TAG_END, rest))));
}

type Indexed = Value & { kind: "load"; readonly index: Value };

/** A load that begins before or after the tag, depending on the packet; innermost first. */
function findUnplaced(value: Value): Indexed | undefined {
  if (value.kind === "calculation") return findUnplaced(value.left) ?? findUnplaced(value.right);
  if (value.kind !== "load" || !value.index) return undefined;
  return findUnplaced(value.index) ?? (value.offset < TAG_END ? value as Indexed : undefined);
}

/** `value` with `bytes` in place of `old`, wherever it is. */
function replaced(value: Value, old: Value, bytes: Value): Value {
  if (value === old) return bytes;
  if (value.kind === "calculation") return { ...value, left: replaced(value.left, old, bytes), right: replaced(value.right, old, bytes) };
  if (value.kind === "load" && value.index) return load(value.size, value.offset, replaced(value.index, old, bytes));
  return value;
}

/** A value of the frame on the wire, from the bytes and the tag. */
function placed(value: Value): Value {
  switch (value.kind) {
    case "number":
    case "tag":
      return value;
    case "length":
      return calculated("+", value, number(TAG_END - TAG));
    case "calculation":
      return { ...value, left: placed(value.left), right: placed(value.right) };
    case "header length":
      if (value.offset < TAG) return value;
      if (value.offset >= TAG_END) return { kind: "header length", offset: value.offset - (TAG_END - TAG) };
      return calculated("<<", calculated("&", byteAt(value.offset), number(0xf)), number(2));
    case "load": {
      const { size, offset, index } = value;
      // Loads whose place depends on the packet begin after the tag here: everything else was placed before.
      if (index) return load(size, offset - (TAG_END - TAG), placed(index));
      if (offset + size <= TAG) return value;
      if (offset >= TAG_END) return load(size, offset - (TAG_END - TAG));
      if (size === 2 && offset === TAG) return TYPE;
      if (size === 2 && offset === TAG + 2) return CONTROL;
      let bytes = byteAt(offset);
      for (let i = 1; i < size; i++) bytes = calculated("|", calculated("<<", bytes, number(8)), byteAt(offset + i));
      return bytes;
    }
  }
}

function byteAt(offset: number): Value {
  if (offset < TAG) return load(1, offset);
  if (offset >= TAG_END) return load(1, offset - (TAG_END - TAG));
  const half = offset < TAG + 2 ? TYPE : CONTROL;
  return offset % 2 === 0 ? calculated(">>", half, number(8)) : calculated("&", half, number(0xff));
}

function calculated(operation: (Value & { kind: "calculation" })["operation"], left: Value, right: Value): Value {
  return { kind: "calculation", operation, left, right };
}

/** The tag's EtherType has only two values, so a comparison with it may be decided already; then what follows it is dropped. */
function decided(test: Test & { kind: "compare" }): Test {
  const { left, right, comparison } = test;
  if (left.kind !== "tag" || left.part !== "type" || right.kind !== "number") return test;
  const answers = TAG_TYPES.map((type) => holds(comparison, type, right.value));
  return answers.every((answer) => answer === answers[0]) ? { kind: "constant", value: answers[0]! } : test;
}
