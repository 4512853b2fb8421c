/** matchall, as iproute2 6.1 prints it. */
import type { Matchall } from "../../../src/tc/matchall.ts";
import { flagWords, writeFilterActions, writeHandle } from "./classifier.ts";
import { classText } from "./values.ts";
import type { TcOptions } from "../command.ts";
import type { DocumentWriter } from "./document.ts";

/** What follows `matchall`. */
export function writeMatchall(out: DocumentWriter, matchall: Matchall, handle: number, options: TcOptions): void {
  const { classId, flags = 0, hits, actions } = matchall;
  writeHandle(out, handle);
  if (classId !== undefined) out.field("flowid", classText(classId), `flowid ${classText(classId)} `);
  // These lines end in a newline whatever -oneline says.
  for (const word of flagWords(flags)) out.field(word, true, `\n  ${word}`);
  if (options.stats && hits !== undefined) out.field("rule_hit", hits, ` (rule hit ${hits})`);
  writeFilterActions(out, actions, options);
}
