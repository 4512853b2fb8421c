/** The sampling of `psample capture`: added, watched while samples come, and removed however it ends. */
import {
  type ListenStats,
  type OwnSamples,
  ownSamples,
  type PassedHook,
  type SampleView,
  type Sampling,
  type SamplingHandle,
  type SamplingOptions,
} from "../mod.ts";
import type { Finding } from "../src/control/finding.ts";
import type { Passed } from "../src/control/passed.ts";
import type { Stage } from "../src/stream/stage.ts";
import { printable } from "../src/wire/text.ts";
import { Counters } from "./counters.ts";
import { failureText } from "./failure.ts";
import type { Keeping } from "./keeping.ts";
import { netnsWords } from "./options.ts";
import { PassedTotals } from "./passed_totals.ts";
import { SamplingAdder } from "./sampling_adder.ts";
import { isSame, whatChanged } from "./sampling_way.ts";
import type { Session } from "./session.ts";
import { silenceOf } from "./silence.ts";
import type { Passing } from "./summary.ts";
import type { Tally } from "./tally.ts";

/** How often to check whether the filters still exist, and whether packets reach them. */
const LOOK_MS = 1000;

/** How long to wait until a device that could not be sampled is tried again: at first, and at most. */
const RETRY_MS = 2000;
const LONGEST_RETRY_MS = 60_000;

/** A device that could not be sampled: why, whether it was before, and when to try again. */
interface Failing {
  readonly text: string;
  readonly isAgain: boolean;
  readonly waitMs: number;
  readonly untilMs: number;
}

/** The sampling added to devices, from the first filter to the removal of the last. */
export class Sampled {
  readonly #session: Session;
  /** The handles, and the names of their devices. */
  readonly #handles = new Map<SamplingHandle, string>();
  /** What was asked for. */
  readonly #asked = new WeakMap<SamplingHandle, SamplingOptions>();
  /** Those that still sample. */
  readonly #alive = new Set<SamplingHandle>();
  /** Those that are removed, or being removed. */
  readonly #gone = new WeakSet<SamplingHandle>();
  /** What was reported about whether packets reach the filters. */
  #told: ReadonlySet<string> = new Set();
  /** The devices and directions whose filters packets did not reach. */
  readonly #troubled = new Set<string>();
  /** What the kernel counts: makes figures sure. */
  readonly counters = new Counters();
  /** What has passed. */
  readonly #passed = new PassedTotals<SamplingHandle>();
  /** The devices whose counters were gone before they could be read at the end. */
  readonly #unread = new Set<string>();
  /** N of all of them. */
  readonly #rates = new Set<number | undefined>();
  #group: number | undefined;
  /** If sampling is kept up: what is wanted, and the devices that could not be sampled. */
  #keeping: Keeping | undefined;
  /** The version of the devices that was compared last with what is wanted. */
  #compared = 0;
  #restoring: Promise<void> | undefined;
  /** Looks and changes, one after the other. */
  #turns: Promise<unknown> = Promise.resolve();
  readonly #failing = new Map<number, Failing>();
  /** Called with what the kernel counted, whenever it counted. */
  onCount: (hooks: readonly PassedHook[]) => void = () => {};
  /** Where sampling was added since it was found out what others sample into the same group. */
  readonly #later = new Set<string>();
  /** Samples of others in the same group. */
  #foreign = 0;
  /** Whether only some packets are meant to reach the sampler. */
  #matched = false;
  /** When sampling began and ended, in milliseconds of the steady clock. */
  #beganMs = 0;
  #endedMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #removed: Promise<void> | undefined;

  constructor(session: Session) {
    this.#session = session;
    // Immediately, whatever is still to be delivered.
    session.over.addEventListener("abort", () => void this.remove(), { once: true });
  }

  /** The group that the samples go to. */
  get group(): number | undefined {
    const [first] = this.#handles.keys();
    return this.#group ??= first?.group;
  }

  readonly #adder = new SamplingAdder();

  /** Adds all filters; if a later one is refused, {@linkcode Sampled.remove} removes those before. */
  async add(plans: readonly SamplingOptions[], signal: AbortSignal): Promise<void> {
    const { index } = plans[0]!;
    this.#matched = plans.some(({ match }) => match !== undefined);
    for (const plan of plans) {
      const { device, direction, match, hardware, netns } = plan;
      // If the action is to have an index, the first filter creates it and the others share it.
      const shares = index !== undefined && this.#handles.size > 0;
      const options = shares ? { device, direction, match, hardware, netns, index } : { ...plan, group: this.group ?? plan.group };
      await this.#install(options, signal);
    }
  }

  /** Adds nothing yet, because there is no device that is wanted: prepares for those that come later. */
  async addLater({ group, match, netns }: Pick<SamplingOptions, "group" | "match" | "netns">): Promise<void> {
    this.#matched = match !== undefined;
    this.#group = await this.#adder.prepare({ group, netns });
  }

  /** From the first look on samples what is wanted, again if it is gone, and devices that come. Sampling then only ends with the session. */
  keep(keeping: Keeping): void {
    this.#keeping = keeping;
    const present = new Map(keeping.devices(new Set()).map((device) => [device.index, device]));
    for (const [handle, name] of this.#handles) {
      const index = handle.installed[0]!.ifindex;
      this.#asked.set(handle, keeping.plan(present.get(index) ?? { name, index, up: true }));
    }
  }

  /**
   * Compares what is sampled with what is to be kept up, which has changed: stops sampling what is not wanted any more, begins with what
   * is new, and does both where something else is wanted. Everything else is sampled on. What fails is reported, and tried again.
   */
  async reconsider(): Promise<void> {
    await this.#inTurn(async () => {
      const keeping = this.#keeping;
      if (!keeping || this.#removed) return;
      this.#failing.clear();
      // The removal at the end waits for it.
      await (this.#restoring = this.#release(keeping).then((before) => this.#restore(keeping, before)));
    });
  }

  /** What could not be sampled is tried again at the next look. */
  retry(): void {
    for (const [index, failing] of this.#failing) this.#failing.set(index, { ...failing, waitMs: RETRY_MS / 2, untilMs: 0 });
  }

  /** From now on samples 1 in `rate` packets, on all devices. What fails is reported; the device is then not sampled any more. */
  async resample(rate: number): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#removed) await (this.#restoring = this.#session.attempt(() => this.#resample(rate)));
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turns.then(work);
    this.#turns = turn.catch(() => {});
    return turn;
  }

  async #install(options: SamplingOptions, signal: AbortSignal): Promise<SamplingHandle> {
    const onWarning = (text: string): void => this.#session.notice(text);
    const handle = await this.#adder.add({ ...options, signal, onWarning });
    this.#handles.set(handle, printable(`${options.device}`));
    this.#asked.set(handle, options);
    this.#rates.add(handle.installed[0]?.rate);
    this.#session.onProgress();
    return handle;
  }

  /** What is sampled, in one line. */
  description({ rate, direction, netns }: SamplingOptions): string {
    const where = netns === undefined ? "" : ` in the network namespace ${printable(netns)}`;
    const isMixed = this.#oneIn === "mixed";
    const devices = [...this.#handles].map(([{ installed }, name]) => isMixed ? `${name} (1 in ${installed[0]?.rate})` : name).join(", ");
    const oneIn = isMixed ? "" : `, 1 in ${this.#oneIn ?? rate}`;
    return `sampling ${devices}${where}${oneIn}, ${direction}, group ${this.group}; Ctrl-C ends it`;
  }

  /** Reports now and every second what keeps packets from being sampled. Calls `onGone` when nothing is sampled any more. */
  async watch(onGone: () => void): Promise<void> {
    this.#beganMs = performance.now();
    for (const handle of this.#handles.keys()) this.#alive.add(handle);
    const look = async (): Promise<void> => {
      await this.#inTurn(() => this.#look());
      if (this.#removed) return;
      if (this.#alive.size > 0 || this.#keeping) {
        this.#timer = setTimeout(look, LOOK_MS);
      } else {
        this.#session.fail("nothing is sampled any more");
        onGone();
      }
    };
    await look();
  }

  /** Finds what others sample into the same group. */
  async findOthers(): Promise<OwnSamples> {
    return await ownSamples([...this.#handles.keys()]);
  }

  /** Leaves out what others sample into the same group, and reports it. */
  ownSamples({ others, alike, isOwn }: OwnSamples): Stage {
    const where = (samplings: readonly Sampling[]): string =>
      samplings.map(({ device, ifindex, direction }) => `${printable(device ?? `if${ifindex}`)} ${direction}`).join(", ");
    const apart = others.filter((other) => !alike.includes(other));
    if (apart.length > 0) this.#session.notice(`others also sample into group ${this.group} (${where(apart)}): their samples are left out`);
    if (alike.length > 0) {
      this.counters.distrust();
      const why = "their samples cannot be told apart, and are shown too; choose another --group";
      this.#session.notice(`others also sample into group ${this.group} (${where(alike)}): ${why}`);
    }
    return {
      select: (batch, pick) => {
        for (let i = 0; i < batch.count; i++) {
          const entry = batch.entries[i]!;
          if (entry.type !== "sample" || isOwn(entry) || this.#later.has(placeOf(entry))) pick(i);
          else this.#foreign++;
        }
      },
    };
  }

  /** What passed, as far as the kernel counts it, and how much traffic that was. */
  passing(tally?: Tally): Passing {
    const seconds = ((this.#endedMs ?? performance.now()) - this.#beganMs) / 1000;
    const isOver = this.#endedMs !== undefined;
    if (isOver) this.counters.again();
    const fault = this.counters.checks.fault();
    const unread = [...this.#unread];
    return { ...this.#allPassed, unread, oneIn: this.#oneIn, foreign: this.#foreign, load: tally?.average(seconds, isOver), fault };
  }

  /** Looks at what the kernel counts; if nothing is sampled any more, at what it counted last. */
  async count(): Promise<void> {
    if (!this.#removed) return await this.#count();
    await this.#removed;
    this.counters.again();
  }

  /** Why nothing was shown for this many seconds: what came, what was wanted, and a rate that would show something. */
  async silence(seconds: number, { received, filtered }: ListenStats): Promise<string | undefined> {
    // That there is no device yet was said at the start.
    if (this.#handles.size === 0) return undefined;
    await this.#count();
    const { trials, packets } = this.#allPassed;
    const devices = [...this.#handles.values()].join(", ");
    const samples = received - this.#foreign;
    const oneIn = this.#oneIn === "mixed" ? undefined : this.#oneIn;
    return silenceOf({ seconds, devices, passed: trials ?? packets, oneIn, samples, filtered, matched: this.#matched });
  }

  /** The interfaces that are sampled now. */
  get indexes(): ReadonlySet<number> {
    return new Set([...this.#alive].flatMap(({ installed }) => installed.map(({ ifindex }) => ifindex)));
  }

  /** The interfaces whose arriving packets are sampled in software. */
  get inputs(): number[] {
    const installed = [...this.#handles.keys()].flatMap(({ installed }) => installed);
    return installed.filter(({ direction, where }) => direction === "ingress" && where !== "hardware").map(({ ifindex }) => ifindex);
  }

  get #oneIn(): Passing["oneIn"] {
    return this.#rates.size > 1 ? "mixed" : [...this.#rates][0];
  }

  /** Counts what has passed, and removes everything that was added so far. Reports what could not be removed. */
  remove(): Promise<void> {
    // Repeated, because one may be added just when sampling is to end.
    return this.#removed = (this.#removed ?? Promise.resolve()).then(() => this.#remove());
  }

  async #look(): Promise<void> {
    const told = new Set<string>();
    const recovered = new Map<string, string[]>();
    for (const handle of this.#alive) {
      let findings: Finding[];
      try {
        findings = await handle.check();
      } catch {
        // If the kernel does not answer, that does not mean that something is gone.
        continue;
      }
      if (this.#removed) return;
      const gone = findings.filter(({ about }) => about === "removed").length;
      // What is kept up is set up again as a whole.
      if (gone === handle.installed.length || (gone > 0 && this.#keeping) || findings.some(({ about }) => about === "device-gone")) {
        this.#alive.delete(handle);
      }
      for (const { verdict, device, direction, what, cure } of findings) {
        const place = `${device} ${direction}`;
        if (verdict === "good") {
          if (this.#troubled.delete(place)) recovered.set(`${device}`, [...recovered.get(`${device}`) ?? [], `${direction}`]);
          continue;
        }
        if (verdict === "bad") this.#troubled.add(place);
        // Both directions may report the same.
        if (!this.#told.has(what) && !told.has(what)) this.#session.notice(withCure(what, cure));
        told.add(what);
      }
    }
    for (const [device, directions] of recovered) {
      this.#session.notice(`packets of ${printable(device)} are sampled again (${directions.join(" and ")})`);
    }
    this.#told = told;
    await this.#count();
    if (this.#keeping) await (this.#restoring = this.#follow(this.#keeping));
  }

  /** Samples what is wanted of the devices that there are now, and nothing else. */
  async #follow(keeping: Keeping): Promise<void> {
    const version = keeping.version();
    // To compare thousands of devices takes its time.
    const before = version === this.#compared ? undefined : await this.#release(keeping);
    this.#compared = version;
    await this.#restore(keeping, before);
  }

  /** Stops sampling what is not wanted, or not in this way. Returns how the latter was sampled, by index. */
  async #release(keeping: Keeping): Promise<ReadonlyMap<number, SamplingOptions>> {
    const changed = new Map<number, SamplingOptions>();
    const wanted = new Map(keeping.devices(this.indexes).map((device) => [device.index, device]));
    for (const [handle, before] of [...this.#handles].filter(([handle]) => this.#alive.has(handle))) {
      const { ifindex } = handle.installed[0]!;
      const name = printable(keeping.nameOf(ifindex) ?? before);
      const renamed = name === before ? undefined : `${before} is called ${name} now`;
      const device = wanted.get(ifindex);
      if (renamed && device) {
        this.#handles.set(handle, name);
        this.#session.notice(renamed);
      }
      const asked = this.#asked.get(handle);
      if (device && asked && isSame(asked, keeping.plan(device))) continue;
      if (this.#removed) break;
      if (device) changed.set(device.index, { ...asked!, rate: handle.installed[0]?.rate });
      else this.#session.notice(renamed ? `${renamed}: it is not sampled any more` : `${before} is not sampled any more`);
      await this.#end(handle, (reason) => this.#session.fail(removalFailed(reason, handle.netns)));
      this.onCount(await handle.passedHooks().catch(() => []));
      keeping.changed();
    }
    return changed;
  }

  /** Samples what is wanted and not sampled; `before` is how devices were sampled that are to be sampled in another way. */
  async #restore(keeping: Keeping, before: ReadonlyMap<number, SamplingOptions> = new Map()): Promise<void> {
    const again = new Set<number>();
    for (const handle of [...this.#handles.keys()].filter((handle) => !this.#alive.has(handle))) {
      for (const { ifindex } of handle.installed) again.add(ifindex);
      // What is left of it, such as the other direction. If that fails, it is reported when it is set up again.
      await this.#end(handle, () => {});
    }
    const sampled = this.indexes;
    for (const device of keeping.devices(sampled).filter(({ index }) => !sampled.has(index))) {
      const { name, index } = device;
      const failing = this.#failing.get(index);
      if (failing && performance.now() < failing.untilMs) continue;
      const isAgain = again.has(index) || failing?.isAgain === true;
      // Nothing more, once everything is being removed.
      if (this.#removed) return;
      try {
        const asked = keeping.plan(device);
        const handle = await this.#install({ ...await keeping.rated(asked), group: this.group }, this.#session.over);
        this.#asked.set(handle, asked);
        this.#addLater(handle);
        // The removal waits for this, and includes it.
        if (this.#removed) return;
        this.#alive.add(handle);
        this.#failing.delete(index);
        const rate = handle.installed[0]?.rate;
        const was = before.get(index);
        const how = was ? `, now ${whatChanged(was, { ...asked, rate })}` : `${isAgain ? " again" : " too"}, 1 in ${rate}`;
        this.#session.notice(`sampling ${printable(name)}${how}`);
        keeping.changed();
      } catch (error) {
        if (this.#session.over.aborted) return;
        const text = failureText(error) ?? `${error}`;
        if (text !== failing?.text) this.#session.notice(text);
        const waitMs = failing ? Math.min(LONGEST_RETRY_MS, 2 * failing.waitMs) : RETRY_MS;
        this.#failing.set(index, { text, isAgain, waitMs, untilMs: performance.now() + waitMs });
      }
    }
    if (this.#failing.size === 0) return;
    const present = new Set(keeping.devices(sampled).map(({ index }) => index));
    for (const index of this.#failing.keys()) if (!present.has(index)) this.#failing.delete(index);
  }

  async #resample(rate: number): Promise<void> {
    for (const [handle, name] of [...this.#handles].filter(([handle]) => this.#alive.has(handle))) {
      if (this.#removed) return;
      const options = { ...this.#asked.get(handle)!, rate, group: this.group };
      await this.#end(handle, (reason) => this.#session.fail(removalFailed(reason, handle.netns)));
      const added = await this.#install(options, this.#session.over);
      this.#addLater(added);
      this.#alive.add(added);
      this.#session.notice(`sampling ${name}, now 1 in ${rate}`);
    }
  }

  #addLater({ installed }: SamplingHandle): void {
    for (const { direction, ifindex } of installed) this.#later.add(`${direction} ${ifindex & 0xffff}`);
  }

  /** Removes one of them, and keeps what it has counted in the sum. */
  async #end(handle: SamplingHandle, onFailure: (reason: unknown) => void): Promise<void> {
    this.#gone.add(handle);
    this.#alive.delete(handle);
    this.#handles.delete(handle);
    await handle.remove().catch(onFailure);
    // For each filter that the kernel deletes, it reports what that filter has counted.
    await this.#countOne(handle);
    this.#passed.end(handle);
  }

  async #count(): Promise<void> {
    let hasCounted = false;
    await this.counters.count(async () => {
      hasCounted = true;
      const hooks: PassedHook[] = [];
      for (const handle of this.#handles.keys()) {
        // Together, because the kernel is then asked once for both.
        const [own] = await Promise.all([handle.passedHooks().catch(() => []), this.#countOne(handle)]);
        hooks.push(...own);
      }
      this.onCount(hooks);
      return hooks;
    }, this.#names);
    // The counters by hook may be of no use.
    if (!hasCounted) { for (const handle of this.#handles.keys()) await this.#countOne(handle); }
  }

  async #countOne(handle: SamplingHandle): Promise<void> {
    this.#passed.count(handle, await handle.passed().catch(() => undefined));
  }

  get #allPassed(): Passed {
    return this.#passed.total(this.#handles.keys());
  }

  /** How the devices were called, by their numbers. */
  get #names(): Map<number, string> {
    return new Map([...this.#handles].flatMap(([{ installed }, name]) => installed.map(({ ifindex }) => [ifindex, name] as const)));
  }

  async #remove(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#restoring;
    this.#adder.close();
    const handles = [...this.#handles.keys()].filter((handle) => !this.#gone.has(handle));
    if (handles.length === 0) return;
    for (const handle of handles) this.#gone.add(handle);
    await this.#count();
    // A failure of one must not keep the others from being removed.
    const [{ netns }] = handles as [SamplingHandle];
    const removals = await Promise.allSettled(handles.map((handle) => handle.remove().finally(() => this.#session.onProgress())));
    for (const removal of removals) {
      if (removal.status === "fulfilled") continue;
      this.#session.fail(removalFailed(removal.reason, netns));
    }
    // What came since: the kernel tells of each filter that it deletes what that has counted.
    await this.#count();
    for (const handle of handles) {
      const counted = handle.installed.filter(({ where, rate, direction }) => where !== "hardware" && rate !== undefined && direction);
      const hooks = await handle.passedHooks().catch(() => []);
      if (hooks.length < counted.length) this.#unread.add(this.#handles.get(handle)!);
    }
    this.#endedMs ??= performance.now();
  }
}

/** Where a sample of this network namespace was taken, as {@linkcode Sampled} writes it; the kernel sends 16 bits of the index. */
function placeOf({ inIfindex, outIfindex, nsid }: SampleView): string {
  if (nsid !== undefined) return "";
  // Arriving packets have no output device yet.
  return outIfindex === undefined ? `ingress ${inIfindex}` : `egress ${outIfindex}`;
}

/** The report that something could not be removed. */
function removalFailed(reason: unknown, netns: string | undefined): string {
  return `${failureText(reason) ?? reason}. Remove it with: psample cleanup${netnsWords(netns)}`;
}

/** A sentence and its cure: a command, or advice. */
function withCure(what: string, cure: string | undefined): string {
  return cure === undefined ? what : `${what}${/^(ip|tc|bpftool|modprobe|nsenter) /.test(cure) ? ":" : ";"} ${cure}`;
}
