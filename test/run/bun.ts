/** The Bun of test/tools/package.json: installed there, and not in the root, where every user of a clone would get it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory of the project. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
/** Where its package.json names Bun. */
export const TOOLS: string = join(ROOT, "test/tools");
/** The program, once `deno task tools` has run. */
export const BUN_PROGRAM: string = join(TOOLS, "node_modules/.bin/bun");
