/** Prints, for each time in the arguments, how far local time is from UTC. A test chooses its environment. */
import process from "node:process";
import { loadSys } from "../../src/sys/load.ts";

const sys = await loadSys();
process.stdout.write(process.argv.slice(2).map((seconds) => `${sys.utcOffset(Number(seconds))}\n`).join(""));
