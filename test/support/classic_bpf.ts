import { viewOf } from "../../src/wire/native.ts";

const SKF_AD_NLATTR = 0xfffff00c; // SKF_AD_OFF (-0x1000) + SKF_AD_NLATTR (12), as u32

/**
 * Runs a classic BPF program over a packet as the kernel does: the instructions that socket filters here use,
 * anything else throws. Returns how many bytes of the packet are kept; 0 drops it.
 *
 * Source: Documentation/networking/filter.rst; `bpf_skb_get_nlattr` and `___bpf_prog_run` in the kernel.
 */
export function runFilter(program: Uint8Array, packet: Uint8Array): number {
  const code = viewOf(program);
  const data = viewOf(packet);
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  let a = 0;
  let x = 0;
  for (let at = 0; at < program.length; at += 8) {
    const k = code.getUint32(at + 4, little);
    switch (code.getUint16(at, little)) {
      case 0x00: // LD | IMM
        a = k;
        break;
      case 0x01: // LDX | IMM
        x = k;
        break;
      case 0x20: // LD | W | ABS
        if (k === SKF_AD_NLATTR) {
          a = findAttribute(data, a, x, little);
        } else {
          if (k + 4 > packet.length) return 0;
          a = data.getUint32(k, false);
        }
        break;
      case 0x28: // LD | H | ABS
        if (k + 2 > packet.length) return 0;
        a = data.getUint16(k, false);
        break;
      case 0x40: // LD | W | IND
        if (x + k + 4 > packet.length) return 0;
        a = data.getUint32(x + k, false);
        break;
      case 0x07: // MISC | TAX
        x = a;
        break;
      case 0x15: // JMP | JEQ | K
        at += 8 * code.getUint8(at + (a >>> 0 === k ? 2 : 3));
        break;
      case 0x06: // RET | K
        return Math.min(k, packet.length);
      default:
        throw new Error(`instruction ${code.getUint16(at, little)} is not known here`);
    }
  }
  throw new Error("the program runs past its end");
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
