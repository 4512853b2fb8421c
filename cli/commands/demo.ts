/** `psample demo`: samples of a real kernel through a real netlink socket, on any Linux. */
import { type Device, type Devices, replay } from "../../mod.ts";
import { recordingFormat } from "../../src/format/recorder.ts";
import { linkTypeOfSample } from "../../src/link/link_type.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { StageChain } from "../../src/stream/stage_chain.ts";
import { messageOf } from "../../src/wire/message.ts";
import { fromHex, shellWord } from "../../src/wire/text.ts";
import { type Command, command } from "../command.ts";
import { explainStage } from "../explain.ts";
import { DEMO_FAMILY, DEMO_MESSAGES, DEMO_NAMES, DEMO_SOURCE } from "../demo_messages.ts";
import { number, UsageError } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { inSession, STATUS } from "../session.ts";
import { isTelling, received } from "../summary.ts";

const OPTIONS = {
  loop: number({
    value: "N",
    least: 1,
    default: 1,
    help: "replay the recording N times",
    details: "With this option samples arrive as fast as they are read; otherwise slowly enough to watch.",
  }),
  ...OUTPUT_OPTIONS,
};

/** Slowly enough to be watched. */
const INTERVAL_MS = 30;

/** The command `demo`. */
export const demo: Command = command({
  name: "demo",
  summary: "show recorded samples: needs no privileges and no psample module",
  usage: "demo [OPTION]...",
  about: "Replays samples captured from a real kernel (bundled with the program) through a netlink socket of this machine, " +
    "receives them as psample does, and prints them.",
  examples: [
    ["psample demo", "a line about each packet"],
    ["psample demo --text", "as libpsample's tool prints them"],
    ["psample demo --details", "with names, cookie, tunnel, probability"],
    ["psample demo --json | head -1", "as JSON"],
  ],
  options: OPTIONS,
  run: async ({ options }, io) => {
    if (options.explain) {
      await io.print(explainStage(options.filter, "The samples are recorded: the kernel has nothing to filter."));
      return STATUS.done;
    }
    const { loop, count } = options;
    const plan = planOutput(options, io);
    if (options.write !== undefined && (options.format ?? recordingFormat(options.write)) === "pcap") {
      refuseTwoTypes(options.write, plan.stages, count);
    }
    const messages = DEMO_MESSAGES.map((hex) => fromHex(hex)!);
    const repeated = function* (): Generator<Uint8Array> {
      for (let i = 0; i < loop; i++) yield* messages;
    };
    return await inSession(io, options, async (session) => {
      const outputs = await plan.open(session);
      try {
        session.notice(`recorded on ${DEMO_SOURCE}, replayed through a local netlink socket`);
        const listener = await replay(repeated(), {
          family: DEMO_FAMILY,
          intervalMs: loop === 1 ? INTERVAL_MS : 0,
          devices: DEVICES,
        });
        await session.pump(listener, { ...outputs.start(), stages: plan.stages, count, account: received, summary: isTelling });
      } finally {
        outputs.discard();
      }
    });
  },
});

/** Refuses to record packets of two link types in a file that has room for one: before there is such a file. */
function refuseTwoTypes(file: string, stages: readonly Stage[], count = Infinity): void {
  const batch = new BatchBuffer();
  batch.devices = DEVICES;
  for (const hex of DEMO_MESSAGES) batch.add(viewMessage(messageOf(fromHex(hex)!))!);
  const chosen = new StageChain(stages).choose(batch);
  const types = chosen.entries.flatMap((entry, i) => entry.type === "sample" ? [linkTypeOfSample(chosen.device(i)?.type, entry)] : []);
  if (new Set(types.slice(0, count)).size < 2) return;
  throw new UsageError(
    `the demo has packets of Ethernet and of a tunnel without link layer, and a pcap file can have only one link type. ` +
      `psample demo -w ${
        shellWord(`${file.replace(/\.pcap$/i, "")}.pcapng`)
      } writes all, --filter 'not group 9' leaves out those of the tunnel`,
  );
}

/** The devices: their names, and the type that the data of their samples implies. */
const DEMO_DEVICES: ReadonlyMap<number, Device> = new Map(
  Object.entries(DEMO_NAMES).map(([ifindex, name]) => [Number(ifindex), { name, type: undefined, address: undefined }]),
);
const DEVICES: Devices = { find: (ifindex) => DEMO_DEVICES.get(ifindex), all: () => DEMO_DEVICES.values() };
