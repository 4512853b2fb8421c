/** `psample doctor`: whether this kernel, this user and this runtime can receive samples, and if not, what helps. */
import { diagnose, type Finding, type FindingTopic } from "../../mod.ts";
import { type Command, command } from "../command.ts";
import { outColumns } from "../io.ts";
import { duration, flag, NETNS, netnsWords, number } from "../options.ts";
import { answering } from "../session.ts";
import { folded } from "../top/fold.ts";

const OPTIONS = {
  group: number({
    letter: "g",
    value: "N",
    offers: { things: ["group"] },
    help: "only about sampling into this group",
    details: "Reports what is wrong with this group; if nothing samples into it, that is a fault.",
  }),
  netns: NETNS,
  json: flag({
    help: "print one JSON object per line",
    details: "One for each finding: its verdict (good, note or bad), what it is about, the device, direction and group, what was " +
      "found, and the cure.",
  }),
  interval: duration({
    value: "TIME",
    default: 500,
    fallback: "500ms",
    help: "how long to watch the counters",
    details: "psample sees by the packets that arrive in this time whether any reach a filter.",
  }),
};

/** The command `doctor`. */
export const doctor: Command = command({
  name: "doctor",
  summary: "find out why no samples arrive",
  usage: "doctor [OPTION]... [DEVICE]",
  about: "Checks each prerequisite for receiving samples in turn, then watches all sampling for a moment: whether packets reach it, and " +
    "what hides them from it. With DEVICE or --group it checks only those. Changes nothing. The exit status is 0 if nothing is wrong, 1 " +
    "if a fault was found.",
  examples: [
    ["psample doctor", "check this machine"],
    ["psample doctor eth0", "why does eth0 yield no samples?"],
    ["psample doctor -g 5 && psample -g 5", "listen if group 5 is all right"],
    ["psample doctor --netns blue eth0", "a device of the network namespace blue"],
  ],
  options: OPTIONS,
  operands: { name: "DEVICE", least: 0, most: 1, offers: { things: ["device"] } },
  run: async ({ options: { group, json, interval, netns }, words: [device] }, io) => {
    const account = `watching the counters for ${interval} ms: there are no results yet`;
    const found = await answering(io, account, () => diagnose({ device, group, milliseconds: interval, netns }));
    const findings = found.map((finding) => inOurWords(finding, netns));
    if (json) await io.data(findings.map((finding) => `${JSON.stringify(finding)}\n`).join(""));
    else await io.print(lines(findings, await outColumns(io)));
    return findings.some(({ verdict }) => verdict === "bad") ? 1 : 0;
  },
});

/** Cures for which the command line has an option. */
const CURES: Partial<Record<FindingTopic, (netns: string | undefined) => string>> = {
  "leftovers": (netns) => `psample cleanup${netnsWords(netns)} removes it, or says why not`,
  "other-namespaces": () => "--all-namespaces requires CAP_NET_BROADCAST; or listen in that namespace: psample --netns NAME",
};

function inOurWords(finding: Finding, netns: string | undefined): Finding {
  const cure = finding.verdict === "good" ? undefined : CURES[finding.about];
  return cure ? { ...finding, cure: cure(netns) } : finding;
}

/** Where the text of a finding begins, after its mark, and how its cure does. */
const WHAT_AT = 6;
const CURE = "      -> ";
const MARKS = { good: "ok  ", note: "note", bad: "FAIL" };

/** The findings as lines, which are folded to this width. */
function lines(findings: readonly Finding[], columns: number): string {
  return findings.flatMap(({ verdict, what, cure }) => [
    ...folded(`${MARKS[verdict]}  ${what}`, columns, WHAT_AT),
    ...cure ? folded(`${CURE}${cure}`, columns, CURE.length) : [],
  ]).map((line) => `${line}\n`).join("");
}
