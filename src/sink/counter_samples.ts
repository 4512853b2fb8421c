/** What the kernel counts, as sFlow has it. */
import type { ReadInterface } from "../control/interface_counters.ts";
import type { EthernetCounters, InterfaceCounters, NetworkCounters } from "../export/sflow/counters.ts";
import type { Count } from "../export/sflow/xdr.ts";
import type { EthernetStats } from "../link/ethernet_stats.ts";

/** The counters of a device. What the kernel does not count separately stays unknown, because a collector would take 0 for a count. */
export function interfaceCounters(read: ReadInterface, restarted: boolean): InterfaceCounters {
  const { name, type, up, running, promiscuous, mode, stats, hardware = {} } = read;
  const { multicastReceived, broadcastReceived, multicastSent, broadcastSent } = hardware;
  // The kernel counts received multicasts, which usually includes broadcasts, and nothing of the kind for what is sent.
  const multicast = multicastReceived ?? stats.multicast;
  return {
    restarted,
    name,
    ifType: type,
    bitsPerSecond: mode.bitsPerSecond,
    duplex: mode.duplex,
    adminUp: up,
    operationallyUp: running,
    promiscuous,
    in: {
      octets: stats.rxBytes,
      unicast: atLeast0(stats.rxPackets - multicast - (broadcastReceived ?? 0n)),
      multicast,
      broadcast: broadcastReceived,
      // As /proc/net/dev adds them up: what the stack has dropped, and what the card had no room for.
      discards: stats.rxDropped + stats.rxMissedErrors,
      errors: stats.rxErrors,
      unknownProtocols: undefined,
    },
    out: {
      octets: stats.txBytes,
      unicast: atLeast0(stats.txPackets - (multicastSent ?? 0n) - (broadcastSent ?? 0n)),
      multicast: multicastSent,
      broadcast: broadcastSent,
      discards: stats.txDropped,
      errors: stats.txErrors,
    },
    ethernet: ethernetCounters(read),
  };
}

/** Hardware counters are read a little later or earlier than the kernel's. */
function atLeast0(count: bigint): bigint {
  return count < 0n ? 0n : count;
}

/** What its hardware counts, and else the errors that every driver has; `undefined` if the device is not hardware for Ethernet. */
function ethernetCounters({ isEthernetHardware, stats, hardware }: ReadInterface): EthernetCounters | undefined {
  if (!isEthernetHardware) return undefined;
  const known = (name: keyof EthernetCounters & keyof EthernetStats, otherwise?: Count): Count => hardware?.[name] ?? otherwise;
  return {
    alignmentErrors: known("alignmentErrors", stats.rxFrameErrors),
    fcsErrors: known("fcsErrors", stats.rxCrcErrors),
    singleCollisionFrames: known("singleCollisionFrames"),
    multipleCollisionFrames: known("multipleCollisionFrames"),
    sqeTestErrors: undefined,
    deferredTransmissions: known("deferredTransmissions"),
    // As drivers are asked to use it (include/uapi/linux/if_link.h).
    lateCollisions: known("lateCollisions", stats.txWindowErrors),
    excessiveCollisions: known("excessiveCollisions"),
    internalMacTransmitErrors: known("internalMacTransmitErrors"),
    carrierSenseErrors: known("carrierSenseErrors", stats.txCarrierErrors),
    frameTooLongs: known("frameTooLongs"),
    internalMacReceiveErrors: known("internalMacReceiveErrors"),
    symbolErrors: known("symbolErrors"),
  };
}

/** What several devices have counted together. */
export function networkCounters(reads: readonly ReadInterface[]): NetworkCounters {
  const sum = (count: (read: ReadInterface["stats"]) => bigint): bigint => reads.reduce((total, { stats }) => total + count(stats), 0n);
  return {
    in: {
      bytes: sum(({ rxBytes }) => rxBytes),
      packets: sum(({ rxPackets }) => rxPackets),
      errors: sum(({ rxErrors }) => rxErrors),
      drops: sum(({ rxDropped, rxMissedErrors }) => rxDropped + rxMissedErrors),
    },
    out: {
      bytes: sum(({ txBytes }) => txBytes),
      packets: sum(({ txPackets }) => txPackets),
      errors: sum(({ txErrors }) => txErrors),
      drops: sum(({ txDropped }) => txDropped),
    },
  };
}

/** Whether any counter of a device is less than it was. */
export function wentBack(before: ReadInterface, now: ReadInterface): boolean {
  return isLess(before.stats, now.stats) || isLess(before.hardware ?? {}, now.hardware ?? {});
}

function isLess(before: Readonly<Record<string, bigint | undefined>>, now: Readonly<Record<string, bigint | undefined>>): boolean {
  return Object.entries(now).some(([name, count]) => count !== undefined && count < (before[name] ?? 0n));
}
