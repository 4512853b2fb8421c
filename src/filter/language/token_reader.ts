/** Walks over the tokens of an expression, and says what is wrong with one. */
import { FilterError, type Span } from "../filter_error.ts";
import { type Token, tokens } from "./tokens.ts";
import { numberOf } from "./values.ts";
import { SAID_OTHERWISE } from "./words.ts";

/** How deep brackets and negations may be nested. */
const MOST_DEPTH = 64;

/** How often "and" and "or" may alternate, and how many arithmetic operators may follow one another: each is one level deeper, too. */
const MOST_STEPS = 1000;

/** A place in an expression. */
export class TokenReader {
  readonly #expression: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  #steps = 0;

  /**
   * Begins with the first token.
   *
   * @throws {FilterError} if the expression cannot be split into tokens.
   */
  constructor(expression: string) {
    this.#expression = expression;
    this.#tokens = tokens(expression);
  }

  /** The token that is next. */
  get token(): Token {
    return this.#tokens[this.#at]!;
  }

  /** The token after that; `undefined` at the end. */
  get following(): Token | undefined {
    return this.#tokens[this.#at + 1];
  }

  /** The token after the closing bracket of an opening one. */
  afterBracket(opening: Token): Token {
    return this.#tokens[opening.partner + 1]!;
  }

  /** The error about a place. */
  refuse(at: Span, why: string): FilterError {
    return new FilterError(this.#expression, at, why);
  }

  /** The error about a token that is not what belongs there. */
  expected(what: string, at = this.token): FilterError {
    const here = at.kind === "word" && !at.escaped ? SAID_OTHERWISE.get(at.text) : undefined;
    if (here !== undefined) return this.refuse(at, `use ${here}`);
    return this.refuse(at, `expected ${what}${at.kind === "end" ? " after this" : ""}`);
  }

  /** Whether no token is left. */
  isEnd(): boolean {
    return this.token.kind === "end";
  }

  /** Whether a token is this sign. */
  isSign(text: string, token = this.token): boolean {
    return token.kind === "sign" && token.text === text;
  }

  /** Whether a token is this word of the language. */
  isWord(text: string, token = this.token): boolean {
    return token.kind === "word" && !token.escaped && token.text === text;
  }

  /** Takes a token. */
  next(): Token {
    const token = this.token;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  /** From a place to the end of the token taken last. */
  since(start: number): Span {
    return { start, end: this.#tokens[this.#at - 1]!.end };
  }

  /** Reads something that is nested. */
  deeper<Result>(work: () => Result): Result {
    if (++this.#depth > MOST_DEPTH) throw this.refuse(this.token, `brackets and negations can be nested at most ${MOST_DEPTH} deep`);
    const result = work();
    this.#depth--;
    return result;
  }

  /** Counts what is as deep as nesting without brackets. */
  step(): void {
    if (++this.#steps > MOST_STEPS) {
      throw this.refuse(this.token, `"and" and "or" alternate, or signs follow one another, more than ${MOST_STEPS} times`);
    }
  }

  /** Takes a number. */
  number(most: number, what: string): number {
    const value = this.token.kind === "word" ? numberOf(this.token.text) : undefined;
    if (value === undefined || value > most) throw this.expected(`${what} from 0 to ${most}`);
    this.next();
    return value;
  }
}
