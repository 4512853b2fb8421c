/** The devices that `psample export` names: by their names, by patterns, or all of them. */
import { type Known, matcherOf } from "./devices.ts";
import type { DeviceRate } from "./export_rates.ts";

/** Words for devices, and N of those that have one. All present devices are compared with them every second. */
export class NamedDevices {
  readonly words: readonly string[];
  readonly #names: ReadonlySet<string>;
  readonly #place: (device: Known) => number;
  /** Those that have a rate, in their order. */
  readonly #rated: readonly DeviceRate[];
  readonly #ratedPlace: (device: Known) => number;

  constructor(named: readonly DeviceRate[]) {
    this.words = named.map(({ device }) => device);
    this.#names = new Set(this.words.filter((word) => word !== "any"));
    this.#place = matcherOf(this.words);
    this.#rated = named.filter(({ rate }) => rate !== undefined);
    this.#ratedPlace = matcherOf(this.#rated.map(({ device }) => device));
  }

  /** Whether any of them means this device. */
  has(device: Known): boolean {
    return this.#place(device) >= 0;
  }

  /** The word that is this device's name, or one of its alternative names, if it was given by that. */
  nameOf({ name, alternativeNames = [] }: Known): string | undefined {
    return this.#names.has(name) ? name : alternativeNames.find((other) => this.#names.has(other));
  }

  /** Whether a device was given by this name. */
  hasName(name: string): boolean {
    return this.#names.has(name);
  }

  /** N for this device, if one of them says it: what is said last counts. */
  rateOf(device: Known): number | undefined {
    return this.#rated[this.#ratedPlace(device)]?.rate;
  }
}
