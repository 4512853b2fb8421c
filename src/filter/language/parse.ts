/**
 * The language of pcap-filter(7) as libpcap 1.10 parses it: "and" and "or" bind alike, from left to right, and a value without words
 * in front of it takes those of the value before it (`port 80 or 443`). It adds words for what only samples have.
 * Source: grammar.y and gencode.c of libpcap.
 */
import { beginsComparison, comparison } from "./arithmetic.ts";
import { qualifiedValue, type Qualifiers } from "./qualified_value.ts";
import { sampleTest } from "./sample_tests.ts";
import { TokenReader } from "./token_reader.ts";
import type { Token } from "./tokens.ts";
import type { Arithmetic, Direction, Protocol, Tree } from "./tree.ts";
import { numberOf } from "./values.ts";
import { isKeyword, JOINS, PROTOCOL_WORDS, REFUSED, TYPES } from "./words.ts";

interface Parsed {
  readonly tree: Tree;
  /** What the next value takes over; `undefined` after something without a value. */
  readonly qualifiers: Qualifiers | undefined;
}

/**
 * Parses an expression; `undefined` for an empty one, which every packet matches.
 *
 * @throws {FilterError} if it is invalid.
 */
export function parseFilter(expression: string): Tree | undefined {
  return new Parser(expression).parse();
}

class Parser {
  readonly #reader: TokenReader;
  /** How many tunnels the packet is inside of. */
  #inside = 0;

  constructor(expression: string) {
    this.#reader = new TokenReader(expression);
  }

  parse(): Tree | undefined {
    const reader = this.#reader;
    if (reader.isEnd()) return undefined;
    const { tree } = this.#joined(undefined);
    if (!reader.isEnd()) throw reader.expected(`"and", "or" or the end`);
    return tree;
  }

  /** Operands with "and" and "or" between them. */
  #joined(qualifiers: Qualifiers | undefined): Parsed {
    const reader = this.#reader;
    const { start } = reader.token;
    let left = this.#operand(qualifiers);
    for (;;) {
      const join = reader.token.escaped ? undefined : JOINS.get(reader.token.text);
      if (join === undefined) return left;
      if (left.tree.kind !== join) reader.step();
      const before = reader.since(start);
      const { start: from } = reader.following!;
      reader.next();
      const right = this.#operand(left.qualifiers);
      const tree: Tree = left.tree.kind === join ? left.tree : { kind: join, terms: [left.tree], spans: [before] };
      const { terms, spans } = tree as Tree & { kind: "and" };
      terms.push(right.tree);
      spans.push(reader.since(from));
      left = { tree, qualifiers: right.qualifiers };
    }
  }

  #operand(qualifiers: Qualifiers | undefined): Parsed {
    const reader = this.#reader;
    const token = reader.token;
    if (reader.isSign("!") || reader.isWord("not")) {
      reader.next();
      const { tree, qualifiers: behind } = reader.deeper(() => this.#operand(qualifiers));
      return { tree: { kind: "not", term: tree }, qualifiers: behind };
    }
    if (beginsComparison(reader)) return { tree: comparison(reader), qualifiers: undefined };
    if (reader.isSign("(")) return this.#inBrackets(qualifiers);
    if (token.kind === "word" && !isKeyword(token)) {
      if (!qualifiers) {
        throw reader.expected(
          this.#looksLikeValue(token) ? `a word before this, such as host or port` : "a word of the filter language",
        );
      }
      return { tree: qualifiedValue(reader, qualifiers), qualifiers };
    }
    if (token.kind !== "word") throw reader.expected("a filter");
    return this.#primitive();
  }

  #looksLikeValue({ text }: Token): boolean {
    return /^[0-9]/.test(text) || text.includes(":");
  }

  /** What begins with a word of the language. */
  #primitive(): Parsed {
    const reader = this.#reader;
    const token = reader.token;
    const { text } = token;
    const refused = REFUSED.get(text);
    if (refused !== undefined) throw reader.refuse(token, refused);
    const alone = this.#alone(token);
    if (alone) return { tree: alone, qualifiers: undefined };
    let protocol: string | undefined;
    if (PROTOCOL_WORDS.has(text) || text === "ether" || text === "link") {
      reader.next();
      protocol = text === "link" ? "ether" : text;
      const cast = this.#cast(protocol);
      if (cast) return { tree: cast, qualifiers: undefined };
      const after = reader.token;
      if (after.escaped || !(after.text === "src" || after.text === "dst" || TYPES.has(after.text) || REFUSED.has(after.text))) {
        if (protocol === "ether") throw reader.expected("host, src, dst, proto, broadcast or multicast");
        return { tree: { kind: "protocol", protocol: protocol as Protocol }, qualifiers: undefined };
      }
    }
    const direction = this.#direction();
    const type = reader.token;
    const why = type.escaped ? undefined : REFUSED.get(type.text);
    if (why !== undefined) throw reader.refuse(type, why);
    if (!type.escaped && TYPES.has(type.text)) reader.next();
    else if (direction === undefined) throw reader.expected("a word of the filter language");
    const qualifiers: Qualifiers = {
      protocol,
      direction: direction ?? "src or dst",
      type: TYPES.has(type.text) && !type.escaped ? type.text as Qualifiers["type"] : "host",
    };
    if (reader.isSign("(")) return this.#inBrackets(qualifiers);
    return { tree: qualifiedValue(reader, qualifiers), qualifiers };
  }

  /** What is in brackets; the opening one is next. */
  #inBrackets(qualifiers: Qualifiers | undefined): Parsed {
    const reader = this.#reader;
    reader.next();
    const inner = reader.deeper(() => this.#joined(qualifiers));
    if (!reader.isSign(")")) throw reader.expected(`"and", "or" or a closing bracket`);
    reader.next();
    return inner;
  }

  #direction(): Direction | undefined {
    const reader = this.#reader;
    const first = reader.token.text;
    if (reader.token.escaped || first !== "src" && first !== "dst") return undefined;
    reader.next();
    const join = JOINS.get(reader.token.text);
    const second = reader.following?.text;
    if (join === undefined || second !== (first === "src" ? "dst" : "src")) return first;
    reader.next();
    reader.next();
    return `src ${join} dst`;
  }

  #cast(protocol: string): Tree | undefined {
    const reader = this.#reader;
    const token = reader.token;
    if (reader.isWord("broadcast")) {
      if (protocol === "ip") throw reader.refuse(token, "ip broadcast needs the netmask of the device; use dst host and the address");
      if (protocol !== "ether") throw reader.refuse(token, `broadcast goes with ether, not with ${protocol}`);
      reader.next();
      return { kind: "broadcast" };
    }
    if (!reader.isWord("multicast")) return undefined;
    if (protocol !== "ether" && protocol !== "ip" && protocol !== "ip6") {
      throw reader.refuse(token, `multicast goes with ether, ip or ip6, not with ${protocol}`);
    }
    reader.next();
    return { kind: "multicast", over: protocol };
  }

  /** A primitive without a value, or with one whose qualifiers are not taken over. */
  #alone(token: Token): Tree | undefined {
    const reader = this.#reader;
    const { text } = token;
    const cast = this.#cast("ether");
    if (cast) return cast;
    if (text === "less" || text === "greater") {
      reader.next();
      const right: Arithmetic = { kind: "number", value: reader.number(0xffffffff, "a length in bytes") };
      return { kind: "compare", relation: text === "less" ? "<=" : ">=", left: { kind: "length" }, right };
    }
    if (text === "vlan" || text === "mpls") {
      reader.next();
      const given = reader.token.kind === "word" && !reader.token.escaped && numberOf(reader.token.text) !== undefined;
      if (text === "mpls") return { kind: "mpls", label: given ? reader.number(0xfffff, "a label") : undefined };
      return { kind: "vlan", id: given ? reader.number(0xfff, "the number of a VLAN") : undefined, at: token };
    }
    if (text === "vni") {
      reader.next();
      return { kind: "vni", value: reader.number(0xffffff, "the number of a network"), at: reader.since(token.start) };
    }
    if (text === "inner") return this.#inner(token);
    const test = sampleTest(reader, text);
    if (test && this.#inside > 0) {
      throw reader.refuse(token, "this belongs to the sample, not to the packet inside a tunnel: use it outside inner (...)");
    }
    return test && { kind: "sample", test, at: reader.since(token.start) };
  }

  /** A condition about the packet inside a tunnel. */
  #inner(word: Token): Tree {
    const reader = this.#reader;
    reader.next();
    if (!reader.isSign("(")) throw reader.expected("an opening bracket, as in inner (tcp port 443)");
    this.#inside++;
    const { tree } = this.#inBrackets(undefined);
    this.#inside--;
    return { kind: "inner", term: tree, at: word };
  }
}
