/**
 * Keys that tell flows apart: fields of the packet (src/packet/flow_key.ts) and of the sample.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import type { Headers } from "../packet/headers.ts";
import { type KeyPlace, PACKET_KEYS, packetKey } from "../packet/flow_key.ts";
import { type Batch, sampledIfindex } from "../stream/batch.ts";

/**
 * One field as a key.
 *
 * @category Estimates
 */
export interface Key {
  /** The name. */
  readonly name: string;
  /** Maximum size of a value, in bytes. */
  readonly size: number;
  /** Writes the value of entry `i`, a sample, from `at` on. Returns the number of bytes; -1 if the sample does not have it. */
  write(batch: Batch, i: number, into: Uint8Array, at: number): number;
  /** Whether it says only where the sample was taken: by its device, direction, group, queue and namespace. */
  readonly isPlaceOfSample?: boolean;
  /** Where it is in packets with headers like these; `undefined` if it cannot be copied from the packet. Keys of samples have none. */
  place?(packet: Headers): KeyPlace | undefined;
  /** The text of a value. */
  text(value: Uint8Array): string;
}

/**
 * The keys by which `top` tells flows apart by default.
 *
 * @category Estimates
 */
export const DEFAULT_KEYS = "ipsource,ipdestination";

const NOWHERE = -1;
const MOST_COOKIE = 16;
/** Names of devices have up to 15 bytes; longer names are cut at this length. */
const MOST_NAME = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function put(value: Uint8Array, into: Uint8Array, at: number, most: number): number {
  const size = Math.min(value.length, most);
  for (let i = 0; i < size; i++) into[at + i] = value[i]!;
  return size;
}

function putNumber(value: number | undefined, size: number, into: Uint8Array, at: number): number {
  if (value === undefined) return NOWHERE;
  for (let i = size - 1; i >= 0; i--) {
    into[at + i] = value & 255;
    value >>>= 8;
  }
  return size;
}

const decimal = (value: Uint8Array): string => `${value.reduce((sum, byte) => sum * 256 + byte, 0)}`;
const hex = (value: Uint8Array): string => Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The name of the device, or `if7` for one that has none. */
function deviceKey(): Key {
  // Few devices, many samples: each name is encoded once.
  const encoded = new Map<string, Uint8Array>();
  return {
    name: "device",
    size: MOST_NAME,
    isPlaceOfSample: true,
    write: (batch, i, into, at) => {
      const entry = batch.entries[i]!;
      const ifindex = entry.type === "sample" ? sampledIfindex(entry) : undefined;
      const name = batch.device(i)?.name ?? (ifindex === undefined ? undefined : `if${ifindex}`);
      if (name === undefined) return NOWHERE;
      let bytes = encoded.get(name);
      if (!bytes) {
        if (encoded.size >= 4096) encoded.clear();
        encoded.set(name, bytes = encoder.encode(name));
      }
      return put(bytes, into, at, MOST_NAME);
    },
    text: (value) => decoder.decode(value),
  };
}

/** `in` or `out`: a sample that names the device it leaves by was taken on egress. */
const DIRECTION: Key = {
  name: "direction",
  size: 1,
  isPlaceOfSample: true,
  write: (batch, i, into, at) => {
    const entry = batch.entries[i]!;
    if (entry.type !== "sample") return NOWHERE;
    into[at] = entry.outIfindex === undefined ? 0 : 1;
    return 1;
  },
  text: (value) => value[0] === 0 ? "in" : "out",
};

function sampleNumber(
  name: string,
  size: number,
  of: (sample: Extract<Batch["entries"][number], { type: "sample" }>) => number | undefined,
): Key {
  return {
    name,
    size,
    isPlaceOfSample: true,
    write: (batch, i, into, at) => {
      const entry = batch.entries[i]!;
      return entry.type === "sample" ? putNumber(of(entry), size, into, at) : NOWHERE;
    },
    text: decimal,
  };
}

const SAMPLE_KEYS: Readonly<Record<string, () => Key>> = {
  device: deviceKey,
  direction: () => DIRECTION,
  group: () => sampleNumber("group", 4, (sample) => sample.group),
  queue: () => sampleNumber("queue", 2, (sample) => sample.outTc),
  nsid: () => sampleNumber("nsid", 4, (sample) => sample.nsid),
  cookie: () => ({
    name: "cookie",
    size: MOST_COOKIE,
    write: (batch, i, into, at) => {
      const entry = batch.entries[i]!;
      const cookie = entry.type === "sample" ? entry.cookie : undefined;
      return cookie ? put(cookie, into, at, MOST_COOKIE) : NOWHERE;
    },
    text: hex,
  }),
};

/**
 * The names of all keys; those of packets also with `.1` for the packet in a tunnel, and `subnet:/24`.
 *
 * @category Estimates
 */
export const KEY_NAMES: readonly string[] = [...PACKET_KEYS, ...Object.keys(SAMPLE_KEYS)];

/**
 * The key of this name; `undefined` if there is none.
 *
 * @category Estimates
 */
export function keyOf(name: string): Key | undefined {
  if (Object.hasOwn(SAMPLE_KEYS, name)) return SAMPLE_KEYS[name]!();
  const key = packetKey(name);
  return key && {
    name,
    size: key.size,
    text: key.text,
    write: (batch, i, into, at) => key.write(batch.packet(i), into, at),
    place: (packet) => key.place(packet),
  };
}

/** Maximum number of header stacks for which the places of the keys are remembered: links have a few, but anybody can make up more. */
const MOST_STACKS = 256;
/** The kinds of this many headers fit into a number. */
const MOST_REMEMBERED = 6;

/** Several keys as one: the bytes of each value after its size. */
export class FlowKey {
  /** The keys in the order in which they were asked for. */
  readonly keys: readonly Key[];
  /** Maximum size of all values together, in bytes. */
  readonly size: number;
  /** What {@linkcode FlowKey.write} writes into. */
  readonly bytes: Uint8Array;
  /** Whether the keys say only where samples were taken: by their device, direction, group, queue and namespace. */
  readonly arePlaces: boolean;
  /** Whether any of them is in packets. */
  readonly #areInPackets: boolean;
  /** Where each key is, by the kinds of a packet's headers: nearly all packets have the same headers as an earlier one. */
  readonly #stacks = new Map<number, readonly (KeyPlace | undefined)[]>();
  /** The headers of the previous packet, and where its keys were. */
  #stack = -1;
  #places: readonly (KeyPlace | undefined)[];
  readonly #nowhere: readonly undefined[];
  readonly #allowsAbsent: boolean;

  /**
   * Keys by name, separated by commas: `"ipsource,tcpdestinationport"`.
   *
   * The text of a key that a sample lacks is empty.
   *
   * @param allowsAbsent Whether a sample may lack all of them. Defaults to false.
   * @throws {ArgumentError} for an unknown name, or one that is given twice.
   */
  constructor(names: string, allowsAbsent = false) {
    this.#allowsAbsent = allowsAbsent;
    const list = names.split(",").map((name) => name.trim()).filter((name) => name !== "");
    if (list.length === 0) throw new ArgumentError("Cannot tell flows apart: no key is named");
    this.keys = list.map((name) => {
      const key = keyOf(name);
      if (!key) throw new ArgumentError(`Cannot tell flows apart by ${JSON.stringify(name)}: the keys are ${KEY_NAMES.join(", ")}`);
      return key;
    });
    const again = list.find((name, i) => list.indexOf(name) < i);
    if (again !== undefined) throw new ArgumentError(`Cannot tell flows apart: ${again} is given twice`);
    this.size = this.keys.reduce((sum, key) => sum + 1 + key.size, 0);
    if (this.size > 255) {
      throw new ArgumentError(`Cannot tell flows apart by ${list.length} keys at once: they take ${this.size} bytes, 255 at most`);
    }
    this.bytes = new Uint8Array(this.size);
    this.arePlaces = this.keys.every(({ isPlaceOfSample = false }) => isPlaceOfSample);
    this.#areInPackets = this.keys.some(({ place }) => place !== undefined);
    this.#places = this.#nowhere = this.keys.map(() => undefined);
  }

  /** Writes the keys of entry `i`. Returns the number of bytes; -1 if it lacks all of them, and may not. */
  write(batch: Batch, i: number): number {
    return this.#areInPackets ? this.#writeFrom(batch, i, batch.packet(i)) : this.#writeWithoutPacket(batch, i);
  }

  #writeWithoutPacket(batch: Batch, i: number): number {
    const { keys, bytes } = this;
    let hasAny = this.#allowsAbsent;
    let at = 0;
    for (const key of keys) {
      const size = key.write(batch, i, bytes, at + 1);
      if (size >= 0) hasAny = true;
      bytes[at] = Math.max(0, size);
      at += 1 + bytes[at]!;
    }
    return hasAny ? at : NOWHERE;
  }

  #writeFrom(batch: Batch, i: number, packet: Headers): number {
    const { keys, bytes } = this;
    const { offsets, end, bytes: memory } = packet;
    const places = this.#placesIn(packet);
    let hasAny = this.#allowsAbsent;
    let at = 0;
    for (let k = 0; k < keys.length; k++) {
      const place = places[k];
      let size: number;
      if (place === undefined) {
        size = keys[k]!.write(batch, i, bytes, at + 1);
        if (size < 0) size = 0;
        else hasAny = true;
      } else {
        size = place.size;
        const start = offsets[place.header]! + place.offset;
        if (size < 0 || start + size > end) size = 0;
        else hasAny = true;
        for (let n = 0; n < size; n++) bytes[at + 1 + n] = memory[start + n]!;
      }
      bytes[at] = size;
      at += 1 + size;
    }
    return hasAny ? at : NOWHERE;
  }

  #placesIn(packet: Headers): readonly (KeyPlace | undefined)[] {
    const { count, kinds } = packet;
    if (count > MOST_REMEMBERED) return this.#nowhere;
    let stack = 0;
    // A kind is below 32, and never 0.
    for (let i = 0; i < count; i++) stack = stack << 5 | kinds[i]!;
    if (stack === this.#stack) return this.#places;
    let places = this.#stacks.get(stack);
    if (places === undefined) {
      places = this.keys.map((key) => key.place?.(packet));
      if (this.#stacks.size >= MOST_STACKS) this.#stacks.clear();
      this.#stacks.set(stack, places);
    }
    this.#stack = stack;
    return this.#places = places;
  }

  /** The texts of the keys in bytes that {@linkcode FlowKey.write} wrote. */
  texts(bytes: Uint8Array): string[] {
    let at = 0;
    return this.keys.map((key) => {
      const size = bytes[at]!;
      const text = size === 0 ? "" : key.text(bytes.subarray(at + 1, at + 1 + size));
      at += 1 + size;
      return text;
    });
  }
}
