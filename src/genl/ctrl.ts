/**
 * Generic netlink: its header, and the controller, which maps names of families and multicast groups to numbers. Source:
 * include/uapi/linux/genetlink.h, net/netlink/genetlink.c.
 */
import { DecodeError } from "../errors.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";

/** `struct genlmsghdr`: u8 cmd, u8 version, u16 reserved. */
export const GENL_HDRLEN = 4;

/** The controller's own message type, the one family number that never changes. */
export const GENL_ID_CTRL = 0x10;
/** The controller's multicast group `notify`, which has the same number. */
export const GENL_GROUP_NOTIFY = 0x10;

export const CTRL_CMD_NEWFAMILY = 1;
export const CTRL_CMD_DELFAMILY = 2;
export const CTRL_CMD_GETFAMILY = 3;

const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const CTRL_ATTR_VERSION = 3;
const CTRL_ATTR_MAXATTR = 5;
const CTRL_ATTR_MCAST_GROUPS = 7;
const CTRL_ATTR_MCAST_GRP_NAME = 1;
const CTRL_ATTR_MCAST_GRP_ID = 2;

/**
 * A generic netlink family as the controller describes it.
 *
 * @category Samples
 */
export interface Family {
  /** The message type of the family's messages in this boot of this kernel. */
  readonly id: number;
  /** Such as `"psample"`. */
  readonly name: string;
  /** The version of the family's interface. */
  readonly version: number | undefined;
  /** The highest attribute number that the kernel knows for this family. */
  readonly maxAttribute: number | undefined;
  /** Multicast groups: name to number. */
  readonly groups: ReadonlyMap<string, number>;
}

/** The command of a generic netlink message. */
export function genlCommand(message: Message): number {
  if (message.payload.length < GENL_HDRLEN) {
    throw new DecodeError("generic netlink header", 0, `${message.payload.length} bytes, expected at least ${GENL_HDRLEN}`);
  }
  return message.payload[0]!;
}

/** The attributes of a generic netlink message; `undefined` if it is of another command. */
export function genlAttributes(message: Message, command: number): AttrReader | undefined {
  return genlCommand(message) === command ? AttrReader.of(message.payload.subarray(GENL_HDRLEN), message.littleEndian) : undefined;
}

/** The header of a generic netlink message. */
export function genlHeader(command: number, version = 1): Uint8Array<ArrayBuffer> {
  return new Uint8Array([command, version, 0, 0]);
}

/** Asks the controller for the family called `name`. */
export function encodeGetFamily(name: string, sequence = 0): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: GENL_ID_CTRL, flags: NLM_F_REQUEST, sequence }, genlHeader(CTRL_CMD_GETFAMILY), (attr) => {
    attr.string(CTRL_ATTR_FAMILY_NAME, name);
  });
}

/** Asks the controller for all families. Unlike asking for one by name, this does not make the kernel load modules. */
export function encodeFamilyDump(): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: GENL_ID_CTRL, flags: NLM_F_REQUEST | NLM_F_DUMP }, genlHeader(CTRL_CMD_GETFAMILY));
}

/** The part of the controller's notification of a new family that contains its number and name. */
export function encodeNewFamily(
  family: { readonly id: number; readonly name: string; readonly version: number },
  littleEndian?: boolean,
): Uint8Array<ArrayBuffer> {
  return encodeMessage(
    { type: GENL_ID_CTRL, flags: 0 },
    genlHeader(CTRL_CMD_NEWFAMILY, 2),
    (attr) => {
      attr.string(CTRL_ATTR_FAMILY_NAME, family.name).u16(CTRL_ATTR_FAMILY_ID, family.id).u32(CTRL_ATTR_VERSION, family.version);
    },
    littleEndian,
  );
}

/**
 * Reads the controller's description of a family (a reply, or a notification that one came or went).
 *
 * @category Samples
 */
export function decodeFamily(message: Message): Family {
  genlCommand(message);
  let id: number | undefined;
  let name: string | undefined;
  let version: number | undefined;
  let maxAttribute: number | undefined;
  const groups = new Map<string, number>();
  const attr = AttrReader.of(message.payload.subarray(GENL_HDRLEN), message.littleEndian);
  while (attr.next()) {
    switch (attr.type) {
      case CTRL_ATTR_FAMILY_ID:
        id = attr.u16();
        break;
      case CTRL_ATTR_FAMILY_NAME:
        name = attr.string();
        break;
      case CTRL_ATTR_VERSION:
        version = attr.u32();
        break;
      case CTRL_ATTR_MAXATTR:
        maxAttribute = attr.u32();
        break;
      case CTRL_ATTR_MCAST_GROUPS:
        readGroups(attr.nested(), groups);
        break;
    }
  }
  if (id === undefined || name === undefined) throw new DecodeError("generic netlink family", 0, "missing number or name");
  return { id, name, version, maxAttribute, groups };
}

function readGroups(list: AttrReader, groups: Map<string, number>): void {
  while (list.next()) {
    let name: string | undefined;
    let id: number | undefined;
    const group = list.nested();
    while (group.next()) {
      if (group.type === CTRL_ATTR_MCAST_GRP_NAME) name = group.string();
      else if (group.type === CTRL_ATTR_MCAST_GRP_ID) id = group.u32();
    }
    if (name !== undefined && id !== undefined) groups.set(name, id);
  }
}
