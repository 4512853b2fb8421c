import { SystemError } from "../errors.ts";
import { ENOSYS, type Sys } from "./sys.ts";

let loaded: Promise<Sys> | undefined;

/** Opens the backend of the present runtime, at the first call: importing the package does nothing. */
export function loadSys(): Promise<Sys> {
  // A refused permission may be granted before the next attempt, so only success is kept.
  return loaded ??= load().catch((error) => {
    loaded = undefined;
    throw error;
  });
}

async function load(): Promise<Sys> {
  // Bun first: its users sometimes define `Deno` for the sake of other packages.
  if ("Bun" in globalThis) return (await import("./bun.ts")).openSys();
  if ("Deno" in globalThis) return (await import("./deno.ts")).openSys();
  const hint = "Only Deno and Bun can, and this runtime is neither. Everything that does not need the kernel works in any: " +
    "decoding, filters, formats, estimates, encoders";
  throw new SystemError("call the kernel", ENOSYS, { hint });
}
