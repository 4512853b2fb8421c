/** Estimates on a screen, as they change. */
import { calibrate, type Calibration, type CalibrationOptions, Estimator } from "../../src/estimate/mod.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { filter } from "../../src/filter/stage.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { nowNs } from "../../src/stream/clock.ts";
import type { Sink } from "../../src/stream/sink.ts";
import type { Source } from "../../src/stream/source.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { printable } from "../../src/wire/text.ts";
import { Chosen } from "./chosen.ts";
import type { Unit } from "./figures.ts";
import { keysOf } from "./keys.ts";
import { type Report, type ReportContext, reportOf } from "./report.ts";
import { COLORED, flowRows, MONOCHROME, screen } from "./screen.ts";
import type { Screen, ScreenEvents } from "./terminal.ts";
import { type Checks, firstView, press, type Problem, type View, WINDOWS } from "./view.ts";

/** How often the screen is redrawn. */
const DRAW_MS = 1000;
/** When it is first redrawn, so that it does not stay empty for long. */
const FIRST_MS = 250;
/** How long a message is shown. */
const MESSAGE_MS = 15_000;

/** What is shown. */
export interface LiveOptions extends ReportContext {
  /** What is being sampled: devices and rate. */
  readonly title: () => string;
  /** The keys that were asked for. */
  readonly by: string;
  /** The unit that was asked for. */
  readonly unit: Unit;
  /** Number of flows told apart exactly. */
  readonly flows: number;
  /** The stages that choose among the samples. */
  readonly only: readonly Stage[];
  /**
   * Creates the calibration by the kernel's counters, to replace the one before; `isFirst` before any sample has arrived. `isFiltered` only
   * says whether a filter was typed.
   */
  readonly calibration?: ((options: CalibrationOptions, before: Calibration | undefined, isFirst: boolean) => Calibration) | undefined;
  /** The problem with keys of flows. */
  readonly checkKeys: (text: string) => Problem | undefined;
  /** Ends the program. */
  readonly quit: () => void;
}

/** Counts samples, and shows on a screen what they stand for. */
export class Live implements Sink, ScreenEvents {
  readonly name = "the screen";
  readonly skipped = 0;
  readonly ended: Promise<unknown>;
  #written = 0;
  /** Number of flows shown last. */
  #page = 1;
  readonly #options: LiveOptions;
  readonly #checks: Checks;
  #end!: (error: unknown) => void;
  #screen: Screen | undefined;
  #source: Source | undefined;
  #view: View;
  /** The samples that count. */
  #chosen: Chosen | undefined;
  #estimator: Estimator;
  #calibration: Calibration | undefined;
  #begunMs = 0;
  /** What the source had lost when the estimator began. */
  #lostBefore = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #messages: { readonly text: string; readonly atMs: number }[] = [];
  /** What is shown while it is paused. */
  #frozen: { readonly report: Report; readonly elapsed: number } | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#checks = { filter: checkFilter, keys: options.checkKeys };
    this.#view = firstView(options.by, options.unit);
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.#estimator = this.#begin();
  }

  get written(): number {
    return this.#written;
  }

  /** Whether there is a screen. */
  get isShown(): boolean {
    return this.#screen !== undefined;
  }

  /** Begins to draw. */
  show(screen: Screen): void {
    this.#screen = screen;
    this.#draw();
  }

  /** Begins to count what comes from this source. */
  start(source: Source): void {
    this.#source = source;
    this.#estimator = this.#begin(true);
    this.#later(FIRST_MS);
  }

  /** Shows a message for a while. Returns true: it was taken. */
  tell(text: string): boolean {
    // The content of a foreign message must not control the terminal.
    const safe = text.trim().replace(/^psample: /, "").replace(/\s+/g, " ").replace(
      /[\p{C}\p{Zl}\p{Zp}]/gu,
      (character) => printable(character),
    );
    this.#messages.push({ text: safe, atMs: performance.now() });
    this.#draw();
    return true;
  }

  take(batch: Batch): void {
    this.#written += batch.samples;
    this.#chosen?.take(batch);
    this.#estimator.take(batch);
    this.#calibration?.take(batch);
    this.#options.twice?.take(batch);
  }

  full(): undefined {}

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.abort();
    return Promise.resolve();
  }

  abort(): void {
    clearTimeout(this.#timer);
    this.#screen?.close();
    this.#screen = undefined;
  }

  // --- events of the screen

  typed(text: string): void {
    for (const key of keysOf(text)) {
      const before = this.#view;
      const view = press(before, key, { checks: this.#checks, page: this.#page, asked: this.#options.by });
      if (!view) return this.#options.quit();
      this.#view = view;
      if (view.by !== before.by || view.filter !== before.filter) this.#estimator = this.#begin();
      if (!view.paused) this.#frozen = undefined;
    }
    this.#draw();
  }

  changed(): void {
    this.#draw();
  }

  failed(error: unknown): void {
    this.#end(error);
  }

  /** An estimator of nothing yet. */
  #begin(isFirst = false): Estimator {
    const { by, filter: expression } = this.#view;
    const { flows, only } = this.#options;
    const stages = expression === "" ? only : [...only, filter(expression)];
    // The first ranks the flows; each stands for a window twice as long.
    this.#chosen = Chosen.by(stages);
    const which = { taus: TAUS, only: this.#chosen };
    const estimator = new Estimator({ by, flows, ...which, parts: this.#options.calibration !== undefined });
    const asked = { ...which, isFiltered: expression !== "" };
    this.#calibration = this.#options.calibration?.(asked, this.#calibration, isFirst);
    estimator.snapshot(nowNs(), 0);
    this.#begunMs = performance.now();
    this.#lostBefore = this.#source?.stats().lost ?? 0;
    this.#frozen = undefined;
    return estimator;
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#draw();
      this.#later(DRAW_MS);
    }, ms);
  }

  #draw(): void {
    const shown = this.#screen;
    if (!shown) return;
    try {
      const size = shown.size();
      const { report, elapsed } = this.#figures(size.rows);
      const { kept } = report.snapshot;
      const view = { ...this.#view, scroll: Math.min(this.#view.scroll, Math.max(0, kept - 1)) };
      this.#view = view;
      this.#page = flowRows({ ...size, report });
      const oldest = performance.now() - MESSAGE_MS;
      this.#messages = this.#messages.filter(({ atMs }) => atMs >= oldest);
      shown.draw(screen({
        ...size,
        title: this.#options.title(),
        view,
        report,
        elapsed,
        messages: this.#messages.map(({ text }) => text),
        style: shown.hasColors ? COLORED : MONOCHROME,
      }));
    } catch (error) {
      this.#end(error);
    }
  }

  /** The present estimates; or those at the moment of the pause. */
  #figures(rows: number): { readonly report: Report; readonly elapsed: number } {
    const { window, unit, order, scroll, paused, filter } = this.#view;
    if (paused && this.#frozen) return this.#frozen;
    const atNs = nowNs();
    const horizon = TAUS.length - 1 - window;
    const by = unit === "packets" ? "packets" : "bytes";
    const estimated = this.#estimator.snapshot(atNs, scroll + rows, horizon, by);
    const snapshot = this.#calibration ? calibrate(estimated, this.#calibration, horizon, by) : estimated;
    const lost = (this.#source?.stats().lost ?? 0) - this.#lostBefore;
    // Flows that have nearly decayed are not shown.
    const flows = snapshot.flows.filter(({ bitsPerSecond, bytes }) => snapshot.seconds > 0 ? bitsPerSecond >= 0.5 : bytes > 0);
    if (order === "names") flows.sort((a, b) => names(a.by).localeCompare(names(b.by), "en", { numeric: true }));
    const isFiltered = this.#options.isFiltered || filter !== "";
    const report = reportOf({ ...snapshot, flows }, atNs, lost, { ...this.#options, isFiltered });
    const figures = { report, elapsed: (performance.now() - this.#begunMs) / 1000 };
    if (paused) this.#frozen = figures;
    return figures;
  }
}

/** Time constants, longest window first: flows are ranked by that. */
const TAUS = [...WINDOWS].reverse().map((seconds) => seconds / 2);

function names(by: readonly string[]): string {
  return by.join(" ");
}

function checkFilter(text: string): Problem | undefined {
  try {
    filter(text);
    return undefined;
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    return { text: error.why, at: error.position };
  }
}
