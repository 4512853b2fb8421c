/**
 * The signals that tell a process to end, as an `AbortSignal`. The only file of the library that touches the process, and
 * only when a program asks for it.
 */
import { constants } from "node:os";
import process from "node:process";
import { loadSys } from "./load.ts";

/** What people, terminals and service managers send to end a program. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/** What else ends a process by default: timers, limits, and what programs give a meaning of their own, unless they have done so. */
const OTHERS = ["SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGUSR1", "SIGUSR2"] as const;

/**
 * Lets SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGQUIT and every other signal that a program may get and has no handler for end it in
 * good order. Without it they end the process at once:
 * `await using` and `finally` do not run, and what was added to the kernel stays there.
 *
 * Pass the result to everything that takes a `signal`: {@linkcode addSampling} then removes its filters, a listener ends its
 * iteration, and so the program comes to its end. A second signal ends it at once. A signal that the process ignores, such
 * as SIGHUP under nohup(1), stays ignored. `process.exit()` leaves filters behind in any case: abort something of your own,
 * or let the program end by itself. So do SIGKILL and the real-time signals, and on Bun SIGSTKFLT, which no program can hear there:
 * {@linkcode cleanUpSampling} removes what they leave.
 *
 * @example Remove what was added, however the program ends
 * ```ts ignore
 * import { addSampling, endOnSignals, listen } from "@psample/psample";
 *
 * const signal = await endOnSignals();
 * await using sampling = await addSampling({ device: "eth0", rate: 1000, signal });
 * for await (const entry of await listen({ groups: [sampling.group!], signal })) {
 *   console.log(entry.type, entry.group);
 *   if (entry.type === "sample") break;
 * }
 * ```
 *
 * @returns A signal that aborts at the first of them, with an error that names it as the reason.
 * @category Sampling
 */
export async function endOnSignals(): Promise<AbortSignal> {
  const sys = await loadSys();
  const ignored = new Set<string>(SIGNALS.filter((name) => sys.signalAction(constants.signals[name]) === "ignored"));
  const ending = [...SIGNALS, ...OTHERS.filter((name) => sys.signalAction(constants.signals[name]) === "default")];
  const controller = new AbortController();
  const end = (name: string): void => {
    // From here on each of them does what it does by default.
    for (const name of ending) process.off(name, end);
    controller.abort(new Error(`The process received ${name}`));
  };
  // To hear one signal, Deno takes the others over too: what is to be ignored has to be heard.
  for (const name of ending) process.on(name, ignored.has(name) ? () => {} : end);
  return controller.signal;
}
