/** Whether samplers do what they say, by their own counters and by the samples that come. */
import { samplerKey } from "../src/estimate/calibration.ts";
import { RateCheck, type RateFault, type SamplerCounts } from "../src/estimate/mod.ts";
import { type Batch, sampledIfindex } from "../src/stream/batch.ts";
import type { Source } from "../src/stream/source.ts";
import type { Stage } from "../src/stream/stage.ts";
import { printable } from "../src/wire/text.ts";

/** A sample that was made this long ago has come, if nothing comes at all. */
const QUIET_MS = 3000;

/** One sampler. */
interface Sampler {
  readonly check: RateCheck;
  readonly oneIn: number;
  /** What was counted at the first look: of packets before that, no sample needs to have come. */
  readonly first: number;
  readonly name: string;
  /** Samples that have come. */
  samples: number;
  /** Samples that it had made for certain when a look at the counters began. */
  before: number;
  /** What was counted, of which not all samples may have come. */
  counted: number;
  /** What was counted when all samples of it had come, and how many there were then. */
  settled: { readonly trials: number; readonly samples: number } | undefined;
  fault: RateFault | undefined;
}

/** A stage that lets everything through, and counts what each sampler has made. */
export class SamplerChecks implements Stage {
  #samplers: Map<number, Sampler> | undefined;
  #source: Source | undefined;
  /** When the batch that is there was asked for, or is being waited for. */
  #askedMs = Infinity;
  #isWaiting = false;
  #endMs: number | undefined;
  /** When {@linkcode Sampler.counted} was counted. */
  #countedMs = Infinity;
  /** Whether samples of what was counted then may not have come. */
  #isPending = false;

  /** The same source: what is asked of it tells how far behind its reader is. */
  follow(source: Source): Source {
    this.#source = source;
    const came = (batch: Batch | undefined): Batch | undefined => {
      this.#isWaiting = false;
      // What was queued when it was ended has come.
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
    // Nothing more was queued after it was asked for.
    if (!batch.more) this.#settle(this.#askedMs);
  }

  /** The counters are about to be looked at: whatever has come by now they have counted then. */
  begin(): void {
    const samplers = [...this.#samplers?.values() ?? []];
    const { lost = 0, groups = [] } = this.#source?.stats() ?? {};
    // What was lost was made too. Of several samplers nobody knows whose it was, and what somebody else numbers is no sample of ours.
    const made = samplers.length === 1 && !groups.some(({ contradictory }) => contradictory) ? lost : 0;
    for (const sampler of samplers) sampler.before = sampler.samples + made;
  }

  /** Takes what the counters say. */
  end(counts: readonly SamplerCounts[], devices: ReadonlyMap<number, string>): void {
    const now = performance.now();
    // Nothing has come for a while: then nothing is on the way.
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

  /** What samplers do that they do not say, in a sentence; `undefined` unless it is certain. */
  fault(): string | undefined {
    const faults = [...this.#samplers?.values() ?? []].flatMap((sampler) => {
      // What has settled since the last look is still to be looked at.
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

  /** All samples of what was counted before this time have come. */
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
  return `the sampler of ${name} does not do what it says: 1 in ${oneIn} of ${number(trials)} packets is about ` +
    `${number(trials / oneIn)} samples, and there were ${number(samples)}`;
}
