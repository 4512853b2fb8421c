/** `psample demo`: samples of a real kernel through a real netlink socket, on any Linux. */
import { replay } from "../../mod.ts";
import { fromHex } from "../../src/wire/text.ts";
import { type Option, parseCommand, UsageError } from "../args.ts";
import type { Command } from "../command.ts";
import { consume, OUTPUT_OPTIONS, planOutput, summary } from "../consume.ts";
import { recordedDetails } from "../names.ts";
import { DEMO_FAMILY, DEMO_MESSAGES, DEMO_NAMES, DEMO_SOURCE } from "../demo_messages.ts";

const DEMO_OPTIONS: readonly Option[] = [
  { name: "loop", value: "N", help: "send the recording N times; 1 unless given" },
  ...OUTPUT_OPTIONS,
];

/** Slowly enough to be watched. */
const INTERVAL_MS = 30;

/** The command `demo`. */
export const demo: Command = {
  name: "demo",
  summary: "show recorded samples: no privilege and no psample module needed",
  usage: "demo [OPTION]...",
  about: "Sends samples that a real kernel made, and that are part of this program, through a netlink\n" +
    "socket of this machine, receives them as psample does, and prints them.",
  examples: [
    ["psample demo", "as libpsample's tool prints them"],
    ["psample demo --details", "with names, cookie, tunnel, probability"],
    ["psample demo --json | head -1", "as JSON"],
  ],
  options: DEMO_OPTIONS,
  run: async (args, io) => {
    const parsed = parseCommand(args, DEMO_OPTIONS);
    if (parsed.words.length > 0) throw new UsageError(`unexpected word ${JSON.stringify(parsed.words[0])}`);
    const loop = Number(parsed.values.get("loop")?.[0] ?? 1);
    if (!Number.isInteger(loop) || loop < 1) throw new UsageError("--loop takes a whole number from 1");
    const details = { ...recordedDetails(), interfaceName: (ifindex: number) => DEMO_NAMES[ifindex] };
    const plan = planOutput(parsed, io, () => details, () => DEMO_FAMILY);
    if (!plan.quiet) io.err(`psample: recorded on ${DEMO_SOURCE}, sent through a netlink socket of this machine\n`);
    const messages = DEMO_MESSAGES.map((hex) => fromHex(hex)!);
    const repeated = function* (): Generator<Uint8Array> {
      for (let i = 0; i < loop; i++) yield* messages;
    };
    const listener = await replay(repeated(), { family: DEMO_FAMILY, intervalMs: loop === 1 ? INTERVAL_MS : 0 });
    const handed = await consume(listener, plan, io);
    if (handed !== undefined && !plan.quiet) io.err(summary(listener.stats(), handed));
    return 0;
  },
};
