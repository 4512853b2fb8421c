/** What is read of a machine: from a scripted kernel, and from the one that runs this. */
import { test } from "node:test";
import { hostname, release, totalmem } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { HostReader } from "../../src/control/host_counters.ts";
import { parseDisks, parseMounts, parseProcessors } from "../../src/control/host_files.ts";
import { loadSys } from "../../src/sys/load.ts";
import { HOST_FILES, type HostFile } from "../../src/sys/sys.ts";
import { toHex } from "../../src/wire/text.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";

const utf8 = new TextEncoder();

function words(size: number, values: Readonly<Record<number, number | bigint>>): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [at, value] of Object.entries(values)) new DataView(bytes.buffer).setBigUint64(Number(at), BigInt(value), true);
  return bytes;
}

function utsname(...texts: string[]): Uint8Array {
  const bytes = new Uint8Array(390);
  texts.forEach((text, i) => bytes.set(utf8.encode(text), 65 * i));
  return bytes;
}

function machine(files: Partial<Record<HostFile, string>>): FakeSys {
  const sys = new FakeSys();
  for (const [file, text] of Object.entries(files)) sys.files.set(HOST_FILES[file as HostFile], new FakeFile(utf8.encode(text)));
  return sys;
}

test("everything about a machine comes from its kernel", async () => {
  const sys = machine({
    processors: "cpu  10 20 30 40\ncpu0 5 10 15 20\ncpu1 5 10 15 20\nintr 123456 1 2 3\nctxt 789\nbtime 1\nprocs_running 4\n",
    processorModels: "processor\t: 0\ncpu MHz\t\t: 2596.120\n",
    load: "0.10 0.20 0.30 4/1234 77\n",
    memory: "MemTotal: 100 kB\nCached:             2048 kB\nSwapCached: 5 kB\n",
    paging: "nr_free_pages 1\npgpgin 11\npgpgout 12\npswpin 13\npswpout 14\n",
    disks: "8 0 sda 1 0 20 3 4 0 50 6 0 0 0\n8 1 sda1 1 0 20 3 4 0 50 6 0 0 0\n",
    mounts: "36 35 8:1 / / rw - ext4 /dev/sda1 rw\n",
    machineId: "0123456789abcdef0123456789abcdef\n",
  });
  sys.hostInfos.set("uname", utsname("Linux", "edge1", "6.1.0", "#1", "x86_64"));
  sys.hostInfos.set(
    "sysinfo",
    words(112, { 0: 3600, 8: 65_536, 16: 32_768, 24: 16_384, 32: 1000, 40: 400, 48: 30, 56: 20, 64: 500, 72: 450, 104: 4096 }),
  );
  sys.fileSystems.set("/", words(120, { 8: 4096, 16: 1000, 24: 300, 32: 250, 72: 1024 }));
  const { description: { uuid, ...description }, cpu, memory, disk, hidden } = (await HostReader.open(sys)).read();
  assertEquals([description, hidden], [{ hostname: "edge1", machine: "x86_64", release: "6.1.0" }, []]);
  // HMAC-SHA-256 of this use by the machine's number, with the bits of version 4, by Python's hmac.
  assertEquals(uuid && toHex(uuid), "d1ed9d4f317b4fc19abc07dec643a4f2");
  assertEquals(cpu, {
    load: [1, 0.5, 0.25],
    runningProcesses: 4,
    processes: 1234,
    processors: 2,
    megahertz: 2596,
    uptimeSeconds: 3600,
    userMs: 100,
    niceMs: 200,
    systemMs: 300,
    idleMs: 400,
    ioWaitMs: undefined,
    interruptMs: undefined,
    softInterruptMs: undefined,
    stealMs: undefined,
    guestMs: undefined,
    guestNiceMs: undefined,
    interrupts: 123_456,
    contextSwitches: 789,
  });
  const unit = 4096n;
  assertEquals(memory, {
    totalBytes: 1000n * unit,
    freeBytes: 400n * unit,
    sharedBytes: 30n * unit,
    bufferBytes: 20n * unit,
    cachedBytes: 2048 * 1024,
    swapTotalBytes: 500n * unit,
    swapFreeBytes: 450n * unit,
    pagesIn: 11,
    pagesOut: 12,
    swapsIn: 13,
    swapsOut: 14,
  });
  assertEquals(disk, {
    reads: 1,
    bytesRead: 20 * 512,
    readMs: 3,
    writes: 4,
    bytesWritten: 50 * 512,
    writeMs: 6,
    totalBytes: 1000 * 1024,
    freeBytes: 250 * 1024,
    fullestPercent: 75,
  });
  sys.assertClean();
});

test("files that are hidden are named, and system calls tell the rest", async () => {
  const sys = machine({ disks: "" });
  sys.hostInfos.set("sysinfo", words(112, { 0: 7, 8: 65_536, 32: 5, 80: 3, 104: 1 }));
  const { cpu, memory, disk, description, hidden } = (await HostReader.open(sys)).read();
  assertEquals(hidden, ["/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/vmstat"].map((path) => ({ path, errno: 2 })));
  assertEquals([cpu.uptimeSeconds, cpu.load[0], cpu.processes, cpu.userMs, cpu.runningProcesses], [7, 1, 3, undefined, undefined]);
  assertEquals([memory.totalBytes, memory.cachedBytes, disk, description], [5n, undefined, undefined, {
    hostname: "",
    uuid: undefined,
    machine: "",
    release: "",
  }]);
  sys.assertClean();
});

test("disks are counted once: not their partitions, nor what is made of them or of memory", () => {
  const line = (name: string): string => `   8       0 ${name} 1 0 2 3 4 0 5 6 0 0 0 0 0 0 0`;
  const names = [
    "sda",
    "sda1",
    "sda12",
    "nvme0n1",
    "nvme0n1p1",
    "mmcblk0",
    "mmcblk0p2",
    "vda",
    "dm-0",
    "md127",
    "loop7",
    "ram0",
    "zram0",
    "sr0",
  ];
  assertEquals(parseDisks(names.map(line).join("\n")), {
    reads: 4,
    bytesRead: 4 * 2 * 512,
    readMs: 12,
    writes: 16,
    bytesWritten: 4 * 5 * 512,
    writeMs: 24,
  });
});

test("file systems are those on disks, with every place where they are mounted", () => {
  const lines = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "23 1 8:1 /home /my\\040home rw,relatime - ext4 /dev/sda1 rw",
    "24 1 0:40 / /srv rw - nfs4 server:/export rw",
    "25 1 7:0 / /snap/x ro - squashfs /dev/loop0 ro",
    "26 1 0:5 / /proc rw - proc proc rw",
    "27 1 0:50 / /stick rw - fuseblk /dev/sdb1 rw",
  ];
  assertEquals(parseMounts(lines.join("\n")), [{ source: "/dev/sda1", places: ["/", "/my home"] }]);
});

test("a kernel without some of the times leaves them unknown", () => {
  const { userMs, stealMs, processors } = parseProcessors("");
  assertEquals([userMs, stealMs, processors], [undefined, undefined, 0]);
});

test("this machine is what its runtime says", async () => {
  const { description, cpu, memory } = (await HostReader.open(await loadSys())).read();
  assertEquals([description.hostname, description.release], [hostname(), release()]);
  assertEquals(memory.totalBytes, BigInt(totalmem()));
  assert(cpu.uptimeSeconds! > 0 && cpu.processors >= 1 && cpu.userMs! > 0 && cpu.load.every((load) => load! >= 0), JSON.stringify(cpu));
});
