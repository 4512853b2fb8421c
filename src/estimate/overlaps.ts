/**
 * Finds where the same packet is sampled more than once: at a bridge and at its port, at a VLAN and at the device below, at both ends of a
 * veth pair, on the way in and on the way out.
 *
 * The samples themselves do not show it: two samplers both pick the same packet only once in N * N times. So the topology decides, and for
 * forwarded packets the input device, which the kernel reports with samples of packets that leave.
 *
 * @module
 */
import type { Link } from "../link/link.ts";

/**
 * A place where packets are sampled.
 *
 * @category Estimates
 */
export interface Point {
  /** The name of the device. */
  readonly device: string;
  /** Which way the packets go. */
  readonly direction: "in" | "out";
}

/**
 * Two places that the same packets pass.
 *
 * @category Estimates
 */
export interface Overlap {
  /**
   * Why they pass both: one device is a `port` of the other or is stacked on it (`stacked`), the devices are the two ends of a pair
   * (`peer`), or packets are forwarded from one to the other (`forwarded`).
   */
  readonly how: "port" | "stacked" | "peer" | "forwarded";
  /** Both places: the lower one first, or the one that packets pass first. */
  readonly points: readonly [Point, Point];
}

/** Kinds of devices whose "lower device" is the other end of a pair: each receives what the other sends. */
const PAIRS: ReadonlySet<string | undefined> = new Set(["veth", "netkit", "vxcan"]);

/**
 * Which devices are stacked on which.
 *
 * @category Estimates
 */
export class Topology {
  readonly #byName = new Map<string, Link>();
  readonly #byIndex = new Map<number, Link>();
  /** The devices right below each, and why. */
  readonly #below = new Map<number, { readonly link: Link; readonly how: "port" | "stacked" }[]>();
  readonly #above = new Set<number>();

  /** The topology of these devices, all of one namespace. */
  constructor(links: Iterable<Link> = []) {
    for (const link of links) {
      this.#byIndex.set(link.index, link);
      this.#byName.set(link.name, link);
    }
    for (const link of this.#byIndex.values()) {
      const master = link.masterIndex === undefined ? undefined : this.#byIndex.get(link.masterIndex);
      if (master) this.#stand(master, link, "port");
      const lower = lowerOf(link, this.#byIndex);
      if (lower && !PAIRS.has(link.kind)) this.#stand(link, lower, "stacked");
    }
  }

  #stand(upper: Link, lower: Link, how: "port" | "stacked"): void {
    const below = this.#below.get(upper.index);
    if (below) below.push({ link: lower, how });
    else this.#below.set(upper.index, [{ link: lower, how }]);
    this.#above.add(lower.index);
  }

  /** Whether it has ports, as a bridge has. */
  hasPorts(index: number): boolean {
    return this.#below.get(index)?.some(({ how }) => how === "port") ?? false;
  }

  /** Whether it is a port. */
  isPort(index: number): boolean {
    const master = this.#byIndex.get(index)?.masterIndex;
    return master !== undefined && this.#byIndex.has(master);
  }

  /** Whether it is stacked on another device. */
  hasLower(index: number): boolean {
    return this.#below.has(index);
  }

  /** Whether another device is stacked on it. */
  hasUpper(index: number): boolean {
    return this.#above.has(index);
  }

  /** The other end of a pair, if it is in this namespace too. */
  peerOf(index: number): Link | undefined {
    const link = this.#byIndex.get(index);
    if (!link || !PAIRS.has(link.kind)) return undefined;
    const peer = lowerOf(link, this.#byIndex);
    return peer?.lowerIndex === index ? peer : undefined;
  }

  /** The pairs of these places that the same packets pass, except by forwarding. */
  overlaps(points: readonly Point[]): Overlap[] {
    const keys = new Set(points.map(keyOf));
    const found: Overlap[] = [];
    for (const upper of points) {
      const link = this.#byName.get(upper.device);
      if (!link) continue;
      for (const [lower, how] of this.#allBelow(link)) {
        const point: Point = { device: lower.name, direction: upper.direction };
        if (keys.has(keyOf(point))) found.push({ how, points: [point, upper] });
      }
      const peer = upper.direction === "out" ? this.peerOf(link.index) : undefined;
      const other: Point | undefined = peer && { device: peer.name, direction: "in" };
      if (other && keys.has(keyOf(other))) found.push({ how: "peer", points: [upper, other] });
    }
    return found;
  }

  /** All devices below, directly and indirectly, each once; with the relation of the first one on the way. */
  #allBelow(link: Link): Map<Link, "port" | "stacked"> {
    const all = new Map<Link, "port" | "stacked">();
    const visit = (upper: Link, first: "port" | "stacked" | undefined): void => {
      for (const { link: lower, how } of this.#below.get(upper.index) ?? []) {
        if (lower === link || all.has(lower)) continue;
        all.set(lower, first ?? how);
        visit(lower, first ?? how);
      }
    };
    visit(link, undefined);
    return all;
  }
}

function lowerOf({ index, lowerIndex, lowerNsid }: Link, links: ReadonlyMap<number, Link>): Link | undefined {
  // An index of another namespace means nothing here.
  return lowerIndex === undefined || lowerNsid !== undefined || lowerIndex === index ? undefined : links.get(lowerIndex);
}

function keyOf({ device, direction }: Point): string {
  return `${direction} ${device}`;
}
