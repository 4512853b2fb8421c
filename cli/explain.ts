/** The output of `--explain`: where a filter runs. */
import type { SamplingOptions } from "../mod.ts";
import { KnownDevices } from "../src/filter/known_devices.ts";
import { programLines } from "../src/filter/program_text.ts";
import { SocketFilter } from "../src/filter/socket_filter.ts";
import { LiveLinks } from "../src/receive/live_links.ts";
import { open } from "../src/socket/open.ts";
import { ASKING_FOR_DEVICES } from "./devices.ts";
import { wrap } from "./help.ts";
import type { Io } from "./io.ts";
import { explainMatches, matchesOf } from "./match.ts";
import { UsageError } from "./options.ts";
import type { Filter } from "./output_options.ts";
import { answering } from "./session.ts";

/** The socket that a filter is attached to. */
interface Socket {
  /** The only groups that are asked for; `undefined` for all. */
  readonly groups: readonly number[] | undefined;
  /** Whether samples come from other namespaces too. */
  readonly allNamespaces?: boolean;
  /** The network namespace. Defaults to that of the process. */
  readonly netns: string | undefined;
  /** Whether the program is printed. */
  readonly verbose: boolean;
}

/** What is to be explained of a command that samples devices. */
interface Sampling extends Socket {
  readonly match: readonly string[] | undefined;
  readonly filter: readonly Filter[] | undefined;
}

/** Where `--match` and `--filter` run; one of them is enough. */
export async function explainSampling(plans: readonly SamplingOptions[], { match, filter, ...socket }: Sampling, io: Io): Promise<string> {
  if (!filter && !match) throw new UsageError("--explain requires --match EXPR or --filter EXPR", { keys: ["explain"] });
  const before = match ? [explainMatches(plans, await matchesOf(plans, io))] : [];
  const behind = filter ? [await explainSocket(filter, socket, io)] : [];
  return [...before, ...behind].join("\n");
}

/** Where a filter runs if the kernel decides what it can of it. */
export async function explainSocket(
  filters: readonly Filter[] | undefined,
  { groups, allNamespaces, netns, verbose }: Socket,
  io: Io,
): Promise<string> {
  const expressions = expressionsOf(filters);
  const links = allNamespaces ? undefined : await answering(io, ASKING_FOR_DEVICES, async () => new LiveLinks(await open({ netns })));
  links?.watch();
  const { program, inKernel, here, leavesGaps } = new SocketFilter(expressions).plan(groups, links && new KnownDevices(links.links()));
  links?.close();
  const count = `${(program?.length ?? 0) / 8} instructions`;
  const chosen = [...inKernel, ...groups ? [`group ${groups.join(" or ")} (--group)`] : []];
  const parts = [
    chosen.length > 0 ? list(`In the kernel, before a sample is queued (${count})`, chosen) : "In the kernel: nothing of it.\n",
    here.length > 0 ? list("Here, sample by sample", here) : "",
  ];
  if (inKernel.length > 0) {
    parts.push(wrap("Whatever the kernel lets through is checked here again, as a whole, because it lets through what it cannot decide."));
  }
  if (leavesGaps) {
    parts.push(wrap("What it leaves out is not counted, and gaps in the numbers mean nothing: losses show only as socket drops."));
  }
  if (verbose && program) parts.push(`\n${programLines(program).map((line) => `${line}\n`).join("")}`);
  return parts.join("");
}

/** Where a filter runs if no kernel is involved; `why` is a sentence. */
export function explainStage(filters: readonly Filter[] | undefined, why: string): string {
  return list("Here, sample by sample", expressionsOf(filters)) + wrap(why);
}

/** The same for a recording. */
export function explainRecording(filters: readonly Filter[] | undefined): string {
  return explainStage(filters, "A recording is read completely: no kernel filters it.");
}

function expressionsOf(filters: readonly Filter[] | undefined): string[] {
  if (!filters) throw new UsageError("--explain requires --filter EXPR", { keys: ["explain"] });
  return filters.map(({ expression }) => expression);
}

function list(title: string, lines: readonly string[]): string {
  return `${title}:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}
