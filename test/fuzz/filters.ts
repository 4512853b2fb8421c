/** Filters on foreign input, and filters as foreign input. */
import { FilterError } from "../../src/filter/filter_error.ts";
import { KnownDevices } from "../../src/filter/known_devices.ts";
import type { SampleMatcher } from "../../src/filter/sample_matcher.ts";
import { SocketFilter } from "../../src/filter/socket_filter.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { NO_DEVICES } from "../../src/link/device.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { messageOf } from "../../src/wire/message.ts";
import { align4, LITTLE, viewOf } from "../../src/wire/native.ts";
import { EXPRESSIONS } from "../filter/expressions.ts";
import { checkProgram, runFilter } from "../support/classic_bpf.ts";
import { must } from "./checks.ts";
import { sampledPackets, samples } from "./corpus.ts";
import type { Target } from "./engine.ts";
import { decodeWords, encodeWords, mutate, mutateWords } from "./mutate.ts";
import { DecodeError } from "../../src/errors.ts";

const NLMSG_HDRLEN = 16;
const ATTRIBUTES = 20;
const DATA = 6;

interface Compiled {
  readonly expression: string;
  readonly program: Uint8Array;
  readonly matcher: SampleMatcher;
}

/** Programs of all kinds: about packets, with calculated offsets, and about metadata. */
const COMPILED: readonly Compiled[] = [
  "udp port 53 or tcp[(tcp[12] & 0xf0) >> 2] != 0",
  "not tcp and len > 60",
  "egress and rate >= 1 or queue 3 or latency > 1ms",
  "ether[len - 1] = 0 or ip6 and not cookie 0102",
].map((expression) => {
  const filter = new SocketFilter([expression]);
  return { expression, program: filter.plan(undefined, undefined).program!, matcher: filter.matchers()[0]! };
});

/** The types of a message's attributes, and where they are; `undefined` if one is incomplete. */
function attributesOf(message: Uint8Array): { type: number; start: number; end: number }[] | undefined {
  const view = viewOf(message);
  const found: { type: number; start: number; end: number }[] = [];
  for (let at = ATTRIBUTES; at < message.length;) {
    const size = message.length - at < 4 ? 0 : view.getUint16(at, LITTLE);
    if (size < 4 || at + size > message.length) return undefined;
    found.push({ type: view.getUint16(at + 2, LITTLE) & 0x3fff, start: at, end: at + size });
    at += align4(size);
  }
  return found;
}

/** The same message with DATA at its end, so that nothing follows that could be read. */
function dataLast(message: Uint8Array, attributes: readonly { type: number; start: number; end: number }[]): Uint8Array {
  const last = attributes.find(({ type }) => type === DATA);
  if (!last) return message;
  const others = attributes.filter((attribute) => attribute !== last);
  const moved = new Uint8Array(others.reduce((size, { start, end }) => size + align4(end - start), ATTRIBUTES) + last.end - last.start);
  moved.set(message.subarray(0, ATTRIBUTES));
  viewOf(moved).setUint32(0, moved.length, LITTLE);
  let at = ATTRIBUTES;
  for (const { start, end } of [...others, last]) {
    moved.set(message.subarray(start, end), at);
    at += align4(end - start);
  }
  return moved;
}

/** A program never drops a match, and reads nothing beyond the packet. */
function useMessage(input: Uint8Array): unknown {
  const passed = COMPILED.map(({ program }) => runFilter(program, input) > 0);
  const message = messageOf(input);
  const item = viewMessage(message);
  // What is behind the message is nobody's.
  if (!item || viewOf(input).getUint32(0, LITTLE) !== input.length) return passed;
  if (item.type !== "sample") {
    must(passed.every((passed) => passed), "an event was left out");
    return passed;
  }
  const attributes = attributesOf(input);
  must(attributes !== undefined, "a sample whose attributes are not whole");
  // Of an attribute that comes twice the kernel sees the first one, and a decoder the last.
  if (new Set(attributes.map(({ type }) => type)).size < attributes.length) return passed;
  const moved = dataLast(input, attributes);
  for (const [i, { expression, program, matcher }] of COMPILED.entries()) {
    must(passed[i]! || !matcher.matches(item, undefined, NO_DEVICES), `${expression} was left out, and matches`);
    must(runFilter(program, moved) > 0 === passed[i], `${expression} reads behind the packet`);
  }
  return passed;
}

const WORDS: readonly string[] = [
  ...new Set(
    [
      ...EXPRESSIONS,
      "in eth0 and not out eth1 or device eth2",
      "ingress or egress",
      "group 5 and rate >= 100 and queue != 3 and latency < 1.5ms and cookie 0102",
      "vni 42 and inner ( tcp port 443 )",
      "( ( not ! ) )",
    ].flatMap((expression) => expression.split(" ")),
  ),
];

const PACKETS = sampledPackets.filter((_, i) => i % 50 === 0).slice(0, 8);
const DEVICES = new KnownDevices();

/** An expression is valid or refused; the kernel accepts the compiled programs. */
function useExpression(expression: string): unknown {
  const filter = new SocketFilter([expression]);
  const plan = filter.plan([5], DEVICES);
  if (plan.program) checkProgram(plan.program);
  let answers: boolean[] = [];
  try {
    const matches = packetFilter(expression);
    answers = PACKETS.flatMap((packet) => [matches(packet, "ethernet", packet.length + 4), matches(packet, "raw-ip")]);
  } catch (error) {
    // It may ask for what only samples have.
    if (!(error instanceof FilterError)) throw error;
  }
  return [plan.inKernel, plan.here, answers];
}

/** All of them. */
export const FILTER_TARGETS: readonly Target[] = [
  {
    name: "socket filter",
    recordings: samples.filter(({ length }) => length > NLMSG_HDRLEN && length < 2048),
    mutate,
    run: useMessage,
    refuses: (error) => error instanceof DecodeError,
    lean: [DecodeError],
  },
  {
    name: "filter expression",
    recordings: [...EXPRESSIONS, "vni 42 and inner ( tcp port 443 )", "in eth0 and rate >= 100"].map((text) =>
      encodeWords(text.split(" "))
    ),
    mutate: (random, lines) => mutateWords(random, lines, WORDS),
    run: (input) => useExpression(decodeWords(input).join(" ")),
    refuses: (error) => error instanceof FilterError,
    lean: [FilterError],
    describe: (input) => JSON.stringify(decodeWords(input).join(" ")),
  },
];
