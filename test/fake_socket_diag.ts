/** What the fake kernel answers to a request for its netlink sockets (net/netlink/diag.c). */
import { LITTLE, viewOf } from "../src/wire/native.ts";
import { encodeMessage } from "../src/wire/message.ts";
import type { FakeSocket } from "./fake_sys.ts";

/** Memory that a message takes in a queue, as far as tests are concerned: about that of a small one. */
const PLACE = 1024;

/** The messages about these sockets: one that has joined a group is listed twice, in the kernel's table and among those that listen. */
export function* listed(sockets: readonly FakeSocket[], sequence: number): Generator<Uint8Array> {
  for (const one of [...sockets, ...sockets.filter(({ groups }) => groups.size > 0)]) {
    const entry = new Uint8Array(28);
    const view = viewOf(entry);
    entry.set([16, 3, one.protocol, 7]);
    view.setUint32(4, one.portId, LITTLE);
    view.setUint32(16, 1000 + one.fd, LITTLE);
    view.setUint32(20, one.fd, LITTLE);
    const bitmap = new Uint8Array(8);
    for (const group of one.groups) bitmap[LITTLE ? (group - 1) >> 3 : 7 - ((group - 1) >> 3)]! |= 1 << ((group - 1) & 7);
    yield encodeMessage({ type: 20, flags: 2, sequence }, entry, (attr) => attr.bytes(0, memoryOf(one)).bytes(1, bitmap));
  }
}

/** The words of SO_MEMINFO. */
function memoryOf({ queue, room, receiveBuffer, drops }: FakeSocket): Uint8Array {
  const words = new Uint8Array(36);
  const view = viewOf(words);
  view.setUint32(0, queue.length * PLACE, LITTLE);
  view.setUint32(4, room === Infinity ? 2 * receiveBuffer : room * PLACE, LITTLE);
  view.setUint32(32, drops, LITTLE);
  return words;
}
