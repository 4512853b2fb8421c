/**
 * The process that calls the scripted kernel: its user and privileges, its signals, terminal and environment.
 *
 * @module
 */
import { ENOENT, ENOSYS, ENXIO, HOST_FILES, type HostFile, type Memory, O_RDONLY } from "../src/sys/sys.ts";
import { FakeTcp } from "./fake_tcp.ts";

const ENOTTY = 25;

/** The part of the fake that answers questions about the process. */
export class FakeProcess extends FakeTcp {
  /** The user has no capability. */
  readonly unprivileged: boolean;
  /** Calls that change privileges, in their order. */
  readonly privileges: string[] = [];
  /** What the next calls that change privileges answer: 0 unless set. */
  privilegeResult = 0;

  /** What uname(2) and sysinfo(2) fill in; without one the call fails. */
  readonly hostInfos: Map<"uname" | "sysinfo", Uint8Array> = new Map();
  /** What statfs(2) fills in, by mount point. */
  readonly fileSystems: Map<string, Uint8Array> = new Map();

  constructor(unprivileged: boolean) {
    super();
    this.unprivileged = unprivileged;
  }

  geteuid(): number {
    return this.unprivileged ? 1000 : 0;
  }

  signalAction(): "default" {
    return "default";
  }

  takeUsr1(): undefined {}

  raiseDefault(): number {
    return 0;
  }

  openHostFile(file: HostFile): number {
    return this.open(HOST_FILES[file], O_RDONLY, 0);
  }

  openTerminal(): number {
    return -ENXIO;
  }

  hostInfo(call: "uname" | "sysinfo", into: Memory): number {
    return fill(into, this.hostInfos.get(call), ENOSYS);
  }

  statfs(path: string, into: Memory): number {
    return fill(into, this.fileSystems.get(path), ENOENT);
  }

  /** Local time is UTC. */
  utcOffset(): number {
    return 0;
  }

  /** It has no terminal. */
  windowSize(): undefined {}

  terminalMode(): undefined {}

  setTerminalMode(): number {
    return -ENOTTY;
  }

  /** Its environment is empty. */
  environment(): string | undefined {
    return undefined;
  }

  /** How often memory was given back. */
  trimmed = 0;

  trimMemory(): void {
    this.trimmed++;
  }

  monotonicUs(): bigint {
    return 1_000_000n;
  }

  getpid(): number {
    return 1000;
  }

  /** The users of the fake: `nobody`. */
  getpwnam(name: Memory): { uid: number; gid: number } | undefined {
    return new TextDecoder().decode(name) === "nobody\0" ? { uid: 65534, gid: 65534 } : undefined;
  }

  initgroups(name: Memory, gid: number): number {
    return this.#privilege(`initgroups ${new TextDecoder().decode(name).slice(0, -1)} ${gid}`);
  }

  setresgid(real: number, effective: number, saved: number): number {
    return this.#privilege(`setresgid ${real} ${effective} ${saved}`);
  }

  setresuid(real: number, effective: number, saved: number): number {
    return this.#privilege(`setresuid ${real} ${effective} ${saved}`);
  }

  prctl(option: number, argument: number): number {
    return this.#privilege(`prctl ${option} ${argument}`);
  }

  capset(header: Memory, data: Memory): number {
    const words = [...new Uint32Array(header.buffer), ...new Uint32Array(data.buffer)].map((word) => word.toString(16));
    return this.#privilege(`capset ${words.join(" ")}`);
  }

  #privilege(call: string): number {
    this.privileges.push(call);
    return this.privilegeResult;
  }
}

function fill(into: Memory, bytes: Uint8Array | undefined, errno: number): number {
  if (!bytes) return -errno;
  into.set(bytes.subarray(0, into.length));
  return 0;
}
