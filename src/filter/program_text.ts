/** Classic BPF programs as text, in the form of `tcpdump -d`. Source: bpf_image.c of libpcap. */
import { LITTLE, viewOf } from "../wire/native.ts";
import { JUMP, SKF_AD_OFF } from "./instructions.ts";

const JUMP_CLASS = 0x05;

/** The names of ancillary data, which the kernel knows besides a packet's bytes, by SKF_AD_*: include/uapi/linux/filter.h. */
const BESIDE: ReadonlyMap<number, string> = new Map([
  [0, "proto"],
  [4, "type"],
  [8, "ifidx"],
  [12, "nla"],
  [16, "nlan"],
  [20, "mark"],
  [24, "queue"],
  [28, "hatype"],
  [32, "rxhash"],
  [36, "cpu"],
  [44, "vlan_tci"],
  [48, "vlanp"],
  [52, "pay_offset"],
  [56, "random"],
  [60, "vlan_tpid"],
]);

/** How an operand is written. */
type Form = "decimal" | "hexadecimal" | "x" | "none" | "place" | "indexed" | "memory" | "length" | "header length";

const CALCULATIONS: readonly (readonly [code: number, name: string, form: Form])[] = [
  [0x04, "add", "decimal"],
  [0x14, "sub", "decimal"],
  [0x24, "mul", "decimal"],
  [0x34, "div", "decimal"],
  [0x44, "or", "hexadecimal"],
  [0x54, "and", "hexadecimal"],
  [0x64, "lsh", "decimal"],
  [0x74, "rsh", "decimal"],
  [0x94, "mod", "decimal"],
  [0xa4, "xor", "hexadecimal"],
];
const DECISIONS: readonly (readonly [code: number, name: string])[] = [[0x15, "jeq"], [0x25, "jgt"], [0x35, "jge"], [0x45, "jset"]];

const INSTRUCTIONS: ReadonlyMap<number, readonly [name: string, form: Form]> = new Map<number, readonly [string, Form]>([
  [0x00, ["ld", "hexadecimal"]],
  [0x20, ["ld", "place"]],
  [0x28, ["ldh", "place"]],
  [0x30, ["ldb", "place"]],
  [0x40, ["ld", "indexed"]],
  [0x48, ["ldh", "indexed"]],
  [0x50, ["ldb", "indexed"]],
  [0x60, ["ld", "memory"]],
  [0x80, ["ld", "length"]],
  [0x01, ["ldx", "hexadecimal"]],
  [0x61, ["ldx", "memory"]],
  [0x81, ["ldx", "length"]],
  [0xb1, ["ldxb", "header length"]],
  [0x02, ["st", "memory"]],
  [0x03, ["stx", "memory"]],
  [0x06, ["ret", "decimal"]],
  [0x16, ["ret", "none"]],
  [0x07, ["tax", "none"]],
  [0x87, ["txa", "none"]],
  [0x84, ["neg", "none"]],
  ...CALCULATIONS.flatMap(([code, name, form]): [number, [string, Form]][] => [[code, [name, form]], [code | 0x08, [name, "x"]]]),
  ...DECISIONS.flatMap(([code, name]): [number, [string, Form]][] => [[code, [name, "hexadecimal"]], [code | 0x08, [name, "x"]]]),
]);

/** A program (`struct sock_filter`, 8 bytes per instruction), one line per instruction. */
export function programLines(program: Uint8Array): string[] {
  const view = viewOf(program);
  return Array.from({ length: Math.floor(program.length / 8) }, (_, i) => {
    const [code, yes, no, constant] = [
      view.getUint16(8 * i, LITTLE),
      view.getUint8(8 * i + 2),
      view.getUint8(8 * i + 3),
      view.getUint32(8 * i + 4, LITTLE),
    ];
    const start = `(${`${i}`.padStart(3, "0")})`;
    if (code === JUMP) return `${start} ${"ja".padEnd(8)} ${i + 1 + constant}`;
    const [name, form] = INSTRUCTIONS.get(code) ?? ["unimp", "hexadecimal"];
    const line = `${start} ${name.padEnd(8)} ${operand(form, constant)}`;
    return (code & 0x07) === JUMP_CLASS ? `${line.padEnd(31)} jt ${i + 1 + yes}\tjf ${i + 1 + no}` : line.trimEnd();
  });
}

function operand(form: Form, constant: number): string {
  switch (form) {
    case "decimal":
      // As libpcap prints it: the return value that keeps a whole packet has all bits set.
      return `#${constant | 0}`;
    case "hexadecimal":
      return `#0x${constant.toString(16)}`;
    case "place":
      return `[${BESIDE.get((constant | 0) - SKF_AD_OFF) ?? (constant | 0)}]`;
    case "indexed":
      return `[x + ${constant | 0}]`;
    case "memory":
      return `M[${constant}]`;
    case "header length":
      return `4*([${constant | 0}]&0xf)`;
    case "length":
      return "#pktlen";
    case "x":
      return "x";
    case "none":
      return "";
  }
}
