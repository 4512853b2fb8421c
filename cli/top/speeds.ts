/** Link speeds, as far as they are known. */
import { linkSpeeds } from "../../src/control/link_speeds.ts";
import { open } from "../../src/socket/open.ts";

/** How often link speeds are updated: they change with the cable. */
const SPEEDS_MS = 10_000;

/** Speeds of devices in bit/s by name, kept up to date. */
export class Speeds {
  known: ReadonlyMap<string, number> = new Map();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Asks now, and then regularly. */
  async follow(netns: string | undefined): Promise<void> {
    // Opened once: entering the namespace again may not be allowed later, and then its seam reports nothing.
    const sys = await open({ netns });
    const ask = async (): Promise<void> => {
      const speeds = await linkSpeeds(sys);
      // Without the right to enter the namespace any more, they stay as they were.
      if (speeds.size > 0) this.known = speeds;
    };
    await ask();
    this.#timer = setInterval(() => void ask(), SPEEDS_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
