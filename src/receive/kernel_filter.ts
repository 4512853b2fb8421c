/** A filter in front of the listener's socket: in the kernel what the kernel can decide, and here all of it, of what comes through. */
import { NetlinkError } from "../errors.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import { KnownDevices } from "../filter/known_devices.ts";
import { passAll } from "../filter/message_code.ts";
import type { SampleMatcher } from "../filter/sample_matcher.ts";
import type { FilterPlan, SocketFilter } from "../filter/socket_filter.ts";
import type { Device, Devices } from "../link/device.ts";
import type { SampleFields } from "../psample/sample.ts";
import type { Receiver } from "../socket/receiver.ts";
import type { Batch } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import type { LiveLinks } from "./live_links.ts";

/** How soon a program that knows devices learns of others, while somebody waits for samples. */
const LOOK_MS = 1000;

/** What a filter is about. */
interface KernelFilterOptions {
  /** The only groups that are asked for; `undefined` for all. */
  readonly groups: readonly number[] | undefined;
  /** The devices of this namespace; `undefined` if samples come from others too, or if somebody else says what their devices are. */
  readonly links: LiveLinks | undefined;
}

/**
 * Attaches what a {@linkcode SocketFilter} has for the kernel, and keeps that up to date: a program that knows devices is replaced when
 * they change. The kernel replaces it without a gap, and what the old one let through is decided here like everything else.
 *
 * A device that was made since passes, so that nothing is lost meanwhile. One that took over the name or the number of another may be
 * taken for that until the program is replaced, which is within a second.
 */
export class KernelFilter implements Stage {
  /** Whether samples are left out in the kernel by more than their group: then numbers that are missing mean nothing. */
  readonly leavesGaps: boolean;
  /** Whether any are. */
  readonly leavesOut: boolean;
  readonly #receiver: Receiver;
  readonly #filter: SocketFilter;
  readonly #options: KernelFilterOptions;
  readonly #matchers: readonly SampleMatcher[];
  #attached: Uint8Array | undefined;
  /** The changes of devices that the program knows of. */
  #version = -1;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Attaches the program.
   *
   * @throws {NetlinkError} If the kernel does not let it.
   */
  constructor(receiver: Receiver, filter: SocketFilter, options: KernelFilterOptions) {
    this.#receiver = receiver;
    this.#filter = filter;
    this.#options = options;
    this.#matchers = filter.matchers();
    const plan = this.#plan();
    const fits = this.#attach(plan.program);
    this.leavesGaps = fits && plan.leavesGaps;
    this.leavesOut = fits && plan.inKernel.length > 0;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    for (let i = 0; i < batch.count; i++) {
      const entry = batch.entries[i]!;
      if (entry.type !== "sample" || this.#matches(entry, batch.device(i), batch.devicesOf(i))) pick(i);
    }
  }

  /** Whether a sample matches, on a machine with these devices. */
  matches(sample: SampleFields, devices: Devices): boolean {
    const ifindex = sample.outIfindex ?? sample.inIfindex;
    return this.#matches(sample, ifindex === undefined ? undefined : devices.find(ifindex, sample.nsid), devices);
  }

  /** Keeps looking at the devices for as long as `isNeeded` says so; `onFailure` gets what went wrong. */
  keepUp(isNeeded: () => boolean, onFailure: (error: unknown) => void): void {
    if (!this.#options.links || !this.leavesOut || this.#timer !== undefined) return;
    this.#timer = setInterval(() => {
      if (!isNeeded()) return this.close();
      try {
        this.#refresh();
      } catch (error) {
        this.close();
        onFailure(error);
      }
    }, LOOK_MS);
  }

  /** Stops looking. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #matches(sample: SampleFields, device: Device | undefined, devices: Devices): boolean {
    for (const matcher of this.#matchers) if (!matcher.matches(sample, device, devices)) return false;
    return true;
  }

  #plan(): FilterPlan {
    const { links, groups } = this.#options;
    links?.watch();
    this.#version = links?.version ?? -1;
    return this.#filter.plan(groups, links && new KnownDevices(links.links()));
  }

  #refresh(): void {
    const { links } = this.#options;
    links?.watch();
    if (links?.version === this.#version) return;
    const plan = this.#plan();
    // By what the numbers mean the losses were counted from the beginning.
    if (plan.leavesGaps && !this.leavesGaps) return;
    this.#attach(plan.program);
  }

  /** Puts a program in the place of the one before; false if there is no room for one in the kernel. */
  #attach(program: Uint8Array<ArrayBuffer> | undefined): boolean {
    if (program === undefined && this.#attached === undefined) return true;
    const wanted = program ?? passAll();
    if (this.#attached?.length === wanted.length && this.#attached.every((byte, i) => byte === wanted[i])) return true;
    try {
      this.#receiver.filter(wanted);
      this.#attached = wanted;
      return true;
    } catch (error) {
      // Old kernels have little room for programs (net.core.optmem_max). All is decided here anyway; but groups are always chosen there.
      if (!(error instanceof NetlinkError) || error.code !== "ENOMEM") throw error;
      const { groups } = this.#options;
      const least = groups ? encodeGroupFilter(groups) : passAll();
      this.#receiver.filter(least);
      this.#attached = least;
      return false;
    }
  }
}
