/** Which devices `psample export` samples, as they come, go and are renamed. */
import type { LiveLinks } from "../src/receive/live_links.ts";
import { present } from "./devices.ts";
import type { PresentDevice } from "./keeping.ts";
import type { NamedDevices } from "./named_devices.ts";

/** The name that a device was given by. `since` distinguishes it from a later one with the same index. */
interface Given {
  readonly word: string;
  readonly since: number | undefined;
}

/**
 * Finds the devices that are meant. A pattern means names: who is renamed out of it is not meant any more. A name means a device: it is the
 * same under another name, as `psample capture` has it too, until another device gets the name.
 */
export class FollowedDevices {
  readonly #links: LiveLinks;
  /** By index. */
  readonly #given = new Map<number, Given>();

  constructor(links: LiveLinks) {
    this.#links = links;
  }

  /** A number that changes whenever a device has changed; 0 as long as none is known. */
  get version(): number {
    this.#links.watch();
    return this.#links.version;
  }

  /** What the device of this index is called, as of the last look; `undefined` if there is none. */
  nameOf(index: number): string | undefined {
    return this.#links.get(index)?.name;
  }

  /**
   * The present devices that are meant; with the name among their names that they were given by. `any` means devices that are up, but packets
   * of those that are `sampled` need not be missed when they are up again.
   */
  meant(named: NamedDevices, sampled: ReadonlySet<number>): readonly PresentDevice[] {
    const devices = present(this.#links);
    const taken = new Set<string>();
    for (const device of devices) {
      const word = named.nameOf(device);
      if (word === undefined) continue;
      taken.add(word);
      this.#given.set(device.index, { word, since: this.#links.since(device.index) });
    }
    for (const [index, { word, since }] of this.#given) {
      const isSame = since === this.#links.since(index) && this.#links.get(index) !== undefined;
      if (!isSame || !named.hasName(word)) this.#given.delete(index);
    }
    return devices.map((device) => this.#known(device, taken, sampled)).filter((device) => named.has(device));
  }

  #known(device: PresentDevice, taken: ReadonlySet<string>, sampled: ReadonlySet<number>): PresentDevice {
    const { index, name, alternativeNames = [], up } = device;
    const given = this.#given.get(index);
    const names = given && !taken.has(given.word) ? [...alternativeNames, given.word] : alternativeNames;
    return { name, index, alternativeNames: names, up: up || sampled.has(index) };
  }
}
