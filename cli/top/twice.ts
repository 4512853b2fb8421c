/** Finds figures that count the same packets more than once, by where these were sampled. */
import { type Overlap, type Point, type Snapshot, Topology } from "../../src/estimate/mod.ts";
import type { Link } from "../../src/link/link.ts";
import { type Batch, sampledIfindex } from "../../src/stream/batch.ts";
import { printable } from "../../src/wire/text.ts";

/** The present devices of this namespace. */
export interface Links {
  /** A number that changes whenever something has changed. */
  readonly version: number;
  /** All of them. */
  links(): Iterable<Link>;
}

/** Maximum number of device pairs with forwarded packets that are told apart. */
const MOST_CROSSINGS = 1024;

/** Knows what is counted more than once. */
export class Twice {
  readonly #links: Links | undefined;
  readonly #takesCrossings: boolean;
  #version: number | undefined;
  #topology = new Topology();
  /** Between which places packets were seen to be forwarded. */
  readonly #crossings = new Map<string, readonly [Point, Point]>();
  /** The same by both indexes, as long as these mean the same devices. */
  readonly #seen = new Set<number>();

  /** Uses `links`, if they are known; forwarded packets are looked for if both directions are counted. */
  constructor(links: Links | undefined, takesCrossings = true) {
    this.#links = links;
    this.#takesCrossings = takesCrossings;
  }

  /** Which devices are stacked on which now. */
  get topology(): Topology {
    if (this.#links && this.#version !== this.#links.version) {
      this.#version = this.#links.version;
      this.#topology = new Topology(this.#links.links());
      // Indexes may mean other devices now.
      this.#seen.clear();
    }
    return this.#topology;
  }

  /** Records forwarded packets: packets on the way out whose input device the kernel reports. */
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

  /** The overlaps in these figures. */
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

/** Maximum number of pairs named in a sentence. */
const MOST_NAMED = 4;

/** How to choose one of both places. */
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
