/** What this machine is, and what its processors, memory and disks do. */
import { HOST_FILES, type HostFile, type Memory, type Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import {
  type DiskTotals,
  type Paging,
  parseCached,
  parseDisks,
  parseMegahertz,
  parseMounts,
  parsePaging,
  parseProcesses,
  parseProcessors,
  type ProcessorTimes,
} from "./host_files.ts";

/** `struct utsname` (include/uapi/linux/utsname.h): six texts of 65 bytes, of which these are the second, third and fifth. */
const UTSNAME_BYTES = 390;
const UTSNAME_TEXT = 65;
const NODENAME = 1;
const RELEASE = 2;
const MACHINE = 4;

/** `struct sysinfo` (include/uapi/linux/sysinfo.h) of a 64-bit machine. */
const SYSINFO_BYTES = 112;
/** Loads are in units of this. */
const SI_LOAD = 65_536;

/** `struct statfs` (include/uapi/asm-generic/statfs.h) of a 64-bit machine. */
const STATFS_BYTES = 120;

/** The size of one read; the first one takes most files whole. */
const READ_BYTES = 32_768;
/** Where the speed of the first processor is found. */
const CPUINFO_BYTES = 4096;

/** Number of this use of a machine's number: machine-id(5) asks programs not to show that itself on a network. */
const APPLICATION = [0x5b, 0x1c, 0xd2, 0x6f, 0x83, 0x0e, 0x4a, 0x97, 0xa4, 0x41, 0x9e, 0x2d, 0x70, 0xb8, 0x15, 0xc3];

const UNKNOWN_DISKS: DiskTotals = {
  reads: undefined,
  bytesRead: undefined,
  readMs: undefined,
  writes: undefined,
  bytesWritten: undefined,
  writeMs: undefined,
};

/** The name of this machine, as uname(2) has it; empty if it is not known. */
export function hostName(sys: Pick<Sys, "hostInfo">): string {
  const uts = memory(UTSNAME_BYTES);
  return sys.hostInfo("uname", uts) < 0 ? "" : textAt(uts, NODENAME * UTSNAME_TEXT);
}

/** What a machine is. */
interface ReadDescription {
  readonly hostname: string;
  readonly uuid: Uint8Array | undefined;
  readonly machine: string;
  readonly release: string;
}

/** What the processors do. */
interface ReadProcessors extends ProcessorTimes {
  readonly load: readonly [number | undefined, number | undefined, number | undefined];
  readonly processes: number | undefined;
  readonly megahertz: number | undefined;
  readonly uptimeSeconds: number | undefined;
}

/** How full the memory is. */
interface ReadMemory extends Paging {
  readonly totalBytes: bigint | undefined;
  readonly freeBytes: bigint | undefined;
  readonly sharedBytes: bigint | undefined;
  readonly bufferBytes: bigint | undefined;
  readonly cachedBytes: number | undefined;
  readonly swapTotalBytes: bigint | undefined;
  readonly swapFreeBytes: bigint | undefined;
}

/** How full the disks are, and what they did. */
interface ReadDisks extends DiskTotals {
  readonly totalBytes: number | undefined;
  readonly freeBytes: number | undefined;
  readonly fullestPercent: number | undefined;
}

/** What is known of a machine. */
export interface ReadHost {
  readonly description: ReadDescription;
  readonly cpu: ReadProcessors;
  readonly memory: ReadMemory;
  /** `undefined` if nothing is known. */
  readonly disk: ReadDisks | undefined;
  /** The files that could not be read, and why. */
  readonly hidden: readonly { readonly path: string; readonly errno: number }[];
}

/** Reads what is known of this machine, again and again. No privileges needed. */
export class HostReader {
  readonly #sys: Sys;
  #uuid: Uint8Array | undefined;
  #megahertz: number | undefined;

  /** Finds out what does not change. */
  static async open(sys: Sys): Promise<HostReader> {
    const reader = new HostReader(sys);
    const id = reader.#textOf("machineId").trim();
    reader.#uuid = /^[0-9a-f]{32}$/.test(id) ? await uuidOf(id) : undefined;
    reader.#megahertz = parseMegahertz(reader.#textOf("processorModels", CPUINFO_BYTES));
    return reader;
  }

  private constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** Reads everything. */
  read(): ReadHost {
    const hidden: { path: string; errno: number }[] = [];
    const read = (file: HostFile): string => {
      const text = this.#read(file);
      if (typeof text === "string") return text;
      hidden.push({ path: HOST_FILES[file], errno: text });
      return "";
    };
    const texts = { stat: read("processors"), load: read("load"), memory: read("memory"), paging: read("paging"), disks: read("disks") };
    const uts = this.#info("uname", UTSNAME_BYTES);
    const text = (at: number): string => uts ? textAt(uts, at * UTSNAME_TEXT) : "";
    const sysinfo = this.#info("sysinfo", SYSINFO_BYTES);
    const view = sysinfo && viewOf(sysinfo);
    const word = (at: number): bigint | undefined => view?.getBigUint64(at, LITTLE);
    const load = (i: number): number | undefined => view && Number(word(8 + 8 * i)) / SI_LOAD;
    const unit = view ? BigInt(view.getUint32(104, LITTLE)) || 1n : 1n;
    const size = (at: number): bigint | undefined => view && word(at)! * unit;
    return {
      description: { hostname: text(NODENAME), uuid: this.#uuid, machine: text(MACHINE), release: text(RELEASE) },
      cpu: {
        ...parseProcessors(texts.stat),
        load: [load(0), load(1), load(2)],
        // That of sysinfo(2) has 16 bits.
        processes: parseProcesses(texts.load) ?? view?.getUint16(80, LITTLE),
        megahertz: this.#megahertz,
        uptimeSeconds: view && Number(word(0)),
      },
      memory: {
        totalBytes: size(32),
        freeBytes: size(40),
        sharedBytes: size(48),
        bufferBytes: size(56),
        cachedBytes: parseCached(texts.memory),
        swapTotalBytes: size(64),
        swapFreeBytes: size(72),
        ...parsePaging(texts.paging),
      },
      disk: this.#disks(texts.disks),
      hidden,
    };
  }

  #disks(text: string): ReadDisks | undefined {
    let [totalBytes, freeBytes, fullestPercent] = [0, 0, 0];
    for (const { places } of parseMounts(this.#textOf("mounts"))) {
      const found = places.map((place) => this.#fileSystem(place)).find((found) => found !== undefined);
      if (!found) continue;
      totalBytes += found.total;
      freeBytes += found.free;
      fullestPercent = Math.max(fullestPercent, 100 * (1 - found.free / found.total));
    }
    const isKnown = totalBytes > 0;
    if (!isKnown && text === "") return undefined;
    return {
      ...text === "" ? UNKNOWN_DISKS : parseDisks(text),
      totalBytes: isKnown ? totalBytes : undefined,
      freeBytes: isKnown ? freeBytes : undefined,
      fullestPercent: isKnown ? fullestPercent : undefined,
    };
  }

  /** The size of a file system, and what is free of it to everybody. */
  #fileSystem(place: string): { readonly total: number; readonly free: number } | undefined {
    const statfs = memory(STATFS_BYTES);
    if (this.#sys.statfs(place, statfs) < 0) return undefined;
    const view = viewOf(statfs);
    const word = (at: number): number => Number(view.getBigUint64(at, LITTLE));
    // Blocks are of the fragment size, if there is one.
    const unit = word(72) || word(8);
    const total = word(16) * unit;
    return total > 0 ? { total, free: word(32) * unit } : undefined;
  }

  #info(call: "uname" | "sysinfo", bytes: number): Memory | undefined {
    const into = memory(bytes);
    return this.#sys.hostInfo(call, into) < 0 ? undefined : into;
  }

  /** The contents of a file, or its beginning; nothing if it cannot be read. */
  #textOf(file: HostFile, most?: number): string {
    const text = this.#read(file, most);
    return typeof text === "string" ? text : "";
  }

  /** The contents of a file, or its beginning, or the error number. */
  #read(file: HostFile, most = Infinity): string | number {
    const fd = this.#sys.openHostFile(file);
    if (fd < 0) return -fd;
    try {
      const decoder = new TextDecoder();
      const buffer = memory(Math.min(READ_BYTES, most));
      let text = "";
      for (let size = 0; size < most;) {
        const count = this.#sys.read(fd, buffer);
        if (count < 0) return -count;
        if (count === 0) break;
        size += count;
        text += decoder.decode(buffer.subarray(0, count), { stream: true });
      }
      return text;
    } finally {
      this.#sys.close(fd);
    }
  }
}

function textAt(bytes: Memory, at: number): string {
  return new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
}

/** A UUID (RFC 9562, version 4) that only this machine has, made of its number as `sd_id128_get_machine_app_specific(3)` makes one. */
async function uuidOf(machineId: string): Promise<Uint8Array> {
  const number = new Uint8Array(16);
  for (let i = 0; i < 16; i++) number[i] = parseInt(machineId.slice(2 * i, 2 * i + 2), 16);
  const key = await crypto.subtle.importKey("raw", number, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const uuid = new Uint8Array(await crypto.subtle.sign("HMAC", key, new Uint8Array(APPLICATION)), 0, 16);
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}
