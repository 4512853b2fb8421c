/** Failures that are reported to the user as a sentence; all others are bugs, and keep their stack. */
import { DecodeError, EncodeError, HttpError, LookupError, StrandedError, SystemError } from "../mod.ts";

/** What the library advises to do by its options, in those of the command. */
const CURES: Readonly<Record<string, string>> = {
  wait: "psample --wait",
  software: "leave out --hardware",
  share: "give --index without --rate to share it",
  create: "give --rate and --group to create one",
};

/** The message for a failure; `undefined` if it is a bug. */
export function failureText(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof SystemError) return systemFailure(error);
  if (error instanceof StrandedError || error instanceof DecodeError || error instanceof EncodeError) return error.message;
  if (error instanceof HttpError) return error.message;
  if (error instanceof LookupError) return withPlace(error.message);
  if (error.name === "NotCapable" || error.name === "PermissionDenied") return withPlace(error.message);
  // Thrown by the runtime itself: a missing file.
  return "code" in error ? error.message : undefined;
}

function systemFailure({ message, op, why, advice }: SystemError): string {
  const cure = advice && CURES[advice.cure];
  return cure === undefined ? message : `Cannot ${op}: ${why}. ${advice!.before}${cure}`;
}

/** A refused permission, with the place for the flag that Deno names: after the program it would be one of the program's options. */
function withPlace(message: string): string {
  const [flag] = /--allow-[a-z]+/.exec(message) ?? [];
  if (flag === undefined) return message;
  const flags = flag === "--allow-ffi" ? flag : `--allow-ffi ${flag}`;
  return `${message}. Flags of Deno go before the program, with those that you have: deno run ${flags} cli/main.ts ...`;
}
