import type { Device } from "../link/device.ts";
import type { SampleView } from "../psample/sample_view.ts";

/** Flows that were seen last, by a hash of what tells them apart. A power of 2. */
const RECENT = 1024;

/** A flow with what tells it apart. */
interface RecentFlow {
  slot: number;
  /** {@linkcode TopKeys.departures} when it was seen: if keys have left since, this slot may be another's. */
  departures: number;
  device: Device | undefined;
  ifindex: number | undefined;
  isOut: boolean;
  group: number | undefined;
  outTc: number | undefined;
  nsid: number | undefined;
}

/**
 * The slots of flows whose keys say only where a sample was taken, not what is in the packet: there are few, and making, hashing and comparing
 * the bytes of a key takes longer than everything else that is done with a sample.
 */
export class RecentFlows {
  readonly #flows: (RecentFlow | undefined)[] = new Array(RECENT).fill(undefined);
  /** Where {@linkcode RecentFlows.find} looked last. */
  #place = 0;

  /**
   * The slot of a sample's flow; -1 if it is not known.
   *
   * @param device Its device.
   * @param ifindex The index of that.
   * @param departures {@linkcode TopKeys.departures}
   */
  find(sample: SampleView, device: Device | undefined, ifindex: number | undefined, isOut: boolean, departures: number): number {
    const { group, outTc, nsid } = sample;
    // Indexes and groups are small numbers that differ in a few bits: products by odd constants spread them over all of the hash.
    const hash = Math.imul(ifindex ?? 0, 0x9e37_79b1) + Math.imul(group ?? 0, 0x85eb_ca77) + Math.imul(outTc ?? 0, 0xc2b2_ae3d);
    const place = this.#place = (hash ^ hash >>> 15) + (isOut ? 1 : 0) & RECENT - 1;
    const flow = this.#flows[place];
    return flow !== undefined && flow.device === device && flow.ifindex === ifindex && flow.isOut === isOut && flow.group === group &&
        flow.outTc === outTc && flow.nsid === nsid && flow.departures === departures
      ? flow.slot
      : -1;
  }

  /** Remembers the slot of a flow that the last {@linkcode RecentFlows.find} did not find. */
  add(
    slot: number,
    { group, outTc, nsid }: SampleView,
    device: Device | undefined,
    ifindex: number | undefined,
    isOut: boolean,
    departures: number,
  ): void {
    this.#flows[this.#place] = { slot, departures, device, ifindex, isOut, group, outTc, nsid };
  }
}
