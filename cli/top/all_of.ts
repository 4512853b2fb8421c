import type { Stage } from "../../src/stream/stage.ts";

/** A stage that lets through what all of these let through; `undefined` if there are none. */
export function allOf(stages: readonly Stage[]): Stage | undefined {
  if (stages.length <= 1) return stages[0];
  let hits = new Uint8Array(1024);
  return {
    select: (batch, pick) => {
      if (hits.length < batch.count) hits = new Uint8Array(2 * batch.count);
      hits.fill(0, 0, batch.count);
      for (const stage of stages) stage.select(batch, (i) => hits[i]!++);
      for (let i = 0; i < batch.count; i++) if (hits[i] === stages.length) pick(i);
    },
  };
}
