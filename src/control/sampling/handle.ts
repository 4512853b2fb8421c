/** What {@linkcode import("./install.ts").addSampling} installed: whether it is still there, and its removal. */
import type { Link } from "../../link/link.ts";
import type { Sys } from "../../sys/sys.ts";
import type { Filter } from "../../tc/filter.ts";
import { commandsIn, printable, shellWord } from "../../wire/text.ts";
import { checkHooks } from "../check.ts";
import type { Finding } from "../finding.ts";
import { type Passed, passedBetween, type PassedHook, passedHooksBetween, samplingsAt } from "../passed.ts";
import type { TcWatch } from "../tc_watch.ts";
import type { TrafficControl } from "../traffic_control.ts";
import { Claims } from "./claims.ts";
import { isSame, type OwnFilter } from "./clsact.ts";
import type { Instance, LockOptions } from "./instance.ts";
import { removeAdditions } from "./removal.ts";
import { type FilterSampling, type Sampling, samplingsOf } from "./sampling.ts";

/**
 * What {@linkcode addSampling} installed.
 *
 * @category Sampling
 */
export interface SamplingHandle extends AsyncDisposable {
  /** The network namespace of the device, if it is not that of the thread. */
  readonly netns: string | undefined;
  /** The psample group that the samples go to. */
  readonly group: number | undefined;
  /** What the kernel reported right after the installation: one entry for each direction. */
  readonly installed: readonly FilterSampling[];
  /**
   * Whether packets reach the sampling now. Returns a good finding for each direction, or one for each thing that is in the way: the
   * filters or the device are gone, down, changed by another program, or hidden by earlier filters and programs. Cheap enough to call every
   * second.
   */
  check(): Promise<Finding[]>;
  /** How many packets have reached the sampling since it was installed, or between that and its removal. */
  passed(): Promise<Passed>;
  /**
   * The same for each device and direction whose counters show it at any moment: those of hardware do not. After the removal those that
   * were gone before, with their device or by another program, are missing.
   */
  passedHooks(): Promise<readonly PassedHook[]>;
  /** Whether all of it still exists in the kernel: removing the device removes it too, and so can anybody with CAP_NET_ADMIN. */
  isInstalled(): Promise<boolean>;
  /**
   * Removes the filters, and the clsact qdisc if one of us made it and nothing else is on it. Anything that is gone already, or was
   * replaced by another program, is left alone. Idempotent: every call returns the result of the first.
   *
   * @throws {NetlinkError} if the kernel refuses; the error names what is left, for {@linkcode cleanUpSampling} to remove later.
   */
  remove(): Promise<void>;
  /** {@linkcode SamplingHandle.remove} at the end of an `await using` block. A signal does not reach that end: see {@linkcode endOnSignals}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Resources that an installation holds open until it is removed. */
export interface Resources {
  readonly sys: Sys;
  readonly tc: TrafficControl;
  /** For removal. */
  readonly watch: TcWatch | undefined;
  readonly instance: Instance;
  /** Lets go of `tc` and `instance`. */
  readonly release: () => void;
}

/**
 * The only {@linkcode SamplingHandle}. It holds open what removal needs, so that this works without any free descriptor, and without the
 * right to enter its network namespace again.
 */
export class Installation implements SamplingHandle {
  group: number | undefined;
  installed: readonly FilterSampling[] = [];
  /** What is in the kernel, to be removed. */
  filters: readonly OwnFilter[] = [];
  /** The clsact qdisc was made by one of us. */
  clsact = false;
  /** Why additions made before the installation failed could not be removed. */
  readonly failedUndos: unknown[] = [];
  /** What is removed, with its last counts. */
  #last: Sampling[] = [];
  #claims: Claims | undefined;
  readonly #resources: Resources;
  readonly #link: Link;
  readonly #lock: LockOptions;
  readonly #signal: AbortSignal | undefined;
  // The caller of remove() gets its error.
  readonly #abort = (): void => void this.remove().catch(() => {});
  #removed: Promise<void> | undefined;
  #counting: Promise<Sampling[]> | undefined;

  constructor(resources: Resources, link: Link, { signal, onWarning }: LockOptions) {
    this.#resources = resources;
    this.#link = link;
    this.#lock = { onWarning };
    this.#signal = signal;
  }

  get netns(): string | undefined {
    return this.#resources.tc.netns;
  }

  /** From now on the signal triggers the removal. */
  removeOnAbort(): void {
    this.#signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** From now on `watch` shows whether another program relies on our clsact qdisc; closes it if the qdisc is not ours. */
  watchClaims(watch: TcWatch | undefined): void {
    if (watch && this.clsact) this.#claims = new Claims(watch, this.#resources.tc.portId);
    else watch?.close();
  }

  async isInstalled(): Promise<boolean> {
    if (this.#removed) return false;
    for (const own of this.filters) {
      const filters = await this.#resources.tc.filters(own.ifindex, own.parent, own.preference);
      if (!filters.some((filter) => isSame(filter, own))) return false;
    }
    return true;
  }

  async check(): Promise<Finding[]> {
    const { sys, tc } = this.#resources;
    if (this.#removed) return [];
    const findings = await checkHooks(sys, tc, this.installed);
    return this.#claims?.any() ? [...findings, this.#claimed()] : findings;
  }

  async passed(): Promise<Passed> {
    return passedBetween(this.installed, await this.#present());
  }

  async passedHooks(): Promise<readonly PassedHook[]> {
    return passedHooksBetween(this.installed, await this.#present());
  }

  /** What the kernel counts now, or counted last before the removal. Calls without waiting in between share one request. */
  #present(): Promise<Sampling[]> {
    // What could not be removed has no last counts.
    if (this.#removed) return this.#removed.catch(() => {}).then(() => this.#last);
    if (!this.#counting) queueMicrotask(() => this.#counting = undefined);
    return this.#counting ??= samplingsAt(this.#resources.tc, this.installed);
  }

  remove(): Promise<void> {
    return this.#removed ??= this.#remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  #claimed(): Finding {
    const device = printable(this.#link.name);
    return {
      verdict: "note",
      about: "claimed",
      device: this.#link.name,
      what: `another program asked for the clsact qdisc of ${device} too, which therefore stays when sampling ends`,
      cure: commandsIn(this.netns, `tc qdisc del dev ${shellWord(this.#link.name)} clsact removes it, with all that is on it`),
    };
  }

  /** Removes what is in the kernel so far: under the lock, see {@linkcode Instance.exclusively}. */
  async undo(): Promise<void> {
    const { filters } = this;
    const isClaimed = this.clsact && this.#claims?.any() === true;
    const clsact = this.clsact && !isClaimed;
    this.filters = [];
    this.clsact = false;
    const { tc, watch } = this.#resources;
    if (isClaimed) {
      const { what, cure } = this.#claimed();
      this.#lock.onWarning?.(`${what}: ${cure}`);
    }
    const onRemoved = (filter: Filter): void => void this.#last.push(...samplingsOf(filter, undefined));
    await removeAdditions({ tc, watch, onRemoved, ...this.#lock }, { ifindex: this.#link.index, device: this.#link.name, filters, clsact });
  }

  async #remove(): Promise<void> {
    const { watch, instance, release } = this.#resources;
    this.#signal?.removeEventListener("abort", this.#abort);
    try {
      if (this.filters.length > 0 || this.clsact) await instance.exclusively(() => this.undo(), this.#lock);
    } finally {
      this.#claims?.close();
      watch?.close();
      release();
    }
  }
}
