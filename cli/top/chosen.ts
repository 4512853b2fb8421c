/** Which samples count, for all that count them. */
import type { Batch } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";

/** The samples that all of some stages let through. The stages look at each batch once, however many ask for it. */
export class Chosen implements Stage {
  readonly #stages: readonly Stage[];
  /** How many stages let each entry through. */
  #hits = new Uint8Array(1024);
  /** The batch that is being taken. */
  #batch: Batch | undefined;

  constructor(stages: readonly Stage[]) {
    this.#stages = stages;
  }

  /** What these stages choose; `undefined` if there are none, which means all samples. */
  static by(stages: readonly Stage[]): Chosen | undefined {
    return stages.length > 0 ? new Chosen(stages) : undefined;
  }

  /** Looks at a batch, for all that ask until the next one. Batches are reused, so that none can be recognised. */
  take(batch: Batch): void {
    if (this.#hits.length < batch.count) this.#hits = new Uint8Array(2 * batch.count);
    const hits = this.#hits;
    hits.fill(0, 0, batch.count);
    for (const stage of this.#stages) stage.select(batch, (i) => hits[i]!++);
    this.#batch = batch;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    if (batch !== this.#batch) throw new Error("the batch was not taken");
    for (let i = 0; i < batch.count; i++) if (this.#hits[i] === this.#stages.length) pick(i);
  }
}
