/** The view of the live screen, and how keys change it: a pure function. */
import { type Unit, UNITS } from "./figures.ts";

/** The windows in seconds, for the keys 1 to 3. */
export const WINDOWS = [2, 10, 40] as const;

/** Sets of flow keys to cycle through, after those that were asked for. */
const KEY_SETS = [
  "ipsource,ipdestination",
  "ipsource",
  "ipdestination",
  "ipsource,sourceport,ipdestination,destinationport",
  "ipprotocol,destinationport",
  "subnet:/24",
  "macsource,macdestination",
  "device,direction",
  "stack",
];

/** A line that is being typed. */
export interface Input {
  /** What it is for. */
  readonly what: "filter" | "keys";
  /** What was typed. */
  readonly text: string;
  /** The problem with it so far. */
  readonly problem: Problem | undefined;
}

/** A problem with a line, and its place if that is known. */
export interface Problem {
  /** A sentence. */
  readonly text: string;
  /** The character where it begins. */
  readonly at: number | undefined;
}

/** What the screen shows. */
export interface View {
  /** Which of {@linkcode WINDOWS}. */
  readonly window: number;
  /** The unit of traffic. */
  readonly unit: Unit;
  /** The order of the flows. */
  readonly order: "traffic" | "names";
  /** Keys that tell flows apart. */
  readonly by: string;
  /** The filter for what is counted; empty for everything. */
  readonly filter: string;
  /** Whether the figures are frozen. */
  readonly paused: boolean;
  /** Whether the help for the keys is shown. */
  readonly help: boolean;
  /** Number of flows above the first that is shown. */
  readonly scroll: number;
  /** The line that is being typed. */
  readonly input: Input | undefined;
}

/** Checks of typed lines. */
export interface Checks {
  /** The problem with a filter. */
  filter(text: string): Problem | undefined;
  /** The problem with keys of flows. */
  keys(text: string): Problem | undefined;
}

/** The initial view. */
export function firstView(by: string, unit: Unit): View {
  return { window: 1, unit, order: "traffic", by, filter: "", paused: false, help: false, scroll: 0, input: undefined };
}

/**
 * The view after a key; `undefined` if that ends the program. `page` is the number of flows shown, `asked` the keys that were asked for.
 */
export function press(view: View, key: string, { checks, page, asked }: { checks: Checks; page: number; asked: string }): View | undefined {
  if (view.input) return typed(view, view.input, key, checks);
  if (view.help && key !== "q") return { ...view, help: false };
  switch (key) {
    case "q":
      return undefined;
    case "?":
    case "h":
      return { ...view, help: true };
    case "1":
    case "2":
    case "3":
      return { ...view, window: Number(key) - 1 };
    case "b":
      return { ...view, unit: next(UNITS, view.unit), scroll: 0 };
    case "s":
      return { ...view, order: view.order === "traffic" ? "names" : "traffic" };
    case "p":
    case " ":
      return { ...view, paused: !view.paused };
    case "k":
    case "tab":
      return { ...view, by: next([...new Set([asked, ...KEY_SETS])], view.by), scroll: 0 };
    case "K":
      return { ...view, input: { what: "keys", text: view.by, problem: undefined } };
    case "/":
      return { ...view, input: { what: "filter", text: view.filter, problem: undefined } };
    case "down":
      return { ...view, scroll: view.scroll + 1 };
    case "up":
      return { ...view, scroll: Math.max(0, view.scroll - 1) };
    case "page-down":
      return { ...view, scroll: view.scroll + page };
    case "page-up":
      return { ...view, scroll: Math.max(0, view.scroll - page) };
    case "home":
      return { ...view, scroll: 0 };
    default:
      return view;
  }
}

function typed(view: View, input: Input, key: string, checks: Checks): View {
  const changed = (text: string): View => ({ ...view, input: { ...input, text, problem: problemOf(input.what, text, checks) } });
  switch (key) {
    case "escape":
      return { ...view, input: undefined };
    case "enter": {
      const problem = problemOf(input.what, input.text, checks);
      if (problem) return { ...view, input: { ...input, problem } };
      const text = input.text.trim();
      return { ...view, input: undefined, scroll: 0, ...input.what === "filter" ? { filter: text } : { by: text } };
    }
    case "backspace":
      return changed([...input.text].slice(0, -1).join(""));
    case "clear":
      return changed("");
    default:
      return [...key].length === 1 ? changed(input.text + key) : view;
  }
}

function problemOf(what: Input["what"], text: string, checks: Checks): Problem | undefined {
  return what === "filter" ? checks.filter(text) : checks.keys(text);
}

function next<Value>(all: readonly Value[], one: Value): Value {
  return all[(all.indexOf(one) + 1) % all.length]!;
}
