/** Checks whether samplers keep to their rates, by their own counters and by the samples that arrive. */
import { samplerKey } from "../src/estimate/calibration.ts";
import { RateCheck, type RateFault, type SamplerCounts } from "../src/estimate/mod.ts";
import { type Batch, sampledIfindex } from "../src/stream/batch.ts";
import type { Source } from "../src/stream/source.ts";
import type { Stage } from "../src/stream/stage.ts";
import { printable } from "../src/wire/text.ts";

/** If nothing arrives for this long, every sample made before has arrived. */
const QUIET_MS = 3000;

/** One sampler. */
interface Sampler {
  readonly check: RateCheck;
  readonly oneIn: number;
  /** The first count: samples of packets before that may not have been received. */
  readonly first: number;
  readonly name: string;
  /** Samples that have arrived. */
  samples: number;
  /** Samples that it had made for certain when the last reading of the counters began. */
  before: number;
  /** A count of packets whose samples may not all have arrived. */
  counted: number;
  /** A count of packets whose samples had all arrived, and the number of samples then. */
  settled: { readonly trials: number; readonly samples: number } | undefined;
  fault: RateFault | undefined;
}

/** A stage that lets everything through, and counts the samples of each sampler. */
export class SamplerChecks implements Stage {
  #samplers: Map<number, Sampler> | undefined;
  #source: Source | undefined;
  /** When the current batch was requested, and whether it is still being waited for. */
  #askedMs = Infinity;
  #isWaiting = false;
  #endMs: number | undefined;
  /** When {@linkcode Sampler.counted} was counted. */
  #countedMs = Infinity;
  /** Whether samples of the packets counted then may still be on their way. */
  #isPending = false;

  /** The same source, observed: the times of the requests show how far behind the reader is. */
  follow(source: Source): Source {
    this.#source = source;
    const came = (batch: Batch | undefined): Batch | undefined => {
      this.#isWaiting = false;
      // Everything that was queued when it was ended has arrived.
      if (!batch && this.#endMs !== undefined) this.#settle(this.#endMs);
      return batch;
    };
    return {
      read: () => {
        this.#askedMs = performance.now();
        const coming = source.read();
        if (!(coming instanceof Promise)) return came(coming);
        this.#isWaiting = true;
        return coming.then(came);
      },
      end: () => {
        this.#endMs ??= performance.now();
        source.end();
      },
      close: () => source.close(),
      stats: () => source.stats(),
    };
  }

  select(batch: Batch, pick: (i: number) => void): void {
    const { entries, count } = batch;
    const samplers = this.#samplers;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (samplers && entry.type === "sample" && entry.nsid === undefined) {
        const ifindex = sampledIfindex(entry);
        const sampler = ifindex === undefined ? undefined : samplers.get(samplerKey(ifindex, entry.outIfindex !== undefined));
        if (sampler) sampler.samples++;
      }
      pick(i);
    }
    // The queue was empty after this batch, so everything that was made before the request has arrived.
    if (!batch.more) this.#settle(this.#askedMs);
  }

  /** Call it right before reading the counters: they will include the packets of all samples that have arrived by now. */
  begin(): void {
    const samplers = [...this.#samplers?.values() ?? []];
    const { lost = 0, groups = [] } = this.#source?.stats() ?? {};
    // Lost samples were made too. With several samplers it is not known whose they were, and gaps in the numbers of somebody else are no
    // samples of ours.
    const made = samplers.length === 1 && !groups.some(({ contradictory }) => contradictory) ? lost : 0;
    for (const sampler of samplers) sampler.before = sampler.samples + made;
  }

  /** Takes the reading of the counters. */
  end(counts: readonly SamplerCounts[], devices: ReadonlyMap<number, string>): void {
    const now = performance.now();
    // If nothing has arrived for a while, nothing is on its way.
    if (this.#isWaiting && now - Math.max(this.#askedMs, this.#countedMs) > QUIET_MS) this.#settle(now);
    this.#samplers ??= new Map(counts.flatMap((count) => {
      const { ifindex, direction, oneIn, trials: first } = count;
      if (first === undefined) return [];
      const name = `${printable(devices.get(ifindex) ?? `if${ifindex}`)} ${direction}`;
      const check = new RateCheck(counts.length);
      const begun = { samples: 0, before: 0, counted: first, settled: undefined, fault: undefined };
      return [[samplerKey(ifindex, direction === "out"), { name, check, oneIn, first, ...begun }] as const];
    }));
    for (const { ifindex, direction, trials } of counts) {
      const sampler = this.#samplers.get(samplerKey(ifindex, direction === "out"));
      if (!sampler || trials === undefined || trials < sampler.counted) continue;
      this.#look(sampler, trials);
      if (!this.#isPending) sampler.counted = trials;
    }
    if (!this.#isPending) this.#countedMs = now;
    this.#isPending = true;
  }

  /** Begins again: a sampler was added, or set up again with counters of its own. */
  restart(): void {
    this.#samplers = undefined;
    this.#isPending = false;
    this.#countedMs = Infinity;
  }

  /** Whether it was certain at the last check that the sampler of a device and direction deviates from its rate. */
  deviates(ifindex: number, direction: "in" | "out"): boolean {
    return this.#samplers?.get(samplerKey(ifindex, direction === "out"))?.fault !== undefined;
  }

  /** How samplers deviate from their rates, in a sentence; `undefined` unless it is certain that any does. */
  fault(): string | undefined {
    const faults = [...this.#samplers?.values() ?? []].flatMap((sampler) => {
      // More may have settled since the last check.
      this.#look(sampler, undefined);
      return sampler.fault ? [textOf(sampler, sampler.fault)] : [];
    });
    return faults.length > 0 ? faults.join("; ") : undefined;
  }

  #look(sampler: Sampler, trials: number | undefined): void {
    const { oneIn, first, before, settled } = sampler;
    sampler.fault = sampler.check.look({
      oneIn,
      trialsAtLeast: settled ? settled.trials - first : 0,
      samplesAtMost: settled?.samples ?? 0,
      samplesAtLeast: trials === undefined ? 0 : before,
      trialsAtMost: trials ?? 0,
    }) ?? sampler.fault;
  }

  /** Records that all samples of packets counted before this time have arrived. */
  #settle(beforeMs: number): void {
    if (!this.#isPending || this.#countedMs > beforeMs || !this.#samplers) return;
    this.#isPending = false;
    const { lost = 0, malformed = 0, unknown = 0 } = this.#source?.stats() ?? {};
    for (const sampler of this.#samplers.values()) {
      sampler.settled = { trials: sampler.counted, samples: sampler.samples + lost + malformed + unknown };
    }
  }
}

function textOf({ name, oneIn }: Sampler, { trials, samples }: RateFault): string {
  const number = (value: number): string => Math.round(value).toLocaleString("en");
  return `the sampler of ${name} does not keep to its rate: 1 in ${oneIn} of ${number(trials)} packets is about ` +
    `${number(trials / oneIn)} samples, and there were ${number(samples)}`;
}
