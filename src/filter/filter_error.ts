import { ArgumentError } from "../errors.ts";

/**
 * A part of an expression.
 *
 * @category Filters
 */
export interface Span {
  /** The first character. */
  readonly start: number;
  /** After the last character. */
  readonly end: number;
}

/** Maximum number of characters of an expression that a message shows. */
const SHOWN = 72;

/**
 * An invalid filter expression. The message shows the place with a mark below it, and says what is expected there.
 *
 * @category Filters
 */
export class FilterError extends ArgumentError {
  /** Always `"FilterError"`. */
  override readonly name: string = "FilterError";
  /** The expression. */
  readonly expression: string;
  /** Where in it the problem begins, counted in characters from 0. */
  readonly position: number;
  /** Two lines: the part of the expression around that place, and a mark below it. */
  readonly mark: string;

  /** Makes the error about the part of `expression` at `span`. */
  constructor(expression: string, { start, end }: Span, why: string) {
    const mark = pointAt(expression, start, end);
    super(`Cannot filter: ${why}\n${mark}`, { why });
    this.expression = expression;
    this.position = start;
    this.mark = mark;
  }
}

/** An expression asks for something that only a stage can evaluate, such as a sample's group, or what is inside a tunnel. */
export class StageOnlyError extends FilterError {}

/** The text with a mark below the characters from `start` to `end`. */
export function pointAt(expression: string, start: number, end: number): string {
  const from = Math.max(0, Math.min(start - 2 * SHOWN / 3, expression.length - SHOWN));
  // A terminal must show characters, not obey them; and each must be as wide as the mark below it.
  const line = expression.slice(from, from + SHOWN).replace(/[^\x20-\x7e]/g, (character) => /\s/.test(character) ? " " : "?");
  const width = Math.max(1, Math.min(end, from + SHOWN) - start);
  return `  ${line}\n  ${" ".repeat(start - from)}^${"~".repeat(width - 1)}`;
}
