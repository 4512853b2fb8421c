/** Filters, actions and devices as the kernel would list them, for tests that judge lists. */
import type { Link } from "../../src/link/link.ts";
import type { Action } from "../../src/tc/action.ts";
import type { Control } from "../../src/tc/control.ts";
import type { Filter } from "../../src/tc/filter.ts";
import type { FlowerKeys } from "../../src/tc/flower.ts";
import { AttrWriter } from "../../src/wire/attr_writer.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";

const PARAMETERS = { capabilities: 0, referenceCount: 1, bindCount: 1, ages: undefined, unknown: [] };

/** An action that is not decoded, by its attributes. */
export function otherAction(kind: string, write: (attr: AttrWriter) => void, fields: Partial<Action> = {}): Action {
  const writer = new AttrWriter();
  write(writer);
  return {
    order: 1,
    kind,
    sample: undefined,
    gact: undefined,
    options: writer.finish(),
    index: 1,
    cookie: undefined,
    stats: undefined,
    flags: undefined,
    hardwareStats: undefined,
    usedHardwareStats: undefined,
    inHardwareCount: undefined,
    unknown: [],
    ...fields,
  };
}

/** `tc_gen` with a number for the control, followed by free space. */
export function parameters(control: number): Uint8Array<ArrayBuffer> {
  const bytes = memory(32);
  viewOf(bytes).setInt32(8, control, LITTLE);
  return bytes;
}

/** An action that only decides. */
export function gact(control: Control, other?: Control): Action {
  const probability = other === undefined ? undefined : { type: 1, value: 10, control: other };
  return { ...otherAction("gact", () => {}), options: undefined, gact: { ...PARAMETERS, index: 1, control, probability } };
}

/** A sample action. */
export function sampleAction(
  control: Control = "continue",
  fields: { rate?: number; group?: number; truncateBytes?: number } = {},
): Action {
  const sample = { ...PARAMETERS, index: 1, control, rate: 10, group: 5, truncateBytes: undefined, ...fields };
  return { ...otherAction("sample", () => {}), options: undefined, sample };
}

/** What filters of these tests have in common: they see arriving packets of a device. */
export const INGRESS = 0xfffffff2;

/** A filter: a matchall unless its classifier is given. Actions are numbered in their order. */
export function filter(preference: number, actions: readonly Action[], fields: Partial<Filter> = {}): Filter {
  const numbered = actions.map((action, i) => ({ ...action, order: i + 1 }));
  return {
    ifindex: 5,
    handle: 1,
    parent: INGRESS,
    preference,
    protocol: 3,
    kind: "matchall",
    chain: 0,
    classifier: { kind: "matchall", classId: undefined, flags: 8, hits: 0n, actions: numbered, unknown: [] },
    unknown: [],
    ...fields,
  };
}

/** A flower filter. */
export function flower(preference: number, keys: FlowerKeys, actions: readonly Action[], fields: Partial<Filter> = {}): Filter {
  const plain = filter(preference, actions);
  const classifier = { kind: "flower" as const, classId: undefined, keys, flags: 8, inHardwareCount: undefined, unknown: [] };
  return { ...plain, protocol: 0x0800, kind: "flower", classifier: { ...classifier, actions: plain.classifier!.actions }, ...fields };
}

/** A u32 filter; of anything unless it has keys, or another table than the root. */
export function u32(preference: number, mask: number, actions: readonly Action[], hash = 0x80000000): Filter {
  const plain = filter(preference, actions, { kind: "u32", handle: 0x80000800 });
  const selector = {
    flags: 1,
    keys: [{ mask, value: 0, offset: 0, offsetMask: 0 }],
    headerMask: 0,
    headerShift: 0,
    headerOffset: 0,
    plus: 0,
    hashOffset: 0,
    hashMask: 0,
  };
  const { actions: numbered } = plain.classifier!;
  const nothing = { classId: undefined, link: undefined, divisor: undefined, mark: undefined, inputDevice: undefined, flags: 8 };
  const counters = { tries: undefined, hits: undefined, keyHits: [] };
  return { ...plain, classifier: { kind: "u32", ...nothing, ...counters, hash, selector, actions: numbered, unknown: [] } };
}

/** A filter of a kind that is not decoded, by its attributes. */
export function other(preference: number, kind: string, write: (attr: AttrWriter) => void, actions?: readonly Action[]): Filter {
  const writer = new AttrWriter();
  write(writer);
  const numbered = actions?.map((action, i) => ({ ...action, order: i + 1 }));
  return filter(preference, [], { kind, classifier: { kind: "other", bytes: writer.finish(), actions: numbered } });
}

/** A `bpf` filter with a classic program that consists of these instructions: code, jt, jf, k. */
export function bpf(
  preference: number,
  directAction: boolean,
  program: readonly (readonly number[])[],
  actions?: readonly Action[],
): Filter {
  const bytes = memory(8 * program.length);
  program.forEach(([code = 0, jt = 0, jf = 0, k = 0], i) => {
    viewOf(bytes).setUint16(8 * i, code, LITTLE);
    bytes.set([jt, jf], 8 * i + 2);
    viewOf(bytes).setInt32(8 * i + 4, k, LITTLE);
  });
  return other(preference, "bpf", (attr) => attr.u16(4, program.length).bytes(5, bytes).u32(8, directAction ? 1 : undefined), actions);
}

/** The device `eth0`, up and with a carrier. */
export function link(fields: Partial<Link> = {}): Link {
  return {
    index: 5,
    name: "eth0",
    alternativeNames: [],
    type: 1,
    address: undefined,
    mtu: 1500,
    flags: 0x10043,
    up: true,
    running: true,
    alias: undefined,
    kind: undefined,
    lowerIndex: undefined,
    lowerNsid: undefined,
    masterIndex: undefined,
    xdp: undefined,
    packets: undefined,
    ...fields,
  };
}
