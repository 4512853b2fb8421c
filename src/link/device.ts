/** What the rest of the package needs to know about a network device, wherever that knowledge comes from. */

/**
 * A device as the kernel or a recording describes it. What is not known is `undefined`.
 *
 * @category Devices
 */
export interface Device {
  /** The interface index on the machine that sampled. */
  readonly index?: number | undefined;
  /** The name. */
  readonly name: string | undefined;
  /** The type, ARPHRD_*: decides what a sampled packet begins with. */
  readonly type: number | undefined;
  /** The hardware address. */
  readonly address: Uint8Array | undefined;
  /** The largest packet in bytes, without the link's own header. */
  readonly mtu?: number | undefined;
}

/**
 * Devices by the numbers that samples name.
 *
 * @category Devices
 */
export interface Devices {
  /**
   * The device that a sample means.
   *
   * @param ifindex The number in the sample: the kernel sends the low 16 bits of the index.
   * @param nsid The network namespace; `undefined` for the listener's own.
   */
  find(ifindex: number, nsid: number | undefined): Device | undefined;
}

/** For sources that know no device. */
export const NO_DEVICES: Devices = { find: () => undefined };
