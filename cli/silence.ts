/** What is said to somebody who samples and sees nothing. */

/** What is known of a silence. */
interface Silence {
  readonly seconds: number;
  readonly devices: string;
  /** Packets that reached the sampler, if they are counted. */
  readonly passed: bigint | undefined;
  readonly oneIn: number | undefined;
  /** Samples that arrived, and that a filter left out. */
  readonly samples: number;
  /** Whether the kernel left samples out, so that their number is not known. */
  readonly filtered?: boolean;
  /** Whether only some packets are meant to reach the sampler. */
  readonly matched?: boolean;
}

/** The message about a silence. */
export function silenceOf({ seconds, devices, passed, oneIn, samples, filtered, matched = false }: Silence): string {
  const during = `in ${seconds} s`;
  const were = (count: number | bigint, what: string): string => `${count.toLocaleString("en")} ${what}${Number(count) === 1 ? "" : "s"}`;
  if (samples > 0) {
    const more = oneIn !== undefined && oneIn > 1 ? `; --rate ${roundRate(oneIn / 10)} would sample ten times as many` : "";
    return `${were(samples, "sample")} arrived ${during}, and --filter matches none of them${more}`;
  }
  const packet = matched ? "packet that --match selects" : "packet";
  const came = (count: bigint): string => `${were(count, "packet")}${matched ? " that --match selects" : ""} passed ${devices} ${during}`;
  const wanted = oneIn === undefined ? "" : `, of which 1 in ${oneIn} is sampled`;
  if (passed === undefined) return `nothing was sampled on ${devices} ${during}: a smaller --rate shows more`;
  if (passed === 0n) return `no ${packet} passed ${devices} ${during}: no --rate would show one`;
  if (filtered) return `${came(passed)}${wanted}, and --filter matches none of the samples yet`;
  const rate = roundRate(Number(passed) / seconds);
  const cure = oneIn !== undefined && rate < oneIn ? `; --rate ${rate} would show about one a second` : "";
  return `${came(passed)}${wanted}, but none has been yet${cure}`;
}

/** The next smaller of 1, 2, 5, 10, 20 and so on. */
function roundRate(rate: number): number {
  if (!(rate >= 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(rate) + 1e-9);
  return power * ([5, 2].find((digit) => digit * power <= rate) ?? 1);
}
