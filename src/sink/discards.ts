/** Reports packets that the kernel discards to sFlow collectors. */
import { type DiscardStats, DropMonitor } from "../control/drop_monitor.ts";
import { ArgumentError } from "../errors.ts";
import { discardOf } from "../export/sflow/discard_of.ts";
import type { SflowEncoder } from "../export/sflow/encoder.ts";
import type { Devices } from "../link/device.ts";
import { nowNs } from "../stream/clock.ts";
import { open } from "../socket/open.ts";
import type { Sys } from "../sys/sys.ts";
import type { ExportSink } from "./datagram_sink.ts";

/**
 * How to {@linkcode reportDiscards}.
 *
 * @category Export
 */
export interface DiscardOptions {
  /** Maximum number of packets that are reported in a second, from 1 to 5000; those beyond are counted. Defaults to 100. */
  readonly perSecond?: number | undefined;
  /** Maximum number of bytes of a packet that the kernel copies, from 1. Defaults to 128. */
  readonly headerBytes?: number | undefined;
  /**
   * The devices, such as those of {@linkcode watchLinks}: their type determines the link layer of a packet. Defaults to a guess by the
   * packet.
   */
  readonly devices?: Pick<Devices, "find"> | undefined;
  /** Whether reports may wait for others to share a datagram with, as in `sflowTo()`. Defaults to `"batch"`. */
  readonly latency?: "batch" | "low" | undefined;
  /** Called once when another program takes over monitoring, or it becomes impossible; not again until monitoring has resumed. */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Called when monitoring resumes after another program had stopped it. */
  readonly onRestart?: (() => void) | undefined;
}

/**
 * Packets that the kernel discards, on their way to collectors.
 *
 * @category Export
 */
export interface DiscardReports extends AsyncDisposable {
  /** The numbers so far. */
  stats(): DiscardStats;
  /** Stops monitoring, and configures the kernel's drop monitor as it was before. Idempotent. */
  stop(): Promise<void>;
}

/** The limit by default, and the highest one: reading more would take the time of the samples. */
export const PER_SECOND = 100;
export const MOST_PER_SECOND = 5000;
const HEADER_BYTES = 128;

/**
 * Reports the packets that the kernel or a device discards to sFlow collectors (sFlow sample format 5), with the reason, the function of the
 * kernel or the trap of the device, and the beginning of the packet. The sinks are those of a {@linkcode pump}, which sends the reports too.
 * Stop this before the pump closes them.
 *
 * The kernel has one drop monitor, which this starts and stops: nobody else may use it meanwhile. It reports packets of all network
 * namespaces without reporting which, and answers only in the initial one. Requires CAP_NET_ADMIN and, since Linux 6.7, CAP_SYS_ADMIN.
 *
 * @example Report what is discarded while samples are exported, for a second
 * ```ts ignore
 * import { listen, pump, reportDiscards, sflowTo, watchLinks } from "@psample/psample";
 *
 * using devices = await watchLinks();
 * const sink = await sflowTo("192.0.2.9", { agent: "192.0.2.1" });
 * const source = await listen({ events: false, devices });
 * const reports = await reportDiscards([sink], { devices });
 * setTimeout(() => reports.stop(), 900);
 * await pump(source, [], [sink], { durationMs: 1000 });
 * console.log(reports.stats());
 * ```
 *
 * @throws {ArgumentError} if an option is invalid.
 * @throws {NetlinkError} `ENOENT` if the kernel has no drop monitor (module `drop_monitor`), `EPERM` without the privileges, `EBUSY` if
 * another program uses it.
 * @category Export
 */
export async function reportDiscards(
  sinks: readonly ExportSink<SflowEncoder>[],
  options: DiscardOptions = {},
): Promise<DiscardReports> {
  return await reportDiscardsWith(await open(), () => sinks, options);
}

/** {@linkcode reportDiscards} on a given seam, to the sinks that there are at the time. */
export async function reportDiscardsWith(
  sys: Sys,
  sinks: () => readonly Pick<ExportSink<SflowEncoder>, "encoder" | "flush">[],
  options: DiscardOptions = {},
): Promise<DiscardReports> {
  const { perSecond = PER_SECOND, headerBytes = HEADER_BYTES, devices, latency, onProblem, onRestart } = options;
  if (!(Number.isInteger(perSecond) && perSecond >= 1 && perSecond <= MOST_PER_SECOND)) {
    throw new ArgumentError(`perSecond is ${perSecond}: expected a whole number from 1 to ${MOST_PER_SECOND}`);
  }
  // 0 would be whole packets.
  if (!(Number.isInteger(headerBytes) && headerBytes >= 1 && headerBytes <= 0xffff)) {
    throw new ArgumentError(`headerBytes is ${headerBytes}: expected a whole number from 1 to 65535`);
  }
  const monitor = await DropMonitor.start(sys, {
    truncateBytes: headerBytes,
    perSecond,
    onDrop: (packet, unreported) => {
      const discard = discardOf(packet, devices, unreported);
      for (const { encoder } of sinks()) encoder.discard(discard, nowNs());
    },
    onTaken: latency === "low" ? () => sinks().forEach((sink) => void sink.flush()) : undefined,
    onProblem,
    onRestart,
  });
  return {
    stats: () => monitor.stats(),
    stop: () => monitor.stop(),
    [Symbol.asyncDispose]: () => monitor.stop(),
  };
}
