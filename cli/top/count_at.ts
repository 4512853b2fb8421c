/** `--count-at`: which of the places that the same packet passes counts it. */
import type { Batch } from "../../src/stream/batch.ts";
import type { Device } from "../../src/link/device.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { printable } from "../../src/wire/text.ts";
import { type Links, Twice } from "./twice.ts";

/** Words that choose a device by its relation to others; any other value is the name of a device. */
export const COUNT_AT_WORDS = ["port", "bridge", "lower", "upper", "in"] as const;

/** One of {@linkcode COUNT_AT_WORDS}. */
export type CountAtWord = typeof COUNT_AT_WORDS[number];

/** Maximum number of left-out devices that are remembered. */
const MOST_NAMES = 64;

/** Leaves out what is counted elsewhere, and remembers where it left something out. */
export class CountAt implements Stage {
  /** The places where something was left out. */
  readonly leftOut = new Set<string>();
  readonly #words: ReadonlySet<CountAtWord>;
  readonly #names: ReadonlySet<string>;
  readonly #twice: Twice;
  #topology: Twice["topology"] | undefined;
  /** Whether packets that come in at a device are counted, and those that leave by it: one pair of bits each. */
  #decided = new WeakMap<Device, number>();

  /** Counts where `values` say: at the devices that all of the words allow, and, if there are names, only at these. */
  constructor(values: readonly string[], twice: Twice) {
    this.#words = new Set(values.filter(isWord));
    this.#names = new Set(values.filter((value) => !isWord(value)));
    this.#twice = twice;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    if (this.#topology !== this.#twice.topology) {
      this.#topology = this.#twice.topology;
      this.#decided = new WeakMap();
    }
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type !== "sample") continue;
      const isOut = entry.outIfindex !== undefined;
      const device = batch.device(i);
      let bits = device ? this.#decided.get(device) : this.#names.size > 0 ? 0 : BOTH;
      if (bits === undefined) this.#decided.set(device!, bits = this.#decide(device!));
      // Packets that came in at a counted device were counted there.
      const passedOn = isOut && entry.inIfindex !== undefined && this.#words.has("in");
      if (!passedOn && bits & (isOut ? OUT : IN)) pick(i);
      else if (this.leftOut.size < MOST_NAMES) this.leftOut.add(`${printable(device?.name ?? "unknown")} ${isOut ? "out" : "in"}`);
    }
  }

  #decide({ index, name, alternativeNames }: Device & { readonly alternativeNames?: readonly string[] }): number {
    const names = this.#names;
    if (names.size > 0 && !(names.has(name ?? "") || alternativeNames?.some((other) => names.has(other)))) return 0;
    if (index === undefined) return BOTH;
    const words = this.#words;
    const topology = this.#topology!;
    if (words.has("port") && topology.hasPorts(index)) return 0;
    if (words.has("bridge") && topology.isPort(index)) return 0;
    if (words.has("lower") && topology.hasLower(index)) return 0;
    if (words.has("upper") && topology.hasUpper(index)) return 0;
    return words.has("in") && topology.peerOf(index) ? IN : BOTH;
  }
}

const IN = 1;
const OUT = 2;
const BOTH = IN | OUT;

/** Whether a value is one of the words. */
export function isWord(value: string): value is CountAtWord {
  return (COUNT_AT_WORDS as readonly string[]).includes(value);
}

/** What finds packets that count twice, and what prevents it. */
export function countingAt(
  values: readonly string[] | undefined,
  devices: Links | undefined,
): { readonly twice: Twice; readonly stages: readonly CountAt[]; readonly leftOut: ReadonlySet<string> | undefined } {
  const twice = new Twice(devices, !values?.includes("in"));
  const countAt = values && new CountAt(values, twice);
  return { twice, stages: countAt ? [countAt] : [], leftOut: countAt?.leftOut };
}

/** Whether there is a device of this name; true if no devices are known, because there may be. */
export function knowsDevice(devices: Links, name: string): boolean {
  const links = [...devices.links()];
  return links.length === 0 || links.some((link) => link.name === name || link.alternativeNames.includes(name));
}
