import { ArgumentError } from "../errors.ts";
import { GENL_HDRLEN, GENL_ID_CTRL } from "../genl/ctrl.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { htonl, htons, LITTLE, memory, viewOf } from "../wire/native.ts";
import { PSAMPLE_ATTR_SAMPLE_GROUP } from "../psample/constants.ts";

// include/uapi/linux/bpf_common.h and filter.h: the classic BPF.
const LD_HALF_ABSOLUTE = 0x28; // BPF_LD | BPF_H | BPF_ABS
const LD_WORD_ABSOLUTE = 0x20; // BPF_LD | BPF_W | BPF_ABS
const LD_WORD_INDIRECT = 0x40; // BPF_LD | BPF_W | BPF_IND
const LD_IMMEDIATE = 0x00; // BPF_LD | BPF_IMM
const LDX_IMMEDIATE = 0x01; // BPF_LDX | BPF_IMM
const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const MOVE_A_TO_X = 0x07; // BPF_MISC | BPF_TAX
const SKF_AD_NLATTR = -0x1000 + 12;
const PASS = 0xffffffff;

/** `BPF_MAXINSNS` is 4096: two instructions a group, and the frame around them. */
const MOST_GROUPS = 2040;

/**
 * A classic BPF program for a socket that receives psample multicasts (SO_ATTACH_FILTER): messages of
 * these groups pass, messages of other groups do not, and what has no group passes, so that nothing but
 * foreign samples is ever lost by it. 8 bytes an instruction (`struct sock_filter`).
 *
 * @param keepBytes How much of a passing message is kept; the whole unless given.
 */
export function encodeGroupFilter(groups: readonly number[], keepBytes: number = PASS): Uint8Array<ArrayBuffer> {
  if (groups.length > MOST_GROUPS) throw new ArgumentError(`Cannot filter ${groups.length} groups: the kernel takes up to ${MOST_GROUPS}`);
  // [code, jump if true, jump if false, constant]
  const program: [number, number, number, number][] = [
    // Loads are big-endian, the message is not: compare with the swapped value.
    [LD_HALF_ABSOLUTE, 0, 0, 4], // nlmsg_type
    [JUMP_EQUAL, 0, 1, htons(GENL_ID_CTRL)], // the controller's attribute 3 is its version, not a group
    [RETURN, 0, 0, keepBytes],
    [LDX_IMMEDIATE, 0, 0, PSAMPLE_ATTR_SAMPLE_GROUP],
    [LD_IMMEDIATE, 0, 0, NLMSG_HDRLEN + GENL_HDRLEN],
    [LD_WORD_ABSOLUTE, 0, 0, SKF_AD_NLATTR], // A = offset of the attribute, 0 where there is none
    [JUMP_EQUAL, 0, 1, 0],
    [RETURN, 0, 0, keepBytes],
    [MOVE_A_TO_X, 0, 0, 0],
    [LD_WORD_INDIRECT, 0, 0, 4],
  ];
  for (const group of groups) {
    if (!Number.isInteger(group) || group < 0 || group > 0xffffffff) {
      throw new ArgumentError(`Cannot filter group ${group}: a group is a whole number from 0 to 4294967295`);
    }
    program.push([JUMP_EQUAL, 0, 1, htonl(group)], [RETURN, 0, 0, keepBytes]);
  }
  program.push([RETURN, 0, 0, 0]);
  const bytes = memory(8 * program.length);
  const view = viewOf(bytes);
  program.forEach(([code, yes, no, constant], i) => {
    view.setUint16(8 * i, code, LITTLE);
    view.setUint8(8 * i + 2, yes);
    view.setUint8(8 * i + 3, no);
    view.setUint32(8 * i + 4, constant, LITTLE);
  });
  return bytes;
}
