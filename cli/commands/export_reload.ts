/** SIGHUP in `psample export`: what has changed in its configuration is applied, and everything else continues. */
import { type SinkSet, SystemError } from "../../mod.ts";
import type { LiveLinks } from "../../src/receive/live_links.ts";
import { printable, printableText } from "../../src/wire/text.ts";
import { type Collectors, RELOADED_COLLECTORS } from "../collectors.ts";
import { checkPresent, notYet, present } from "../devices.ts";
import { failureText } from "../failure.ts";
import { longName, UsageError } from "../options.ts";
import type { Sampled } from "../sampled.ts";
import type { Session } from "../session.ts";
import type { ExportValues } from "./export_options.ts";
import type { ExportSettings, ExportSettingsReader } from "./export_settings.ts";
import { SAMPLING } from "./sampling.ts";

/** The options that take effect at a reload; all others do at the next start. */
const RELOADED: readonly string[] = ["device", ...SAMPLING, ...RELOADED_COLLECTORS];

/** What a running export is made of. */
export interface Running {
  readonly session: Session;
  readonly links: LiveLinks;
  /** `undefined` if nothing is sampled. */
  readonly sampled: Sampled | undefined;
  /** The sinks of the pump: collectors, and what is printed and recorded. */
  readonly sinks: SinkSet;
  readonly reader: ExportSettingsReader;
  /** Refuses settings that could not be started with. */
  readonly check: (options: ExportValues) => void;
  /** Opens collectors that are not open yet. */
  readonly open: (options: ExportValues, before: Collectors) => Promise<Collectors>;
  /** Called when other collectors and options are in force. */
  readonly changed: (options: ExportValues) => void;
  /** Reopens the recording, if there is one. */
  readonly reopen: (() => void) | undefined;
}

/** The settings and collectors of an export, which change while it runs. */
export class ExportInForce {
  /** What is sampled, and how. */
  sampling: ExportSettings;
  collectors: Collectors;
  /** Those of the start, which count if a change takes effect at the next. */
  readonly #first: ExportSettings;
  #running: Running | undefined;
  #reloads: Promise<void> = Promise.resolve();
  #isWaiting = false;

  constructor(settings: ExportSettings, collectors: Collectors) {
    this.sampling = this.#first = settings;
    this.collectors = collectors;
  }

  /** Reloads from now on. */
  begin(running: Running): void {
    this.#running = running;
  }

  /** Reloads; if that is being done just now, once more after it. Resolves when it is done. */
  reload(): Promise<void> {
    if (this.#isWaiting || !this.#running) return this.#reloads;
    const running = this.#running;
    this.#isWaiting = true;
    return this.#reloads = this.#reloads.then(async () => {
      this.#isWaiting = false;
      if (!running.session.over.aborted) await this.#reload(running);
    });
  }

  /** Resolves when no reload is being done any more. */
  async settled(): Promise<void> {
    await this.#reloads;
  }

  async #reload(running: Running): Promise<void> {
    const { session, reader, reopen } = running;
    const { path } = reader;
    if (path === undefined) return this.collectors.reload(session, reopen);
    const before = this.collectors.all;
    try {
      if (!await this.#apply(running)) return;
      session.notice(`${printableText(path)} was read again: exporting to ${this.collectors.names}`);
    } catch (error) {
      session.tell(this.#textOf(error));
      session.tell(`${printableText(path)} was not applied: everything continues as before`);
    }
    // Sinks that are new have just looked up their names.
    this.collectors.renew(before);
    reopen?.();
  }

  #textOf(error: unknown): string {
    if (error instanceof UsageError) return error.message;
    const text = failureText(error);
    // A bug. It must not stop everything else.
    if (text === undefined) return error instanceof Error ? error.stack ?? error.message : `${error}`;
    const { user } = this.#first.options;
    const isRight = error instanceof SystemError && (error.code === "EACCES" || error.code === "EPERM");
    return user !== undefined && isRight
      ? `${text}. That is done as the user ${printable(user)}: a restart does it with full privileges`
      : text;
  }

  /** Puts the present settings in force. Resolves to `false` if it is not done because everything ends. */
  async #apply(running: Running): Promise<boolean> {
    const { session, sampled, reader } = running;
    const settings = await reader.read();
    // Whether there is anything to sample decides what is listened to.
    const isOther = (settings.named.words.length > 0) !== (sampled !== undefined);
    // Nothing changes before all is known to be possible.
    let collectors: Collectors | undefined;
    try {
      running.check(settings.options);
      if (!isOther) this.#checkDevices(settings, running.links);
      collectors = await session.unlessOver(running.open(settings.options, this.collectors));
    } catch (error) {
      throw settings.locate(error);
    }
    if (!collectors) return false;
    const later = this.#atNextStart(settings, isOther);
    if (later.length > 0) session.tell(`takes effect at the next start: ${later.join(", ")}`);
    const before = this.collectors;
    this.collectors = collectors;
    collectors.adopt(settings.options);
    await this.#exchange(running, before, settings.options);
    if (!isOther) {
      const added = this.#added(settings);
      this.sampling = settings;
      for (const text of notYet(added, present(running.links))) session.notice(text);
      await sampled?.reconsider();
    }
    return true;
  }

  /** Refuses devices that are new and not there, as at the start; patterns follow those that come. */
  #checkDevices(settings: ExportSettings, links: LiveLinks): void {
    const known = present(links);
    for (const word of this.#added(settings)) checkPresent(known, word);
  }

  /** The words for devices that are new in these settings. */
  #added({ named }: ExportSettings): readonly string[] {
    const known = new Set(this.sampling.named.words);
    return named.words.filter((word) => !known.has(word));
  }

  /** The names of options with another value than at the start, and without effect before the next. */
  #atNextStart({ texts }: ExportSettings, isOther: boolean): string[] {
    const { texts: first } = this.#first;
    const names = [...new Set([...first.keys(), ...texts.keys()])].filter((key) => {
      if (key === "device") return isOther;
      return !(isOther ? RELOADED_COLLECTORS : RELOADED).includes(key) && JSON.stringify(first.get(key)) !== JSON.stringify(texts.get(key));
    });
    return names.map((key) => longName(key).slice(2));
  }

  /** Adds the sinks that are new, and removes those that are gone: what they have is delivered. */
  async #exchange({ session, sinks, changed }: Running, before: Collectors, options: ExportValues): Promise<void> {
    const after = this.collectors;
    for (const sink of after.all.filter((sink) => !before.all.includes(sink))) {
      // The pump has ended meanwhile.
      if (!sinks.add(sink)) sink.abort();
    }
    changed(options);
    await Promise.all(
      before.all.filter((sink) => !after.all.includes(sink)).map(async (sink) => {
        await sinks.remove(sink);
        const account = before.accountOf(sink);
        session.notice(`${sink.name} is closed${account === undefined ? "" : `: ${account}`}`);
      }),
    );
  }
}
