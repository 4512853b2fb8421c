/** `--match`: its expressions, what they become on each device, and how `--explain` describes that. */
import { listLinks, type SamplingOptions } from "../mod.ts";
import { matchOf } from "../src/control/sampling/options.ts";
import { FilterError, StageOnlyError } from "../src/filter/filter_error.ts";
import { compileMatch, type Match } from "../src/filter/match.ts";
import { programLines } from "../src/filter/program_text.ts";
import { ARPHRD_ETHER } from "../src/link/link.ts";
import { printable } from "../src/wire/text.ts";
import { ASKING_FOR_DEVICES } from "./devices.ts";
import { wrap } from "./help.ts";
import type { Io } from "./io.ts";
import { UsageError } from "./options.ts";
import { answering } from "./session.ts";
import { matchText } from "./tc/mod.ts";

/** Checks the values of the option. */
export function parseMatches(expressions: readonly string[], option: string): readonly string[] {
  try {
    compileMatch(expressions, "ethernet");
    return expressions;
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const cure = error instanceof StageOnlyError ? "\n--filter takes it: it selects among the samples that were made" : "";
    throw new UsageError(`${option}: ${error.why}\n${error.mark}${cure}`);
  }
}

/** What a match becomes on the device of each plan. */
export async function matchesOf(plans: readonly SamplingOptions[], io: Io): Promise<readonly Match[]> {
  // Without a match nothing depends on the device. If there is no device of that name, an Ethernet device is assumed.
  const isAsked = plans.some(({ match }) => match !== undefined);
  const links = isAsked ? await answering(io, ASKING_FOR_DEVICES, () => listLinks({ netns: plans[0]!.netns })) : undefined;
  return plans.map((plan) => {
    const name = `${plan.device}`;
    return matchOf(plan, { name, type: links?.byName(name)?.type ?? ARPHRD_ETHER });
  });
}

/** Which classifier runs the match on each device, and why; the same result for several devices is printed once. */
export function explainMatches(plans: readonly SamplingOptions[], matches: readonly Match[]): string {
  const texts = new Map<string, string[]>();
  for (const [i, { device, direction, hardware }] of plans.entries()) {
    const text = explained(matches[i]!, direction === "both" ? "each direction" : `${direction}`, hardware);
    texts.set(text, [...texts.get(text) ?? [], printable(`${device}`)]);
  }
  return [...texts].map(([text, devices]) => `Before anything is sampled, in tc on ${devices.join(", ")}:\n${text}`).join("\n");
}

function explained(match: Match, where: string, hardware: SamplingOptions["hardware"]): string {
  switch (match.kind) {
    case "matchall":
      return "  every packet\n";
    case "flower": {
      const done = hardware === "only" ? ", in hardware only" : hardware === "never" ? ", in software" : ", which hardware can run";
      const differences = match.differences.map((difference) => wrap(`Unlike the expression: ${difference}.`));
      return `  ${matchText(match)}\n${wrap(`One flower filter in ${where}${done}.`)}${differences.join("")}`;
    }
    case "bpf": {
      const lines = programLines(match.program);
      const never = match.never ? wrap("No packet of this device matches.") : "";
      const why = `One filter of the classifier bpf in ${where} (${lines.length} instructions), in software: flower ${match.whyNotFlower}.`;
      return `${wrap(why)}${never}\n${lines.map((line) => `${line}\n`).join("")}`;
    }
  }
}
