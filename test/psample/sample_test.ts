import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError, decodeMessage, decodeSample, decodeSampleAt, Sample } from "../../src/psample/mod.ts";
import { type Attribute, attributes, bytes, message, number, WIDTHS } from "./build.ts";
import { recordings } from "./recordings.ts";

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
    assertEquals(decodeSample(everything(littleEndian), { littleEndian, nsid: 5 }).toObject(), EVERYTHING);
  }
});

test("decodeSample gives undefined for what is absent, and 0 for what is 0", () => {
  assertEquals(decodeSample(message([]), little).toObject(), NOTHING);
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
  assertEquals(decodeSample(message(zeros), little).toObject(), {
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
  const wide = decodeSample(message([[0, number(4, 70001)], [1, number(4, 70002)]]), little);
  assertEquals([wide.inIfindex, wide.outIfindex], [70001, 70002]);
});

test("decodeSample reads 7 as a tunnel too: kernels 5.8 to 5.11", () => {
  const sample = decodeSample(message([[7, attributes([[4, number(1, 9)]])]]), little);
  assertEquals(sample.tunnel?.ttl, 9);
});

test("oneIn is a fraction where the rate is a probability", () => {
  const sample = decodeSample(message([[5, number(4, 1073741824)], [16, new Uint8Array(0)]]), little);
  assertEquals([sample.rate, sample.rateIsProbability, sample.oneIn], [1073741824, true, 4294967295 / 1073741824]);
  const always = decodeSample(message([[16, new Uint8Array(0)], [5, number(4, 0xffffffff)]]), little);
  assertEquals(always.oneIn, 1);
  const never = decodeSample(message([[16, new Uint8Array(0)], [5, number(4, 0)]]), little);
  assertEquals(never.oneIn, undefined);
});

test("unknown attributes are kept, in their order", () => {
  const sample = decodeSample(message([[99, bytes("0102")], [3, number(4, 1)], [0x8000 | 17, bytes("")]]), little);
  assertEquals([sample.group, sample.unknown], [1, [{ type: 99, value: bytes("0102") }, { type: 17, value: bytes("") }]]);
});

test("the last attribute may lack its padding", () => {
  const sample = decodeSample(message([[3, number(4, 1)], [6, bytes("010203")]], {}, false), little);
  assertEquals([sample.data, sample.dataBytes, sample.message.length], [bytes("010203"), 3, 35]);
});

test("a wrong width is a DecodeError", () => {
  for (const [type, good] of Object.entries(WIDTHS)) {
    for (let size = 0; size <= 9; size++) {
      const one = message([[Number(type), new Uint8Array(size)]]);
      if (good.includes(size)) decodeSample(one, little);
      else assertThrows(() => decodeSample(one, little), DecodeError, `Cannot decode sample attribute ${type} at byte 24: ${size} bytes`);
    }
  }
});

test("a DecodeError leaves the sample as it was", () => {
  const sample = decodeSample(everything(true), { ...little, nsid: 5 });
  const bad = message([[3, number(4, 1)], [4, number(2, 1)]]);
  assertThrows(() => decodeSampleAt(new DataView(bad.buffer), 0, bad.length, sample, little), DecodeError);
  assertEquals(sample.toObject(), EVERYTHING);
});

test("decodeSampleAt reads between offsets, and fills the sample anew", () => {
  const one = everything(true);
  const two = message([[3, number(4, 2)]]);
  const all = new Uint8Array([9, 9, 9, 9, ...one, 9, ...two, 9]);
  const view = new DataView(all.buffer);
  const sample = new Sample();
  decodeSampleAt(view, 4, 4 + one.length, sample, { ...little, nsid: 5 });
  assertEquals(sample.toObject(), EVERYTHING);
  assertEquals(sample.message, one);
  decodeSampleAt(view, 5 + one.length, 5 + one.length + two.length, sample, little);
  assertEquals(sample.toObject(), { ...NOTHING, group: 2 });
});

test("toJSON has the 64-bit numbers as text and the bytes as hexadecimal", () => {
  assertEquals(JSON.parse(JSON.stringify(decodeSample(everything(true), { ...little, nsid: 5 }))), {
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

test("an empty Sample has nothing and its getters do not throw", () => {
  assertEquals(new Sample().toObject(), NOTHING);
  assertEquals(new Sample().message, new Uint8Array(0));
});

/** Every getter: what is wrong in a message is said when it is decoded, never later. */
function readAll(message: Uint8Array): void {
  const item = decodeMessage(message, little);
  if (item?.type === "sample") {
    item.toObject();
    item.toJSON();
    void item.dataBytes;
    void item.message;
  }
}

function valueOrDecodeError(message: Uint8Array): void {
  let item;
  try {
    item = decodeMessage(message, little);
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
    // Where it hurts most is not in the packet's bytes: half of the mutations hit the first 100.
    for (let n = random(4); n >= 0; n--) message[random(random(2) ? message.length : 100)] = random(256);
    valueOrDecodeError(message.subarray(0, random(3) ? message.length : random(message.length)));
  }
});
