import type { Device, Devices } from "../link/device.ts";

/** The devices of one machine, as a recording describes them. */
export class RecordedDevices implements Devices {
  /** By namespace and index: the latest description, or all of them if they may be of several machines. */
  readonly #devices = new Map<number | undefined, Map<number, Device[]>>();
  readonly #isOneMachine: boolean;
  #changes: (() => void)[] = [];

  /** If it is not known that all devices are of one machine, an index with two different devices is ambiguous and resolves to none. */
  constructor(isOneMachine: boolean) {
    this.#isOneMachine = isOneMachine;
  }

  /** Enters a device. True if something else was known by that number, which is not forgotten before {@linkcode RecordedDevices.settle}. */
  add(ifindex: number, nsid: number | undefined, device: Device): boolean {
    let ofNamespace = this.#devices.get(nsid);
    if (ofNamespace === undefined) this.#devices.set(nsid, ofNamespace = new Map());
    const known = ofNamespace.get(ifindex);
    if (known === undefined) {
      ofNamespace.set(ifindex, [device]);
      return false;
    }
    this.#changes.push(() => {
      const same = known.findIndex((one) => one.name === device.name);
      // The same device with packets of two link types.
      if (same >= 0) known[same] = { ...device, type: known[same]!.type === device.type ? device.type : undefined };
      else if (this.#isOneMachine) known[0] = device;
      else known.push(device);
    });
    return true;
  }

  /** Makes the descriptions since the last call valid. */
  settle(): void {
    if (this.#changes.length === 0) return;
    for (const change of this.#changes) change();
    this.#changes = [];
  }

  find(ifindex: number, nsid: number | undefined): Device | undefined {
    const known = this.#devices.get(nsid)?.get(ifindex);
    return known?.length === 1 ? known[0] : undefined;
  }

  *all(): Iterable<Device> {
    for (const ofNamespace of this.#devices.values()) for (const known of ofNamespace.values()) yield* known;
  }
}
