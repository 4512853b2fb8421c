/** What the kernel's files say about the machine. Source: proc_stat(5), proc_meminfo(5), Documentation/admin-guide/iostats.rst. */

/** Ticks of a processor's time in a second (USER_HZ), the same on every architecture that the runtimes support. */
const MS_PER_TICK = 10;
/** What /proc/diskstats counts, whatever the disk has. */
const SECTOR_BYTES = 512;

/** Times of all processors together in milliseconds, and what else /proc/stat counts. */
export interface ProcessorTimes {
  readonly processors: number;
  readonly runningProcesses: number | undefined;
  readonly userMs: number | undefined;
  readonly niceMs: number | undefined;
  readonly systemMs: number | undefined;
  readonly idleMs: number | undefined;
  readonly ioWaitMs: number | undefined;
  readonly interruptMs: number | undefined;
  readonly softInterruptMs: number | undefined;
  readonly stealMs: number | undefined;
  readonly guestMs: number | undefined;
  readonly guestNiceMs: number | undefined;
  readonly interrupts: number | undefined;
  readonly contextSwitches: number | undefined;
}

/** Reads /proc/stat. */
export function parseProcessors(text: string): ProcessorTimes {
  const values = numbersByName(text);
  const times = values.get("cpu") ?? [];
  const [userMs, niceMs, systemMs, idleMs, ioWaitMs, interruptMs, softInterruptMs, stealMs, guestMs, guestNiceMs] = Array.from(
    { length: 10 },
    (_, i) => times[i] === undefined ? undefined : times[i] * MS_PER_TICK,
  );
  return {
    processors: [...values.keys()].filter((name) => /^cpu\d/.test(name)).length,
    runningProcesses: values.get("procs_running")?.[0],
    userMs,
    niceMs,
    systemMs,
    idleMs,
    ioWaitMs,
    interruptMs,
    softInterruptMs,
    stealMs,
    guestMs,
    guestNiceMs,
    interrupts: values.get("intr")?.[0],
    contextSwitches: values.get("ctxt")?.[0],
  };
}

/** The number of processes in /proc/loadavg; threads are among them, as in host-sflow. */
export function parseProcesses(text: string): number | undefined {
  const [, all] = /^\S+ \S+ \S+ \d+\/(\d+)/.exec(text) ?? [];
  return all === undefined ? undefined : Number(all);
}

/** The speed of the first processor in /proc/cpuinfo, which only some architectures have. */
export function parseMegahertz(text: string): number | undefined {
  const [, value] = /^cpu MHz\s*:\s*([\d.]+)/m.exec(text) ?? [];
  return value === undefined ? undefined : Math.round(Number(value));
}

/** The size of the page cache in bytes, from /proc/meminfo. */
export function parseCached(text: string): number | undefined {
  const [, kib] = /^Cached:\s*(\d+) kB/m.exec(text) ?? [];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** What was moved between memory and disks. */
export interface Paging {
  readonly pagesIn: number | undefined;
  readonly pagesOut: number | undefined;
  readonly swapsIn: number | undefined;
  readonly swapsOut: number | undefined;
}

/** Reads /proc/vmstat. The former two are in KiB there, and host-sflow sends them so. */
export function parsePaging(text: string): Paging {
  const values = numbersByName(text);
  const [pagesIn, pagesOut, swapsIn, swapsOut] = ["pgpgin", "pgpgout", "pswpin", "pswpout"].map((name) => values.get(name)?.[0]);
  return { pagesIn, pagesOut, swapsIn, swapsOut };
}

/** What all disks together did. */
export interface DiskTotals {
  readonly reads: number | undefined;
  readonly bytesRead: number | undefined;
  readonly readMs: number | undefined;
  readonly writes: number | undefined;
  readonly bytesWritten: number | undefined;
  readonly writeMs: number | undefined;
}

/** What is made of memory, files or other disks: counting it too would count twice. Optical drives and floppy disks are not what is meant. */
const NO_DISK = /^(ram|zram|loop|dm-|md|sr|fd|bcache|nbd)\d/;

/** Reads /proc/diskstats: whole disks, because what its partitions do is in a disk's numbers. */
export function parseDisks(text: string): DiskTotals {
  const lines = text.trim().split("\n").map((line) => line.trim().split(/\s+/)).filter(({ length }) => length >= 11);
  const names = new Set(lines.map(([, , name]) => name!));
  const disks = lines.filter(([, , name]) => !NO_DISK.test(name!) && !isPartition(name!, names));
  const sum = (column: number): number => disks.reduce((total, fields) => total + Number(fields[column]), 0);
  return {
    reads: sum(3),
    bytesRead: sum(5) * SECTOR_BYTES,
    readMs: sum(6),
    writes: sum(7),
    bytesWritten: sum(9) * SECTOR_BYTES,
    writeMs: sum(10),
  };
}

/** `sda1` of `sda`, `nvme0n1p1` of `nvme0n1`. */
function isPartition(name: string, names: ReadonlySet<string>): boolean {
  const [, disk] = /^(.*\d)p\d+$/.exec(name) ?? /^(.*\D)\d+$/.exec(name) ?? [];
  return disk !== undefined && names.has(disk);
}

/** A file system on a disk, and where it can be reached: one of several places may be hidden. */
export interface MountedDisk {
  readonly source: string;
  readonly places: readonly string[];
}

/** Images that are always full. */
const IMAGES: ReadonlySet<string> = new Set(["squashfs", "iso9660", "udf", "erofs", "cramfs"]);

/**
 * Reads /proc/self/mountinfo: file systems on disks of this machine. Not those of a network, whose server may be gone: asking for their size
 * would then never return.
 */
export function parseMounts(text: string): MountedDisk[] {
  const places = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [mount = "", system = ""] = line.split(" - ");
    const [, , , , place] = mount.split(" ");
    const [type, source] = system.split(" ");
    const isDisk = source?.startsWith("/dev/") && !source.startsWith("/dev/loop");
    if (!isDisk || place === undefined || IMAGES.has(type!) || type!.startsWith("fuse")) continue;
    const known = places.get(source!);
    if (known) known.push(unescaped(place));
    else places.set(source!, [unescaped(place)]);
  }
  return [...places].map(([source, places]) => ({ source, places }));
}

/** The kernel writes blanks, tabs, newlines and backslashes as octal numbers. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Lines of a name and numbers. */
function numbersByName(text: string): ReadonlyMap<string, readonly number[]> {
  return new Map(
    text.split("\n").map((line) => {
      const [name = "", ...numbers] = line.trim().split(/\s+/);
      return [name, numbers.map(Number)];
    }),
  );
}
