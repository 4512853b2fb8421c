import { ArgumentError } from "../errors.ts";
import { GENL_ID_CTRL } from "../genl/ctrl.ts";
import { PSAMPLE_ATTR_SAMPLE_GROUP } from "../psample/constants.ts";
import { ATTRIBUTES } from "../psample/layout.ts";
import { htonl, htons } from "../wire/native.ts";
import {
  encodeProgram,
  type Instruction,
  JUMP_EQUAL,
  LD_ABSOLUTE,
  LD_IMMEDIATE,
  LD_INDIRECT,
  LDX_IMMEDIATE,
  MOVE_A_TO_X,
  RETURN,
  SKF_AD_NLATTR,
} from "./instructions.ts";

const PASS = 0xffffffff;

/** `BPF_MAXINSNS` is 4096: two instructions a group, and the frame around them. */
const MOST_GROUPS = 2040;

/**
 * A classic BPF program for a socket that receives psample multicasts (SO_ATTACH_FILTER): messages of these groups pass, messages of other
 * groups do not, and messages without a group pass, so that it never drops anything but samples of other groups. 8 bytes per instruction
 * (`struct sock_filter`).
 *
 * @param keepBytes How many bytes of a passing message are kept. Defaults to all.
 */
export function encodeGroupFilter(groups: readonly number[], keepBytes: number = PASS): Uint8Array<ArrayBuffer> {
  if (groups.length > MOST_GROUPS) {
    throw new ArgumentError(`Cannot filter ${groups.length} groups: the kernel accepts at most ${MOST_GROUPS}`);
  }
  const program: Instruction[] = [
    // Loads are big-endian, the message is not: compare with the swapped value.
    [LD_ABSOLUTE[2], 0, 0, 4], // nlmsg_type
    [JUMP_EQUAL, 0, 1, htons(GENL_ID_CTRL)], // the controller's attribute 3 is its version, not a group
    [RETURN, 0, 0, keepBytes],
    [LDX_IMMEDIATE, 0, 0, PSAMPLE_ATTR_SAMPLE_GROUP],
    [LD_IMMEDIATE, 0, 0, ATTRIBUTES],
    [LD_ABSOLUTE[4], 0, 0, SKF_AD_NLATTR], // A = offset of the attribute, 0 if there is none
    [JUMP_EQUAL, 0, 1, 0],
    [RETURN, 0, 0, keepBytes],
    [MOVE_A_TO_X, 0, 0, 0],
    [LD_INDIRECT[4], 0, 0, 4],
  ];
  for (const group of groups) {
    if (!Number.isInteger(group) || group < 0 || group > 0xffffffff) {
      throw new ArgumentError(`Cannot filter group ${group}: a group is a whole number from 0 to 4294967295`);
    }
    program.push([JUMP_EQUAL, 0, 1, htonl(group)], [RETURN, 0, 0, keepBytes]);
  }
  program.push([RETURN, 0, 0, 0]);
  return encodeProgram(program);
}
