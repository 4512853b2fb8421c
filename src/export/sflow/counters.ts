/**
 * Counter samples. Sources: sflow.org, "sFlow Version 5" (July 2004), section 5.3, and "sFlow Host Structures".
 *
 * Whatever is unknown is `undefined`: the standard has 0 for it among numbers, all ones among counters, and -1 for a load.
 */
import type { Count, XdrWriter } from "./xdr.ts";

/**
 * Counters of an interface and what else is known about it. Counters are totals; they may exceed 32 bits, of which some are sent.
 *
 * @category Export
 */
export interface InterfaceCounters {
  /** Whether they have begun again, as after a reload of the driver: collectors then skip one difference. Defaults to false. */
  readonly restarted?: boolean | undefined;
  /** ifType of the IF-MIB: 6 for Ethernet (IANAifType). */
  readonly ifType: number | undefined;
  /** Bits a second. */
  readonly bitsPerSecond: number | bigint | undefined;
  /** Duplex of the link. */
  readonly duplex: "full" | "half" | undefined;
  /** Whether it is administratively up. */
  readonly adminUp: boolean;
  /** Whether packets can pass. */
  readonly operationallyUp: boolean;
  /** Whether it receives packets to other addresses too. */
  readonly promiscuous: boolean | undefined;
  /** What it received. */
  readonly in: InterfaceInput;
  /** What it sent. */
  readonly out: InterfaceOutput;
  /** Its name, up to 255 bytes: another record. */
  readonly name?: string | undefined;
  /** What Ethernet counts: another record. */
  readonly ethernet?: EthernetCounters | undefined;
}

/**
 * What an interface received.
 *
 * @category Export
 */
export interface InterfaceInput {
  /** Bytes of frames, with their headers (ifHCInOctets). */
  readonly octets: Count;
  /** Packets to one host. */
  readonly unicast: Count;
  /** Packets to a group. */
  readonly multicast: Count;
  /** Packets to all. */
  readonly broadcast: Count;
  /** Packets that were dropped although nothing was wrong with them, such as for lack of memory. */
  readonly discards: Count;
  /** Packets that could not be delivered because of an error. */
  readonly errors: Count;
  /** Packets of protocols that nobody handles. */
  readonly unknownProtocols: Count;
}

/**
 * What an interface sent.
 *
 * @category Export
 */
export interface InterfaceOutput {
  /** Bytes of frames, with their headers (ifHCOutOctets). */
  readonly octets: Count;
  /** Packets to one host. */
  readonly unicast: Count;
  /** Packets to a group. */
  readonly multicast: Count;
  /** Packets to all. */
  readonly broadcast: Count;
  /** Packets that were dropped although nothing was wrong with them, such as by a full queue. */
  readonly discards: Count;
  /** Packets that could not be sent because of an error. */
  readonly errors: Count;
}

/**
 * Counters of an Ethernet interface (dot3Stats of RFC 3635).
 *
 * @category Export
 */
export interface EthernetCounters {
  /** Frames that do not have a whole number of bytes. */
  readonly alignmentErrors: Count;
  /** Frames with a wrong check sequence. */
  readonly fcsErrors: Count;
  /** Frames sent after one collision. */
  readonly singleCollisionFrames: Count;
  /** Frames sent after several collisions. */
  readonly multipleCollisionFrames: Count;
  /** Failed tests of the collision signal. */
  readonly sqeTestErrors: Count;
  /** Frames whose first attempt waited for the medium. */
  readonly deferredTransmissions: Count;
  /** Collisions after the first 512 bits. */
  readonly lateCollisions: Count;
  /** Frames given up after too many collisions. */
  readonly excessiveCollisions: Count;
  /** Frames not sent because of an error inside the card. */
  readonly internalMacTransmitErrors: Count;
  /** Frames during which the carrier was lost. */
  readonly carrierSenseErrors: Count;
  /** Received frames above the maximum size. */
  readonly frameTooLongs: Count;
  /** Frames not received because of an error inside the card. */
  readonly internalMacReceiveErrors: Count;
  /** Invalid symbols on the medium. */
  readonly symbolErrors: Count;
}

/**
 * What is known about the host: each part is a record.
 *
 * @category Export
 */
export interface HostCounters {
  /** Whether the counters have begun again. Defaults to false. */
  readonly restarted?: boolean | undefined;
  /** Which host it is. */
  readonly description?: HostDescription | undefined;
  /** Its processors. */
  readonly cpu?: CpuCounters | undefined;
  /** Its memory. */
  readonly memory?: MemoryCounters | undefined;
  /** Its disks. */
  readonly disk?: DiskCounters | undefined;
  /** Its network interfaces. */
  readonly network?: NetworkCounters | undefined;
}

/**
 * Which host it is. Its operating system is Linux.
 *
 * @category Export
 */
export interface HostDescription {
  /** Its name, of which up to 64 bytes are sent. */
  readonly hostname: string;
  /** Its UUID, 16 bytes. */
  readonly uuid: Uint8Array | undefined;
  /** The machine as uname(2) calls it: `"x86_64"`. */
  readonly machine: string;
  /** Release of the operating system, of which up to 32 bytes are sent. */
  readonly release: string;
}

/**
 * Load and times of the processors. Times are in milliseconds, of all processors together.
 *
 * @category Export
 */
export interface CpuCounters {
  /** Averages of 1, 5 and 15 minutes. */
  readonly load: readonly [number | undefined, number | undefined, number | undefined];
  /** Processes that run or wait for a processor. */
  readonly runningProcesses: number | undefined;
  /** All processes. */
  readonly processes: number | undefined;
  /** Number of processors. */
  readonly processors: number | undefined;
  /** Their speed, in MHz. */
  readonly megahertz: number | undefined;
  /** Seconds since the machine started. */
  readonly uptimeSeconds: number | undefined;
  /** Time in programs. */
  readonly userMs: Count;
  /** Time in programs of low priority. */
  readonly niceMs: Count;
  /** Time in the kernel. */
  readonly systemMs: Count;
  /** Time without work. */
  readonly idleMs: Count;
  /** Idle time while waiting for a disk. */
  readonly ioWaitMs: Count;
  /** Time in interrupts. */
  readonly interruptMs: Count;
  /** Time in soft interrupts. */
  readonly softInterruptMs: Count;
  /** Number of interrupts. */
  readonly interrupts: Count;
  /** Number of context switches. */
  readonly contextSwitches: Count;
  /** Time that a hypervisor gave to others. */
  readonly stealMs: Count;
  /** Time in virtual machines. */
  readonly guestMs: Count;
  /** Time in virtual machines of low priority. */
  readonly guestNiceMs: Count;
}

/**
 * Memory in bytes, and pages moved.
 *
 * @category Export
 */
export interface MemoryCounters {
  /** All memory. */
  readonly totalBytes: number | bigint | undefined;
  /** Unused memory. */
  readonly freeBytes: number | bigint | undefined;
  /** Memory shared by processes. */
  readonly sharedBytes: number | bigint | undefined;
  /** Memory for blocks of devices. */
  readonly bufferBytes: number | bigint | undefined;
  /** Memory for contents of files. */
  readonly cachedBytes: number | bigint | undefined;
  /** All swap space. */
  readonly swapTotalBytes: number | bigint | undefined;
  /** Unused swap space. */
  readonly swapFreeBytes: number | bigint | undefined;
  /** Pages read from disks. */
  readonly pagesIn: Count;
  /** Pages written to disks. */
  readonly pagesOut: Count;
  /** Pages read from swap space. */
  readonly swapsIn: Count;
  /** Pages written to swap space. */
  readonly swapsOut: Count;
}

/**
 * Disks, all together.
 *
 * @category Export
 */
export interface DiskCounters {
  /** Size of all file systems. */
  readonly totalBytes: number | bigint | undefined;
  /** What is free of it. */
  readonly freeBytes: number | bigint | undefined;
  /** How full the fullest partition is, in percent. */
  readonly fullestPercent: number | undefined;
  /** Number of reads. */
  readonly reads: Count;
  /** Bytes read. */
  readonly bytesRead: Count;
  /** Time of reads, in milliseconds. */
  readonly readMs: Count;
  /** Number of writes. */
  readonly writes: Count;
  /** Bytes written. */
  readonly bytesWritten: Count;
  /** Time of writes, in milliseconds. */
  readonly writeMs: Count;
}

/**
 * Network interfaces, all together.
 *
 * @category Export
 */
export interface NetworkCounters {
  /** What they received. */
  readonly in: NetworkTotals;
  /** What they sent. */
  readonly out: NetworkTotals;
}

/**
 * Totals of one direction.
 *
 * @category Export
 */
export interface NetworkTotals {
  /** Bytes. */
  readonly bytes: Count;
  /** Packets. */
  readonly packets: Count;
  /** Packets with errors. */
  readonly errors: Count;
  /** Packets that were dropped. */
  readonly drops: Count;
}

const GENERIC_INTERFACE = 1;
const ETHERNET = 2;
const PORT_NAME = 1005;
const HOST_DESCRIPTION = 2000;
const HOST_CPU = 2003;
const HOST_MEMORY = 2004;
const HOST_DISK = 2005;
const HOST_NETWORK = 2006;

/** IFALIASZ of the kernel, far more than a name can have. */
const MOST_NAME_BYTES = 255;
const MOST_HOSTNAME_BYTES = 64;
const MOST_RELEASE_BYTES = 32;
const UUID_BYTES = 16;
const OS_LINUX = 2;

/** enum machine_type of "sFlow Host Structures", by what uname(2) says. */
const MACHINES: readonly (readonly [RegExp, number])[] = [
  [/^i\d86$|^x86$/, 2],
  [/^x86_64$|^amd64$/, 3],
  [/^ia64$/, 4],
  [/^sparc/, 5],
  [/^alpha/, 6],
  [/^ppc|^powerpc/, 7],
  [/^m68k/, 8],
  [/^mips/, 9],
  [/^arm|^aarch64/, 10],
  [/^parisc|^hppa/, 11],
  [/^s390/, 12],
];
const OTHER_MACHINE = 1;

/** Writes the records of an interface, and returns their number. The one that all collectors know is first. */
export function writeInterface(xdr: XdrWriter, ifindex: number, counters: InterfaceCounters): number {
  const { in: input, out: output, ethernet, name } = counters;
  xdr.structure(GENERIC_INTERFACE, () => {
    xdr.u32(ifindex);
    xdr.u32(counters.ifType);
    xdr.u64(counters.bitsPerSecond);
    xdr.u32(counters.duplex === "full" ? 1 : counters.duplex === "half" ? 2 : 0);
    xdr.u32((counters.adminUp ? 1 : 0) | (counters.operationallyUp ? 2 : 0));
    xdr.count64(input.octets);
    xdr.count32(input.unicast);
    xdr.count32(input.multicast);
    xdr.count32(input.broadcast);
    xdr.count32(input.discards);
    xdr.count32(input.errors);
    xdr.count32(input.unknownProtocols);
    xdr.count64(output.octets);
    xdr.count32(output.unicast);
    xdr.count32(output.multicast);
    xdr.count32(output.broadcast);
    xdr.count32(output.discards);
    xdr.count32(output.errors);
    xdr.u32(counters.promiscuous ? 1 : 0);
  });
  if (ethernet) {
    xdr.structure(ETHERNET, () => {
      xdr.count32(ethernet.alignmentErrors);
      xdr.count32(ethernet.fcsErrors);
      xdr.count32(ethernet.singleCollisionFrames);
      xdr.count32(ethernet.multipleCollisionFrames);
      xdr.count32(ethernet.sqeTestErrors);
      xdr.count32(ethernet.deferredTransmissions);
      xdr.count32(ethernet.lateCollisions);
      xdr.count32(ethernet.excessiveCollisions);
      xdr.count32(ethernet.internalMacTransmitErrors);
      xdr.count32(ethernet.carrierSenseErrors);
      xdr.count32(ethernet.frameTooLongs);
      xdr.count32(ethernet.internalMacReceiveErrors);
      xdr.count32(ethernet.symbolErrors);
    });
  }
  if (name !== undefined) xdr.structure(PORT_NAME, () => xdr.string(name, MOST_NAME_BYTES));
  return 1 + (ethernet ? 1 : 0) + (name === undefined ? 0 : 1);
}

/** Writes the records of the host, and returns their number. */
export function writeHost(xdr: XdrWriter, { description, cpu, memory, disk, network }: HostCounters): number {
  let records = 0;
  const record = (format: number, body: () => void): void => {
    xdr.structure(format, body);
    records++;
  };
  if (description) record(HOST_DESCRIPTION, () => writeDescription(xdr, description));
  if (cpu) record(HOST_CPU, () => writeCpu(xdr, cpu));
  if (memory) {
    record(HOST_MEMORY, () => {
      const { totalBytes, freeBytes, sharedBytes, bufferBytes, cachedBytes, swapTotalBytes, swapFreeBytes } = memory;
      for (const bytes of [totalBytes, freeBytes, sharedBytes, bufferBytes, cachedBytes, swapTotalBytes, swapFreeBytes]) xdr.u64(bytes);
      for (const count of [memory.pagesIn, memory.pagesOut, memory.swapsIn, memory.swapsOut]) xdr.count32(count);
    });
  }
  if (disk) {
    record(HOST_DISK, () => {
      xdr.u64(disk.totalBytes);
      xdr.u64(disk.freeBytes);
      // In hundredths of a percent.
      xdr.u32(disk.fullestPercent === undefined ? undefined : Math.round(100 * disk.fullestPercent));
      xdr.count32(disk.reads);
      xdr.count64(disk.bytesRead);
      xdr.count32(disk.readMs);
      xdr.count32(disk.writes);
      xdr.count64(disk.bytesWritten);
      xdr.count32(disk.writeMs);
    });
  }
  if (network) {
    record(HOST_NETWORK, () => {
      for (const totals of [network.in, network.out]) {
        xdr.count64(totals.bytes);
        xdr.count32(totals.packets);
        xdr.count32(totals.errors);
        xdr.count32(totals.drops);
      }
    });
  }
  return records;
}

function writeDescription(xdr: XdrWriter, { hostname, uuid, machine, release }: HostDescription): void {
  xdr.string(hostname, MOST_HOSTNAME_BYTES);
  const bytes = new Uint8Array(UUID_BYTES);
  if (uuid) bytes.set(uuid.subarray(0, UUID_BYTES));
  xdr.fixed(bytes);
  xdr.u32(MACHINES.find(([pattern]) => pattern.test(machine))?.[1] ?? OTHER_MACHINE);
  xdr.u32(OS_LINUX);
  xdr.string(release, MOST_RELEASE_BYTES);
}

function writeCpu(xdr: XdrWriter, cpu: CpuCounters): void {
  for (const load of cpu.load) xdr.float(load);
  for (const value of [cpu.runningProcesses, cpu.processes, cpu.processors, cpu.megahertz, cpu.uptimeSeconds]) xdr.u32(value);
  xdr.count32(cpu.userMs);
  xdr.count32(cpu.niceMs);
  xdr.count32(cpu.systemMs);
  xdr.count32(cpu.idleMs);
  xdr.count32(cpu.ioWaitMs);
  xdr.count32(cpu.interruptMs);
  xdr.count32(cpu.softInterruptMs);
  xdr.count32(cpu.interrupts);
  xdr.count32(cpu.contextSwitches);
  xdr.count32(cpu.stealMs);
  xdr.count32(cpu.guestMs);
  xdr.count32(cpu.guestNiceMs);
}
