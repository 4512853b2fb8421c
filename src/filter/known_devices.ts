/** The devices that a program for the kernel knows: those that existed when it was made. */
import type { Link } from "../link/link.ts";
import { deviceLinkType } from "../link/link_type.ts";
import type { FirstHeader } from "../packet/packet_view.ts";

/** Consecutive device indexes that have something in common. */
export interface Run<Common> {
  readonly from: number;
  readonly to: number;
  readonly common: Common;
}

/** Devices by the low 16 bits of their indexes, which is all that a sample contains; those that two devices share are left out. */
export class KnownDevices {
  readonly #byLow16 = new Map<number, Link>();

  /** Knows these devices. */
  constructor(links: Iterable<Link> = []) {
    const shared = new Set<number>();
    for (const link of links) {
      const low16 = link.index & 0xffff;
      if (this.#byLow16.has(low16)) shared.add(low16);
      this.#byLow16.set(low16, link);
    }
    for (const low16 of shared) this.#byLow16.delete(low16);
  }

  /** What the packets of devices begin with; devices whose type does not decide that are left out. */
  firstHeaders(): Run<FirstHeader>[] {
    return this.#runs(({ type }) => deviceLinkType(type));
  }

  /** Which devices have this name, and which do not. */
  named(name: string): Run<boolean>[] {
    return this.#runs((link) => link.name === name);
  }

  #runs<Common>(of: (link: Link) => Common | undefined): Run<Common>[] {
    const runs: { from: number; to: number; common: Common }[] = [];
    for (const [low16, link] of [...this.#byLow16].sort(([a], [b]) => a - b)) {
      const common = of(link);
      if (common === undefined) continue;
      const last = runs.at(-1);
      if (last?.to === low16 - 1 && last.common === common) last.to = low16;
      else runs.push({ from: low16, to: low16, common });
    }
    return runs;
  }
}
