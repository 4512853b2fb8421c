/** Messages as the kernel sends them, for tests of their processing. */
import { encodeMessage, joinMessages, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";

/** What {@linkcode sampleMessage} puts into a sample. */
export interface SampleInit {
  group?: number | undefined;
  sequence?: number | undefined;
  /** Bytes of packet data. Defaults to 6. */
  dataBytes?: number;
  /** Message type. Defaults to 30. */
  family?: number;
  portId?: number;
}

/** The message type of the psample family in these tests. */
export const FAMILY = 30;

/** A sample. */
export function sampleMessage(init: SampleInit = {}): Uint8Array<ArrayBuffer> {
  const { group = 1, sequence, dataBytes = 6, family = FAMILY, portId = 0 } = init;
  return encodeMessage({ type: family, flags: 0, portId }, header(0), (attr) => {
    attr.u16(0, 2).u32(2, 1500).u32(3, group).u32(4, sequence).u32(5, 100);
    attr.bytes(6, new Uint8Array(dataBytes).fill(0xab));
  });
}

/** Samples of one group with consecutive numbers. */
export function sampleMessages(count: number, first = 0, init: SampleInit = {}): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, i) => sampleMessage({ ...init, sequence: first + i }));
}

/** The event that a group was created, or deleted. */
export function groupMessage(kind: "created" | "deleted", group: number, family = FAMILY): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: family, flags: 0 }, header(kind === "created" ? 2 : 3), (attr) => attr.u32(3, group).u32(7, 0).u32(4, 0));
}

/** An entry of the group dump; on kernels 5.8 to 5.11 the reference count had another number. */
export function groupEntry(
  entry: { group: number; refcount: number; sequence: number },
  sequence = 0,
  refcountType = 7,
): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: FAMILY, flags: NLM_F_MULTI, sequence }, header(2), (attr) => {
    attr.u32(3, entry.group).u32(refcountType, entry.refcount).u32(4, entry.sequence);
  });
}

/** What the controller says about a family: CTRL_CMD_NEWFAMILY (1) or CTRL_CMD_DELFAMILY (2). */
export function familyMessage(
  command: number,
  family: { id: number; name: string; groups: Record<string, number> },
  sequence = 0,
): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: 0x10, flags: 0, sequence }, header(command, 2), (attr) => {
    attr.string(2, family.name).u16(1, family.id).u32(3, 1).u32(4, 0).u32(5, 0);
    attr.nest(7, (list) => {
      Object.entries(family.groups).forEach(([name, id], i) => list.nest(i + 1, (group) => group.u32(2, id).string(1, name)));
    });
  });
}

/** NLMSG_ERROR with the echoed header of the request, capped, and the attributes of an extended acknowledgement. */
export function ackMessage(
  sequence: number,
  errno: number,
  extack: { message?: string; offset?: number } | undefined = undefined,
): Uint8Array<ArrayBuffer> {
  const payload = memory(20);
  viewOf(payload).setInt32(0, -errno, LITTLE);
  viewOf(payload).setUint32(4, 36, LITTLE);
  const flags = 0x100 | (extack ? 0x200 : 0);
  return encodeMessage({ type: NLMSG_ERROR, flags, sequence }, payload, (attr) => attr.string(1, extack?.message).u32(2, extack?.offset));
}

/** NLMSG_DONE, the end of a dump. */
export function doneMessage(sequence: number, errno = 0, flags = NLM_F_MULTI): Uint8Array<ArrayBuffer> {
  const payload = memory(4);
  viewOf(payload).setInt32(0, -errno, LITTLE);
  return encodeMessage({ type: NLMSG_DONE, flags, sequence }, payload);
}

/** Several messages in one datagram. */
export function joined(...messages: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return joinMessages(messages);
}

function header(command: number, version = 1): Uint8Array<ArrayBuffer> {
  return new Uint8Array([command, version, 0, 0]);
}
