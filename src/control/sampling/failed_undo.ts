/** An installation that failed and could not be undone either: both must be reported. */
import { NetlinkError } from "../../errors.ts";

/**
 * The error of an installation, if undoing it failed for these reasons. They are reported to `onWarning`; without it they are part of the
 * error, which keeps its type: a refusal stays one, with its error number, and all errors are in its `cause`.
 */
export function withFailedUndo(error: unknown, failures: readonly unknown[], onWarning?: (message: string) => void): unknown {
  if (onWarning) {
    for (const failure of failures) onWarning(textOf(failure));
    return error;
  }
  // Repeats of the same text add nothing.
  const others = failures.filter((failure) => textOf(failure) !== textOf(error));
  if (others.length === 0) return error;
  const stays = `What had been added stays, and cleanUpSampling() can remove it later: ${others.map(textOf).join("; ")}`;
  const all = [error, ...others];
  // The reason of a signal that aborted, which may be anything.
  if (!(error instanceof NetlinkError)) return new AggregateError(all, `${textOf(error)}. ${stays}`);
  const { op, errno, extack, extackOffset, hint } = error;
  return new NetlinkError(op, errno, {
    extack,
    extackOffset,
    hint: hint === undefined ? stays : `${hint}. ${stays}`,
    cause: new AggregateError(all, stays),
  });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : `${error}`;
}
