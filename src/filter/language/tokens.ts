/** The words of an expression, as the scanner of pcap-filter(7) finds them. */
import { ipv6Bytes } from "../../wire/text.ts";
import { FilterError, type Span } from "../filter_error.ts";

/** One of them. */
export interface Token extends Span {
  /** `end` follows the last one. */
  readonly kind: "word" | "sign" | "end";
  readonly text: string;
  /** Written after a backslash: a name, although it is also a word of the language. */
  readonly escaped: boolean;
  /** Index of the closing bracket, for an opening one. */
  partner: number;
}

/** Longer expressions are refused. */
export const MOST_CHARACTERS = 32768;

const SIGN = /&&|\|\||!=|==|<=|>=|<<|>>|[-!=<>+*\/%&|^()[\]:]/y;
const WORD = /\\?[A-Za-z0-9_][-_.A-Za-z0-9]*/y;
const COLONS = /[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/y;
const MAC = /^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/;

/**
 * Splits an expression.
 *
 * @throws {FilterError} at anything that is not a token, and at unbalanced brackets.
 */
export function tokens(expression: string): Token[] {
  const refuse = (start: number, end: number, why: string): FilterError => new FilterError(expression, { start, end }, why);
  if (expression.length > MOST_CHARACTERS) {
    throw refuse(MOST_CHARACTERS, MOST_CHARACTERS + 1, `an expression can have at most ${MOST_CHARACTERS} characters`);
  }
  const found: Token[] = [];
  const open: Token[] = [];
  for (let at = 0; at < expression.length;) {
    if (/\s/.test(expression[at]!)) {
      at++;
      continue;
    }
    const word = address(expression, at) ?? match(WORD, expression, at);
    const text = word ?? match(SIGN, expression, at);
    if (text === undefined) throw refuse(at, at + 1, "unexpected character");
    const escaped = text.startsWith("\\");
    const end = at + text.length;
    const token: Token = {
      kind: word === undefined ? "sign" : "word",
      text: escaped ? text.slice(1) : text,
      escaped,
      start: at,
      end,
      partner: -1,
    };
    if (token.kind === "sign" && (text === "(" || text === "[")) open.push(token);
    if (token.kind === "sign" && (text === ")" || text === "]")) {
      const opening = open.pop();
      if (opening?.text !== (text === ")" ? "(" : "[")) throw refuse(at, end, "this closing bracket matches no opening one");
      opening.partner = found.length;
    }
    found.push(token);
    at = end;
  }
  const unclosed = open.pop();
  if (unclosed) throw refuse(unclosed.start, unclosed.end, "this bracket is not closed");
  const start = expression.length;
  found.push({ kind: "end", text: "", escaped: false, start, end: start + 1, partner: -1 });
  return found;
}

/** An address with colons: inside brackets a colon is an operator. */
function address(expression: string, at: number): string | undefined {
  const text = match(COLONS, expression, at);
  return text !== undefined && (MAC.test(text) || ipv6Bytes(text)) ? text : undefined;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
