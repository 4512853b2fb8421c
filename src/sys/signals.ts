/**
 * The signals that tell a process to end, as an `AbortSignal`. The only file of the library that touches the process, and
 * only when a program asks for it.
 */
import { constants } from "node:os";
import process from "node:process";
import { loadSys } from "./load.ts";

/** The signals that people, terminals and service managers send to end a program. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/**
 * Other signals that end a process by default: those of timers and limits, and those that programs may give their own meaning, unless they
 * have done so.
 */
const OTHERS = ["SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGUSR1", "SIGUSR2"] as const;

/**
 * Lets SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGQUIT and every other signal that has no handler end the program in good order. Without it they
 * end the process at once: `await using` and `finally` do not run, and what was added to the kernel stays there.
 *
 * Pass the result to everything that takes a `signal`: {@linkcode addSampling} then removes its filters, a listener ends its iteration, and
 * so the program ends. A second signal ends it at once. A signal that the process ignores, such as SIGHUP under nohup(1), stays ignored,
 * with one exception: if Deno takes seconds to start, it handles SIGHUP itself by then, and the signal ends the program in good order.
 * `process.exit()` always leaves filters behind: abort your own signal instead, or let the program run to its end. SIGKILL and the real-time
 * signals leave them behind too, and on Bun SIGSTKFLT, which no program can handle there:
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
 * @returns A signal that aborts at the first of them, with an error naming it as the reason.
 * @category Sampling
 */
export async function endOnSignals(): Promise<AbortSignal> {
  const sys = await loadSys();
  const ignored = new Set<string>(SIGNALS.filter((name) => sys.signalAction(constants.signals[name]) === "ignored"));
  const ending = [...SIGNALS, ...OTHERS.filter((name) => sys.signalAction(constants.signals[name]) === "default")];
  const controller = new AbortController();
  const end = (name: string): void => {
    // From here on each of them has its default action.
    for (const name of ending) process.off(name, end);
    controller.abort(new Error(`The process received ${name}`));
  };
  // To handle one signal, Deno takes the others over too: signals to be ignored need a handler.
  for (const name of ending) process.on(name, ignored.has(name) ? () => {} : end);
  return controller.signal;
}
