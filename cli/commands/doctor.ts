/** `psample doctor`: can this kernel, this user and this runtime receive samples, and if not, what helps. */
import { diagnose, type Finding } from "../../src/control/diagnose.ts";
import { type Command, command } from "../command.ts";
import { flag } from "../options.ts";

const OPTIONS = {
  json: flag({
    help: "print one JSON object per line",
    details: "One for each finding: its verdict (good, note or bad), what was found, and what helps.",
  }),
};

/** The command `doctor`. */
export const doctor: Command = command({
  name: "doctor",
  summary: "find out why no samples arrive",
  usage: "doctor [OPTION]...",
  about: "Checks each prerequisite for receiving samples in turn, and changes nothing. The exit status is 0 if samples can be received.",
  examples: [["psample doctor", "check this machine"]],
  options: OPTIONS,
  run: async ({ options: { json } }, io) => {
    const findings = await diagnose();
    if (json) await io.data(findings.map((finding) => `${JSON.stringify(finding)}\n`).join(""));
    else await io.print(findings.map(line).join(""));
    return findings.some((finding) => finding.verdict === "bad") ? 1 : 0;
  },
});

const MARKS = { good: "ok  ", note: "note", bad: "FAIL" };

function line({ verdict, what, cure }: Finding): string {
  return `${MARKS[verdict]}  ${what}\n${cure ? `      -> ${cure}\n` : ""}`;
}
