/** u32, as iproute2 6.1 prints it. */
import { ETH_P_IP, ETH_P_IPV6 } from "../../../src/wire/ether_types.ts";
import type { Filter } from "../../../src/tc/filter.ts";
import { TC_U32_EAT, TC_U32_OFFSET, TC_U32_TERMINAL, TC_U32_VAROFFSET, type U32, type U32Key } from "../../../src/tc/u32.ts";
import { ipv4Text, toHex } from "../../../src/wire/text.ts";
import { flagWords, writeFilterActions } from "./classifier.ts";
import { classText, hex, hex8 } from "./values.ts";
import type { TcOptions } from "../command.ts";
import type { DocumentWriter } from "./document.ts";

function u32HandleText(handle: number, raw: boolean): string {
  if (handle === 0) return "none";
  const table = handle >>> 20;
  const bucket = (handle >>> 12) & 0xff;
  const node = handle & 0xfff;
  return `${table ? `${hex(table)}:` : ""}${bucket ? hex(bucket) : ""}${node ? `:${hex(node)}` : ""}${raw ? `[${hex8(handle)}]` : ""}`;
}

/** What follows `u32`. */
export function writeU32(out: DocumentWriter, u32: U32, filter: Filter, options: TcOptions): void {
  const { handle } = filter;
  const { selector, flags = 0, tries, hits } = u32;
  const terminal = selector !== undefined && (selector.flags & TC_U32_TERMINAL) !== 0;
  const counted = options.stats && tries !== undefined && hits !== undefined;
  if (handle) out.field("fh", u32HandleText(handle, options.raw), `fh ${u32HandleText(handle, options.raw)} `);
  if (handle & 0xfff) out.field("order", handle & 0xfff, `order ${handle & 0xfff} `);
  if (u32.divisor !== undefined) {
    out.field("ht_divisor", u32.divisor, `ht divisor ${u32.divisor} `);
  } else if (u32.hash !== undefined) {
    const table = hex(u32.hash >>> 20);
    const bucket = hex((u32.hash >>> 12) & 0xff);
    out.field("key_ht", table, `key ht ${table} `);
    out.field("bkt", bucket, `bkt ${bucket} `);
  }
  if (u32.classId !== undefined) {
    if (terminal) out.text("*");
    out.field("flowid", classText(u32.classId), `flowid ${classText(u32.classId)} `);
  } else if (terminal) {
    out.text("terminal flowid ");
  }
  if (u32.link !== undefined) out.field("link", u32HandleText(u32.link, options.raw), `link ${u32HandleText(u32.link, options.raw)} `);
  for (const word of flagWords(flags)) out.field(word, true, `${word} `);
  if (selector && counted) {
    out.field("rule_hit", tries, `(rule hit ${tries} `);
    out.field("success", hits, `success ${hits})`);
  }
  if (u32.mark) {
    const { value, mask, success } = u32.mark;
    out.line();
    out.field("fwmark_value", alternateHex(value), `  mark 0x${hex(value).padStart(4, "0")} `);
    out.field("fwmark_mask", alternateHex(mask), `0x${hex(mask).padStart(4, "0")} `);
    out.field("fwmark_success", success, `(success ${success})`);
  }
  selector?.keys.forEach((key, i) => {
    writeU32Key(out, key, filter.protocol, options);
    const keyHits = u32.keyHits[i];
    if (counted && keyHits !== undefined) out.field("success", keyHits, ` (success ${keyHits} ) `);
  });
  if (selector) writeU32Offsets(out, selector);
  for (const { type, value } of u32.unknown) {
    out.line();
    out.field(`key_${type}`, toHex(value), `  key_${type} ${toHex(value)} [see tc]`);
  }
  if (u32.inputDevice !== undefined) {
    out.line();
    out.field("input_dev", u32.inputDevice, `  input dev ${u32.inputDevice}`);
    out.line();
  }
  writeFilterActions(out, u32.actions, options);
}

/** printf's %#x, which leaves 0 bare. */
function alternateHex(value: number): string {
  return value === 0 ? "0" : `0x${hex(value)}`;
}

function writeU32Offsets(out: DocumentWriter, selector: NonNullable<U32["selector"]>): void {
  const { flags, headerMask, headerShift, headerOffset, plus, hashMask, hashOffset } = selector;
  if (flags & (TC_U32_VAROFFSET | TC_U32_OFFSET)) {
    out.line();
    out.text("    offset ");
    if (flags & TC_U32_VAROFFSET) {
      out.field("offset_mask", hex(headerMask), hex(headerMask).padStart(4, "0"));
      out.field("offset_shift", headerShift, `>>${headerShift} `);
      out.field("offset_off", headerOffset, `at ${headerOffset} `);
    }
    if (plus) out.field("plus", plus, `plus ${plus} `);
  }
  if (flags & TC_U32_EAT) out.text(" eat ");
  if (hashMask) {
    out.line();
    out.field("hash_mask", hex(hashMask), `    hash mask ${hex8(hashMask)} `);
    out.field("hash_off", hashOffset, `at ${hashOffset} `);
  }
}

/**
 * A key as numbers, or with -pretty in words. The words are iproute2's, oddities included: what it has no word for it
 * leaves out, and it reads IPv6 as IPv4. Its JSON in words, which it does not finish, is finished here.
 */
function writeU32Key(out: DocumentWriter, key: U32Key, protocol: number, options: TcOptions): void {
  out.open("match");
  if (options.pretty && (protocol === ETH_P_IP || protocol === ETH_P_IPV6)) writeU32Words(out, key, protocol);
  else writeU32Numbers(out, key);
  out.close();
}

function writeU32Numbers(out: DocumentWriter, key: U32Key): void {
  const next = key.offsetMask ? "nexthdr+" : "";
  out.line();
  out.field("value", hex(key.value), `  match ${hex8(key.value)}`);
  out.field("mask", hex(key.mask), `/${hex8(key.mask)} `);
  out.field("offmask", next, `at ${next}`);
  out.field("off", key.offset, `${key.offset}`);
}

function writeU32Words(out: DocumentWriter, key: U32Key, protocol: number): void {
  const { mask, value, offset } = key;
  if (offset === 0 && mask === 0x0f000000) {
    out.line();
    out.field("ip_ihl", value >>> 24, `  match IP ihl ${value >>> 24}`);
  } else if (offset === 0 && mask === 0x00ff0000) {
    out.line();
    out.field("ip_dsfield", alternateHex(value >>> 16), `  match IP dsfield ${alternateHex(value >>> 16)}`);
  } else if (offset === 8 && mask === 0x00ff0000) {
    out.line();
    out.field("ip_protocol", value >>> 16, `  match IP protocol ${value >>> 16}`);
  } else if (offset === 12 || offset === 16) {
    const bits = leadingBits(mask);
    if (bits === undefined) return;
    const end = offset === 12 ? "src" : "dst";
    const text = ipv4Text(new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]));
    out.line();
    out.text(`  match IP ${end} `);
    out.open(end);
    out.field("address", text, text);
    out.field("prefixlen", bits, `/${bits}`);
    out.close();
  } else if (offset === 20) {
    writeU32Ports(out, value, mask, protocol === ETH_P_IP);
  }
}

/** iproute2 takes the two ports for each other in IPv6. */
function writeU32Ports(out: DocumentWriter, value: number, mask: number, ipv4: boolean): void {
  const [low, high] = ipv4 ? ["dport", "sport"] : ["sport", "dport"];
  const lowPort = value & 0xffff;
  const highPort = value >>> 16;
  if (mask === 0x0000ffff) {
    if (!ipv4) out.line();
    out.field(low!, lowPort, `${ipv4 ? "" : "  "}match ${low} ${lowPort}`);
  } else if (mask === 0xffff0000) {
    if (ipv4) out.line();
    out.field(high!, highPort, `${ipv4 ? "  " : ""}match ${high} ${highPort}`);
  } else if (mask === 0xffffffff) {
    out.line();
    out.field(low!, lowPort, `  match ${low} ${lowPort}, `);
    out.field(high!, highPort, `match ${high} ${highPort}`);
  }
}

/** How many leading bits a word has; 0 for none, `undefined` if there is a hole. */
function leadingBits(mask: number): number | undefined {
  const bits = Math.clz32(~mask);
  return bits === 32 || mask << bits === 0 ? bits : undefined;
}
