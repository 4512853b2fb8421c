/** Numbers of a packet, and how they are compared. */
import { BYTE_NAMES } from "./names.ts";
import type { TokenReader } from "./token_reader.ts";
import type { Token } from "./tokens.ts";
import type { Arithmetic, ArithmeticSign, ByteProtocol, Tree } from "./tree.ts";
import { numberOf } from "./values.ts";
import { BYTE_WORDS, RANKS, RELATIONS, UNRANKED } from "./words.ts";

/** Whether a comparison begins here. */
export function beginsComparison(reader: TokenReader): boolean {
  const token = reader.token;
  const isOperator = ({ kind, text }: Token): boolean =>
    kind === "sign" && (RELATIONS.has(text) || RANKS.has(text) || text === "^" || text === "%");
  if (token.kind === "sign") return token.text === "-" || token.text === "(" && isOperator(reader.afterBracket(token));
  if (token.kind === "end" || token.escaped) return false;
  if (token.text === "len" || BYTE_NAMES.has(token.text)) return true;
  if (BYTE_WORDS.has(token.text)) return reader.isSign("[", reader.following);
  return numberOf(token.text) !== undefined && isOperator(reader.following!);
}

/** A comparison of two numbers. */
export function comparison(reader: TokenReader): Tree {
  const left = arithmetic(reader, 0);
  const relation = reader.token.kind === "sign" ? RELATIONS.get(reader.token.text) : undefined;
  if (!relation) throw reader.expected("a comparison such as = or >=");
  reader.next();
  return { kind: "compare", relation, left, right: arithmetic(reader, 0) };
}

/** Operators that bind at least this tightly. */
function arithmetic(reader: TokenReader, least: number): Arithmetic {
  const { start } = reader.token;
  let left = factor(reader);
  for (;;) {
    const { kind, text } = reader.token;
    const unranked = text === "^" || text === "%";
    const rank = unranked ? UNRANKED : RANKS.get(text);
    if (kind !== "sign" || rank === undefined || rank < least) return left;
    reader.step();
    reader.next();
    const right = unranked ? reader.deeper(() => arithmetic(reader, 0)) : arithmetic(reader, rank + 1);
    left = { kind: "calculation", sign: text as ArithmeticSign, left, right, at: reader.since(start) };
  }
}

function factor(reader: TokenReader): Arithmetic {
  const token = reader.next();
  if (reader.isSign("-", token)) {
    return { kind: "negation", of: reader.deeper(() => arithmetic(reader, 5)) };
  }
  if (reader.isSign("(", token)) {
    const inner = reader.deeper(() => arithmetic(reader, 0));
    if (!reader.isSign(")")) throw reader.expected("a closing bracket");
    reader.next();
    return inner;
  }
  if (token.kind !== "word" || token.escaped) throw reader.expected("a number, len, or bytes such as ip[8]", token);
  if (token.text === "len") return { kind: "length" };
  const value = BYTE_NAMES.get(token.text) ?? numberOf(token.text);
  if (value !== undefined) {
    if (value > 0xffffffff) throw reader.refuse(token, "a number can have at most 32 bits");
    return { kind: "number", value };
  }
  if (!BYTE_WORDS.has(token.text)) throw reader.expected("a number, len, or bytes such as ip[8]", token);
  if (!reader.isSign("[")) throw reader.expected("a bracket with the offset");
  reader.next();
  const index = reader.deeper(() => arithmetic(reader, 0));
  let size = 1;
  if (reader.isSign(":")) {
    reader.next();
    size = numberOf(reader.token.text) ?? 0;
    if (size !== 1 && size !== 2 && size !== 4) throw reader.expected("how many bytes: 1, 2 or 4");
    reader.next();
  }
  if (!reader.isSign("]")) throw reader.expected("the closing bracket");
  reader.next();
  return { kind: "bytes", protocol: token.text as ByteProtocol, index, size: size as 1 | 2 | 4 };
}
