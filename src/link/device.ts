/** What the rest of the package needs to know about network devices, from whatever source. */

/**
 * A device as the kernel or a recording describes it. Unknown fields are `undefined`.
 *
 * @category Devices
 */
export interface Device {
  /** The interface index on the machine that sampled. */
  readonly index?: number | undefined;
  /** The name. */
  readonly name: string | undefined;
  /** The type, ARPHRD_*, which determines what a sampled packet begins with. */
  readonly type: number | undefined;
  /** The hardware address. */
  readonly address: Uint8Array | undefined;
  /** The largest packet in bytes, without the link's own header. */
  readonly mtu?: number | undefined;
}

/**
 * Devices by the indexes in samples.
 *
 * @category Devices
 */
export interface Devices {
  /**
   * The device that a sample means.
   *
   * @param ifindex The index in the sample: the kernel sends its low 16 bits.
   * @param nsid The network namespace; `undefined` for the listener's own.
   */
  find(ifindex: number, nsid: number | undefined): Device | undefined;
  /** All devices, as far as they are known: those that no sample has named yet too. A source may lack it. */
  all?(): Iterable<Device>;
}

/** For sources without device information. */
export const NO_DEVICES: Devices = { find: () => undefined };
