/**
 * From samples to answers: who talks, how much, and how sure that is.
 *
 * Each sample stands for its own N packets: rates and probabilities may be mixed. Losses and segmentation offload are corrected for.
 * Memory is bounded, and time is an argument.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import type { Device } from "../link/device.ts";
import type { SampleView } from "../psample/sample_view.ts";
import { type Batch, sampledIfindex } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import { type Interval, shareInterval } from "./intervals.ts";
import { type FlowPart, FlowParts } from "./flow_parts.ts";
import { DEFAULT_KEYS, FlowKey } from "./keys.ts";
import { LossCorrection } from "./losses.ts";
import { Picks } from "./picks.ts";
import { RecentFlows } from "./recent_flows.ts";
import { countSegmentsOf, LINK_HEADER, type Segments, SUPER_PACKET_BYTES as SUPER_PACKET, USUAL_MTU, wireBytes } from "./segments.ts";
import { Decay, Increment, Sums } from "./sums.ts";
import { TopKeys } from "./top_keys.ts";

/**
 * How to estimate.
 *
 * @category Estimates
 */
export interface EstimatorOptions {
  /**
   * Keys that tell flows apart, separated by commas. Samples that lack some of them belong to a flow too, whose texts of these are empty:
   * ICMP has no port. Defaults to `"ipsource,ipdestination"`.
   */
  by?: string | undefined;
  /** Maximum number of flows kept; up to this number everything is exact. Defaults to 4096. */
  flows?: number | undefined;
  /**
   * Time constants of decay in seconds, for rates of now: each stands for a window twice as long. `Infinity` keeps everything until
   * {@linkcode Estimator.restart}. Flows are ranked by the first. Defaults to `[Infinity]`.
   */
  taus?: readonly number[] | undefined;
  /**
   * N of "1 in N" for samples that do not say it, such as packets that another program recorded. Defaults to none: they are counted as
   * {@linkcode Snapshot.unusable}.
   */
  oneIn?: number | undefined;
  /**
   * Count only these samples; losses are still made up for by all of them. (A stage before the estimator would let the few that it picks
   * stand for everything that was lost.) Defaults to all samples.
   */
  only?: Stage | undefined;
  /**
   * Keep of which device and direction the packets of each flow were, so that {@linkcode calibrate} can pass on to flows what the counters
   * of their devices show. Takes four times the memory for a flow. Defaults to false.
   */
  parts?: boolean | undefined;
  /** Whether samples that lack all keys belong to a flow too. Defaults to false: they count only in the total. */
  absent?: boolean | undefined;
  /** Whether to keep figures of each device and direction: {@linkcode Snapshot.devices}. Defaults to true. */
  devices?: boolean | undefined;
}

/**
 * One flow, or one device and direction.
 *
 * @category Estimates
 */
export interface FlowEstimate {
  /** The texts of the keys; empty for one that its samples lack. */
  readonly by: readonly string[];
  /** Number of its samples. */
  readonly samples: number;
  /** Estimated packets. */
  readonly packets: number;
  /** Estimated bytes, link headers included, without frame check sequences. */
  readonly bytes: number;
  /** Bounds of the packets at 95 %. */
  readonly packetsRange: Interval;
  /** Bounds of the bytes at 95 %. */
  readonly bytesRange: Interval;
  /** Bytes a second, times 8. */
  readonly bitsPerSecond: number;
  /** Share of all estimated bytes, 0 to 1. */
  readonly share: number;
  /** Bounds of the share at 95 %. */
  readonly shareRange: Interval;
  /** Maximum number of these bytes that may belong to flows that made room for this one; 0 unless there are more flows than are kept. */
  readonly overcountAtMost: number;
  /** Which of the figures the kernel's counters make certain, see {@linkcode calibrate}; absent if none is. */
  readonly calibrated?: readonly ("packets" | "bytes")[] | undefined;
}

/**
 * One device and direction.
 *
 * @category Estimates
 */
export interface DeviceEstimate extends FlowEstimate {
  /** Estimated bytes on an Ethernet wire, including padding, check sequences, preambles and gaps (IEEE 802.3). */
  readonly wireBytes: number;
  /** Their bounds at 95 %. */
  readonly wireBytesRange: Interval;
}

/**
 * What an estimator knows at one moment.
 *
 * @category Estimates
 */
export interface Snapshot {
  /** The names of the keys. */
  readonly by: readonly string[];
  /** How many seconds of traffic the figures stand for. */
  readonly seconds: number;
  /** All traffic. */
  readonly total: FlowEstimate;
  /** The largest flows, the largest first. */
  readonly flows: readonly FlowEstimate[];
  /** Each device and direction; `by` is the name and `"in"` or `"out"`. */
  readonly devices: readonly DeviceEstimate[];
  /** How many flows are kept. */
  readonly kept: number;
  /** Maximum number of bytes of a flow that is not kept. */
  readonly bound: number;
  /** Samples that lack all of the keys; they count only in the total. */
  readonly keyless: number;
  /** Samples whose size or rate is not known; they are not counted anywhere. */
  readonly unusable: number;
  /** Samples certain to be lost; those that arrived stand for them. */
  readonly lost: number;
  /** Samples of segmentation offload whose number of packets is not known. */
  readonly unknownSegments: number;
  /** With {@linkcode EstimatorOptions.parts}: what the figures of flows and devices are made of. */
  readonly parts?: SnapshotParts | undefined;
}

/**
 * What flows are parts of.
 *
 * @category Estimates
 */
export interface WholeParts {
  /** Estimated packets, each GSO packet counted once. */
  readonly trials: number;
  /** Upper bound of the packets of a flow without samples. */
  readonly unseenPackets: number;
  /** Upper bound of the bytes of a flow without samples. */
  readonly unseenBytes: number;
}

/**
 * What the figures of flows and devices are made of.
 *
 * @category Estimates
 */
export interface SnapshotParts {
  /** Of all traffic. */
  readonly total: WholeParts;
  /** Of each device and direction. */
  readonly devices: readonly WholeParts[];
  /** Of each flow: what it has of each device and direction. */
  readonly flows: readonly (readonly FlowPart[])[];
}

/** When a batch was sampled; `undefined` if the recording does not contain it. Group events have no time of their own. */
function timeOf(batch: Batch): bigint | undefined {
  if (!batch.recorded || batch.count === 0) return batch.readAtNs;
  for (let i = 0; i < batch.count; i++) if (batch.entries[i]!.type === "sample" && batch.hasTime(i)) return batch.timeNs(i);
  return undefined;
}

/** Maximum number of devices and directions told apart. */
const MOST_DEVICES = 4096;
/** How many devices of each direction are found without a lookup. */
const RECENT = 256;
const OTHERS = "others";

/**
 * Estimates from batches. Pass it each batch once, and query it whenever you like.
 *
 * @example Estimate how much two samples stand for
 * ```ts
 * import { aggregateTo, pump, replay } from "@psample/psample";
 * import { Estimator } from "@psample/psample/estimate";
 *
 * const recorded = "2c00000021000000000000000000000000010000" + // the two headers, 0x21 is the family
 *   "0800030001000000" + "0800050064000000" + "08000200e8030000"; // group 1, rate 100, a packet of 1000 bytes
 * const message = Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16));
 *
 * const estimator = new Estimator({ by: "group" });
 * await pump(await replay([message, message], { family: 0x21 }), [], [aggregateTo(estimator)]);
 * const [flow] = estimator.snapshot(BigInt(Date.now()) * 1_000_000n, 10).flows;
 * if (flow?.packets !== 200 || flow.bytes !== 200_000) throw new Error("two samples stand for 200 packets");
 * ```
 *
 * @category Estimates
 */
export class Estimator {
  readonly #key: FlowKey;
  readonly #decay: Decay;
  readonly #flows: TopKeys;
  readonly #recentFlows: RecentFlows | undefined;
  readonly #sums: Sums;
  readonly #parts: FlowParts | undefined;
  readonly #total: Sums;
  readonly #devices: Sums;
  /** The same rows, with bytes on the wire instead of bytes. */
  readonly #wire: Sums;
  readonly #increment: Increment;
  readonly #oneIn: number | undefined;
  readonly #keepsDevices: boolean;
  readonly #only: Picks;
  /**
   * Rows of devices, by direction; looked up by object first, since making a text key for each sample would cost more than everything else.
   */
  readonly #rowsIn = new WeakMap<Device, number>();
  readonly #rowsOut = new WeakMap<Device, number>();
  /** The latest of these by the lower bits of the index: samples of several devices come in turn, and a weak map is slow. */
  readonly #recent: (Device | undefined)[] = new Array(2 * RECENT).fill(undefined);
  readonly #recentRows = new Int32Array(2 * RECENT);
  readonly #deviceRows = new Map<string, number>();
  readonly #deviceNames: (readonly [string, string])[] = [];
  /** Which of them have shown a super packet. */
  readonly #superPackets = new Uint8Array(MOST_DEVICES);
  readonly #losses = new LossCorrection();
  readonly #segments: Segments = { packets: 0, bytes: 0, unknown: false };
  #keyless = 0;
  #unusable = 0;
  #lost = 0;
  #unknownSegments = 0;

  /** An estimator of nothing yet. */
  constructor(
    { by = DEFAULT_KEYS, flows = 4096, taus = [Infinity], oneIn, only, parts = false, absent = false, devices = true }: EstimatorOptions =
      {},
  ) {
    if (!Number.isInteger(flows) || flows < 1 || flows > 1 << 20) {
      throw new ArgumentError(`Cannot keep ${flows} flows: expected 1 to ${1 << 20}`);
    }
    if (taus.length === 0 || taus.some((tau) => !(tau > 0))) throw new ArgumentError("Cannot estimate: a time constant must be above 0");
    if (oneIn !== undefined && !(oneIn >= 1)) throw new ArgumentError(`Cannot estimate: samples are 1 in ${oneIn}, expected at least 1`);
    if (parts && !devices) throw new ArgumentError("Cannot keep parts of devices without figures of devices");
    this.#oneIn = oneIn;
    this.#keepsDevices = devices;
    this.#only = new Picks(only);
    this.#key = new FlowKey(by, absent);
    this.#decay = new Decay(taus);
    this.#flows = new TopKeys(flows, this.#key.size);
    this.#recentFlows = this.#key.arePlaces ? new RecentFlows() : undefined;
    this.#sums = new Sums(flows, this.#decay);
    this.#parts = parts ? new FlowParts(flows, this.#decay) : undefined;
    this.#total = new Sums(1, this.#decay);
    this.#devices = new Sums(devices ? MOST_DEVICES : 0, this.#decay);
    this.#wire = new Sums(devices ? MOST_DEVICES : 0, this.#decay);
    this.#increment = new Increment(this.#decay);
  }

  /** The names of the keys. */
  get by(): readonly string[] {
    return this.#key.keys.map(({ name }) => name);
  }

  /**
   * Takes a batch.
   *
   * @param nowNs When its samples arrived, in nanoseconds since 1970. Defaults to when it was read; for a recording, to the time of its
   * first sample that has one.
   */
  take(batch: Batch, nowNs: bigint | undefined = timeOf(batch)): void {
    if (nowNs !== undefined) this.#advance(Number(nowNs) / 1e9);
    this.#lost += batch.lost;
    const { entries, count } = batch;
    const picked = this.#only.of(batch);
    const losses = this.#losses;
    const segments = this.#segments;
    const increment = this.#increment;
    const parts = this.#parts;
    const keepsDevices = this.#keepsDevices;
    const weight = this.#decay.weights[0]!;
    // Samples come in runs of one device and direction.
    let lastDevice: Device | undefined;
    let lastIsOut = false;
    let row = -1;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type !== "sample") continue;
      const lost = batch.lostBefore(i);
      // Nearly always there are no losses, and nothing is looked up.
      const factor = !lost && losses.isEven ? 1 : losses.factor(entry.group, entry.nsid, entry.portId, lost);
      if (picked !== undefined && picked[i] === 0) continue;
      const { oneIn = this.#oneIn, originalBytes } = entry;
      if (oneIn === undefined || originalBytes === undefined) {
        this.#unusable++;
        continue;
      }
      const device = batch.device(i);
      const isOut = entry.outIfindex !== undefined;
      if (device === undefined || device !== lastDevice || isOut !== lastIsOut) {
        row = this.#deviceRow(device, sampledIfindex(entry), entry.nsid, isOut);
        lastDevice = device;
        lastIsOut = isOut;
      }
      if (countSegmentsOf(batch, i, originalBytes, device?.mtu, segments)) this.#superPackets[row] = 1;
      if (segments.unknown) this.#unknownSegments++;
      const corrected = oneIn * factor;
      if (corrected <= 0) continue;
      const mtu = device?.mtu ?? USUAL_MTU;
      // The bound needs the largest packet possible, not the largest one seen.
      const isSuper = this.#superPackets[row] === 1;
      const { packets, bytes } = segments;
      const mostPackets = isSuper ? Math.max(packets, Math.ceil(SUPER_PACKET / mtu)) : 1;
      const mostBytes = Math.max(bytes, isSuper ? SUPER_PACKET + mostPackets * LINK_HEADER : mtu + LINK_HEADER);
      increment.set(corrected, packets, bytes, mostPackets, mostBytes);
      this.#total.add(0, increment);
      if (keepsDevices) this.#devices.add(row, increment);
      const slot = this.#addTo(batch, i, entry, device, isOut, corrected * bytes * weight);
      if (slot < 0) {
        this.#keyless++;
      } else {
        const { isNew } = this.#flows;
        if (isNew) this.#sums.clearRow(slot);
        this.#sums.add(slot, increment);
        if (parts !== undefined) {
          if (isNew) parts.clearSlot(slot);
          parts.add(slot, row, increment);
        }
      }
      if (!keepsDevices) continue;
      const onWire = packets === 1 ? wireBytes(bytes) : packets * wireBytes(bytes / packets);
      const mostOnWire = mostPackets === 1 ? wireBytes(mostBytes) : mostPackets * wireBytes(mostBytes / mostPackets);
      increment.setBytes(corrected, onWire, mostOnWire);
      this.#wire.addBytes(row, increment);
    }
  }

  /**
   * The estimates at this time.
   *
   * @param nowNs The time, in nanoseconds since 1970.
   * @param top Number of flows to return. Defaults to all that are kept.
   * @param horizon Index of the time constant. Defaults to the first. For the others, a flow's figures cover only the time since it was
   * kept, so they are lower bounds if {@linkcode Snapshot.bound} is not 0.
   * @param order What makes a flow large. Defaults to bytes.
   */
  snapshot(nowNs: bigint, top: number = Infinity, horizon = 0, order: "bytes" | "packets" = "bytes"): Snapshot {
    const now = Number(nowNs) / 1e9;
    this.#advance(now);
    const seconds = this.#decay.seconds(horizon, now);
    const all = this.#total.bytes(0, horizon);
    const estimate = (sums: Sums, row: number, by: readonly string[], overcount = 0): FlowEstimate => {
      const packets = sums.packets(row, horizon);
      const own = sums.bytes(row, horizon);
      const bytes = own.value + overcount;
      const bytesRange: Interval = [own.range[0], own.range[1] + overcount];
      const shares = (part: number): Interval =>
        shareInterval(own.value + part, [own.range[0] + part, own.range[1] + part], all.value, all.range);
      return {
        by,
        samples: sums.samples(row),
        packets: packets.value,
        bytes,
        packetsRange: packets.range,
        bytesRange,
        bitsPerSecond: seconds > 0 ? 8 * bytes / seconds : 0,
        share: all.value > 0 ? Math.min(1, bytes / all.value) : 0,
        shareRange: [shares(0)[0], Math.min(1, shares(overcount)[1])],
        overcountAtMost: overcount,
      };
    };
    const flows = this.#flows;
    const weight = this.#decay.weights[0]!;
    // Flows are kept in the order of the first horizon; any other order is made from the flows that are kept.
    let ranked = flows.ranked();
    if (horizon !== 0 || order === "packets") {
      const sizes = Float64Array.from(ranked, (_, slot) => this.#sums.sum(slot, horizon, order));
      ranked = ranked.sort((a, b) => sizes[b]! - sizes[a]!);
    }
    const shown = ranked.slice(0, top);
    const parts = this.#parts;
    const whole = (sums: Sums, row: number): WholeParts => ({
      trials: sums.sum(row, horizon, "trials"),
      unseenPackets: sums.unseen(row, horizon, "packets"),
      unseenBytes: sums.unseen(row, horizon, "bytes"),
    });
    return {
      by: this.by,
      seconds,
      total: estimate(this.#total, 0, []),
      flows: shown.map((slot) =>
        estimate(this.#sums, slot, this.#key.texts(flows.key(slot)), horizon === 0 ? flows.error(slot) / weight : 0)
      ),
      devices: !this.#keepsDevices ? [] : this.#deviceNames.map((names, row) => {
        const wire = this.#wire.bytes(row, horizon);
        return { ...estimate(this.#devices, row, names), wireBytes: wire.value, wireBytesRange: wire.range };
      }),
      kept: flows.size,
      bound: flows.bound / weight,
      keyless: this.#keyless,
      unusable: this.#unusable,
      lost: this.#lost,
      unknownSegments: this.#unknownSegments,
      ...parts
        ? {
          parts: {
            total: whole(this.#total, 0),
            devices: this.#deviceNames.map((_, row) => whole(this.#devices, row)),
            flows: shown.map((slot) => parts.of(slot, horizon)),
          },
        }
        : {},
    };
  }

  /** Forgets the flows for which `isGone` is true of the texts of their keys; they stay in the total. Returns how many. */
  forget(isGone: (by: readonly string[]) => boolean): number {
    const flows = this.#flows;
    const gone = flows.ranked().filter((slot) => isGone(this.#key.texts(flows.key(slot))));
    for (const slot of gone) {
      flows.forget(slot);
      this.#sums.clearRow(slot);
      this.#parts?.clearSlot(slot);
    }
    return gone.length;
  }

  /** Forgets everything, for the next interval; what is known of devices stays. */
  restart(): void {
    this.#flows.clear();
    for (const sums of this.#all()) sums.clear();
    this.#parts?.clear();
    this.#decay.restart();
    this.#keyless =
      this.#unusable =
      this.#lost =
      this.#unknownSegments =
        0;
  }

  /** Adds to the flow of entry `i`, a sample. Returns the flow's slot; -1 if the sample lacks all keys. */
  #addTo(batch: Batch, i: number, sample: SampleView, device: Device | undefined, isOut: boolean, weight: number): number {
    const flows = this.#flows;
    const recent = this.#recentFlows;
    const ifindex = recent && sampledIfindex(sample);
    const known = recent ? recent.find(sample, device, ifindex, isOut, flows.departures) : -1;
    if (known >= 0) {
      flows.addTo(known, weight);
      return known;
    }
    const key = this.#key;
    const size = key.write(batch, i);
    if (size < 0) return size;
    const slot = flows.add(key.bytes, size, weight);
    recent?.add(slot, sample, device, ifindex, isOut, flows.departures);
    return slot;
  }

  #all(): readonly Sums[] {
    return [this.#sums, this.#total, this.#devices, this.#wire];
  }

  #advance(now: number): void {
    const factors = this.#decay.advance(now);
    if (!factors) return;
    for (const sums of this.#all()) sums.scale(factors);
    this.#parts?.scale(factors);
    this.#flows.scale(factors[0]!);
  }

  #deviceRow(device: Device | undefined, ifindex: number | undefined, nsid: number | undefined, out: boolean): number {
    if (device === undefined) return this.#findRow(device, ifindex, nsid, out);
    const at = ((device.index ?? 0) % RECENT) * 2 + (out ? 1 : 0);
    if (this.#recent[at] === device) return this.#recentRows[at]!;
    this.#recent[at] = device;
    return this.#recentRows[at] = this.#findRow(device, ifindex, nsid, out);
  }

  #findRow(device: Device | undefined, ifindex: number | undefined, nsid: number | undefined, out: boolean): number {
    const rows = out ? this.#rowsOut : this.#rowsIn;
    const known = device && rows.get(device);
    if (known !== undefined) return known;
    const name = device?.name ?? (ifindex === undefined ? "unknown" : `if${ifindex}`);
    const where = nsid === undefined ? name : `${name}@nsid${nsid}`;
    const key = `${where}/${out}`;
    let row = this.#deviceRows.get(key);
    if (row === undefined) {
      row = Math.min(this.#deviceNames.length, MOST_DEVICES - 1);
      // The last row is that of all devices that have no row of their own.
      if (row < MOST_DEVICES - 1) this.#deviceRows.set(key, row);
      this.#deviceNames[row] = row < MOST_DEVICES - 1 ? [where, out ? "out" : "in"] : [OTHERS, ""];
    }
    if (device) rows.set(device, row);
    return row;
  }
}
