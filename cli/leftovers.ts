/** Reports what a psample that was killed has left behind. */
import { type FilterSampling, listLeftovers } from "../mod.ts";
import { printable } from "../src/wire/text.ts";
import { netnsWords } from "./options.ts";
import type { Session } from "./session.ts";

/** What was left behind, and what removes it. */
export function leftoversText(leftovers: readonly FilterSampling[], netns: string | undefined): string {
  const where = leftovers.map(({ device, ifindex, direction, preference }) =>
    `${printable(device ?? `if${ifindex}`)} ${direction} pref ${preference}`
  );
  return `left behind by a psample that was killed: ${where.join(", ")}. Remove it with: psample cleanup${netnsWords(netns)}`;
}

/** Reports what was left behind before a command samples too. */
export async function tellLeftovers(session: Session, netns: string | undefined): Promise<void> {
  const leftovers = await listLeftovers({ netns });
  if (leftovers.length > 0) session.notice(leftoversText(leftovers, netns));
}
