/**
 * Estimates made sure by counters. A sampler's own counters tell two things that its samples only estimate: how many packets it decided
 * about (trials; the rule hits of a filter), and how many packets those were on the wire, where segmentation offload hands over several in one
 * piece (the packets of the action).
 *
 * With the trials T known, the total of anything is T times its mean over all samples: N cancels, and with it what the sampler did
 * differently than it says, and what was lost. That is at least as sure as the sum of N times the value, and far surer for large shares. The packets
 * on the wire are not estimated at all then.
 *
 * Both are sums over the time between two looks at the counters, and samples are added to them at the second of these looks: so they stand for
 * the same time, whatever decays.
 *
 * @module
 */
import { type Batch, sampledIfindex } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import { gammaInterval, type Interval } from "./intervals.ts";
import { Picks } from "./picks.ts";
import { countSegments, LINK_HEADER, type Segments, SUPER_PACKET_BYTES, USUAL_MTU } from "./segments.ts";
import { Decay, type Estimate } from "./sums.ts";

/** Where packets are sampled, and what was counted there since some moment that stays the same. */
export interface SamplerCounts {
  /** The device by its number. */
  readonly ifindex: number;
  /** Which way the packets go. */
  readonly direction: "in" | "out";
  /** N, of "1 in N". */
  readonly oneIn: number;
  /** Packets that the sampler decided about, a GSO packet being one; `undefined` if nobody counts them. */
  readonly trials: number | undefined;
  /** Packets on the wire, a GSO packet being as many as it is cut into; `undefined` if nobody counts them, or others with them. */
  readonly packets: number | undefined;
}

/** What a device and direction carried, as far as counters make it sure. */
export interface Calibrated {
  /** The name that its samples have: that of the device, and `"in"` or `"out"`; `undefined` if there were no samples. */
  readonly name: string | undefined;
  /** Packets on the wire; `undefined` if no counter helps. */
  readonly packets: Estimate | undefined;
  /** Bytes, headers of the link and of each segment included; `undefined` if no counter helps. */
  readonly bytes: Estimate | undefined;
}

/** How to calibrate. */
export interface CalibrationOptions {
  /** As those of the {@linkcode Estimator} whose figures are calibrated. Defaults to `[Infinity]`. */
  taus?: readonly number[] | undefined;
  /** As that of the {@linkcode Estimator}. Defaults to all samples. */
  only?: Stage | undefined;
  /**
   * Whether `only` leaves out packets by what they are, and not whole devices and directions: then no counter counts those that are left. Defaults to
   * whether there is an `only`.
   */
  isFiltered?: boolean | undefined;
}

/** The two values of a sample that are estimated: its packets, and its bytes. */
const VALUES = 2;
/**
 * Columns of a row in each horizon: samples and their squared weights; trials, packets on the wire; packets that a sample is more than
 * one, and the bytes of their headers; then of each value the sum, its squares, and its sum with squared weights.
 */
const COLUMNS = 6 + 3 * VALUES;
const [SAMPLES, SQUARED, TRIALS, PACKETS, MORE, HEADERS, FIRST] = [0, 1, 2, 3, 4, 5, 6] as const;

/** One device and direction. */
class Row {
  /** What came since the counters were looked at last. */
  readonly fresh = new Float64Array(COLUMNS);
  /** All of it, in each horizon. */
  readonly sums: Float64Array;
  /** The most that the packets, and the bytes, of one sample can be. */
  readonly most = [1, USUAL_MTU + LINK_HEADER];
  name: string | undefined;
  /** Whether its samples had different names, or may be another's. */
  isRenamed = false;
  /** Whether it has shown a packet that offload is to cut. */
  hasSuperPackets = false;
  /** Whether there were two looks at the counters, with some time between them. */
  isCounted = false;
  /** Whether nobody knows how many packets some of its samples are. */
  hasUnknownSegments = false;
  /** What the counters said last. */
  counts: SamplerCounts | undefined;
  /** Which of the counters went on without a break. */
  knowsTrials = true;
  knowsPackets = true;

  constructor(horizons: number) {
    this.sums = new Float64Array(horizons * COLUMNS);
  }

  restart(): void {
    this.fresh.fill(0);
    this.sums.fill(0);
    this.hasUnknownSegments = this.isCounted = false;
    this.knowsTrials = this.knowsPackets = true;
  }
}

/** Puts samples and counters together. Give it each batch once, and what the counters say as often as you like. */
export class Calibration {
  readonly #decay: Decay;
  readonly #only: Picks;
  /** Whether it stands for all packets that pass: nothing is left out. */
  readonly countsAll: boolean;
  readonly #isFiltered: boolean;
  readonly #rows = new Map<number, Row>();
  readonly #segments: Segments = { packets: 0, bytes: 0, unknown: false };
  /** When the counters were looked at last, in seconds. */
  #countedAt = NaN;

  /** A calibration of nothing yet. */
  constructor({ taus = [Infinity], only, isFiltered = only !== undefined }: CalibrationOptions = {}) {
    this.#decay = new Decay(taus);
    this.#only = new Picks(only);
    this.countsAll = only === undefined;
    this.#isFiltered = isFiltered;
  }

  /** Takes a batch. Only samples of this network namespace are looked at. */
  take(batch: Batch): void {
    if (this.#rows.size === 0) return;
    const { entries, count } = batch;
    const picked = this.#only.of(batch);
    const segments = this.#segments;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type !== "sample" || entry.nsid !== undefined) continue;
      const ifindex = sampledIfindex(entry);
      const row = ifindex === undefined ? undefined : this.#rows.get(samplerKey(ifindex, entry.outIfindex !== undefined));
      if (row === undefined) continue;
      const { fresh } = row;
      const { originalBytes } = entry;
      if (originalBytes === undefined) {
        // Of what is not known no mean is known either.
        row.knowsTrials = row.knowsPackets = false;
        continue;
      }
      const device = batch.device(i);
      const name = device?.name ?? `if${ifindex}`;
      if (row.name !== name) {
        row.isRenamed = row.name !== undefined;
        row.name = name;
      }
      const mtu = device?.mtu ?? USUAL_MTU;
      if (countSegments(batch.packet(i), originalBytes, device?.mtu, segments)) row.hasSuperPackets = true;
      const { packets, bytes } = segments;
      const { most } = row;
      const isSuper = row.hasSuperPackets;
      most[0] = Math.max(most[0]!, packets, isSuper ? Math.ceil(SUPER_PACKET_BYTES / mtu) : 1);
      most[1] = Math.max(most[1]!, bytes, isSuper ? SUPER_PACKET_BYTES + most[0]! * LINK_HEADER : mtu + LINK_HEADER);
      fresh[SAMPLES]!++;
      if (picked !== undefined && picked[i] === 0) continue;
      if (segments.unknown) row.hasUnknownSegments = true;
      fresh[MORE]! += packets - 1;
      fresh[HEADERS]! += bytes - originalBytes;
      fresh[FIRST]! += packets;
      fresh[FIRST + 1]! += packets * packets;
      fresh[FIRST + 3]! += bytes;
      fresh[FIRST + 4]! += bytes * bytes;
    }
  }

  /** Takes what the counters of all samplers say at this time, in nanoseconds since 1970. What came before the first look counts nowhere. */
  count(samplers: readonly SamplerCounts[], nowNs: bigint): void {
    const now = Number(nowNs) / 1e9;
    const factors = this.#decay.advance(now);
    if (factors) { for (const row of this.#rows.values()) scale(row.sums, factors); }
    // Clocks are set back.
    const elapsed = Math.max(0, now - this.#countedAt);
    this.#countedAt = now;
    const missing = new Set(this.#rows.keys());
    for (const sampler of samplers) {
      const key = samplerKey(sampler.ifindex, sampler.direction === "out");
      missing.delete(key);
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, row = new Row(this.#decay.taus.length));
      const before = row.counts;
      if (before && before.ifindex !== sampler.ifindex) {
        // Their samples cannot be told apart.
        row.isRenamed = true;
        continue;
      }
      row.counts = sampler;
      if (before) this.#add(row, before, sampler, elapsed);
    }
    // Of a sampler that is gone nobody knows what it did last.
    for (const key of missing) {
      const row = this.#rows.get(key)!;
      row.knowsTrials = row.knowsPackets = false;
    }
  }

  #add(row: Row, before: SamplerCounts, now: SamplerCounts, elapsed: number): void {
    const since = (one: number | undefined, other: number | undefined): number =>
      one === undefined || other === undefined || other < one ? NaN : other - one;
    const { fresh, sums } = row;
    row.isCounted = true;
    fresh[TRIALS] = since(before.trials, now.trials);
    fresh[PACKETS] = since(before.packets, now.packets);
    if (Number.isNaN(fresh[TRIALS])) row.knowsTrials = false;
    if (Number.isNaN(fresh[PACKETS])) row.knowsPackets = false;
    fresh[SQUARED] = fresh[SAMPLES]!;
    for (const value of [0, 1]) fresh[FIRST + 3 * value + 2] = fresh[FIRST + 3 * value]!;
    const { weights, taus } = this.#decay;
    for (let h = 0; h < weights.length; h++) {
      // It came all the time since the look before, and not just now.
      const age = elapsed / taus[h]!;
      const weight = weights[h]! * (age > 0 ? -Math.expm1(-age) / age : 1);
      for (let c = 0; c < COLUMNS; c++) sums[h * COLUMNS + c]! += (fresh[c] || 0) * (isSquare(c) ? weight * weight : weight);
    }
    fresh.fill(0);
  }

  /** Whether a horizon forgets. */
  decays(horizon = 0): boolean {
    return this.#decay.taus[horizon] !== Infinity;
  }

  /** For how many seconds the figures of a horizon stand, as of the last look at the counters. */
  seconds(horizon = 0): number {
    return Number.isNaN(this.#countedAt) ? 0 : this.#decay.seconds(horizon, this.#countedAt);
  }

  /** What is sure of each device and direction, as of the last look at the counters. */
  figures(horizon = 0): Calibrated[] {
    return [...this.#rows.values()].flatMap((row) => {
      if (row.isRenamed || !row.isCounted || row.counts === undefined) return [];
      const { name } = row;
      return [{ name: name === undefined ? undefined : `${name} ${row.counts.direction}`, ...this.#figuresOf(row, horizon) }];
    });
  }

  #figuresOf(row: Row, h: number): Pick<Calibrated, "packets" | "bytes"> {
    const weight = this.#decay.weights[h]!;
    const of = (column: number): number => row.sums[h * COLUMNS + column]! / (isSquare(column) ? weight * weight : weight);
    const { knowsTrials } = row;
    const trials = of(TRIALS);
    const samples = of(SAMPLES);
    // Both at once, or each packet of one belongs to another look than that of the other.
    const onWire = !row.knowsPackets || this.#isFiltered || (knowsTrials && of(PACKETS) < trials) ? undefined : of(PACKETS);
    const exact = onWire === undefined ? undefined : exactly(onWire);
    if (!knowsTrials) return { packets: exact, bytes: undefined };
    if (trials === 0) return { packets: exact, bytes: samples === 0 ? exactly(0) : undefined };
    const ratio = (value: number): Estimate => {
      const at = FIRST + 3 * value;
      const sums = { samples, squared: of(SQUARED), sum: of(at), squares: of(at + 1), cross: of(at + 2) };
      return ratioEstimate(trials, sums, row.most[value]!, row.counts!.oneIn);
    };
    const packets = exact ?? (row.hasUnknownSegments ? undefined : ratio(0));
    let bytes = ratio(1);
    const more = of(MORE);
    if (onWire !== undefined && samples > 0 && more > 0) {
      // Where packets are cut is a guess from the MTU; the counter knows how many headers that took.
      const headers = of(HEADERS);
      bytes = moved(bytes, (onWire - trials) * headers / more - headers * trials / samples);
    }
    return { packets, bytes };
  }

  /** Begins again, at the last look at the counters. */
  restart(): void {
    for (const row of this.#rows.values()) row.restart();
    this.#decay.restart();
    if (!Number.isNaN(this.#countedAt)) this.#decay.advance(this.#countedAt);
  }
}

/** Sums over samples: of a value 0 for those that do not count, and of weights 1 unless they decay. */
export interface RatioSums {
  /** The sum of the weights of all samples. */
  readonly samples: number;
  /** The sum of their squares. */
  readonly squared: number;
  /** The sum of weight and value. */
  readonly sum: number;
  /** The sum of their squares. */
  readonly squares: number;
  /** The sum of the squared weight and the value. */
  readonly cross: number;
}

/**
 * The total of a value over so many trials, from a sample of them: T·c/n, and its bounds at 95 %. The gamma interval of the sum gives their
 * shape; how wide they are, the variance of the mean, which is less than that of the sum: only deviations from the mean count, the largest
 * possible one among them.
 *
 * @param largest The most that the value can be.
 * @param oneIn N, of "1 in N": for what there is without a sample.
 */
export function ratioEstimate(
  trials: number,
  { samples, squared, sum, squares, cross }: RatioSums,
  largest: number,
  oneIn: number,
): Estimate {
  if (!(samples > 0)) {
    // 1 in N, and none of so many.
    const [, high] = gammaInterval({ sum: 0, squares: 0, variance: 0, largest: oneIn * largest });
    return { value: 0, range: [0, Math.min(trials * largest, high)] };
  }
  // Every trial was sampled, if there are as many.
  const factor = Math.max(1, trials / samples);
  const value = trials / samples * sum;
  const mean = sum / samples;
  const variance = Math.max(0, squares - 2 * mean * cross + mean * mean * squared);
  const [low, high] = gammaInterval({ sum, squares, variance: squares, largest });
  const unseen = Math.sqrt(1 - 1 / factor);
  // The samples may be alike by chance: if n of n are of one kind, the share that is may be 0.025 to the power of 1/n. This many of the other
  // kind, not seen, give that distance within 3 %.
  const unlike = 4 + 22 * squared / (samples * samples);
  const narrower = (deviation: number, most: number): number =>
    sum > 0 ? Math.min(1, Math.sqrt((variance + unlike * deviation * deviation) / (squares + unlike * most * most))) : 1;
  return {
    value,
    range: [
      Math.max(0, value - (sum - low) * factor * unseen * narrower(mean, mean)),
      Math.max(value, Math.min(trials * largest, value + (high - sum) * factor * unseen * narrower(largest - mean, largest))),
    ],
  };
}

function isSquare(column: number): boolean {
  return column === SQUARED || (column >= FIRST && (column - FIRST) % 3 !== 0);
}

/** A device and direction as a number; samples contain only the low 16 bits of a device's index. */
export function samplerKey(ifindex: number, isOut: boolean): number {
  return 2 * (ifindex & 0xffff) + (isOut ? 1 : 0);
}

function exactly(value: number): Estimate {
  return { value, range: [value, value] };
}

function moved({ value, range: [low, high] }: Estimate, by: number): Estimate {
  const range: Interval = [Math.max(0, low + by), Math.max(0, high + by)];
  return { value: Math.max(0, value + by), range };
}

function scale(sums: Float64Array, factors: Float64Array): void {
  for (let at = 0; at < sums.length; at++) {
    const factor = factors[Math.floor(at / COLUMNS)]!;
    sums[at]! *= isSquare(at % COLUMNS) ? factor * factor : factor;
  }
}
