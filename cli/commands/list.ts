/** `psample list`: what samples, and whether samples flow. */
import { type Group, listGroups, listSampling, NetlinkError, type Sampling } from "../../mod.ts";
import { toHex } from "../../src/wire/text.ts";
import { duration, type Option, parseCommand, UsageError } from "../args.ts";
import type { Command } from "../command.ts";
import { controlText } from "../tc/mod.ts";

const LIST_OPTIONS: readonly Option[] = [
  { name: "json", help: "print one JSON object a line" },
  { name: "interval", value: "TIME", help: "how long to watch the counters; 300ms unless given" },
];

const INTERVAL_MS = 300;

/** The command `list`. */
export const list: Command = {
  name: "list",
  summary: "list what is sampled here, by whom, and whether samples flow",
  usage: "list [OPTION]...",
  about: "Lists every tc sample action of this network namespace, whoever made it. FLOW compares two looks at\n" +
    "the counters: flowing; idle (no packets came); unheard (packets come, and nobody listens: then no\n" +
    "samples are made, since Linux 6.11); chance (packets came, none was picked).",
  examples: [["psample list", "the table"], ["psample list --json", "every field"]],
  options: LIST_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, LIST_OPTIONS);
    if (parsed.words.length > 0) throw new UsageError(`unexpected word ${JSON.stringify(parsed.words[0])}`);
    const interval = parsed.values.has("interval") ? duration(parsed.values.get("interval")![0]!, "--interval") : INTERVAL_MS;
    const before = await look();
    if (before.samplings.length > 0) await new Promise((resolve) => setTimeout(resolve, interval));
    const now = before.samplings.length > 0 ? await look() : before;
    const rows = now.samplings.map((sampling) => ({ sampling, flow: flowOf(sampling, before, now) }));
    if (parsed.switches.has("json")) await io.print(rows.map(({ sampling, flow }) => `${json(sampling, flow)}\n`).join(""));
    else await io.print(table(rows));
    return 0;
  },
};

interface Look {
  readonly samplings: Sampling[];
  readonly groups: ReadonlyMap<number, Group>;
}

async function look(): Promise<Look> {
  const samplings = await listSampling();
  try {
    return { samplings, groups: new Map((await listGroups()).map((group) => [group.group, group])) };
  } catch (error) {
    if (!(error instanceof NetlinkError && error.code === "ENOENT")) throw error;
    return { samplings, groups: new Map() };
  }
}

/** How many samples are to be expected before their absence says something. */
const ENOUGH = 10;

function flowOf(sampling: Sampling, before: Look, now: Look): string {
  const { group = -1, rate = 1, packets = 0n } = sampling;
  const same = (other: Sampling): boolean =>
    other.ifindex === sampling.ifindex && other.parent === sampling.parent && other.preference === sampling.preference &&
    other.handle === sampling.handle && other.order === sampling.order && other.protocol === sampling.protocol &&
    other.chain === sampling.chain;
  const came = Number(packets - (before.samplings.find(same)?.packets ?? 0n));
  const made = now.groups.get(group)?.sequence !== before.groups.get(group)?.sequence;
  if (made) return "flowing";
  if (came === 0) return "idle";
  return came < ENOUGH * rate ? "chance" : "unheard";
}

function table(rows: readonly { sampling: Sampling; flow: string }[]): string {
  const cells = rows.map(({ sampling, flow }) => [
    sampling.device ?? `if${sampling.ifindex}`,
    sampling.direction ?? `parent ${sampling.parent.toString(16)}`,
    `${sampling.preference}`,
    sampling.kind,
    sampling.rate === undefined ? "-" : `1/${sampling.rate}`,
    `${sampling.group ?? "-"}`,
    sampling.truncateBytes === undefined ? "-" : `${sampling.truncateBytes}`,
    `${sampling.index}`,
    controlText(sampling.control),
    `${sampling.packets ?? "-"}`,
    sampling.where ?? "-",
    flow,
    sampling.ours ? "psample" : "-",
  ]);
  const head = ["DEVICE", "DIRECTION", "PREF", "KIND", "RATE", "GROUP", "TRUNC", "INDEX", "CONTROL", "PACKETS", "WHERE", "FLOW", "BY"];
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  return [head, ...cells].map((row) => `${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}\n`).join("");
}

function json(sampling: Sampling, flow: string): string {
  const { cookie, ...rest } = sampling;
  const plain = { ...rest, cookie: cookie && toHex(cookie), flow };
  return JSON.stringify(plain, (_, value) => typeof value === "bigint" ? value.toString() : value);
}
