/** Prints what SIGUSR2 does, handles it, and then still dies of it. */
import { writeSync } from "node:fs";
import process from "node:process";
import { loadSys } from "../../src/sys/load.ts";

const SIGUSR2 = 12;

const sys = await loadSys();
writeSync(1, `${sys.signalAction(SIGUSR2)}\n`);
process.on("SIGUSR2", () => {});
sys.raiseDefault(SIGUSR2);
writeSync(1, "it goes on\n");
