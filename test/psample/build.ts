/** Messages by hand, in either byte order: the decoder is never tested against this package's own encoder. */

/** An attribute: its type, flag bits included, and its value. */
export type Attribute = readonly [type: number, value: Uint8Array];

/** The fields of the two headers of a message. */
export interface Headers {
  type?: number;
  flags?: number;
  sequence?: number;
  portId?: number;
  command?: number;
  little?: boolean;
}

export function number(size: 1 | 2 | 4 | 8, value: number | bigint, little = true): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(8);
  new DataView(all.buffer).setBigUint64(0, BigInt(value), little);
  return little ? all.slice(0, size) : all.slice(8 - size);
}

export function bytes(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.replaceAll(" ", "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

export function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function attributes(list: readonly Attribute[], little = true, padLast = true): Uint8Array<ArrayBuffer> {
  return join(...list.map(([type, value], i) => {
    const padding = i === list.length - 1 && !padLast ? 0 : (4 - value.length % 4) % 4;
    return join(number(2, value.length + 4, little), number(2, type, little), value, new Uint8Array(padding));
  }));
}

export function message(list: readonly Attribute[], headers: Headers = {}, padLast = true): Uint8Array<ArrayBuffer> {
  const little = headers.little ?? true;
  const body = attributes(list, little, padLast);
  return join(
    number(4, 20 + body.length, little),
    number(2, headers.type ?? 30, little),
    number(2, headers.flags ?? 0, little),
    number(4, headers.sequence ?? 0, little),
    number(4, headers.portId ?? 0, little),
    Uint8Array.of(headers.command ?? 0, 1, 0, 0),
    body,
  );
}

/** Sizes of the values of a sample's attributes that have a fixed size. */
export const WIDTHS: Readonly<Record<number, readonly number[]>> = {
  0: [2, 4],
  1: [2, 4],
  2: [4],
  3: [4],
  4: [4],
  5: [4],
  10: [2],
  11: [8],
  12: [8],
  13: [8],
  14: [2],
};
