/** `psample list`: active sampling, and whether samples flow. */
import { type FilterSampling, listLeftovers, type Observed, observeSampling, type Sampling } from "../../mod.ts";
import { TCM_IFINDEX_MAGIC_BLOCK } from "../../src/tc/tcmsg.ts";
import { printable, toHex } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { outColumns } from "../io.ts";
import { leftoversText } from "../leftovers.ts";
import { duration, flag, NETNS } from "../options.ts";
import { answering } from "../session.ts";
import { controlText } from "../tc/mod.ts";
import { folded } from "../top/fold.ts";
import { widthOf } from "../top/width.ts";

const OPTIONS = {
  json: flag({
    help: "print one JSON object per line",
    details: "One for each sample action, with every field. 64-bit numbers are strings of decimal digits, the cookie is hexadecimal. " +
      "`devices` are those of a shared block too; `leftBehind` says whether a psample that was killed left it behind; `findings` is what " +
      "is in the way of packets, as psample doctor --json prints it.",
  }),
  netns: NETNS,
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
  about:
    "Lists every tc sample action in this network namespace (or in that of --netns), including those of other programs. FLOW compares " +
    "two readings of the counters: flowing (samples are generated); idle (no packets); hidden (no packet can reach it: psample doctor " +
    "finds out why); down (its device is down); no listener (packets, but nobody in this network namespace listens); unheard (packets, " +
    "but no samples though some were due, so nobody listens, since Linux 6.11); unknown (packets, too few to tell); unused (no filter " +
    "uses the action). BY says psample if a psample did it, and psample (gone) if that one was killed: psample cleanup removes what it " +
    "left behind. At a terminal the table fits its width: columns for which there is no room are left out, and named below it.",
  examples: [["psample list", "the table"], ["psample list --json", "every field"], ["psample list --interval 5s", "for low rates"], [
    "psample list --netns blue",
    "in another network namespace",
  ]],
  options: OPTIONS,
  run: async ({ options: { json, interval, netns } }, io) => {
    const account = `watching the counters for ${interval} ms: there are no results yet`;
    const { observed, leftovers } = await answering(io, account, async () => {
      const observed = await observeSampling({ milliseconds: interval, netns });
      // Afterwards: what a running psample removes meanwhile was not left behind.
      const leftovers = observed.some(({ sampling }) => sampling.ours) ? await listLeftovers({ netns }) : [];
      return { observed, leftovers };
    });
    if (json) await io.data(observed.map((one) => `${jsonLine(one, leftovers)}\n`).join(""));
    else await io.print(listText(observed, await outColumns(io), leftovers, netns));
    return 0;
  },
});

/** Printed if there is nothing to list. */
const NOTHING = "Nothing is sampled by tc in this network namespace: psample capture DEVICE does it.";

/** The columns of the table, which have room for everything if they are left out in this order. The others identify a row, or answer why. */
const LEFT_OUT = ["INDEX", "CONTROL", "PREF", "KIND", "TRUNC", "WHERE", "PACKETS"];
const HEAD = ["DEVICE", "DIRECTION", "PREF", "KIND", "RATE", "GROUP", "TRUNC", "INDEX", "CONTROL", "PACKETS", "WHERE", "FLOW", "BY"];
const GAP = "  ";

/** The text in the column FLOW. */
function flowText({ flow, reach }: Observed): string {
  if (!reach) return "unused";
  if (flow !== "idle" || reach.state === "reached" || reach.state === "possibly-hidden") return flow ?? "-";
  return reach.findings.some(({ about }) => about === "device-down") ? "down" : reach.state;
}

/** The table, or that there is nothing, for a terminal of this width; and what to do about `leftovers`. */
export function listText(
  observed: readonly Observed[],
  columns: number,
  leftovers: readonly FilterSampling[] = [],
  netns?: string,
): string {
  if (observed.length === 0) return `${folded(NOTHING, columns, 0).join("\n")}\n`;
  const cells = rowsOf(observed, leftovers);
  const widths = HEAD.map((title, i) => Math.max(title.length, ...cells.map((row) => widthOf(row[i]!))));
  const shown = new Set(HEAD.keys());
  const tooWide = (): boolean => [...shown].reduce((sum, i) => sum + GAP.length + widths[i]!, -GAP.length) > columns;
  const says = (i: number): boolean => cells.some((row) => row[i] !== "-");
  // First those that say nothing.
  const order = LEFT_OUT.map((title) => HEAD.indexOf(title));
  for (const i of [...order.filter((i) => !says(i)), ...order.filter(says)]) if (tooWide()) shown.delete(i);
  const line = (row: readonly string[]): string =>
    [...shown].map((i) => row[i]! + " ".repeat(widths[i]! - widthOf(row[i]!))).join(GAP).trimEnd();
  const missing = HEAD.filter((_, i) => !shown.has(i) && says(i));
  const notes = missing.length > 0 ? [`Not shown at this width: ${missing.join(", ")}. A wider terminal and --json have them.`] : [];
  const left = leftovers.filter((leftover) => observed.some(({ sampling }) => isSame(leftover, sampling)));
  if (left.length > 0) notes.push(capitalized(leftoversText(left, netns)));
  return [HEAD, ...cells].map((row) => `${line(row)}\n`).join("") +
    notes.flatMap((text) => folded(text, columns, 0)).map((text) => `${text}\n`).join("");
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Whether both are the same action of the same filter. */
function isSame(one: FilterSampling, other: Sampling): boolean {
  return IDENTITY.every((key) => one[key] === other[key]);
}

const IDENTITY = ["ifindex", "parent", "chain", "preference", "handle", "index"] as const;

function rowsOf(observed: readonly Observed[], leftovers: readonly FilterSampling[]): string[][] {
  return observed.map((one) => {
    const { sampling } = one;
    return [
      deviceText(one),
      sampling.direction ?? (sampling.parent !== undefined && !inBlock(one) ? `parent ${sampling.parent.toString(16)}` : "-"),
      `${sampling.preference ?? "-"}`,
      printable(sampling.kind ?? "-"),
      sampling.rate === undefined ? "-" : `1/${sampling.rate}`,
      `${sampling.group ?? "-"}`,
      sampling.truncateBytes === undefined ? "-" : `${sampling.truncateBytes}`,
      `${sampling.index}`,
      controlText(sampling.control),
      `${sampling.packets ?? "-"}`,
      sampling.where ?? "-",
      flowText(one),
      !sampling.ours ? "-" : leftovers.some((leftover) => isSame(leftover, sampling)) ? "psample (gone)" : "psample",
    ];
  });
}

function inBlock({ sampling }: Observed): boolean {
  return sampling.ifindex === TCM_IFINDEX_MAGIC_BLOCK;
}

function deviceText(one: Observed): string {
  const { device, ifindex, parent } = one.sampling;
  if (!one.reach) return "-";
  return inBlock(one) ? `block ${parent}` : printable(device ?? `if${ifindex}`);
}

function jsonLine(one: Observed, leftovers: readonly FilterSampling[]): string {
  const { cookie, ...rest } = one.sampling;
  const devices = one.places.map(({ device, ifindex }) => device ?? `if${ifindex}`);
  const plain = {
    ...rest,
    leftBehind: leftovers.some((leftover) => isSame(leftover, one.sampling)),
    cookie: cookie && toHex(cookie),
    devices,
    flow: flowText(one),
    findings: one.reach?.findings ?? [],
  };
  return JSON.stringify(plain, (_, value) => typeof value === "bigint" ? value.toString() : value);
}
