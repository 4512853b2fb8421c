/** `psample doctor`: can this kernel, this user and this runtime receive samples, and if not, what helps. */
import { diagnose, type Finding } from "../../src/control/diagnose.ts";
import { type Option, parseCommand, UsageError } from "../args.ts";
import type { Command } from "../command.ts";

const DOCTOR_OPTIONS: readonly Option[] = [
  { name: "json", help: "print one JSON object a line" },
];

/** The command `doctor`. */
export const doctor: Command = {
  name: "doctor",
  summary: "say whether samples can be received here, and what helps if not",
  usage: "doctor [OPTION]...",
  about: "Tries what receiving samples takes, one thing after the other, and changes nothing. The exit\n" +
    "status is 0 where samples can be received.",
  examples: [["psample doctor", "look for the reason of silence"]],
  options: DOCTOR_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, DOCTOR_OPTIONS);
    if (parsed.words.length > 0) throw new UsageError(`unexpected word ${JSON.stringify(parsed.words[0])}`);
    const findings = await diagnose();
    const json = parsed.switches.has("json");
    await io.print(findings.map((finding) => json ? `${JSON.stringify(finding)}\n` : line(finding)).join(""));
    return findings.some((finding) => finding.verdict === "bad") ? 1 : 0;
  },
};

const MARKS = { good: "ok  ", note: "note", bad: "FAIL" };

function line({ verdict, what, cure }: Finding): string {
  return `${MARKS[verdict]}  ${what}\n${cure ? `      -> ${cure}\n` : ""}`;
}
