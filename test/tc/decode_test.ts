/** The codecs of traffic control with messages of a real kernel, and with invalid ones. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { DecodeError } from "../../src/errors.ts";
import { decodeLink, RTM_NEWLINK } from "../../src/link/link.ts";
import { decodeActions } from "../../src/tc/action.ts";
import { actionsOf, decodeFilter, type Filter } from "../../src/tc/filter.ts";
import { decodeQdisc } from "../../src/tc/qdisc.ts";
import {
  RTM_DELTFILTER,
  RTM_NEWACTION,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TC_H_FFFF,
} from "../../src/tc/tcmsg.ts";
import { type Message, splitMessages } from "../../src/wire/message.ts";
import { toHex } from "../../src/wire/text.ts";
import { formatActions } from "../../cli/tc/format/action.ts";
import { formatFilters } from "../../cli/tc/format/filter.ts";
import { formatQdiscs } from "../../cli/tc/format/qdisc.ts";
import { allSessions, linkMessages, readSessions } from "./sessions.ts";

const OPTIONS = { stats: true, details: true, raw: true, json: true, pretty: true, oneline: false };
const VIEW = { ifindex: 0, parent: 0, handle: 0, preference: 0, protocol: 0, chain: undefined };

function answers(file: string, command: string): Message[] {
  const session = readSessions(file).find((one) => one.command === command)!;
  return session.frames.filter((frame) => !frame.request).flatMap((frame) => splitMessages(frame.bytes));
}

type Classifier = NonNullable<Filter["classifier"]>;

function classifierOf<K extends Classifier["kind"]>(filter: Filter, kind: K): Extract<Classifier, { kind: K }> {
  if (filter.classifier?.kind !== kind) throw new ArgumentError(`${filter.kind} is not ${kind}`);
  return filter.classifier as Extract<Classifier, { kind: K }>;
}

test("decodeQdisc: clsact", () => {
  const qdiscs = answers("qdisc", "tc -s qdisc show dev v0").filter((message) => message.type === RTM_NEWQDISC).map(decodeQdisc);
  const { stats, unknown, ...clsact } = qdiscs.find((qdisc) => qdisc.ifindex === 5 && qdisc.kind === "clsact")!;
  assertEquals(clsact, {
    ifindex: 5,
    handle: TC_H_FFFF,
    parent: TC_H_CLSACT,
    referenceCount: 1,
    kind: "clsact",
    options: new Uint8Array(),
    ingressBlock: undefined,
    egressBlock: undefined,
    offloaded: false,
  });
  assertEquals(stats?.bytes, 0n);
  // The old counters, TCA_STATS, repeat the same.
  assertEquals(unknown.map((attribute) => attribute.type), [3]);
});

test("decodeFilter: a matchall filter with a sample action, whole", () => {
  const command = "tc -j -s filter get dev d0 egress protocol all pref 7 handle 0x99 matchall";
  const [message] = answers("matchall", command).filter((one) => one.type === RTM_NEWTFILTER);
  const filter = decodeFilter(message!);
  assertEquals([filter.ifindex, filter.parent, filter.preference, filter.protocol, filter.handle, filter.kind, filter.chain], [
    2,
    TC_H_CLSACT_EGRESS,
    7,
    3,
    0x99,
    "matchall",
    0,
  ]);
  const matchall = classifierOf(filter, "matchall");
  assertEquals([matchall.flags, matchall.hits, matchall.unknown], [9, 0n, []]);
  const [action] = actionsOf(filter);
  const { ages, unknown, ...sample } = action!.sample!;
  assertEquals(sample, {
    index: 17,
    capabilities: 0,
    control: "pipe",
    referenceCount: 1,
    bindCount: 1,
    rate: 1000,
    group: 6,
    truncateBytes: 128,
  });
  assertEquals(unknown, []);
  assertEquals(ages?.firstUsedMs, 0n);
  assertEquals(toHex(action!.cookie!), "0123456789abcdef");
  assertEquals(action!.options, undefined);
  assertEquals(action!.index, 17);
  assertEquals(action!.stats?.packets, 0n);
});

test("decodeFilter: absent is not zero", () => {
  const filters = answers("matchall", "tc -s filter show dev d0 ingress").filter((one) => one.type === RTM_NEWTFILTER).map(decodeFilter);
  const samples = filters.flatMap((filter) => actionsOf(filter)).map((action) => action.sample!);
  assertEquals(samples.map((sample) => sample.truncateBytes), [0, undefined, undefined, undefined, 4294967295]);
  assertEquals(samples.map((sample) => sample.group), [0, 1, 1, 5, 4294967295]);
  assertEquals(samples.map((sample) => sample.control), [{ gotoChain: 7 }, { jump: 2 }, "reclassify", "pipe", "drop"]);
  assertEquals(filters.filter((filter) => !filter.classifier).length, 5);
  assertEquals(filters[0]!.parent, TC_H_CLSACT_INGRESS);
});

test("decodeActions: more than 32 in a dump", () => {
  const sessions = readSessions("actions").filter((one) => one.command === "tc actions ls action sample");
  const messages = sessions.at(-1)!.frames.filter((frame) => !frame.request).flatMap((frame) => splitMessages(frame.bytes));
  const dumps = messages.filter((message) => message.type === RTM_NEWACTION || message.type === 50).map(decodeActions);
  const actions = dumps.flatMap((dump) => dump.actions);
  assertEquals(actions.length, 40);
  assertEquals(actions.map((action) => action.sample!.rate), Array.from({ length: 40 }, (_, i) => i + 1));
  assertEquals(toHex(actions[39]!.cookie!), "00000028");
});

test("decode: counters agree with tc's, at rate 1 every packet", () => {
  const command = "tc -s filter show dev v0 egress";
  const filters = answers("counters", command).filter((one) => one.type === RTM_NEWTFILTER).map(decodeFilter);
  const u32 = classifierOf(filters.find((filter) => filter.kind === "u32" && actionsOf(filter).length > 0)!, "u32");
  assertEquals(u32.hits, 10n);
  assertEquals(u32.keyHits, [10n, 10n]);
  assertEquals(u32.selector?.keys.map((key) => [key.value, key.mask, key.offset]), [[0x00010000, 0x00ff0000, 8], [
    0x0a090000,
    0xffff0000,
    16,
  ]]);
  assertEquals(u32.actions![0]!.stats?.packets, 10n);
});

/** Everything that was recorded, each message once. */
function corpus(): Message[] {
  const seen = new Map<string, Message>();
  const add = (message: Message): void => {
    const key = `${message.type} ${toHex(message.payload)}`;
    if (!seen.has(key)) seen.set(key, message);
  };
  for (const session of allSessions()) for (const frame of session.frames) splitMessages(frame.bytes).forEach(add);
  linkMessages().forEach(add);
  return [...seen.values()];
}

/** Decodes a message of any type, and prints it. */
function decode(message: Message): void {
  if (message.type >= RTM_NEWLINK && message.type < RTM_NEWLINK + 3) decodeLink(message);
  else if (message.type >= RTM_NEWQDISC && message.type < RTM_NEWQDISC + 3) formatQdiscs([decodeQdisc(message)], OPTIONS, VIEW, () => "x");
  else if (message.type >= RTM_NEWACTION && message.type < RTM_NEWACTION + 3) formatActions([decodeActions(message)], OPTIONS);
  else if (message.type >= RTM_NEWTFILTER && message.type <= RTM_DELTFILTER + 1) {
    formatFilters([decodeFilter(message)], OPTIONS, VIEW, () => "x");
  }
}

function survives(message: Message): boolean {
  try {
    decode(message);
    return true;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return false;
  }
}

test("decode: every truncation of every recording is a value or a DecodeError", () => {
  let cut = 0;
  let refused = 0;
  for (const message of corpus()) {
    // Long dumps are repetitive: a prime step still covers every alignment.
    const step = message.payload.length > 1000 ? 7 : 1;
    for (let length = 0; length < message.payload.length; length += step) {
      cut++;
      if (!survives({ ...message, payload: message.payload.slice(0, length) })) refused++;
    }
  }
  assert(cut > 50_000 && refused > cut / 4, `${cut} cut, ${refused} refused`);
});

test("decode: seeded mutations of every recording are a value or a DecodeError", () => {
  let seed = 0x5eed;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 0x1_0000_0000 * below);
  };
  let refused = 0;
  let mutated = 0;
  for (const message of corpus()) {
    if (message.payload.length === 0) continue;
    for (let round = 0; round < 40; round++) {
      const payload = message.payload.slice();
      for (let i = random(4); i >= 0; i--) payload[random(payload.length)] = random(256);
      mutated++;
      if (!survives({ ...message, payload })) refused++;
    }
  }
  assert(mutated > 10_000 && refused > 0, `${mutated} mutated, ${refused} refused`);
});
