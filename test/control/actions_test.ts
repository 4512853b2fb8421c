/** Shared actions on a scripted kernel: what a real one does only sometimes. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import {
  addActionWith,
  deleteActionWith,
  flushActionsWith,
  getActionWith,
  listActionsWith,
  replaceActionWith,
} from "../../src/control/actions.ts";
import { ArgumentError, NetlinkError } from "../../src/errors.ts";
import { EPERM } from "../../src/sys/sys.ts";
import { decodeActions, encodeActions } from "../../src/tc/action.ts";
import { encodeMessage, type Message, messageOf } from "../../src/wire/message.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";
import { type FakeSocket, FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage } from "../support/messages.ts";

const [RTM_NEWACTION, RTM_DELACTION, RTM_GETACTION] = [48, 49, 50];
const [NLM_F_ROOT, NLM_F_DUMP] = [0x100, 0x300];

/** An action as the kernel sends it; `bindCount` is the number of filters that use it. */
function sent(index: number, bindCount: number): Uint8Array {
  const { payload } = messageOf(encodeActions("add", [{ sample: { rate: 10, group: 1, index } }]));
  const copy = payload.slice();
  // TCA_SAMPLE_PARMS is the first attribute of the options, and the count its last number.
  const at = copy.findIndex((_, i) => i % 4 === 0 && i + 8 < copy.length && viewOf(copy).getUint32(i, LITTLE) === (2 << 16 | 24));
  viewOf(copy).setInt32(at + 4 + 16, bindCount, LITTLE);
  return copy;
}

/** A kernel with actions, by index how many filters use each. */
class Actions extends FakeSys {
  readonly held: Map<number, number>;
  readonly deleted: number[] = [];
  flushErrno = 0;
  deleteErrno = 0;
  echoes = true;

  constructor(held: Record<number, number>) {
    super();
    this.held = new Map(Object.entries(held).map(([index, count]) => [Number(index), count]));
    this.answer = (request, socket) => this.#answer(request, socket);
  }

  #answer({ type, flags, sequence, payload }: Message, socket: FakeSocket): void {
    const ack = (errno = 0): void => this.reply(socket, ackMessage(sequence, errno));
    const send = (index: number): void =>
      this.reply(socket, encodeMessage({ type: RTM_NEWACTION!, flags: 2, sequence }, sent(index, this.held.get(index)!)));
    const index = decodeActions({ ...messageOf(encodeMessage({ type, flags }, payload)) }).actions[0]?.index;
    if (type === RTM_GETACTION && (flags & NLM_F_DUMP!) === NLM_F_DUMP) {
      for (const index of this.held.keys()) send(index);
      this.reply(socket, doneMessage(sequence));
    } else if (type === RTM_GETACTION) {
      if (!this.held.has(index!)) return ack(2);
      send(index!);
      ack();
    } else if (type === RTM_DELACTION && flags & NLM_F_ROOT!) {
      ack(this.flushErrno);
    } else if (type === RTM_DELACTION) {
      if (this.deleteErrno) return ack(this.deleteErrno);
      if (!this.held.delete(index!)) return ack(2);
      this.deleted.push(index!);
      ack();
    } else {
      this.held.set(index || 1, 0);
      if (this.echoes) send(index || 1);
      ack();
    }
  }
}

test("flushing continues after an action that a filter uses, whether or not the kernel calls that an error", async () => {
  for (const flushErrno of [0, EPERM]) {
    const sys = new Actions({ 1: 0, 2: 3, 3: 0 });
    sys.flushErrno = flushErrno;
    await flushActionsWith(sys);
    assertEquals([sys.deleted, [...sys.held.keys()]], [[1, 3], [2]]);
    sys.assertClean();
  }
});

test("flushing without the privilege fails", async () => {
  const sys = new Actions({ 1: 0 });
  sys.flushErrno = sys.deleteErrno = EPERM;
  await assertRejects(() => flushActionsWith(sys), NetlinkError, "Cannot flush sample actions: operation not permitted (EPERM)");
  sys.assertClean();
});

test("the added action is as the kernel reports it, also if it does not echo it and must be asked", async () => {
  const sys = new Actions({});
  const spec = { sample: { rate: 10, group: 1 } };
  assertEquals((await addActionWith(sys, spec))?.index, 1);
  sys.echoes = false;
  assertEquals(await addActionWith(sys, spec), undefined);
  const chosen = { sample: { ...spec.sample, index: 7 } };
  assertEquals((await addActionWith(sys, chosen))?.index, 7);
  assertEquals((await replaceActionWith(sys, chosen))?.sample?.rate, 10);
  assertEquals((await listActionsWith(sys)).map(({ index }) => index), [1, 7]);
  assertEquals((await getActionWith(sys, 7)).sample?.group, 1);
  await deleteActionWith(sys, 7);
  await assertRejects(() => getActionWith(sys, 7), NetlinkError, "ENOENT");
  sys.assertClean();
});

test("invalid arguments are refused before the kernel is asked", async () => {
  const sys = new Actions({});
  const wrong: [() => Promise<unknown>, string][] = [
    [() => addActionWith(sys, { sample: { rate: 10 } }), "rate and group are required"],
    [() => addActionWith(sys, { sample: { rate: 0, group: 1 } }), "rate must be a whole number from 1 to 4294967295, not 0"],
    [() => addActionWith(sys, { sample: { rate: 1, group: -1 } }), "group must be a whole number from 0"],
    [() => addActionWith(sys, { sample: { rate: 1, group: 1, truncateBytes: 0.5 } }), "truncateBytes must be"],
    [() => replaceActionWith(sys, { sample: { rate: 1, group: 1 } }), "index is required"],
    [() => getActionWith(sys, 0), "index must be a whole number from 1"],
    [() => deleteActionWith(sys, 2 ** 32), "not 4294967296"],
  ];
  for (const [attempt, said] of wrong) await assertRejects(attempt, ArgumentError, said);
  assertEquals(sys.log, []);
  sys.assertClean();
});
