/**
 * The classifier `bpf`: a program decides which packets match and, with direct action, what happens to them. Only filters without direct
 * action are written here, with a classic BPF program. Source: include/uapi/linux/pkt_cls.h, net/sched/cls_bpf.c.
 */
import { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { LITTLE, viewOf } from "../wire/native.ts";
import { type ActionSpec, writeActions } from "./action.ts";

// include/uapi/linux/pkt_cls.h
const TCA_BPF_ACT = 1;
const TCA_BPF_CLASSID = 3;
const TCA_BPF_OPS_LEN = 4;
const TCA_BPF_OPS = 5;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAGS_GEN = 9;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

// include/uapi/linux/bpf_common.h, include/uapi/linux/filter.h: struct sock_filter is u16 code, u8 jt, u8 jf, u32 k.
const BPF_CLASS_MASK = 0x07;
const BPF_RET = 0x06;
const BPF_RVAL_MASK = 0x18;
const SOCK_FILTER_SIZE = 8;

/** The kernel's description of a `bpf` filter besides its actions. */
export interface BpfClassifier {
  /** The class that packets are put into. */
  readonly classId: number | undefined;
  /** The program's result is a TC_ACT_* number; without it, any result but 0 is a match. */
  readonly directAction: boolean;
  /** TCA_CLS_FLAGS_*. */
  readonly flags: number;
  /** The program, if it is a classic one: `struct sock_filter`, 8 bytes an instruction. */
  readonly program: Uint8Array | undefined;
  /** Every result that a classic program can have; `undefined` for an eBPF program or a computed result. */
  readonly results: ReadonlySet<number> | undefined;
  /** Whether there is more than that and the actions, such as an eBPF program or old-style policing. */
  readonly more: boolean;
}

/** A bpf filter to create. */
export interface BpfSpec {
  /** The kind of classifier. */
  kind: "bpf";
  /** The class to put packets into. */
  classId?: number | undefined;
  /** A classic BPF program: `struct sock_filter`, 8 bytes per instruction. A result other than 0 is a match. */
  program: Uint8Array;
  /** TCA_CLS_FLAGS_SKIP_HW or TCA_CLS_FLAGS_SKIP_SW. */
  flags?: number | undefined;
  /** What to do with the packets, in order. */
  actions?: readonly ActionSpec[] | undefined;
}

/** Writes the attributes inside TCA_OPTIONS. */
export function writeBpf(writer: AttrWriter, spec: BpfSpec): void {
  writer.u32(TCA_BPF_CLASSID, spec.classId);
  writer.u16(TCA_BPF_OPS_LEN, spec.program.length / SOCK_FILTER_SIZE);
  writer.bytes(TCA_BPF_OPS, spec.program);
  writeActions(writer, TCA_BPF_ACT, spec.actions);
  writer.u32(TCA_BPF_FLAGS_GEN, spec.flags || undefined);
}

/** Reads the attributes inside TCA_OPTIONS. */
export function readBpf(options: Uint8Array): BpfClassifier {
  let directAction = false;
  let flags = 0;
  let program: Uint8Array | undefined;
  let classId: number | undefined;
  let more = false;
  const attr = AttrReader.of(options);
  while (attr.next()) {
    switch (attr.type) {
      case TCA_BPF_OPS:
        program = attr.bytes();
        break;
      case TCA_BPF_FLAGS:
        directAction = (attr.u32() & TCA_BPF_FLAG_ACT_DIRECT) !== 0;
        break;
      case TCA_BPF_FLAGS_GEN:
        flags = attr.u32();
        break;
      case TCA_BPF_CLASSID:
        classId = attr.u32();
        break;
      case TCA_BPF_ACT:
      case TCA_BPF_OPS_LEN:
        break;
      default:
        more = true;
    }
  }
  return { classId, directAction, flags, program, results: program && resultsOf(program), more };
}

/** The constants that a classic program returns, as the kernel takes them: signed. */
function resultsOf(program: Uint8Array): ReadonlySet<number> | undefined {
  const view = viewOf(program);
  const results = new Set<number>();
  for (let at = 0; at + SOCK_FILTER_SIZE <= program.length; at += SOCK_FILTER_SIZE) {
    const code = view.getUint16(at, LITTLE);
    if ((code & BPF_CLASS_MASK) !== BPF_RET) continue;
    if ((code & BPF_RVAL_MASK) !== 0) return undefined;
    results.add(view.getInt32(at + 4, LITTLE));
  }
  return results;
}
