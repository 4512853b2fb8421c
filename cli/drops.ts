/** Discarded packets in `psample export`: the options, and what there is to say about them. */
import { checkDropMonitor, type DiscardStats } from "../src/control/drop_monitor.ts";
import { type ExportSink, SystemError } from "../mod.ts";
import type { SflowEncoder } from "../src/export/mod.ts";
import type { Devices } from "../src/link/device.ts";
import { type DiscardReports, MOST_PER_SECOND, PER_SECOND, reportDiscardsWith } from "../src/sink/discards.ts";
import { open } from "../src/socket/open.ts";
import { failureText } from "./failure.ts";
import type { Io } from "./io.ts";
import { flag, longName, number, UsageError, type Values } from "./options.ts";
import type { Session } from "./session.ts";
import { plural } from "./summary.ts";

/** The options about discarded packets. */
export const DROPS_OPTIONS = {
  drops: flag({
    help: "report packets that the kernel discards to sFlow collectors",
    details:
      "Each with its reason and the function of the kernel that discarded it, or the trap of the device, and the first --header bytes. The " +
      "kernel has one drop monitor (module drop_monitor) for all network namespaces, and does not report which one a packet was in. If " +
      "another program uses it, this is reported and everything else continues; its settings are restored at the end. It answers in the " +
      "initial network namespace, whatever --netns says, and requires root, or CAP_NET_ADMIN and CAP_SYS_ADMIN.",
  }),
  dropLimit: number({
    value: "N",
    least: 1,
    most: MOST_PER_SECOND,
    default: PER_SECOND,
    help: "report at most N discarded packets a second",
    details: "The rest are only counted; the count is in the summary, --prometheus and --otlp, and is sent to collectors.",
  }),
};

/** The values of {@linkcode DROPS_OPTIONS}, and of those that they depend on. */
export interface DropsValues extends Values<typeof DROPS_OPTIONS> {
  readonly sflow: readonly string[] | undefined;
  readonly header: number;
  readonly latency: "batch" | "low";
  readonly netns: string | undefined;
}

/** Refuses options that have no effect. */
export function checkDrops({ drops, sflow }: DropsValues, given: ReadonlySet<string>): void {
  if (drops && !sflow) {
    throw new UsageError("--drops requires --sflow: the other protocols have no form for discarded packets", { keys: ["drops"] });
  }
  if (given.has("dropLimit") && !drops) throw new UsageError(`${longName("dropLimit")} requires --drops`, { keys: ["dropLimit"] });
}

/** Reports what the kernel discards, for as long as an export runs. */
export class Drops {
  /** `undefined` if it could not be started. */
  readonly #reports: DiscardReports | undefined;
  /** Why not. */
  readonly #why: string;

  /** Starts, if that is wanted; `undefined` if it is not. Reports why it is not possible: everything else continues. */
  static async start(
    options: DropsValues,
    session: Session,
    sinks: () => readonly ExportSink<SflowEncoder>[],
    devices: Devices,
  ): Promise<Drops | undefined> {
    const { drops, dropLimit, header, latency, netns } = options;
    if (!drops) return undefined;
    const tell = (error: Error): void => session.fail(failureText(error) ?? error.message);
    try {
      const reports = await reportDiscardsWith(await open(), sinks, {
        perSecond: dropLimit,
        headerBytes: Math.max(header, 1),
        // Those of another network namespace have nothing to do with it.
        devices: netns === undefined ? devices : undefined,
        latency,
        onProblem: tell,
        onRestart: () => session.notice("another program had stopped the monitor of discarded packets; it was started again"),
      });
      return new Drops(reports);
    } catch (error) {
      const text = failureText(error);
      if (text === undefined) throw error;
      session.fail(text);
      session.notice("everything else continues, without discarded packets; the exit status will be 1");
      return new Drops(undefined, error instanceof SystemError ? error.code : (error as Error).name);
    }
  }

  private constructor(reports: DiscardReports | undefined, why = "") {
    this.#reports = reports;
    this.#why = why;
  }

  /** Whether it was started. */
  get isOn(): boolean {
    return this.#reports !== undefined;
  }

  /** The numbers so far; `undefined` if it was not started. */
  stats(): DiscardStats | undefined {
    return this.#reports?.stats();
  }

  /** The numbers so far, for the account. */
  account(): string {
    return this.#reports ? accountOf(this.#reports.stats()) : `discarded packets were not monitored (${this.#why})`;
  }

  /** Stops it, and puts the kernel's monitor back as it was. Reports what fails. */
  async stop(session: Session): Promise<void> {
    await session.attempt(async () => await this.#reports?.stop());
  }
}

/** The numbers in one line: `"12 discarded packets reported, 340 more beyond --drop-limit"`. */
export function accountOf({ reported, beyondLimit, lost, notPackets, malformed }: DiscardStats): string {
  const parts = [`${plural(reported, "discarded packet")} reported`];
  if (beyondLimit > 0) parts.push(`${beyondLimit} more beyond ${longName("dropLimit")}`);
  if (lost > 0) parts.push(`reports of ${lost} more lost`);
  if (notPackets > 0) parts.push(`${plural(notPackets, "buffer")} left out that ${notPackets === 1 ? "was no packet" : "were no packets"}`);
  if (malformed > 0) parts.push(`${malformed} malformed`);
  return parts.join(", ");
}

/** For --check: says whether the kernel has a monitor. */
export async function checkMonitor({ drops }: DropsValues, session: Session, io: Io): Promise<void> {
  if (!drops) return;
  await session.attempt(async () => {
    await checkDropMonitor(await open());
    await io.print("discarded packets: the kernel has a monitor for them\n");
  });
}
