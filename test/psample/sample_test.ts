import { deepStrictEqual } from "node:assert";
import { test } from "node:test";
import { inspect } from "node:util";
import { assert, assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DecodeError, decodeMessage, decodeSample, type Sample, SampleDecoder, SampleView } from "../../src/psample/mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { type Attribute, attributes, bytes, message, number, WIDTHS } from "./build.ts";
import { recordings } from "./recordings.ts";
import { messageOf } from "../../src/wire/message.ts";

const NOTHING = {
  type: "sample" as const,
  group: undefined,
  sequence: undefined,
  rate: undefined,
  rateIsProbability: false,
  oneIn: undefined,
  inIfindex: undefined,
  outIfindex: undefined,
  originalBytes: undefined,
  protocol: undefined,
  timestampNs: undefined,
  latencyNs: undefined,
  outTc: undefined,
  outTcOccupancyBytes: undefined,
  cookie: undefined,
  tunnel: undefined,
  unknown: [],
  nsid: undefined,
  portId: 0,
  data: undefined,
};

const little = { littleEndian: true };

/** The fields of a view, each read separately. */
function fieldsOf(view: SampleView): Record<string, unknown> {
  return Object.fromEntries(Object.keys(NOTHING).map((name) => [name, view[name as keyof typeof NOTHING]]));
}

function everything(order: boolean): Uint8Array<ArrayBuffer> {
  return message([
    [0, number(2, 3, order)],
    [1, number(2, 4, order)],
    [5, number(4, 100, order)],
    [2, number(4, 1514, order)],
    [3, number(4, 0xffffffff, order)],
    [4, number(4, 0xfffffffe, order)],
    [10, number(2, 7, order)],
    [9, new Uint8Array(0)],
    [11, number(8, 0xffff_ffff_ffff_ffffn, order)],
    [12, number(8, 1234n, order)],
    [13, number(8, 1784000000123456789n, order)],
    [14, number(2, 0x86dd, order)],
    [6, bytes("0102030405")],
    [0x8008, attributes([[0, number(8, 42n, false)], [4, number(1, 64)]], order)],
    [15, bytes("cafe")],
  ], { little: order, portId: 77 });
}

const EVERYTHING = {
  ...NOTHING,
  group: 0xffffffff,
  sequence: 0xfffffffe,
  rate: 100,
  oneIn: 100,
  inIfindex: 3,
  outIfindex: 4,
  originalBytes: 1514,
  protocol: 0x86dd,
  timestampNs: 1784000000123456789n,
  latencyNs: 1234n,
  outTc: 7,
  outTcOccupancyBytes: 0xffff_ffff_ffff_ffffn,
  cookie: bytes("cafe"),
  tunnel: {
    id: 42n,
    source: undefined,
    destination: undefined,
    tos: undefined,
    ttl: 64,
    dontFragment: false,
    checksum: false,
    oam: false,
    sourcePort: undefined,
    destinationPort: undefined,
    geneveOptions: undefined,
    vxlanOptions: undefined,
    erspanOptions: undefined,
    ipv4InfoBridge: false,
    unknown: [],
  },
  nsid: 5,
  portId: 77,
  data: bytes("0102030405"),
};

test("decodeSample reads every attribute, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const message = messageOf(everything(littleEndian), littleEndian);
    assertEquals({ ...decodeSample(message, 5) }, EVERYTHING);
    assertEquals(fieldsOf(viewSample(message, 5)), EVERYTHING);
  }
});

test("decodeSample returns undefined for absent fields, and 0 for 0", () => {
  assertEquals({ ...decodeSample(messageOf(message([]), true)) }, NOTHING);
  assertEquals(fieldsOf(viewSample(messageOf(message([]), true))), NOTHING);
  const zeros: Attribute[] = [
    [0, number(2, 0)],
    [1, number(2, 0)],
    [2, number(4, 0)],
    [3, number(4, 0)],
    [4, number(4, 0)],
    [5, number(4, 0)],
    [10, number(2, 0)],
    [11, number(8, 0)],
    [12, number(8, 0)],
    [13, number(8, 0)],
    [14, number(2, 0)],
    [6, new Uint8Array(0)],
    [15, new Uint8Array(0)],
  ];
  assertEquals({ ...decodeSample(messageOf(message(zeros), true)) }, {
    ...NOTHING,
    group: 0,
    sequence: 0,
    rate: 0,
    oneIn: 0,
    inIfindex: 0,
    outIfindex: 0,
    originalBytes: 0,
    protocol: 0,
    timestampNs: 0n,
    latencyNs: 0n,
    outTc: 0,
    outTcOccupancyBytes: 0n,
    cookie: new Uint8Array(0),
    data: new Uint8Array(0),
  });
});

test("decodeSample reads an ifindex of 2 and of 4 bytes", () => {
  const wide = decodeSample(messageOf(message([[0, number(4, 70001)], [1, number(4, 70002)]]), true));
  assertEquals([wide.inIfindex, wide.outIfindex], [70001, 70002]);
});

test("decodeSample reads 7 as a tunnel too: kernels 5.8 to 5.11", () => {
  const sample = decodeSample(messageOf(message([[7, attributes([[4, number(1, 9)]])]]), true));
  assertEquals(sample.tunnel?.ttl, 9);
});

test("oneIn is a fraction if the rate is a probability", () => {
  const sample = decodeSample(messageOf(message([[5, number(4, 1073741824)], [16, new Uint8Array(0)]]), true));
  assertEquals([sample.rate, sample.rateIsProbability, sample.oneIn], [1073741824, true, 4294967295 / 1073741824]);
  const always = decodeSample(messageOf(message([[16, new Uint8Array(0)], [5, number(4, 0xffffffff)]]), true));
  assertEquals(always.oneIn, 1);
  const never = decodeSample(messageOf(message([[16, new Uint8Array(0)], [5, number(4, 0)]]), true));
  assertEquals(never.oneIn, undefined);
});

test("unknown attributes are kept, in their order", () => {
  const sample = decodeSample(messageOf(message([[99, bytes("0102")], [3, number(4, 1)], [0x8000 | 17, bytes("")]]), true));
  assertEquals([sample.group, sample.unknown], [1, [{ type: 99, value: bytes("0102") }, { type: 17, value: bytes("") }]]);
});

test("the last attribute may lack its padding", () => {
  const one = message([[3, number(4, 1)], [6, bytes("010203")]], {}, false);
  for (const sample of [decodeSample(messageOf(one, true)), viewSample(messageOf(one, true))]) {
    assertEquals([sample.data, sample.dataBytes], [bytes("010203"), 3]);
  }
  assertEquals(viewSample(messageOf(one, true)).message.length, 35);
});

test("of a repeated attribute the last counts, as for the kernel's nla_parse", () => {
  const twice: Attribute[] = [[3, number(4, 1)], [15, bytes("01")], [6, bytes("aa")], [3, number(4, 2)], [15, bytes("0203")], [
    6,
    bytes("bbcc"),
  ]];
  for (const sample of [decodeSample(messageOf(message(twice), true)), viewSample(messageOf(message(twice), true))]) {
    assertEquals([sample.group, sample.cookie, sample.data], [2, bytes("0203"), bytes("bbcc")]);
  }
  // Also if the layout is cached and the cookies are on both sides of the data.
  for (const cookie of ["0102", "03", ""]) {
    const around = message([[15, bytes("ff")], [3, number(4, 7)], [6, bytes("aa")], [15, bytes(cookie)]]);
    for (let i = 0; i < 4; i++) assertEquals(decodeSample(messageOf(around, true)).cookie, bytes(cookie));
  }
});

test("an attribute of unexpected size is unknown, and the rest of the sample is decoded", () => {
  for (const [type, good] of Object.entries(WIDTHS)) {
    for (let size = 0; size <= 9; size++) {
      const value = new Uint8Array(size).fill(7);
      const [before, after]: Attribute[] = Number(type) === 3
        ? [[4, number(4, 5)], [2, number(4, 6)]]
        : [[3, number(4, 5)], [6, bytes("aabb")]];
      const one = message([before!, [Number(type), value], after!]);
      const unknown = good.includes(size) ? [] : [{ type: Number(type), value }];
      for (const sample of [decodeSample(messageOf(one, true)), viewSample(messageOf(one, true))]) {
        assertEquals(sample.unknown, unknown, `attribute ${type} of ${size} bytes`);
        assertEquals(Number(type) === 3 ? [sample.sequence, sample.originalBytes] : [sample.group, sample.dataBytes], [
          5,
          Number(type) === 3 ? 6 : 2,
        ]);
      }
    }
  }
  // One of the right size before it is not forgotten.
  const both = decodeSample(messageOf(message([[4, number(4, 9)], [4, number(2, 1)]]), true));
  assertEquals([both.sequence, both.unknown], [9, [{ type: 4, value: number(2, 1) }]]);
});

test("a malformed tunnel is unknown, and so is a malformed attribute inside a good one", () => {
  const bad = decodeSample(messageOf(message([[3, number(4, 1)], [8, bytes("0300")]]), true));
  assertEquals([bad.group, bad.tunnel, bad.unknown], [1, undefined, [{ type: 8, value: bytes("0300") }]]);
  const inner = attributes([[1, bytes("c0000201")], [4, number(2, 64)], [8, bytes("000180ff")]]);
  const good = decodeSample(messageOf(message([[8, inner]]), true));
  assertEquals([good.tunnel?.source, good.tunnel?.ttl, good.tunnel?.geneveOptions, good.unknown], ["192.0.2.1", undefined, undefined, []]);
  assertEquals(good.tunnel?.unknown, [{ type: 4, value: number(2, 64) }, { type: 8, value: bytes("000180ff") }]);
});

test("a group event with an attribute of unexpected size has the others", () => {
  const event = decodeMessage(messageOf(message([[3, number(4, 9)], [4, number(2, 1)], [7, number(8, 1)]], { command: 2 }), true));
  assertEquals({ ...event } as unknown, {
    type: "group-created",
    group: 9,
    sequence: undefined,
    refcount: undefined,
    nsid: undefined,
    portId: 0,
  });
  assertThrows(() => decodeMessage(messageOf(message([[3, number(2, 9)]], { command: 2 }), true)), DecodeError, "missing group number");
});

test("a DecodeError leaves the view unchanged, and its offset is from the message's start", () => {
  const decoder = new SampleDecoder();
  const good = new Uint8Array([...message([[99, bytes("")], [3, number(4, 8)]]), ...everything(true)]);
  const sample = new SampleView();
  // One whose layout is cached only in this view.
  decoder.view(new DataView(good.buffer), 32, good.length, sample, { ...little, nsid: 5 });
  const bad = new Uint8Array([1, 2, 3, 4, ...message([[3, number(4, 1)], [4, number(2, 1)]])]);
  bad[4 + 28] = 200;
  const error = assertThrows(() => decoder.view(new DataView(bad.buffer), 4, bad.length, sample, little), DecodeError);
  assertEquals(error.message, "Cannot decode sample attribute at byte 28: length 200, 8 bytes left");
  assertEquals(fieldsOf(sample), EVERYTHING);
});

test("SampleDecoder reads between offsets, and points a view at another message", () => {
  const one = everything(true);
  const two = message([[3, number(4, 2)]]);
  const all = new Uint8Array([9, 9, 9, 9, ...one, 9, ...two, 9]);
  const view = new DataView(all.buffer);
  const decoder = new SampleDecoder();
  const sample = new SampleView();
  decoder.view(view, 4, 4 + one.length, sample, { ...little, nsid: 5 });
  assertEquals(fieldsOf(sample), EVERYTHING);
  assertEquals(sample.message, one);
  decoder.view(view, 5 + one.length, 5 + one.length + two.length, sample, little);
  assertEquals(fieldsOf(sample), { ...NOTHING, group: 2 });
  assertEquals({ ...decoder.decode(view, 4, 4 + one.length, { ...little, nsid: 5 }) }, EVERYTHING);
});

test("a given sample is a plain object: it compares, spreads, clones and logs as expected", () => {
  const one = decodeSample(messageOf(everything(true), true), 5);
  const other = decodeSample(messageOf(message([[3, number(4, 2)], [6, bytes("0102030405")]]), true));
  assertEquals(Object.keys(one), Object.keys(NOTHING));
  assertEquals(Object.keys(other), Object.keys(NOTHING));
  deepStrictEqual(one, decodeSample(messageOf(everything(true), true), 5));
  assertThrows(() => deepStrictEqual(one, other));
  assertNotEquals(one, other);
  const { data, ...rest } = one;
  assertEquals([data, rest.group, { ...rest, data }], [bytes("0102030405"), 0xffffffff, EVERYTHING]);
  assertEquals<unknown>(structuredClone(one.copy()), EVERYTHING);
  const logged = inspect(one);
  for (const part of ["Sample", "group: 4294967295", "1784000000123456789n", "protocol: 34525"]) assertStringIncludes(logged, part);
  // A view logs its fields too.
  assertStringIncludes(inspect(viewSample(messageOf(everything(true), true))), "group: 4294967295");
});

test("copy() of a sample or a view has its own bytes", () => {
  const inner = attributes([[8, bytes("0001800111223344")], [11, bytes("aa")], [15, bytes("bb")], [99, bytes("cc")]]);
  const source = message([[99, bytes("dd")], [6, bytes("0102030405")], [8, inner], [15, bytes("ee")]]);
  const expected = { ...decodeSample(messageOf(source.slice(), true)) };
  for (const decode of [decodeSample, viewSample]) {
    const lent = source.slice();
    const copy = decode(messageOf(lent, true)).copy();
    lent.fill(0x55, 16);
    assertEquals({ ...copy }, expected);
    for (const part of [copy.data, copy.cookie, copy.unknown[0]!.value, copy.tunnel!.vxlanOptions, copy.tunnel!.geneveOptions![0]!.data]) {
      assert(part!.buffer !== lent.buffer);
    }
    // It is a sample like any other.
    assertEquals([copy.copy(), JSON.stringify(copy)], [copy, JSON.stringify(decodeSample(messageOf(source, true)))]);
  }
});

test("the compiler distinguishes given and lent samples", () => {
  const kept: Sample[] = [];
  const view = viewSample(messageOf(everything(true), true));
  // @ts-expect-error: a view is reused when the next batch is asked for.
  kept.push(view);
  kept.push(view.copy());
  // @ts-expect-error: a sample has no message to be written to a recording.
  const lent: SampleView = kept[1]!;
  assertEquals(lent.group, view.group);
});

test("toJSON writes 64-bit numbers as text and bytes as hexadecimal", () => {
  assertEquals(JSON.parse(JSON.stringify(decodeSample(messageOf(everything(true), true), 5))), {
    type: "sample",
    group: 0xffffffff,
    sequence: 0xfffffffe,
    rate: 100,
    rateIsProbability: false,
    oneIn: 100,
    inIfindex: 3,
    outIfindex: 4,
    originalBytes: 1514,
    protocol: 0x86dd,
    timestampNs: "1784000000123456789",
    latencyNs: "1234",
    outTc: 7,
    outTcOccupancyBytes: "18446744073709551615",
    cookie: "cafe",
    tunnel: { id: "42", ttl: 64, dontFragment: false, checksum: false, oam: false, ipv4InfoBridge: false, unknown: [] },
    unknown: [],
    nsid: 5,
    portId: 77,
    data: "0102030405",
  });
});

test("toJSON of a view equals that of the sample", () => {
  assertEquals(
    JSON.stringify(viewSample(messageOf(everything(true), true))),
    JSON.stringify(decodeSample(messageOf(everything(true), true))),
  );
});

test("an empty SampleView has no fields, and its getters do not throw", () => {
  assertEquals(fieldsOf(new SampleView()), NOTHING);
  assertEquals(new SampleView().message, new Uint8Array(0));
  assertEquals({ ...new SampleView().copy() }, NOTHING);
});

/** Every getter: errors in a message are found when it is decoded, never later. */
function readAll(message: Uint8Array): void {
  const view = viewMessage(messageOf(message, true));
  const given = decodeMessage(messageOf(message, true));
  if (view?.type !== "sample" || given?.type !== "sample") return;
  assertEquals(fieldsOf(view), { ...given });
  assertEquals([given.toJSON(), given.dataBytes, view.message], [view.toJSON(), view.dataBytes, message]);
}

function valueOrDecodeError(message: Uint8Array): void {
  let item;
  try {
    item = decodeMessage(messageOf(message, true));
  } catch (error) {
    if (error instanceof DecodeError) return;
    throw error;
  }
  if (item !== undefined) readAll(message);
}

test("every truncation of what kernels sent is a value or a DecodeError", () => {
  let count = 0;
  for (const sample of recordings().flatMap(({ items }) => items)) {
    if (sample.type !== "sample" || sample.message.length > 1000) continue;
    for (let size = 0; size <= sample.message.length; size++, count++) valueOrDecodeError(sample.message.slice(0, size));
  }
  assertEquals(count > 10_000, true);
});

test("mutations of what kernels sent are values or DecodeErrors", () => {
  // xorshift32 with a fixed seed: the same mutations in every run.
  let state = 0x9e3779b9;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const messages = recordings().flatMap(({ items }) => items).flatMap((item) => item.type === "sample" ? [item.message] : [])
    .filter((message) => message.length < 1000);
  for (let i = 0; i < 50_000; i++) {
    const message = messages[random(messages.length)]!.slice();
    // Damage to the packet's bytes has no effect: half of the mutations hit the first 100 bytes.
    for (let n = random(4); n >= 0; n--) message[random(random(2) ? message.length : 100)] = random(256);
    valueOrDecodeError(message.subarray(0, random(3) ? message.length : random(message.length)));
  }
});
