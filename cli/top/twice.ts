/** What of the figures counts the same packets more than once, found by where they were sampled. */
import { type Overlap, type Point, type Snapshot, Topology } from "../../src/estimate/mod.ts";
import type { Link } from "../../src/link/link.ts";
import { type Batch, sampledIfindex } from "../../src/stream/batch.ts";
import { printable } from "../../src/wire/text.ts";

/** The devices of this namespace, as they are. */
export interface Links {
  /** Another number whenever something has changed. */
  readonly version: number;
  /** All of them. */
  links(): Iterable<Link>;
}

/** So many pairs of devices between which packets are passed on are told apart. */
const MOST_CROSSINGS = 1024;

/** Knows what is counted more than once. */
export class Twice {
  readonly #links: Links | undefined;
  readonly #takesCrossings: boolean;
  #version: number | undefined;
  #topology = new Topology();
  /** From where to where packets were seen to be passed on. */
  readonly #crossings = new Map<string, readonly [Point, Point]>();
  /** The same by both numbers, as long as these mean the same. */
  readonly #seen = new Set<number>();

  /** Looks at `links`, as far as they are known; packets that are passed on are looked for if they are counted on both ways. */
  constructor(links: Links | undefined, takesCrossings = true) {
    this.#links = links;
    this.#takesCrossings = takesCrossings;
  }

  /** Which devices stand on which now. */
  get topology(): Topology {
    if (this.#links && this.#version !== this.#links.version) {
      this.#version = this.#links.version;
      this.#topology = new Topology(this.#links.links());
      // Numbers may mean others now.
      this.#seen.clear();
    }
    return this.#topology;
  }

  /** Takes note of what is passed on: a packet on the way out of which the kernel knows where it came in. */
  take(batch: Batch): void {
    if (!this.#takesCrossings) return;
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type !== "sample") continue;
      const { inIfindex, outIfindex } = entry;
      if (inIfindex === undefined || outIfindex === undefined) continue;
      const key = inIfindex * 0x1_0000 + outIfindex;
      if (this.#seen.has(key) || this.#seen.size >= MOST_CROSSINGS) continue;
      this.#seen.add(key);
      const from = batch.devicesOf(i).find(inIfindex, entry.nsid)?.name ?? `if${inIfindex}`;
      const to = batch.device(i)?.name ?? `if${sampledIfindex(entry)}`;
      if (this.#crossings.size < MOST_CROSSINGS) {
        this.#crossings.set(`${from}/${to}`, [{ device: from, direction: "in" }, { device: to, direction: "out" }]);
      }
    }
  }

  /** What these figures count more than once. */
  of({ devices }: Snapshot): readonly Overlap[] {
    const points = devices.filter(({ bytes }) => bytes > 0).map(({ by: [device, direction] }) => (
      { device: device!, direction: direction === "out" ? "out" : "in" } as const
    ));
    const isCounted = ({ device, direction }: Point): boolean =>
      points.some((point) => point.device === device && point.direction === direction);
    const found = this.topology.overlaps(points);
    for (const pair of this.#crossings.values()) {
      if (pair.every(isCounted)) found.push({ how: "forwarded", points: pair });
    }
    return found;
  }
}

/** So many pairs are named in a sentence. */
const MOST_NAMED = 4;

/** What chooses among both places. */
const CURES: Readonly<Record<Overlap["how"], string>> = { port: "port", stacked: "lower", peer: "in", forwarded: "in" };

/** The overlaps in a sentence, the cure first: a screen may be too narrow for the rest. */
export function twiceText(overlaps: readonly Overlap[]): string {
  const cures = [...new Set(overlaps.map(({ how }) => CURES[how]))].join();
  const named = overlaps.slice(0, MOST_NAMED).map(({ points: [one, other] }) => `${printableText(one)} and ${printableText(other)}`);
  const more = overlaps.length > named.length ? `, and ${overlaps.length - named.length} more` : "";
  return `counted twice (--count-at ${cures} counts it once): what passes ${named.join(", ")}${more}`;
}

function printableText({ device, direction }: Point): string {
  return `${printable(device)} ${direction}`;
}

/** A place in words. */
export function placeText({ device, direction }: Point): string {
  return `${device} ${direction}`;
}
