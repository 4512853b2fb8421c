/** Failures that are reported to the user as a sentence; all others are bugs, and keep their stack. */
import { DecodeError, EncodeError, HttpError, LookupError, StrandedError, SystemError } from "../mod.ts";
import { OPTION_WORDS } from "../src/control/sampling/install.ts";
import { WAIT_WORDS } from "../src/receive/family_watch.ts";

/** Cures that the library names in its own words, and what they are called here. */
const COMMAND_WORDS: readonly (readonly [string, string])[] = [
  [WAIT_WORDS, "psample --wait"],
  [OPTION_WORDS.software, "leave out --hardware"],
  [OPTION_WORDS.share, "give --index without --rate to share it"],
  [OPTION_WORDS.create, "give --rate and --group to create one"],
];

/** The message for a failure; `undefined` if it is a bug. */
export function failureText(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof SystemError || error instanceof StrandedError || error instanceof DecodeError || error instanceof EncodeError) {
    return COMMAND_WORDS.reduce((text, [words, ours]) => text.replace(words, ours), error.message);
  }
  if (error instanceof HttpError) return error.message;
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
  return `${message}. Flags of Deno go before the program, with those that you have: deno run ${flags} cli/main.ts ...`;
}
