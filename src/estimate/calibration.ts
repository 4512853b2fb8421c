/**
 * Estimates calibrated by counters. A sampler's own counters give two numbers that its samples only estimate: how many packets it decided
 * about (trials; the rule hits of a filter), and how many packets those were on the wire, since segmentation offload hands over several in
 * one piece (the packets of the action).
 *
 * With the number of trials T known, the total of any value is T times its mean over all samples: N cancels out, and with it any deviation
 * of the sampler from its rate, and losses. That is at least as accurate as the sum of N times the value, and far more accurate for large
 * shares. The packets on the wire then need no estimate at all.
 *
 * Counts and samples are both added up from one reading of the counters to the next, and enter the sums at the second of the two: so they
 * cover the same time, even in sums that decay.
 *
 * @module
 */
import { type Batch, sampledIfindex } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import { gammaInterval, type Interval } from "./intervals.ts";
import { Picks } from "./picks.ts";
import { countSegmentsOf, LINK_HEADER, type Segments, SUPER_PACKET_BYTES, USUAL_MTU } from "./segments.ts";
import { Decay, type Estimate } from "./sums.ts";

/**
 * Where packets are sampled, and what was counted there since a fixed moment.
 *
 * @category Estimates
 */
export interface SamplerCounts {
  /** Interface index of the device. */
  readonly ifindex: number;
  /** The direction of the packets. */
  readonly direction: "in" | "out";
  /** N, of "1 in N". */
  readonly oneIn: number;
  /** Packets that the sampler decided about, each GSO packet counted once; `undefined` if there is no such counter. */
  readonly trials: number | undefined;
  /**
   * Packets on the wire, each GSO packet counted as its segments; `undefined` if there is no such counter, or it includes other packets.
   */
  readonly packets: number | undefined;
}

/**
 * What a device and direction carried, as far as counters show it.
 *
 * @category Estimates
 */
export interface Calibrated {
  /** The name of the device and `"in"` or `"out"`, as in its samples; `undefined` if there were none. */
  readonly name: string | undefined;
  /** Packets on the wire; `undefined` if no counter helps. */
  readonly packets: Estimate | undefined;
  /** Bytes, including link headers and the headers of each segment; `undefined` if no counter helps. */
  readonly bytes: Estimate | undefined;
  /**
   * Packets that the sampler decided about, each GSO packet counted once, if `packets` are those that became of them; `undefined` otherwise.
   */
  readonly trials?: number | undefined;
}

/**
 * How to calibrate.
 *
 * @category Estimates
 */
export interface CalibrationOptions {
  /** The same as those of the {@linkcode Estimator} whose figures are calibrated. Defaults to `[Infinity]`. */
  taus?: readonly number[] | undefined;
  /** The same as that of the {@linkcode Estimator}. Defaults to all samples. */
  only?: Stage | undefined;
  /**
   * Whether `only` selects among the packets of a device and direction, so that no counter matches the selection. Defaults to whether there
   * is an `only`.
   */
  isFiltered?: boolean | undefined;
}

/** The two values of a sample that are estimated: its packets, and its bytes. */
const VALUES = 2;
/**
 * Columns of a row in each horizon: samples, and their squared weights; trials, and packets on the wire; the packets of each sample beyond
 * its first, and the bytes of their headers; then for each value its sum, the sum of its squares, and its sum with squared weights.
 */
const COLUMNS = 6 + 3 * VALUES;
const [SAMPLES, SQUARED, TRIALS, PACKETS, MORE, HEADERS, FIRST] = [0, 1, 2, 3, 4, 5, 6] as const;

/** One device and direction. */
class Row {
  /** What arrived since the last reading of the counters. */
  readonly fresh = new Float64Array(COLUMNS);
  /** Everything, in each horizon. */
  readonly sums: Float64Array;
  /** Maximum number of packets, and of bytes, of one sample. */
  readonly most = [1, USUAL_MTU + LINK_HEADER];
  name: string | undefined;
  /** Whether its samples had different names, or may belong to another device. */
  isRenamed = false;
  /** Whether a packet was seen that offload will segment. */
  hasSuperPackets = false;
  /** Whether the counters were read twice, so that there is a difference. */
  isCounted = false;
  /** Whether the number of packets of some samples is not known. */
  hasUnknownSegments = false;
  /** The last reading of the counters. */
  counts: SamplerCounts | undefined;
  /** Which of the counters continued without a break. */
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

/**
 * Combines samples and counters. Pass it each batch once, and readings of the counters as often as you like.
 *
 * @category Estimates
 */
export class Calibration {
  readonly #decay: Decay;
  readonly #only: Picks;
  /** Whether it covers all packets that pass, and leaves none out. */
  readonly countsAll: boolean;
  readonly #isFiltered: boolean;
  readonly #rows = new Map<number, Row>();
  readonly #segments: Segments = { packets: 0, bytes: 0, unknown: false };
  /** When the counters were last read, in seconds. */
  #countedAt = NaN;

  /** A calibration of nothing yet. */
  constructor({ taus = [Infinity], only, isFiltered = only !== undefined }: CalibrationOptions = {}) {
    this.#decay = new Decay(taus);
    this.#only = new Picks(only);
    this.countsAll = only === undefined;
    this.#isFiltered = isFiltered;
  }

  /** Takes a batch. Samples of other network namespaces are ignored. */
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
        // A sample of unknown size leaves the mean unknown too.
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
      if (countSegmentsOf(batch, i, originalBytes, device?.mtu, segments)) row.hasSuperPackets = true;
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

  /**
   * Takes a reading of the counters of all samplers, and its time in nanoseconds since 1970. Whatever came before the first reading is not
   * counted.
   */
  count(samplers: readonly SamplerCounts[], nowNs: bigint): void {
    const now = Number(nowNs) / 1e9;
    const factors = this.#decay.advance(now);
    if (factors) { for (const row of this.#rows.values()) scale(row.sums, factors); }
    // Clocks may be set back.
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
    // What a sampler did after its last reading is lost when it is removed.
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
      // It arrived throughout the time since the previous reading, not just now.
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

  /** How many seconds of traffic the figures of a horizon stand for, as of the last reading of the counters. */
  seconds(horizon = 0): number {
    return Number.isNaN(this.#countedAt) ? 0 : this.#decay.seconds(horizon, this.#countedAt);
  }

  /** The calibrated figures of each device and direction, as of the last reading of the counters. */
  figures(horizon = 0): Calibrated[] {
    return [...this.#rows.values()].flatMap((row) => {
      if (row.isRenamed || !row.isCounted || row.counts === undefined) return [];
      const { name } = row;
      return [{ name: name === undefined ? undefined : `${name} ${row.counts.direction}`, ...this.#figuresOf(row, horizon) }];
    });
  }

  #figuresOf(row: Row, h: number): Omit<Calibrated, "name"> {
    const weight = this.#decay.weights[h]!;
    const of = (column: number): number => row.sums[h * COLUMNS + column]! / (isSquare(column) ? weight * weight : weight);
    const samples = of(SAMPLES);
    // With fewer packets on the wire than trials, the two were not read at the same moment, and do not cover the same packets.
    const onWire = !row.knowsPackets || this.#isFiltered || (row.knowsTrials && of(PACKETS) < of(TRIALS)) ? undefined : of(PACKETS);
    const exact = onWire === undefined ? undefined : exactly(onWire);
    // Flower and bpf filters count no rule hits; but if no sample will be segmented, each packet on the wire was one trial.
    const trials = row.knowsTrials ? of(TRIALS) : row.hasSuperPackets || row.hasUnknownSegments ? undefined : onWire;
    if (trials === undefined) return { packets: exact, bytes: undefined };
    // Samples of packets that were not counted yet: both figures are the samples' own, rather than one of each.
    if (trials === 0) return samples > 0 ? { packets: undefined, bytes: undefined } : { packets: exact, bytes: exactly(0) };
    const ratio = (value: number): Estimate => {
      const at = FIRST + 3 * value;
      const sums = { samples, squared: of(SQUARED), sum: of(at), squares: of(at + 1), cross: of(at + 2) };
      return ratioEstimate(trials, sums, row.most[value]!, row.counts!.oneIn);
    };
    const packets = exact ?? (row.hasUnknownSegments ? undefined : ratio(0));
    let bytes = ratio(1);
    const more = of(MORE);
    if (onWire !== undefined && samples > 0 && more > 0) {
      // The segment size is guessed from the MTU; the counter shows how many headers there really were.
      const headers = of(HEADERS);
      bytes = moved(bytes, (onWire - trials) * headers / more - headers * trials / samples);
    }
    return { packets, bytes, trials: exact && trials };
  }

  /** Begins again, at the last reading of the counters. */
  restart(): void {
    for (const row of this.#rows.values()) row.restart();
    this.#decay.restart();
    if (!Number.isNaN(this.#countedAt)) this.#decay.advance(this.#countedAt);
  }
}

/** Sums over samples. The value of samples that are not counted is 0; weights are 1 unless they decay. */
export interface RatioSums {
  /** The sum of the weights of all samples. */
  readonly samples: number;
  /** The sum of the squared weights. */
  readonly squared: number;
  /** The sum of weight times value. */
  readonly sum: number;
  /** The sum of the squares of these products. */
  readonly squares: number;
  /** The sum of squared weight times value. */
  readonly cross: number;
}

/**
 * The total of a value over all trials, estimated from those that were sampled: T·c/n, and its bounds at 95 %. The gamma interval of the sum
 * determines their shape, and the variance of the mean their width; that is smaller than the variance of the sum, because only deviations
 * from the mean count, including the largest possible one.
 *
 * @param largest Maximum of the value.
 * @param oneIn N of "1 in N", for the upper bound if there are no samples.
 */
export function ratioEstimate(
  trials: number,
  { samples, squared, sum, squares, cross }: RatioSums,
  largest: number,
  oneIn: number,
): Estimate {
  if (!(samples > 0)) {
    // The bound for a count of 0, if each sample would have stood for N times the largest value.
    const [, high] = gammaInterval({ sum: 0, squares: 0, variance: 0, largest: oneIn * largest });
    return { value: 0, range: [0, Math.min(trials * largest, high)] };
  }
  // As many samples as trials mean that every trial was sampled.
  const factor = Math.max(1, trials / samples);
  const value = trials / samples * sum;
  const mean = sum / samples;
  const variance = Math.max(0, squares - 2 * mean * cross + mean * mean * squared);
  const [low, high] = gammaInterval({ sum, squares, variance: squares, largest });
  const unseen = Math.sqrt(1 - 1 / factor);
  // All samples may be of one kind by chance: if all n are, the true share of that kind may be as low as 0.025 to the power of 1/n. Adding
  // this many unseen samples of another kind gives the same distance within 3 %.
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
