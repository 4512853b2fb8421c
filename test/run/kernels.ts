/** The kernels that `test/kernel/boot` boots, and running tests in them. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { CACHE, type Download } from "./install.ts";
import { ROOT } from "./project.ts";

/**
 * What is downloaded for each: the kernel, and for the old one QEMU unless it is installed; and how their tests are run: the minutes that
 * takes on two processors, among how many guests a runtime's files are divided, and how many seats of a pool each guest takes (an emulated
 * processor is a real one's work even where tests wait).
 */
export const KERNELS = {
  new: { what: "Linux 7.2 for User Mode Linux", megabytes: 50, minutes: 6, guests: 3, seats: 1 },
  old: { what: "Linux 6.1 and QEMU", megabytes: 115, minutes: 40, guests: 3, seats: 2 },
} as const;
/** A kernel. */
export type Kernel = keyof typeof KERNELS;

/** Where `deno task build` puts the compiled file. */
export const BINARY: string = join(ROOT, "dist/psample");

/** What would be downloaded for a kernel. */
export function downloadOf(kernel: Kernel): Download[] {
  const where = process.env.PSAMPLE_KERNEL_CACHE || join(CACHE, "psample-kernels");
  return existsSync(join(where, kernel, "ready")) ? [] : [{ ...KERNELS[kernel], where }];
}

/** The words that run a program in a kernel. */
export function inKernel(kernel: Kernel, words: readonly string[], seconds = 2700): string[] {
  // A guest has a /tmp, /var/tmp and /run of its own: what the tests need of the host's is handed in.
  const handedIn = [ROOT, dirname(process.execPath), process.env.DENO_DIR || join(homedir(), ".cache/deno")]
    .filter((path) => /^\/(tmp|var\/tmp|run)\//.test(path) && existsSync(path))
    .flatMap((path) => ["-w", path]);
  return [join(ROOT, "test/kernel/boot"), kernel, "-t", String(seconds), ...handedIn, "--", ...words];
}
