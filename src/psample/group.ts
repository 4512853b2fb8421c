import { DecodeError } from "../errors.ts";
import { GENL_HDRLEN, genlCommand, genlHeader } from "../genl/ctrl.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HDRLEN } from "../wire/message.ts";
import { viewOf } from "../wire/native.ts";
import {
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_GROUP_SEQ,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_CMD_DEL_GROUP,
  PSAMPLE_CMD_GET_GROUP,
  PSAMPLE_CMD_NEW_GROUP,
  PSAMPLE_CMD_SAMPLE,
  PSAMPLE_GENL_VERSION,
} from "./constants.ts";
import type { Sample } from "./sample.ts";
import { decodeSample, viewSample } from "./sample_decoder.ts";
import type { SampleView } from "./sample_view.ts";

/**
 * A psample group as the kernel lists it.
 *
 * @category Samples
 */
export interface Group {
  /** The group's number, u32. */
  readonly group: number;
  /** How many actions sample into it. */
  readonly refcount: number | undefined;
  /** The sequence number of its next sample, u32. */
  readonly sequence: number | undefined;
}

/**
 * The kernel created or deleted a psample group. It does so when the first sampler is added and the last one removed.
 *
 * @category Samples
 */
export interface GroupEvent {
  /** What happened; distinguishes group events from samples. */
  readonly type: "group-created" | "group-deleted";
  /** The group's number, u32. */
  readonly group: number;
  /** How many actions sample into it: the kernel sends 0 in both events. */
  readonly refcount: number | undefined;
  /** The sequence number that its next sample would get, u32. */
  readonly sequence: number | undefined;
  /** `nsid` of the network namespace that the event is from; `undefined` for the listener's own. */
  readonly nsid: number | undefined;
  /** `nlmsg_pid`: 0 is the kernel. */
  readonly portId: number;
  /** The whole netlink message; not enumerable, so that it is not printed. */
  readonly message?: Uint8Array;
}

/** Asks for the list of groups. */
export function encodeGetGroups(family: number, sequence = 0): Uint8Array<ArrayBuffer> {
  const header = genlHeader(PSAMPLE_CMD_GET_GROUP, PSAMPLE_GENL_VERSION);
  return encodeMessage({ type: family, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }, header);
}

/**
 * Decodes an entry of the list of groups.
 *
 * @throws {DecodeError} If it is not a psample message, or contains no group number.
 * @category Samples
 */
export function decodeGroup(message: Message): Group {
  const { bytes, littleEndian } = message;
  let group: number | undefined;
  let refcount: number | undefined;
  let sequence: number | undefined;
  const start = NLMSG_HDRLEN + GENL_HDRLEN;
  if (bytes.length < start) throw new DecodeError("psample group", 0, `${bytes.length} bytes, expected at least ${start}`);
  const attr = new AttrReader(viewOf(bytes), start, bytes.length, littleEndian);
  while (attr.next()) {
    // As in a sample, an attribute of unexpected size affects only itself.
    if (attr.size !== 4) continue;
    switch (attr.type) {
      case PSAMPLE_ATTR_SAMPLE_GROUP:
        group = attr.u32();
        break;
      case PSAMPLE_ATTR_GROUP_SEQ:
        sequence = attr.u32();
        break;
      case PSAMPLE_ATTR_GROUP_REFCOUNT:
      case PSAMPLE_ATTR_TUNNEL:
        // Kernels 5.8 to 5.11 had these two numbers swapped; a group never carries a tunnel.
        refcount = attr.u32();
        break;
    }
  }
  if (group === undefined) throw new DecodeError("psample group", start, "missing group number");
  return { group, refcount, sequence };
}

/**
 * Decodes a message of the psample family: a sample or a group event. An entry of the list of groups looks like a
 * creation, since the command is the same.
 *
 * @example Decode a group event
 * ```ts
 * import { decodeMessage, messageOf } from "@psample/psample/decode";
 *
 * const recorded = "1c00000000000000000000000000000002010000" + // the two headers
 *   "0800030005000000"; // group 5
 * const event = decodeMessage(messageOf(Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16))));
 * if (event?.type !== "group-created" || event.group !== 5) throw new Error("not what was recorded");
 * ```
 *
 * @param nsid The network namespace that the message came from, unless it is the listener's own.
 * @returns `undefined` for a command that this version does not know.
 * @throws {DecodeError} If it is not a psample message.
 * @category Samples
 */
export function decodeMessage(message: Message, nsid?: number): Sample | GroupEvent | undefined {
  return isSample(message) ? decodeSample(message, nsid) : decodeEvent(message, nsid);
}

/** {@linkcode decodeMessage}, but a sample is a view of the message. */
export function viewMessage(message: Message, nsid?: number): SampleView | GroupEvent | undefined {
  return isSample(message) ? viewSample(message, nsid) : decodeEvent(message, nsid);
}

function isSample(message: Message): boolean {
  return genlCommand(message) === PSAMPLE_CMD_SAMPLE;
}

/** Decodes a group event; `undefined` for other commands. */
export function decodeEvent(message: Message, nsid?: number): GroupEvent | undefined {
  const command = genlCommand(message);
  if (command !== PSAMPLE_CMD_NEW_GROUP && command !== PSAMPLE_CMD_DEL_GROUP) return undefined;
  const event: GroupEvent = {
    type: command === PSAMPLE_CMD_NEW_GROUP ? "group-created" : "group-deleted",
    ...decodeGroup(message),
    nsid,
    portId: message.portId,
  };
  return Object.defineProperty(event, "message", { value: message.bytes });
}
