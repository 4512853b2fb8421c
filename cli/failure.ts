/** Failures that are a sentence for the user; all others are bugs, and keep their stack. */
import { DecodeError, EncodeError, SystemError } from "../mod.ts";

/** What to say about a failure; `undefined` if it is a bug. */
export function failureText(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof SystemError || error instanceof DecodeError || error instanceof EncodeError) return error.message;
  // What the runtime itself throws: a refused permission, a missing file.
  return "code" in error || error.name === "NotCapable" || error.name === "PermissionDenied" ? error.message : undefined;
}
