/** Seeded damage: invalid bytes and words, the same for the same seed on every machine. */

/** Numbers that are the same in every run: xorshift32. */
export class Random {
  #state: number;

  /** Begins the numbers that belong to two numbers: a seed, and which of its mutations it is. */
  constructor(seed: number, index: number) {
    // The finalizer of MurmurHash3: neighbours begin far apart.
    let state = Math.imul(seed ^ Math.imul(index, 0x9e3779b1), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    this.#state = (state ^ (state >>> 16)) || 1;
  }

  /** A number from 0 to 4294967295. */
  next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }

  /** A whole number from 0 to `end` - 1. */
  below(end: number): number {
    return this.next() % end;
  }

  /** One of a list. */
  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Larger recordings are used rarely: they would take most of the time and add little. */
const LARGE = 4096;
const SELDOM = 32;

/** One of the recordings. */
export function pick(random: Random, recordings: readonly Uint8Array[]): Uint8Array {
  for (;;) {
    const recording = random.one(recordings);
    if (recording.length <= LARGE || random.below(SELDOM) === 0) return recording;
    // Unless there are only large ones.
    if (recordings.every(({ length }) => length > LARGE)) return recording;
  }
}

const BYTES = [0, 1, 2, 3, 4, 5, 7, 8, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfc, 0xfe, 0xff];
const WIDTHS = [2, 4, 4, 8];
const SMALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20];
const U16 = [0x7f, 0x80, 0xff, 0x100, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xfffc, 0xfffd, 0xffff];
const U32 = [...U16, 0x10000, 0x3ffff, 0x40001, 0x7fffffff, 0x80000000, 0x80000004, 0xfffffff0, 0xfffffffc, 0xfffffffd, 0xffffffff];

/** What becomes of a recording: bytes in memory that is used again and again, for to allocate is what takes most of the time. */
class Draft {
  bytes: Uint8Array = new Uint8Array(1 << 16);
  length = 0;

  /** Puts `copies` of other bytes where `removed` bytes are, from `at` on. */
  replace(at: number, removed: number, more: Uint8Array, copies = 1): void {
    const end = Math.min(at + removed, this.length);
    const length = this.length - (end - at) + more.length * copies;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.copyWithin(at + more.length * copies, end, this.length);
    for (let i = 0; i < copies; i++) this.bytes.set(more, at + i * more.length);
    this.length = length;
  }

  /** Writes a number, as far as there is room for it. */
  put(at: number, width: number, little: boolean, value: number): void {
    for (let i = 0; i < width && at + i < this.length; i++) this.bytes[at + i] = value >>> (8 * (little ? i : width - 1 - i));
  }
}

const draft = new Draft();
const NOTHING = new Uint8Array();

type Damage = (random: Random, draft: Draft, recordings: readonly Uint8Array[]) => void;

/** Where to damage: anywhere, or among the headers at the front, where it has most effect. */
function place(random: Random, { length }: Draft): number {
  return random.below(random.below(2) ? Math.min(length, 100) : length);
}

/** Where to cut: mostly where an attribute may begin. */
function seam(random: Random, { length }: { readonly length: number }): number {
  const at = random.below(length + 1);
  return random.below(4) ? at & ~3 : at;
}

const flipBit: Damage = (random, draft) => {
  const at = place(random, draft);
  draft.bytes[at] = draft.bytes[at]! ^ (1 << random.below(8));
};

const setByte: Damage = (random, draft) => {
  draft.bytes[place(random, draft)] = random.below(2) ? random.one(BYTES) : random.below(256);
};

const setNumber: Damage = (random, draft) => {
  const width = random.one(WIDTHS);
  const at = place(random, draft) & ~1;
  const value = random.one(width === 2 ? U16 : U32);
  draft.put(at, Math.min(width, 4), random.below(4) > 0, value);
  if (width === 8) draft.put(at + 4, 4, true, random.one(U32));
};

/** Looks for what could be a length, which is no more than what is left behind it, and makes it another. */
const editLength: Damage = (random, draft) => {
  for (let attempt = 0; attempt < 16; attempt++) {
    const at = place(random, draft) & ~1;
    const left = draft.length - at;
    const width = random.below(2) ? 2 : 4;
    const little = random.below(4) > 0;
    if (left < width) continue;
    let value = 0;
    for (let i = 0; i < width; i++) value += draft.bytes[at + i]! * 2 ** (8 * (little ? i : width - 1 - i));
    if (value < 4 || value > left + 4) continue;
    const near = [value - 4, value - 1, value + 1, value + 4, 2 * value, left - 1, left, left + 1, left + 4];
    const list = random.below(2) ? near : random.below(2) ? SMALL : width === 2 ? U16 : U32;
    draft.put(at, width, little, random.one(list));
    return;
  }
};

const truncate: Damage = (random, draft) => {
  draft.length = seam(random, draft);
};

const insert: Damage = (random, draft, recordings) => {
  const at = seam(random, draft);
  if (random.below(2)) {
    const more = new Uint8Array(1 + random.below(24));
    for (let i = 0; i < more.length; i++) more[i] = random.one(BYTES);
    draft.replace(at, 0, more);
  } else {
    const other = pick(random, recordings);
    const start = seam(random, other);
    draft.replace(at, 0, other.subarray(start, start + 4 + random.below(64)));
  }
};

const remove: Damage = (random, draft) => {
  draft.replace(seam(random, draft), random.below(4) ? 4 * (1 + random.below(8)) : 1 + random.below(16), NOTHING);
};

const duplicate: Damage = (random, draft) => {
  const from = seam(random, draft);
  const piece = draft.bytes.slice(from, Math.min(from + 4 + random.below(64), draft.length));
  if (random.below(2)) {
    draft.replace(from, 0, piece, 1 + (random.below(8) ? random.below(3) : random.below(40)));
  } else {
    const at = seam(random, draft);
    draft.bytes.set(piece.subarray(0, draft.length - at), at);
  }
};

const splice: Damage = (random, draft, recordings) => {
  const other = pick(random, recordings);
  const at = seam(random, draft);
  draft.replace(at, draft.length, other.subarray(seam(random, other)));
};

const DAMAGES: readonly Damage[] = [
  flipBit,
  flipBit,
  setByte,
  setByte,
  setNumber,
  setNumber,
  editLength,
  editLength,
  editLength,
  editLength,
  truncate,
  insert,
  remove,
  duplicate,
  splice,
];

/** No mutation is longer than its recording by more than this. */
const MOST_MORE = 4096;

/** One of the recordings, damaged in one to four places, in its own memory of exactly that size. */
export function mutate(random: Random, recordings: readonly Uint8Array[]): Uint8Array {
  const recording = pick(random, recordings);
  draft.length = 0;
  draft.replace(0, 0, recording);
  for (let i = random.below(4); i >= 0; i--) {
    if (draft.length === 0) break;
    random.one(DAMAGES)(random, draft, recordings);
  }
  return draft.bytes.slice(0, Math.min(draft.length, recording.length + MOST_MORE));
}

// Words: as in /proc/PID/cmdline each ends where a NUL is, so that a command line is bytes like everything else.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Words as bytes. */
export function encodeWords(words: readonly string[]): Uint8Array {
  return encoder.encode(words.join("\0"));
}

/** The words in bytes. */
export function decodeWords(bytes: Uint8Array): string[] {
  return bytes.length === 0 ? [] : decoder.decode(bytes).split("\0");
}

const known = new WeakMap<Uint8Array, readonly string[]>();

/** The words of a recorded line, which is decoded once. */
function wordsOf(line: Uint8Array): readonly string[] {
  let words = known.get(line);
  if (words === undefined) known.set(line, words = decodeWords(line));
  return words;
}

const ODD_WORDS = [
  ..."|-|--|---|=|-=|--=|-_|--_|--_=|--__proto__|--__proto__=1|--constructor|--toString|--no-|--a.b|-.|-1|0|1|00|08|0x|0x0|0b1".split("|"),
  ..."4294967295|4294967296|-4294967296|18446744073709551615|18446744073709551616|99999999999999999999999999|1e9|1.5|.5|+1| 1".split("|"),
  ..."NaN|Infinity|true|false|null|undefined|ffff:|ffff:fff1|:1|1:|::|::1|0.0.0.0/0|1.2.3|1.2.3.4/33|::/129|/|80-90|90-80|0/0".split("|"),
  ..."help|sample|action|index|dev|\u00e9|\ufffd|\u{1f600}|\x1b[31m|\n|a b|'|\"|\\|%s|{}|[]|*|..|/dev/null".split("|"),
  "9".repeat(400),
  "f".repeat(64),
  "0x".padEnd(300, "1"),
  "a".repeat(300),
];
const ODD_LETTERS = [..."=-._,:/+0x19afgZ \n\\'\"\u00e9"];

/** One of the command lines with one to four words of it changed; `dictionary` has words that mean something. */
export function mutateWords(random: Random, lines: readonly Uint8Array[], dictionary: readonly string[]): Uint8Array {
  const words = [...wordsOf(random.one(lines))];
  const stranger = (): string => random.below(4) ? random.one(dictionary) : random.one(ODD_WORDS);
  for (let i = random.below(4); i >= 0; i--) {
    const at = random.below(words.length + 1);
    switch (random.below(10)) {
      case 0:
      case 1:
        words.splice(at, 0, stranger());
        break;
      case 2:
      case 3:
        words.splice(at, 1, stranger());
        break;
      case 4:
        words.splice(at, 1 + random.below(3));
        break;
      case 5: {
        const other = wordsOf(random.one(lines));
        words.splice(at, random.below(2) ? words.length : 0, ...other.slice(random.below(other.length + 1)));
        break;
      }
      case 6: {
        // Up to where it begins anew, or to the end, or anything: whole phrases make sense again and again.
        const again = words.indexOf(words[at] ?? "", at + 1);
        const end = random.one([again < 0 ? words.length : again, words.length, at + 1 + random.below(8)]);
        const piece = words.slice(at, end);
        for (let n = random.below(4) ? 1 : 1 + random.below(50); n > 0 && words.length < 500; n--) words.splice(at, 0, ...piece);
        break;
      }
      case 7:
        words.push(stranger(), stranger());
        break;
      default: {
        const word = words[at];
        if (word === undefined) break;
        const letter = random.below(word.length + 1);
        const changed = [
          word.slice(0, letter),
          word.slice(0, letter) + random.one(ODD_LETTERS) + word.slice(letter),
          word.slice(0, letter) + random.one(ODD_LETTERS) + word.slice(letter + 1),
          `${word}=${stranger()}`,
          word.toUpperCase(),
          word + word,
        ];
        words[at] = random.one(changed);
      }
    }
  }
  return encodeWords(words);
}
