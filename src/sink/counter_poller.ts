/** Polls the counters of devices and of the host, and sends them to sFlow collectors. */
import { HostReader } from "../control/host_counters.ts";
import { InterfaceReader, READ_TOGETHER, type ReadInterface } from "../control/interface_counters.ts";
import { ArgumentError, DecodeError, SystemError } from "../errors.ts";
import type { SflowEncoder } from "../export/sflow/encoder.ts";
import { ARPHRD_LOOPBACK, type Link } from "../link/link.ts";
import { LiveLinks } from "../receive/live_links.ts";
import { LONGEST_TIMER_MS, nowNs } from "../stream/clock.ts";
import { jittered } from "../stream/jitter.ts";
import type { Sys } from "../sys/sys.ts";
import { interfaceCounters, networkCounters, wentBack } from "./counter_samples.ts";

/**
 * Which counters are sent to an sFlow collector, and how often.
 *
 * @category Export
 */
export interface CounterOptions {
  /** Whether to send the counters of a device; called again whenever devices change, and from time to time. Defaults to all devices. */
  readonly devices?: ((link: Link) => boolean) | undefined;
  /** Whether to send those of the host: what it is, its processors, memory, disks and network. Defaults to true. */
  readonly host?: boolean | undefined;
  /** The longest time between two samples of a device, in milliseconds; at least 1000. Defaults to 30 seconds. */
  readonly intervalMs?: number | undefined;
}

function check({ intervalMs = INTERVAL_MS }: CounterOptions): void {
  if (intervalMs >= LEAST_INTERVAL_MS && intervalMs <= LONGEST_TIMER_MS) return;
  throw new ArgumentError(`intervalMs ${intervalMs} is not a number from ${LEAST_INTERVAL_MS} to ${LONGEST_TIMER_MS}`);
}

/** How to poll, besides that. */
export interface PollerOptions extends CounterOptions {
  /** The devices. Defaults to those of the namespace, watched from now on. */
  readonly links?: LiveLinks | undefined;
  /** Called with what cannot be read, once until it can be read again. */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Between 0 and 1. Defaults to `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** A sink of an sFlow collector. */
export interface CounterTarget {
  readonly encoder: Pick<SflowEncoder, "interfaceCounters" | "hostCounters">;
  /** Sends what was added. */
  flush(): Promise<void>;
  /** Ends with a bug. */
  fail(error: unknown): void;
}

const INTERVAL_MS = 30_000;
const LEAST_INTERVAL_MS = 1000;
/** The interval is a maximum (sFlow version 5, section 5): a timer may be late, by this part of the interval and at most by this. */
const EARLIER = 0.05;
const MOST_EARLIER_MS = 1000;
/** How often to look for devices that are new, or wanted now; and how often at most if devices change all the time. */
const LOOK_MS = 3000;
const RUSH_MS = 1000;
/** Multiples of it, without their whole part, are spread evenly however many there are. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

const HIDDEN = "What they contain is sent as unknown. A sandbox may hide them, such as ProcSubset=pid of a systemd unit";

/** What is polled at the same moment of each interval: the host, or as many devices as are read with one request. Their samples share a datagram. */
interface Turn {
  /** Indexes of devices; the host has none. */
  readonly members: Set<number>;
  readonly isHost: boolean;
  /** When it is due, in milliseconds of the steady clock. */
  dueMs: number;
  /** What was wrong the last time. */
  problem: string | undefined;
}

/** A device that is polled. */
interface Polled {
  readonly turn: Turn;
  /** When the device of this index appeared. */
  since: number | undefined;
  /** What was sent last; `undefined` if nothing was yet, or of another device with this index. */
  last: ReadInterface | undefined;
}

/**
 * Reads counters in turns that are spread over the interval, so that neither a thousand devices are one burst nor a thousand machines that
 * are started together; and passes them to all its targets.
 */
export class CounterPoller {
  readonly #options: PollerOptions;
  #counters: CounterOptions;
  readonly #links: LiveLinks;
  readonly #interfaces: InterfaceReader;
  readonly #host: HostReader;
  readonly #targets = new Set<CounterTarget>();
  #longestMs = 0;
  /** The present interval, the same for all turns so that they stay spread. */
  #periodMs = 0;
  readonly #startMs = performance.now();
  readonly #random: () => number;
  readonly #phase: number;
  readonly #turns: Turn[] = [];
  readonly #polled = new Map<number, Polled>();
  /** How many turns there have been. */
  #made = 0;
  #version = -1;
  #lookedMs = -Infinity;
  /** What the host's network was made of. */
  #network: readonly ReadInterface[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  #isRunning = false;

  /**
   * Opens what is needed, now and not later: the right to do so may be given up.
   *
   * @throws {ArgumentError} if the interval is wrong.
   * @throws {SystemError} if there can be no socket.
   */
  static async open(sys: Sys, options: PollerOptions): Promise<CounterPoller> {
    check(options);
    const host = await HostReader.open(sys);
    return new CounterPoller(sys, await InterfaceReader.open(sys), host, options);
  }

  private constructor(sys: Sys, interfaces: InterfaceReader, host: HostReader, options: PollerOptions) {
    this.#options = options;
    this.#counters = options;
    this.#links = options.links ?? new LiveLinks(sys);
    this.#interfaces = interfaces;
    this.#host = host;
    this.#random = options.random ?? Math.random;
    this.#phase = this.#random();
    this.#links.watch();
    this.#begin();
    this.#schedule();
  }

  /**
   * Polls other counters from now on, or the same ones in another interval. Sequences begin again then.
   *
   * @throws {ArgumentError} if the interval is wrong.
   */
  configure(counters: CounterOptions): void {
    check(counters);
    this.#counters = counters;
    this.#turns.length = 0;
    this.#polled.clear();
    this.#lookedMs = -Infinity;
    this.#begin();
    clearTimeout(this.#timer);
    if (!this.#isRunning) this.#schedule();
  }

  #begin(): void {
    const { intervalMs = INTERVAL_MS, host = true } = this.#counters;
    this.#longestMs = intervalMs - Math.min(MOST_EARLIER_MS, EARLIER * intervalMs);
    this.#periodMs = jittered(this.#longestMs, this.#random);
    if (host) this.#addTurn(true);
  }

  /** When each turn is due next, in milliseconds of the steady clock. */
  get moments(): number[] {
    return this.#turns.map(({ dueMs }) => dueMs);
  }

  /** Adds a target. */
  feed(target: CounterTarget): void {
    this.#targets.add(target);
  }

  /** Takes a target away. Without any nothing is read. */
  leave(target: CounterTarget | undefined): void {
    if (target) this.#targets.delete(target);
  }

  /** Polls the host and the first devices, now and besides what is due. */
  async pollOnce(): Promise<void> {
    // What is due meanwhile comes after it, and not twice.
    clearTimeout(this.#timer);
    this.#lookedMs = -Infinity;
    this.#follow();
    const [host, devices] = [this.#turns.find(({ isHost }) => isHost), this.#turns.find(({ isHost }) => !isHost)];
    for (const turn of [host, devices]) if (turn && !this.#isClosed) await this.#poll(turn);
    if (!this.#isRunning) this.#schedule();
  }

  /** Ends polling. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#targets.clear();
    clearTimeout(this.#timer);
    this.#interfaces.close();
    if (this.#links !== this.#options.links) this.#links.close();
  }

  /** Waits for the next turn, or the next look at the devices. */
  #schedule(): void {
    if (this.#isClosed) return;
    const dueMs = this.#turns.reduce((least, { dueMs }) => Math.min(least, dueMs), this.#lookedMs + LOOK_MS);
    this.#timer = setTimeout(() => void this.#run(), Math.max(0, dueMs - performance.now()));
  }

  /** Polls whatever is due, a few devices at a time, so that samples that arrive meanwhile need not wait. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      this.#follow();
      const due = this.#turns.filter(({ dueMs }) => dueMs <= performance.now());
      for (const turn of due) {
        // There may be other turns since.
        if (!this.#turns.includes(turn)) continue;
        if (turn === this.#turns[0]) this.#periodMs = jittered(this.#longestMs, this.#random);
        turn.dueMs = this.#notPast(turn.dueMs + this.#periodMs);
        if (this.#targets.size > 0) await this.#poll(turn);
        if (this.#isClosed) return;
        if (due.length > 1) await new Promise((resolve) => setImmediate(resolve));
      }
      this.#isRunning = false;
      this.#schedule();
    } catch (error) {
      if (this.#isClosed) return;
      for (const target of [...this.#targets]) target.fail(error);
      this.close();
    }
  }

  async #poll(turn: Turn): Promise<void> {
    try {
      if (turn.isHost) await this.#pollHost();
      else await this.#pollDevices([...turn.members]);
      turn.problem = undefined;
    } catch (error) {
      if (this.#isClosed) return;
      if (!(error instanceof SystemError || error instanceof DecodeError)) throw error;
      const { message } = error;
      const isKnown = this.#turns.some(({ problem }) => problem === message);
      turn.problem = message;
      if (!isKnown) this.#options.onProblem?.(error);
    }
  }

  async #pollDevices(indexes: readonly number[]): Promise<void> {
    if (indexes.length === 0) return;
    const reads = await this.#interfaces.read(indexes);
    const timeNs = nowNs();
    for (const read of reads) {
      const polled = this.#polled.get(read.index);
      if (!polled) continue;
      this.#renew(read.index, polled);
      const counters = interfaceCounters(read, polled.last === undefined || wentBack(polled.last, read));
      polled.last = read;
      for (const { encoder } of this.#targets) encoder.interfaceCounters(read.index, counters, timeNs);
    }
    if (reads.length > 0) await this.#flush();
  }

  async #pollHost(): Promise<void> {
    const { hidden, ...host } = this.#host.read();
    const network = await this.#interfaces.read(this.#outward());
    const before = new Map(this.#network.map((read) => [read.index, read]));
    const isSame = network.length === before.size &&
      network.every((read) => before.has(read.index) && !wentBack(before.get(read.index)!, read));
    const restarted = before.size > 0 && !isSame;
    this.#network = network;
    const timeNs = nowNs();
    const counters = { ...host, restarted, network: network.length > 0 ? networkCounters(network) : undefined };
    for (const { encoder } of this.#targets) encoder.hostCounters(counters, timeNs);
    await this.#flush();
    const [first] = hidden;
    if (first) {
      throw new SystemError(`read ${hidden.map(({ path }) => path).join(", ")} for the counters of the host`, first.errno, {
        hint: HIDDEN,
      });
    }
  }

  /** The devices by which the machine is connected to others: its hardware, or in a container what leads out of that. */
  #outward(): readonly number[] {
    const links = [...this.#links.links()].filter(({ type }) => type !== ARPHRD_LOOPBACK);
    const hardware = links.filter(({ kind }) => kind === undefined);
    return (hardware.length > 0 ? hardware : links.filter(({ lowerNsid }) => lowerNsid !== undefined)).map(({ index }) => index);
  }

  async #flush(): Promise<void> {
    for (const target of this.#targets) await target.flush();
  }

  /** Brings what is polled up to date. */
  #follow(): void {
    this.#links.watch();
    const nowMs = performance.now();
    const isChanged = this.#links.version !== this.#version;
    if (nowMs - this.#lookedMs < (isChanged ? RUSH_MS : LOOK_MS)) return;
    this.#version = this.#links.version;
    this.#lookedMs = nowMs;
    const { devices: wants = () => true } = this.#counters;
    const wanted = new Set<number>();
    for (const link of this.#links.links()) {
      if (!wants(link)) continue;
      wanted.add(link.index);
      const polled = this.#polled.get(link.index);
      if (polled) this.#renew(link.index, polled);
      else this.#enter(link.index);
    }
    for (const [index, { turn }] of this.#polled) {
      if (wanted.has(index)) continue;
      this.#polled.delete(index);
      this.#interfaces.forget(index);
      turn.members.delete(index);
      if (turn.members.size === 0) this.#turns.splice(this.#turns.indexOf(turn), 1);
    }
  }

  /** Another device with the same index is polled when that was: only its counters begin again. */
  #renew(index: number, polled: Polled): void {
    const since = this.#links.since(index);
    if (polled.since === since) return;
    this.#interfaces.forget(index);
    polled.since = since;
    polled.last = undefined;
  }

  #enter(index: number): void {
    const hasRoom = (turn: Turn): boolean => !turn.isHost && turn.members.size < READ_TOGETHER;
    const turn = this.#turns.findLast(hasRoom) ?? this.#addTurn(false);
    turn.members.add(index);
    this.#polled.set(index, { turn, since: this.#links.since(index), last: undefined });
  }

  #addTurn(isHost: boolean): Turn {
    const part = (this.#phase + GOLDEN * this.#made++) % 1;
    const turn: Turn = { members: new Set(), isHost, dueMs: this.#notPast(this.#startMs + part * this.#periodMs), problem: undefined };
    this.#turns.push(turn);
    return turn;
  }

  /** That moment, or the same moment of a later interval if it is past. */
  #notPast(dueMs: number): number {
    return dueMs + Math.max(0, Math.ceil((performance.now() - dueMs) / this.#periodMs)) * this.#periodMs;
  }
}
