/** `psample list`: what samples, and whether samples flow. */
import { type Group, listGroups, listSampling, NetlinkError, type Sampling } from "../../mod.ts";
import { printable, toHex } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { duration, flag } from "../options.ts";
import { controlText } from "../tc/mod.ts";

const OPTIONS = {
  json: flag({
    help: "print one JSON object per line",
    details: "One for each sample action, with every field. 64-bit numbers are strings of decimal digits, the cookie is hexadecimal.",
  }),
  interval: duration({
    value: "TIME",
    default: 300,
    fallback: "300ms",
    help: "how long to watch the counters",
    details: "FLOW compares a reading of the counters now with one after this time.",
  }),
};

/** The command `list`. */
export const list: Command = command({
  name: "list",
  summary: "list active sampling, its owner, and whether samples arrive",
  usage: "list [OPTION]...",
  about: "Lists every tc sample action in this network namespace, whoever added it. FLOW compares two readings of " +
    "the counters: flowing; idle (no packets); unheard (packets, but no listener, so no samples are generated, " +
    "since Linux 6.11); chance (packets, none selected).",
  examples: [["psample list", "the table"], ["psample list --json", "every field"]],
  options: OPTIONS,
  run: async ({ options: { json, interval } }, io) => {
    const before = await look();
    if (before.samplings.length > 0) await new Promise((resolve) => setTimeout(resolve, interval));
    const now = before.samplings.length > 0 ? await look() : before;
    const rows = now.samplings.map((sampling) => ({ sampling, flow: flowOf(sampling, before, now) }));
    if (json) await io.data(rows.map(({ sampling, flow }) => `${jsonLine(sampling, flow)}\n`).join(""));
    else await io.print(table(rows));
    return 0;
  },
});

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
    printable(sampling.device ?? `if${sampling.ifindex}`),
    sampling.direction ?? `parent ${sampling.parent.toString(16)}`,
    `${sampling.preference}`,
    printable(sampling.kind),
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

function jsonLine(sampling: Sampling, flow: string): string {
  const { cookie, ...rest } = sampling;
  const plain = { ...rest, cookie: cookie && toHex(cookie), flow };
  return JSON.stringify(plain, (_, value) => typeof value === "bigint" ? value.toString() : value);
}
