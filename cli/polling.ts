/** The counters that `psample export` sends to sFlow collectors: their options, and what polls them. */
import { listSampling, NetlinkError, type Source } from "../mod.ts";
import type { LiveLinks } from "../src/receive/live_links.ts";
import { type CounterOptions, CounterPoller, type CounterTarget } from "../src/sink/counter_poller.ts";
import type { Sys } from "../src/sys/sys.ts";
import { printable } from "../src/wire/text.ts";
import { matcherOf, means, present } from "./devices.ts";
import { failureText } from "./failure.ts";
import { longName, milliseconds, several, UsageError, value, type Values, wrongValue } from "./options.ts";
import type { Sampled } from "./sampled.ts";
import { NOTHING, type Session } from "./session.ts";

const POLLING_MS = 30_000;
/** More often than this nobody looks, and a thousand devices would take long. */
const LEAST_POLLING_MS = 1000;

/** The options about counters. */
export const POLLING_OPTIONS = {
  counters: several({
    value: "DEVICE|all",
    offers: { words: ["all"], things: ["device"] },
    help: "send counters of this device to sFlow collectors too; may be repeated",
    details:
      "Those of sampled devices are sent anyway, and so are those of the host: what it is, its processors, memory, disks and network. DEVICE " +
      "may be a pattern; all is every device, also if it is down. Counters alone need no privileges: without DEVICE and without the right to " +
      "receive samples, only they are sent. Devices of other network namespaces are not polled.",
  }, parseDevices),
  polling: value({
    value: "TIME",
    fallback: "30s",
    help: "how often counters are sent, at least; 0 never",
    details: "Devices are spread over this time, starting at a random moment, so that many devices cause no burst.",
  }, parsePolling),
};

/** The values of {@linkcode POLLING_OPTIONS}. */
export type PollingValues = Values<typeof POLLING_OPTIONS>;

function parseDevices(words: readonly string[]): readonly string[] {
  // A pattern that cannot be one is refused.
  matcherOf(words);
  return words;
}

function parsePolling(text: string, option: string): number {
  if (/^0+(ms|s|m|h)?$/.test(text)) return 0;
  const ms = milliseconds(text, option);
  if (ms < LEAST_POLLING_MS) throw wrongValue(option, text, "a time from 1s on, or 0");
  return ms;
}

/** Refuses options that have no effect. */
export function checkPolling({ counters, polling }: PollingValues, hasSflow: boolean, given: ReadonlySet<string>): void {
  const lone = (["counters", "polling"] as const).find((name) => given.has(name));
  if (lone !== undefined && !hasSflow) throw new UsageError(`${longName(lone)} requires --sflow`, { keys: [lone] });
  if (counters && polling === 0) {
    throw new UsageError("--polling 0 sends no counters: it cannot be combined with --counters", { keys: ["polling", "counters"] });
  }
}

/** The options that say what is polled, and for whom. */
type Polled = PollingValues & { readonly sflow: readonly string[] | undefined; readonly netns: string | undefined };

/** What polls counters, which may change while it does. */
export class Polling {
  /** What polls, and sends to sinks that know it; `undefined` if no counters are to be sent. */
  poller: CounterPoller | undefined;
  readonly #about: PollingAbout;
  readonly #isSampled: (index: number) => boolean;
  #options: Polled;

  /** Opens what is needed to poll as these options say. */
  static async open(sys: Sys, options: Polled, about: PollingAbout): Promise<Polling> {
    const { netns } = options;
    const { sampled } = about;
    const isPolled = options.sflow !== undefined && (options.polling !== 0 || about.changes);
    const already = new Set(isPolled && !sampled ? (await listSampling({ netns })).map(({ ifindex }) => ifindex) : []);
    const polling = new Polling(options, about, already);
    await polling.prepare(sys, options);
    polling.#tellMissing();
    return polling;
  }

  private constructor(options: Polled, about: PollingAbout, already: ReadonlySet<number | undefined>) {
    this.#options = options;
    this.#about = about;
    const { sampled, isHeard } = about;
    // For all devices at once: they are asked about one after the other.
    let indexes: ReadonlySet<number> | undefined;
    this.#isSampled = (index) => {
      if (!sampled) return already.has(index) || isHeard(index);
      if (!indexes) queueMicrotask(() => indexes = undefined);
      indexes ??= sampled.indexes;
      return indexes.has(index);
    };
  }

  /** Opens what these options need that is not open yet. */
  async prepare(sys: Sys, options: Polled): Promise<void> {
    const { links, session, changes } = this.#about;
    // Sinks that are opened now must know it, if they are to be sent counters later.
    if (this.poller || !options.sflow || (options.polling === 0 && !changes)) return;
    this.poller = await CounterPoller.open(sys, {
      ...this.#counters(options),
      links,
      onProblem: (error) => session.notice(failureText(error) ?? error.message),
    });
  }

  /** Polls as these options say from now on. */
  adopt(options: Polled): void {
    const { counters, polling } = this.#options;
    const isSame = JSON.stringify([counters, polling]) === JSON.stringify([options.counters, options.polling]);
    this.#options = options;
    if (isSame) return;
    this.poller?.configure(this.#counters(options));
    this.#tellMissing();
  }

  /** Says which of the named devices there are not: they may come later, or be misspelt. */
  #tellMissing(): void {
    const { links, session } = this.#about;
    const known = this.poller ? present(links) : [];
    // If the kernel does not say which devices there are, nothing is known to be missing.
    if (known.length === 0) return;
    for (const word of this.#options.counters ?? []) {
      if (word === "all" || known.some((link) => means(word, link))) continue;
      session.notice(`--counters ${printable(word)}: there is no such device now; its counters are sent when there is`);
    }
  }

  #counters({ counters = [], polling = POLLING_MS }: Polled): CounterOptions {
    if (polling === 0) return { devices: () => false, host: false };
    const all = counters.includes("all");
    const place = matcherOf(counters);
    return { devices: (link) => all || place(link) >= 0 || this.#isSampled(link.index), intervalMs: polling };
  }
}

/** What polling depends on, besides options. */
export interface PollingAbout {
  readonly links: LiveLinks;
  readonly session: Session;
  /** What is sampled for this run; `undefined` if that is up to others. */
  readonly sampled: Pick<Sampled, "indexes"> | undefined;
  /** Whether there was a sample of a device. */
  readonly isHeard: (index: number) => boolean;
  /** Whether the options may change. */
  readonly changes: boolean;
}

/** Opens what {@linkcode sendCounters} needs, as a run does. `sampled` is what that would sample. */
export async function openCounters(
  sys: Sys,
  options: Polled,
  about: Pick<PollingAbout, "links" | "session" | "sampled">,
): Promise<CounterPoller | undefined> {
  return (await Polling.open(sys, options, { ...about, isHeard: () => false, changes: false })).poller;
}

/** Sends what the host and the first devices count to sFlow collectors, once. */
export async function sendCounters(poller: CounterPoller | undefined, sinks: readonly CounterTarget[]): Promise<void> {
  for (const sink of sinks) poller?.feed(sink);
  await poller?.pollOnce();
  for (const sink of sinks) poller?.leave(sink);
}

/** Listens; if that is not possible here, it continues for the counters, if there are any to send. */
export async function listenUnlessOnlyCounters(
  counters: PollingValues["counters"],
  session: Session,
  listen: () => Promise<Source>,
): Promise<Source> {
  try {
    return await listen();
  } catch (error) {
    const isMissing = error instanceof NetlinkError && (error.code === "ENOENT" || error.code === "EPERM");
    if (!counters || !isMissing) throw error;
    session.notice(`${failureText(error)}. Only counters are sent`);
    return new QuietSource();
  }
}

/** A source without samples, which lasts until it is ended. */
class QuietSource implements Source {
  #end = (): void => {};
  readonly #ended = new Promise<undefined>((resolve) => this.#end = () => resolve(undefined));

  read(): Promise<undefined> {
    return this.#ended;
  }

  end(): void {
    this.#end();
  }

  close(): Promise<void> {
    this.#end();
    return Promise.resolve();
  }

  stats(): ReturnType<Source["stats"]> {
    return NOTHING.stats();
  }
}
