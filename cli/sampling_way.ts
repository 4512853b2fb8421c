/** In which way a device is sampled, and what a reload changes about it. */
import type { SamplingOptions } from "../mod.ts";
import { printableText } from "../src/wire/text.ts";

/** What makes up the way in which a device is sampled. */
type Way = Pick<SamplingOptions, "rate" | "direction" | "match" | "truncateBytes" | "hardware">;

/** Whether two plans sample in the same way. */
export function isSame(one: Way, other: Way): boolean {
  const way = ({ rate, direction, match, truncateBytes, hardware }: Way): string =>
    JSON.stringify([rate, direction, match, truncateBytes, hardware]);
  return way(one) === way(other);
}

/** What is different now, in the words of the options; the rate if nothing is. */
export function whatChanged(before: Way, after: Way): string {
  const rate = `1 in ${after.rate}`;
  const parts: readonly (readonly [keyof Way, string])[] = [
    ["rate", rate],
    ["direction", `direction ${after.direction}`],
    ["match", after.match === undefined ? "without match" : `match ${[after.match].flat().map(printableText).join(" or ")}`],
    ["truncateBytes", after.truncateBytes === undefined ? "whole packets" : `trunc ${after.truncateBytes}`],
    ["hardware", after.hardware === undefined ? "in hardware if it can" : `hardware ${after.hardware}`],
  ];
  const changed = parts.filter(([name]) => JSON.stringify(before[name]) !== JSON.stringify(after[name])).map(([, text]) => text);
  return changed.length > 0 ? changed.join(", ") : rate;
}
