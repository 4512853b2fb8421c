/** Failures that are reported to the user as a sentence; all others are bugs, and keep their stack. */
import { DecodeError, EncodeError, LookupError, StrandedError, SystemError } from "../mod.ts";
import { WAIT_WORDS } from "../src/receive/family_watch.ts";

/** The message for a failure; `undefined` if it is a bug. */
export function failureText(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof SystemError || error instanceof StrandedError || error instanceof DecodeError || error instanceof EncodeError) {
    return error.message.replace(WAIT_WORDS, "psample --wait");
  }
  if (error instanceof LookupError) return withPlace(error.message);
  if (error.name === "NotCapable" || error.name === "PermissionDenied") return withPlace(error.message);
  // Thrown by the runtime itself: a missing file.
  return "code" in error ? error.message : undefined;
}

/** A refused permission, with the place for the flag that Deno names: after the program it would be one of the program's options. */
function withPlace(message: string): string {
  const [flag] = /--allow-[a-z]+/.exec(message) ?? [];
  if (flag === undefined) return message;
  const flags = flag === "--allow-ffi" ? flag : `--allow-ffi ${flag}`;
  return `${message}. Flags of Deno go before the program: deno run ${flags} cli/main.ts ...`;
}
