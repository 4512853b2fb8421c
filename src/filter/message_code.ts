/**
 * Classic BPF for a socket that receives psample's multicasts: the packet is one attribute of the message, and the sample's metadata are
 * others. The kernel finds attributes itself (`bpf_skb_get_nlattr` in net/core/filter.c); the packet is read after the header of DATA, and
 * never beyond the length given there, because other attributes follow.
 *
 * A program must never drop a sample that matches. Whenever it cannot know enough (an unexpected attribute, a device that did not exist
 * when the program was made) it lets the message through, to be decided in user space. No producer sends an attribute twice; of such a
 * message the program reads the first one.
 */
import { GENL_ID_CTRL } from "../genl/ctrl.ts";
import type { FirstHeader } from "../packet/packet_view.ts";
import {
  PSAMPLE_ATTR_DATA,
  PSAMPLE_ATTR_IIFINDEX,
  PSAMPLE_ATTR_LATENCY,
  PSAMPLE_ATTR_OIFINDEX,
  PSAMPLE_ATTR_ORIGSIZE,
  PSAMPLE_ATTR_OUT_TC,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_SAMPLE_RATE,
  PSAMPLE_ATTR_USER_COOKIE,
  PSAMPLE_CMD_SAMPLE,
} from "../psample/constants.ts";
import { ATTRIBUTES } from "../psample/layout.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { htonl, htons, LITTLE } from "../wire/native.ts";
import { type Label, label } from "./assembler.ts";
import { AttributeCode, FREE_WORDS, header, NLA_HDRLEN } from "./attribute_code.ts";
import type { Test, Value } from "./condition.ts";
import {
  ALU,
  encodeProgram,
  JUMP,
  JUMP_BITS,
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_OR_EQUAL,
  LD_ABSOLUTE,
  LD_IMMEDIATE,
  LD_INDIRECT,
  LD_LENGTH,
  LD_MEMORY,
  LDX_IMMEDIATE,
  LDX_MEMORY,
  MOVE_A_TO_X,
  MOVE_X_TO_A,
  RETURN,
  STORE,
  WITH_X,
} from "./instructions.ts";
import type { KnownDevices } from "./known_devices.ts";
import type { SampleTest } from "./language/tree.ts";
import { JUMPS, NO_FACTS } from "./test_code.ts";

/** Messages begin at multiples of this. */
const NLMSG_ALIGNTO = 4;
/** Messages of netlink itself have smaller types. */
const NLMSG_MIN_TYPE = 0x10;
/** The longest attribute that its length field can express. */
const LARGEST_ATTRIBUTE = 0xffff;
/** Keeps the whole message, which is always shorter; tcpdump uses the same number. */
const WHOLE = 0x40000;

// The words of memory.
const PACKET_AT = 15;
const PACKET_SIZE = 14;
const ORIGINAL_SIZE = 13;
/** Whether it is not known what the packet begins with. */
const IS_UNCERTAIN = 12;

/** More runs of devices than this are not worth the instructions. */
export const MOST_RUNS = 256;
/** Latencies are compared as doubles, which are not exact from 2^53 on: its upper 32 of 64 bits. */
const INEXACT = 0x200000;

/** What a program is made of. */
export interface MessageProgram {
  /** Only samples and events of these groups; `undefined` for all. */
  readonly groups: readonly number[] | undefined;
  /** What must hold for a sample, by what its packet begins with. */
  readonly tests: Readonly<Record<FirstHeader, Test>>;
  /** The devices of this namespace; `undefined` if samples come from others too. */
  readonly devices: KnownDevices | undefined;
}

/** Whether a program can decide a condition. */
export function canDecide(test: Test, devices: KnownDevices | undefined): boolean {
  switch (test.kind) {
    case "vni":
    case "inner":
      return false;
    case "not":
      return canDecide(test.term, devices);
    case "and":
    case "or":
      return test.terms.every((term) => canDecide(term, devices));
    case "sample":
      return canDecideBeside(test.test, devices);
    default:
      return true;
  }
}

function canDecideBeside(test: SampleTest, devices: KnownDevices | undefined): boolean {
  switch (test.about) {
    case "device":
    case "in":
    case "out":
      return devices !== undefined && devices.named(test.name).length <= MOST_RUNS;
    case "latency":
      return Number.isSafeInteger(test.value);
    default:
      return true;
  }
}

/**
 * Compiles a program. Messages that are not samples pass, except events of groups that are not asked for.
 *
 * @param refuse Makes the error for a program that is too long for the kernel.
 */
export function compileMessages(program: MessageProgram, refuse: (why: string) => Error): Uint8Array<ArrayBuffer> {
  return new MessageCode(program, refuse).compile();
}

/** A program that every message passes. */
export function passAll(): Uint8Array<ArrayBuffer> {
  return encodeProgram([[RETURN, 0, 0, WHOLE]]);
}

class MessageCode extends AttributeCode {
  readonly #program: MessageProgram;
  readonly #reject = label();

  constructor(program: MessageProgram, refuse: (why: string) => Error) {
    super(refuse, FREE_WORDS);
    this.#program = program;
  }

  compile(): Uint8Array<ArrayBuffer> {
    const { groups, tests } = this.#program;
    this.#isSample(groups);
    const [framed, raw] = [JSON.stringify(tests.ethernet), JSON.stringify(tests["raw-ip"])];
    const reads = (kind: Value["kind"]): boolean => [framed, raw].some((text) => text.includes(`"kind":"${kind}"`));
    const readsLength = reads("length");
    const readsBytes = reads("load") || reads("header length");
    if (readsBytes || readsLength) this.#findPacket(readsBytes);
    if (readsLength) this.#findOriginalSize();
    if (framed === raw) this.#body(tests.ethernet, this.#reject);
    else this.#bothBodies();
    this.code.place(this.accept);
    this.code.add(RETURN, WHOLE);
    this.code.place(this.#reject);
    this.code.add(RETURN, 0);
    return this.code.assemble(this.refuse);
  }

  /** Lets through everything that is not a sample, and drops messages of other groups. */
  #isSample(groups: readonly number[] | undefined): void {
    const { code } = this;
    this.go(LD_LENGTH, 0, JUMP_GREATER_OR_EQUAL, ATTRIBUTES, undefined, this.accept);
    this.#isOneMessage();
    // Loads are big-endian, the message is not, so the constants are swapped.
    this.go(LD_ABSOLUTE[2], 4, JUMP_EQUAL, htons(GENL_ID_CTRL), this.accept, undefined);
    this.decide(JUMP_BITS, htons(0xffff & ~(NLMSG_MIN_TYPE - 1)), undefined, this.accept);
    // Every sample has a group. If even that is not found, nothing can be.
    this.find(PSAMPLE_ATTR_SAMPLE_GROUP, this.accept);
    if (groups) {
      const wanted = label();
      code.add(LD_INDIRECT[4], NLA_HDRLEN);
      for (const group of groups) this.decide(JUMP_EQUAL, htonl(group), wanted, undefined);
      code.jump(JUMP, 0, this.#reject);
      code.place(wanted);
    }
    this.go(LD_ABSOLUTE[1], NLMSG_HDRLEN, JUMP_EQUAL, PSAMPLE_CMD_SAMPLE, undefined, this.accept);
  }

  /**
   * Lets through datagrams that are not one message with its padding: the kernel would look for attributes in all of it. Only processes
   * send these, and lengths of more than 16 bits.
   */
  #isOneMessage(): void {
    const { code } = this;
    this.go(LD_ABSOLUTE[2], LITTLE ? 2 : 0, JUMP_EQUAL, 0, undefined, this.accept);
    code.add(LDX_IMMEDIATE, 0);
    this.u16(LITTLE ? 0 : 2);
    code.add(MOVE_A_TO_X);
    code.add(LD_LENGTH);
    code.add(ALU["-"] | WITH_X);
    this.decide(JUMP_GREATER_OR_EQUAL, NLMSG_ALIGNTO, this.accept, undefined);
  }

  /** Finds where the packet is and how long, or only how long. */
  #findPacket(where: boolean): void {
    const { code } = this;
    const [absent, found] = [label(), label()];
    this.find(PSAMPLE_ATTR_DATA, absent);
    if (where) {
      code.add(MOVE_X_TO_A);
      code.add(ALU["+"], NLA_HDRLEN);
      code.add(STORE, PACKET_AT);
    }
    this.u16(0);
    code.add(ALU["-"], NLA_HDRLEN);
    code.add(STORE, PACKET_SIZE);
    code.jump(JUMP, 0, found);
    code.place(absent);
    code.add(LD_IMMEDIATE, 0);
    code.add(STORE, PACKET_SIZE);
    if (where) code.add(STORE, PACKET_AT);
    code.place(found);
  }

  #findOriginalSize(): void {
    const { code } = this;
    const [absent, found] = [label(), label()];
    this.find(PSAMPLE_ATTR_ORIGSIZE, absent);
    this.expect(PSAMPLE_ATTR_ORIGSIZE, 4);
    this.u32(NLA_HDRLEN);
    code.add(STORE, ORIGINAL_SIZE);
    code.jump(JUMP, 0, found);
    code.place(absent);
    code.add(LD_MEMORY, PACKET_SIZE);
    code.add(STORE, ORIGINAL_SIZE);
    code.place(found);
  }

  #body(test: Test, no: Label): void {
    this.fail = no;
    this.facts = NO_FACTS;
    this.test(test, this.accept, no);
  }

  /**
   * Tests the packet as the kind that its device carries. If that is not known it passes if it matches as either kind: so no match is ever
   * dropped.
   */
  #bothBodies(): void {
    const { code } = this;
    const { tests, devices } = this.#program;
    const runs = devices?.firstHeaders() ?? [];
    const [raw, notAsFrame] = [label(), label()];
    const isDecided = runs.length > 0 && runs.length <= MOST_RUNS;
    if (isDecided) {
      const [framed, uncertain, test] = [label(), label(), label()];
      this.#findDevice("device", uncertain, uncertain);
      this.search(runs, ({ common }) => common === "ethernet" ? framed : raw, uncertain);
      code.place(uncertain);
      code.add(LD_IMMEDIATE, 1);
      code.jump(JUMP, 0, test);
      code.place(framed);
      code.add(LD_IMMEDIATE, 0);
      code.place(test);
      code.add(STORE, IS_UNCERTAIN);
    }
    this.#body(tests.ethernet, notAsFrame);
    code.place(notAsFrame);
    if (isDecided) this.go(LD_MEMORY, IS_UNCERTAIN, JUMP_EQUAL, 1, undefined, this.#reject);
    code.place(raw);
    this.#body(tests["raw-ip"], this.#reject);
  }

  // --- the packet

  protected absolute(size: 1 | 2 | 4, offset: number): void {
    const { code } = this;
    const end = offset + size;
    if (end > LARGEST_ATTRIBUTE) return code.jump(JUMP, 0, this.fail);
    if (this.facts.bytes < end) {
      this.go(LD_MEMORY, PACKET_SIZE, JUMP_GREATER_OR_EQUAL, end, undefined, this.fail);
      this.facts = { ...this.facts, bytes: end };
    }
    if (!this.facts.inX) {
      code.add(LDX_MEMORY, PACKET_AT);
      this.facts = { ...this.facts, inX: true };
    }
    code.add(LD_INDIRECT[size], offset);
  }

  protected behindHeader(size: 1 | 2 | 4, header: number, offset: number): void {
    this.absolute(1, header);
    this.code.add(ALU["&"], 0xf);
    this.code.add(ALU["<<"], 2);
    this.code.add(MOVE_A_TO_X);
    this.loseX();
    this.indexed(size, offset);
  }

  protected indexed(size: 1 | 2 | 4, offset: number): void {
    const { code } = this;
    const end = offset + size;
    if (end > LARGEST_ATTRIBUTE) return code.jump(JUMP, 0, this.fail);
    code.add(MOVE_X_TO_A);
    code.add(ALU["+"], end);
    code.add(MOVE_A_TO_X);
    this.go(LD_MEMORY, PACKET_SIZE, JUMP_GREATER_OR_EQUAL | WITH_X, 0, undefined, this.fail);
    code.add(MOVE_X_TO_A);
    code.add(ALU["-"], size);
    code.add(LDX_MEMORY, PACKET_AT);
    code.add(ALU["+"] | WITH_X);
    code.add(MOVE_A_TO_X);
    code.add(LD_INDIRECT[size], 0);
    this.facts = { bytes: Math.max(this.facts.bytes, end), inX: false };
  }

  protected length(): void {
    this.code.add(LD_MEMORY, ORIGINAL_SIZE);
  }

  // --- metadata of the sample

  protected beside(test: Test & { kind: "sample" | "vni" | "inner" }, yes: Label, no: Label): void {
    if (test.kind !== "sample") throw this.refuse("the kernel cannot look for a tunnel in a packet");
    this.loseX();
    this.#beside(test.test, yes, no);
  }

  #beside(test: SampleTest, yes: Label, no: Label): void {
    const { code } = this;
    switch (test.about) {
      case "device":
      case "in":
      case "out": {
        this.#findDevice(test.about, no, this.accept);
        return this.search(this.#program.devices!.named(test.name), ({ common }) => common ? yes : no, this.accept);
      }
      case "direction": {
        const [egress, ingress] = test.egress ? [yes, no] : [no, yes];
        this.find(PSAMPLE_ATTR_OIFINDEX, ingress);
        code.add(LD_INDIRECT[4], 0);
        this.decide(JUMP_EQUAL, header(PSAMPLE_ATTR_OIFINDEX, 2), egress, undefined);
        return code.jump(JUMP_EQUAL, header(PSAMPLE_ATTR_OIFINDEX, 4), egress, this.accept);
      }
      case "cookie":
        return this.#isCookie(test.bytes, yes, no);
      case "latency":
        return this.#compareLatency(test.relation, test.value, yes, no);
      case "rate": {
        // A probability is not the N of 1 in N: converting it takes a division.
        const plain = label();
        this.find(PSAMPLE_ATTR_SAMPLE_PROBABILITY, plain);
        code.jump(JUMP, 0, this.accept);
        code.place(plain);
        this.find(PSAMPLE_ATTR_SAMPLE_RATE, no);
        this.expect(PSAMPLE_ATTR_SAMPLE_RATE, 4);
        break;
      }
      case "group":
        this.find(PSAMPLE_ATTR_SAMPLE_GROUP, no);
        this.expect(PSAMPLE_ATTR_SAMPLE_GROUP, 4);
        break;
      case "queue":
        this.find(PSAMPLE_ATTR_OUT_TC, no);
        this.expect(PSAMPLE_ATTR_OUT_TC, 2);
        break;
    }
    const { relation, value } = test;
    const [jump, swapped] = JUMPS[relation];
    const [then, otherwise] = swapped ? [no, yes] : [yes, no];
    if (test.about === "queue") this.u16(NLA_HDRLEN);
    else if (jump === JUMP_EQUAL) code.add(LD_INDIRECT[4], NLA_HDRLEN);
    else this.u32(NLA_HDRLEN);
    code.jump(jump, jump === JUMP_EQUAL && test.about !== "queue" ? htonl(value) : value, then, otherwise);
  }

  #isCookie(bytes: Uint8Array, yes: Label, no: Label): void {
    const { code } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    this.find(PSAMPLE_ATTR_USER_COOKIE, no);
    this.go(LD_INDIRECT[2], 0, JUMP_EQUAL, htons(NLA_HDRLEN + bytes.length), undefined, no);
    let at = 0;
    for (; at + 4 <= bytes.length; at += 4) this.go(LD_INDIRECT[4], NLA_HDRLEN + at, JUMP_EQUAL, view.getUint32(at), undefined, no);
    for (; at < bytes.length; at++) this.go(LD_INDIRECT[1], NLA_HDRLEN + at, JUMP_EQUAL, bytes[at]!, undefined, no);
    code.jump(JUMP, 0, yes);
  }

  /** Compares 64 bits, half by half. */
  #compareLatency(relation: (SampleTest & { about: "latency" })["relation"], value: number, yes: Label, no: Label): void {
    const { code } = this;
    const [AT, HIGH] = [0, 1];
    const [high, low] = [Math.floor(value / 2 ** 32), value % 2 ** 32];
    const [jump, swapped] = JUMPS[relation];
    const [then, otherwise] = swapped ? [no, yes] : [yes, no];
    this.find(PSAMPLE_ATTR_LATENCY, no);
    this.expect(PSAMPLE_ATTR_LATENCY, 8);
    code.add(MOVE_X_TO_A);
    code.add(STORE, AT);
    this.u32(NLA_HDRLEN + (LITTLE ? 4 : 0));
    code.add(STORE, HIGH);
    this.decide(JUMP_GREATER_OR_EQUAL, INEXACT, this.accept, undefined);
    if (jump !== JUMP_EQUAL) this.decide(JUMP_GREATER, high, then, undefined);
    this.decide(JUMP_EQUAL, high, undefined, otherwise);
    code.add(LDX_MEMORY, AT);
    this.u32(NLA_HDRLEN + (LITTLE ? 0 : 4));
    code.jump(jump, low, then, otherwise);
  }

  /** Loads the index of a device into A: the input device, the output device, or the one that the packet was sampled on. */
  #findDevice(which: "device" | "in" | "out", absent: Label, doubt: Label): void {
    const { code } = this;
    const found = label();
    const find = (type: number, absent: Label): void => {
      this.find(type, absent);
      // Producers in user space send 32 bits, and their own numbers.
      this.go(LD_INDIRECT[4], 0, JUMP_EQUAL, header(type, 2), undefined, doubt);
    };
    if (which === "device") {
      const incoming = label();
      find(PSAMPLE_ATTR_OIFINDEX, incoming);
      code.jump(JUMP, 0, found);
      code.place(incoming);
    }
    find(which === "out" ? PSAMPLE_ATTR_OIFINDEX : PSAMPLE_ATTR_IIFINDEX, absent);
    code.place(found);
    this.u16(NLA_HDRLEN);
  }
}
