import { loadSys } from "../sys/load.ts";

/**
 * Local time according to the C library, for the text that a `TextWriter` writes: TZ and /etc/localtime in all their forms, POSIX
 * rules such as `CET-1CEST,M3.5.0,M10.5.0/3` included, which the runtimes' own `Date` does not understand.
 *
 * @example Print libpsample's text in local time
 * ```ts ignore
 * import { linesTo, listen, localOffset, pump } from "@psample/psample";
 * import { TextWriter } from "@psample/psample/format";
 *
 * const writer = new TextWriter({ utcOffset: await localOffset() });
 * await pump(await listen(), [], [await linesTo(writer)], { count: 10 });
 * ```
 *
 * @returns A function that returns how many seconds local time is ahead of UTC at a given time, in seconds since 1970.
 * @category Pump
 */
export async function localOffset(): Promise<(seconds: number) => number> {
  const sys = await loadSys();
  return (seconds) => sys.utcOffset(seconds);
}
