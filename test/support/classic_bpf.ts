import { viewOf } from "../../src/wire/native.ts";

const SKF_AD_NLATTR = 0xfffff00c; // SKF_AD_OFF (-0x1000) + SKF_AD_NLATTR (12), as u32
const SKF_AD_VLAN_TAG = 0xfffff02c;
const SKF_AD_VLAN_TAG_PRESENT = 0xfffff030;
const SKF_AD_VLAN_TPID = 0xfffff03c;

/** A VLAN tag beside a packet's bytes. */
export interface Tag {
  readonly type: number;
  readonly control: number;
}

/**
 * Runs a classic BPF program over a packet as the kernel does: the instructions that filters here use, anything else throws.
 * Returns how many bytes of the packet are kept; 0 drops it.
 *
 * Source: Documentation/networking/filter.rst; `bpf_skb_get_nlattr` and `___bpf_prog_run` in the kernel.
 *
 * @param length How long the packet was before it was cut.
 * @param tag The VLAN tag that the kernel keeps beside the bytes, if there is one.
 */
export function runFilter(program: Uint8Array, packet: Uint8Array, length = packet.length, tag?: Tag): number {
  const code = viewOf(program);
  const data = viewOf(packet);
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  const memory = new Uint32Array(16);
  let a = 0;
  let x = 0;
  for (let at = 0; at < program.length; at += 8) {
    const k = code.getUint32(at + 4, little);
    const operation = code.getUint16(at, little);
    const operand = operation & 0x08 ? x : k;
    const jump = (holds: boolean): void => {
      at += 8 * code.getUint8(at + (holds ? 2 : 3));
    };
    const offset = operation & 0x40 ? x + k : k;
    if (operation === 0x28 && (k === SKF_AD_VLAN_TAG || k === SKF_AD_VLAN_TAG_PRESENT || k === SKF_AD_VLAN_TPID)) {
      a = k === SKF_AD_VLAN_TAG_PRESENT ? Number(tag !== undefined) : (k === SKF_AD_VLAN_TAG ? tag?.control : tag?.type) ?? 0;
      continue;
    }
    switch (operation) {
      case 0x00: // LD | IMM
        a = k;
        break;
      case 0x01: // LDX | IMM
        x = k;
        break;
      case 0x20: // LD | W | ABS
        if (k === SKF_AD_NLATTR) {
          a = findAttribute(data, a, x, little);
          break;
        }
        // falls through
      case 0x40: // LD | W | IND
        if (offset + 4 > packet.length) return 0;
        a = data.getUint32(offset, false);
        break;
      case 0x28: // LD | H | ABS
      case 0x48: // LD | H | IND
        if (offset + 2 > packet.length) return 0;
        a = data.getUint16(offset, false);
        break;
      case 0x30: // LD | B | ABS
      case 0x50: // LD | B | IND
        if (offset + 1 > packet.length) return 0;
        a = data.getUint8(offset);
        break;
      case 0xb1: // LDX | B | MSH
        if (k + 1 > packet.length) return 0;
        x = 4 * (data.getUint8(k) & 0xf);
        break;
      case 0x80: // LD | W | LEN
        a = length;
        break;
      case 0x60: // LD | MEM
        a = memory[k]!;
        break;
      case 0x61: // LDX | MEM
        x = memory[k]!;
        break;
      case 0x87: // MISC | TXA
        a = x;
        break;
      case 0x02: // ST
        memory[k] = a;
        break;
      case 0x04: // ALU | ADD, and so on: with K, then with X
      case 0x0c:
        a = (a + operand) >>> 0;
        break;
      case 0x14:
      case 0x1c:
        a = (a - operand) >>> 0;
        break;
      case 0x24:
      case 0x2c:
        a = Math.imul(a, operand) >>> 0;
        break;
      case 0x34:
      case 0x3c:
        if (operand === 0) return 0;
        a = Math.floor(a / operand);
        break;
      case 0x94:
      case 0x9c:
        if (operand === 0) return 0;
        a %= operand;
        break;
      case 0x44:
      case 0x4c:
        a = (a | operand) >>> 0;
        break;
      case 0x54:
      case 0x5c:
        a = (a & operand) >>> 0;
        break;
      case 0xa4:
      case 0xac:
        a = (a ^ operand) >>> 0;
        break;
      case 0x64: // the number of bits is taken modulo 32
      case 0x6c:
        a = (a << operand) >>> 0;
        break;
      case 0x74:
      case 0x7c:
        a >>>= operand;
        break;
      case 0x07: // MISC | TAX
        x = a;
        break;
      case 0x05: // JMP | JA
        at += 8 * k;
        break;
      case 0x15: // JMP | JEQ
      case 0x1d:
        jump(a >>> 0 === operand);
        break;
      case 0x25: // JMP | JGT
      case 0x2d:
        jump(a > operand);
        break;
      case 0x35: // JMP | JGE
      case 0x3d:
        jump(a >= operand);
        break;
      case 0x45: // JMP | JSET
      case 0x4d:
        jump((a & operand) !== 0);
        break;
      case 0x06: // RET | K
        return Math.min(k, packet.length);
      default:
        throw new Error(`instruction ${operation} is not known here`);
    }
  }
  throw new Error("the program runs past its end");
}

/**
 * Throws for a program that the kernel would not take: a jump that leaves it, a word of memory that is read before it is written on some
 * way, an end that is no answer. Source: bpf_check_classic() and check_load_and_stores() in net/core/filter.c.
 */
export function checkProgram(program: Uint8Array): void {
  const code = viewOf(program);
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  const count = program.length / 8;
  if (!Number.isInteger(count) || count < 1 || count > 4096) throw new Error(`${count} instructions`);
  const valid = new Uint16Array(count).fill(0xffff);
  let known = 0;
  for (let i = 0; i < count; i++) {
    known &= valid[i]!;
    const operation = code.getUint16(8 * i, little);
    const k = code.getUint32(8 * i + 4, little);
    const goesTo = (distance: number): void => {
      if (i + 1 + distance >= count) throw new Error(`instruction ${i} jumps out of the program`);
      valid[i + 1 + distance]! &= known;
    };
    if (operation === 0x02 || operation === 0x03) {
      if (k > 15) throw new Error(`instruction ${i} writes to word ${k}`);
      known |= 1 << k;
    } else if (operation === 0x60 || operation === 0x61) {
      if (k > 15 || (known & 1 << k) === 0) throw new Error(`instruction ${i} reads word ${k}, which may not be written`);
    } else if (operation === 0x05) {
      goesTo(k);
      known = 0xffff;
    } else if ((operation & 0x07) === 0x05) {
      goesTo(code.getUint8(8 * i + 2));
      goesTo(code.getUint8(8 * i + 3));
      known = 0xffff;
    }
  }
  if (code.getUint16(program.length - 8, little) !== 0x06) throw new Error("the last instruction is no answer");
}

/** nla_find(): the offset of the attribute of type `type` from offset `at` on; 0 where there is none. */
function findAttribute(data: DataView, at: number, type: number, little: boolean): number {
  while (at + 4 <= data.byteLength) {
    const size = data.getUint16(at, little);
    if (size < 4 || at + size > data.byteLength) return 0;
    if ((data.getUint16(at + 2, little) & 0x3fff) === type) return at;
    at += (size + 3) & ~3;
  }
  return 0;
}
