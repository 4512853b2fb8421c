/** A filter in front of the listener's socket: the kernel runs what it can decide, and the whole filter runs here on what comes through. */
import { NetlinkError } from "../errors.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import { KnownDevices } from "../filter/known_devices.ts";
import { passAll } from "../filter/message_code.ts";
import { MatchingStage } from "../filter/matching_stage.ts";
import type { FilterPlan, SocketFilter } from "../filter/socket_filter.ts";
import type { Devices } from "../link/device.ts";
import type { SampleFields } from "../psample/sample.ts";
import type { Receiver } from "../socket/receiver.ts";
import { type Batch, sampledIfindex } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import { sameBytes } from "../wire/bytes.ts";
import type { LiveLinks } from "./live_links.ts";

/** How often a program that knows devices is updated while somebody waits for samples. */
const LOOK_MS = 1000;

/** The samples that a filter is about. */
interface KernelFilterOptions {
  /** The only groups that are asked for; `undefined` for all. */
  readonly groups: readonly number[] | undefined;
  /** The devices of this namespace; `undefined` if samples come from other namespaces too, or if the caller supplied their devices. */
  readonly links: LiveLinks | undefined;
}

/**
 * Attaches the kernel's part of a {@linkcode SocketFilter}, and keeps it up to date: a program that knows devices is replaced when
 * they change. The kernel replaces it without a gap, and what the old one let through is decided here like everything else.
 *
 * Samples of a device created since pass, so that nothing is lost meanwhile. A device that took over the name or the index of another may
 * be mistaken for it until the program is replaced, which is within a second.
 */
export class KernelFilter implements Stage {
  /** Whether the kernel drops samples by anything other than their group: then gaps in the sequence numbers mean nothing. */
  readonly leavesGaps: boolean;
  /** Whether any samples are left out. */
  readonly leavesOut: boolean;
  readonly #receiver: Receiver;
  readonly #filter: SocketFilter;
  readonly #options: KernelFilterOptions;
  /** The whole filter. */
  readonly #stage: MatchingStage;
  #attached: Uint8Array | undefined;
  /** The version of the devices that the program knows. */
  #version = -1;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Attaches the program.
   *
   * @throws {NetlinkError} If the kernel refuses it.
   */
  constructor(receiver: Receiver, filter: SocketFilter, options: KernelFilterOptions) {
    this.#receiver = receiver;
    this.#filter = filter;
    this.#options = options;
    this.#stage = new MatchingStage(filter.matchers());
    const plan = this.#plan();
    const fits = this.#attach(plan.program);
    this.leavesGaps = fits && plan.leavesGaps;
    this.leavesOut = fits && plan.inKernel.length > 0;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    this.#stage.select(batch, pick);
  }

  /** Whether a sample matches, on a machine with these devices. */
  matches(sample: SampleFields, devices: Devices): boolean {
    const ifindex = sampledIfindex(sample);
    return this.#stage.matches(sample, ifindex === undefined ? undefined : devices.find(ifindex, sample.nsid), devices);
  }

  /** Keeps the program up to date while `isNeeded` returns true; `onFailure` gets what went wrong. */
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

  /** Stops updating. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
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
    // The meaning of the sequence numbers must stay the one that losses were counted by from the start.
    if (plan.leavesGaps && !this.leavesGaps) return;
    this.#attach(plan.program);
  }

  /** Replaces the program; false if the kernel has no room for the new one. */
  #attach(program: Uint8Array<ArrayBuffer> | undefined): boolean {
    if (program === undefined && this.#attached === undefined) return true;
    const wanted = program ?? passAll();
    if (this.#attached && sameBytes(this.#attached, wanted)) return true;
    try {
      this.#receiver.filter(wanted);
      this.#attached = wanted;
      return true;
    } catch (error) {
      // Old kernels have little room for programs (net.core.optmem_max). Everything is decided here anyway; but groups are always filtered
      // there.
      if (!(error instanceof NetlinkError) || error.code !== "ENOMEM") throw error;
      const { groups } = this.#options;
      const least = groups ? encodeGroupFilter(groups) : passAll();
      this.#receiver.filter(least);
      this.#attached = least;
      return false;
    }
  }
}
