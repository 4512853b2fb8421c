/** Starting the command as a process. */
import process from "node:process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** The words that start the command in the runtime that the tests run in, with the permissions that it requires. */
export const COMMAND: readonly string[] = "Bun" in globalThis
  ? [process.execPath, MAIN]
  : [process.execPath, "run", "--no-check", "--allow-ffi", "--allow-read", "--allow-write", MAIN];
