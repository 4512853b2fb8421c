/**
 * The language of pcap-filter(7) as libpcap 1.10 parses it: "and" and "or" bind alike, from left to right, and a value without words
 * in front of it takes those of the value before it (`port 80 or 443`). It adds words for what only samples have.
 * Source: grammar.y and gencode.c of libpcap.
 */
import { prefixMask } from "../../tc/address.ts";
import { fromHex, ipv6Bytes } from "../../wire/text.ts";
import { FilterError, type Span } from "../filter_error.ts";
import { BYTE_NAMES, ETHER_TYPES, IP_PROTOCOL_NUMBERS } from "./names.ts";
import { type Token, tokens } from "./tokens.ts";
import type { Arithmetic, ArithmeticSign, ByteProtocol, Direction, Protocol, SampleTest, Tree } from "./tree.ts";
import { macBytes, nanosecondsOf, numberOf, portOf, shortIpv4 } from "./values.ts";
import {
  BYTE_WORDS,
  isKeyword,
  JOINS,
  NAMES_A_DEVICE,
  PROTOCOL_WORDS,
  RANKS,
  REFUSED,
  RELATIONS,
  SAID_OTHERWISE,
  SAMPLE_NUMBERS,
  TYPES,
  UNRANKED,
} from "./words.ts";

/** How deep brackets and negations may be nested. */
const MOST_DEPTH = 64;

/** How often "and" and "or" may alternate, and how many arithmetic operators may follow one another: each is one level deeper, too. */
const MOST_STEPS = 1000;

/** The words in front of a value. */
interface Qualifiers {
  readonly protocol: string | undefined;
  readonly direction: Direction;
  readonly type: "host" | "net" | "port" | "portrange" | "proto";
}

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
  readonly #expression: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  #steps = 0;
  /** How many tunnels the packet is inside of. */
  #inside = 0;

  constructor(expression: string) {
    this.#expression = expression;
    this.#tokens = tokens(expression);
  }

  parse(): Tree | undefined {
    if (this.#isEnd()) return undefined;
    const { tree } = this.#joined(undefined);
    if (!this.#isEnd()) throw this.#expected(`"and", "or" or the end`);
    return tree;
  }

  get #token(): Token {
    return this.#tokens[this.#at]!;
  }

  #refuse(at: Span, why: string): FilterError {
    return new FilterError(this.#expression, at, why);
  }

  #expected(what: string, at = this.#token): FilterError {
    const here = at.kind === "word" && !at.escaped ? SAID_OTHERWISE.get(at.text) : undefined;
    if (here !== undefined) return this.#refuse(at, `say ${here}`);
    return this.#refuse(at, `expected ${what}${at.kind === "end" ? " behind this" : ""}`);
  }

  #isEnd(): boolean {
    return this.#token.kind === "end";
  }

  #isSign(text: string, token = this.#token): boolean {
    return token.kind === "sign" && token.text === text;
  }

  #isWord(text: string, token = this.#token): boolean {
    return token.kind === "word" && !token.escaped && token.text === text;
  }

  #next(): Token {
    const token = this.#token;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  /** From a place to the end of the last token. */
  #since(start: number): Span {
    return { start, end: this.#tokens[this.#at - 1]!.end };
  }

  #deeper<Result>(work: () => Result): Result {
    if (++this.#depth > MOST_DEPTH) throw this.#refuse(this.#token, `brackets and negations go at most ${MOST_DEPTH} deep`);
    const result = work();
    this.#depth--;
    return result;
  }

  #step(): void {
    if (++this.#steps > MOST_STEPS) {
      throw this.#refuse(this.#token, `"and" and "or" alternate, or signs follow one another, more than ${MOST_STEPS} times`);
    }
  }

  /** Operands with "and" and "or" between them. */
  #joined(qualifiers: Qualifiers | undefined): Parsed {
    const { start } = this.#token;
    let left = this.#operand(qualifiers);
    for (;;) {
      const join = this.#token.escaped ? undefined : JOINS.get(this.#token.text);
      if (join === undefined) return left;
      if (left.tree.kind !== join) this.#step();
      const before = this.#since(start);
      const { start: from } = this.#tokens[this.#at + 1]!;
      this.#next();
      const right = this.#operand(left.qualifiers);
      const tree: Tree = left.tree.kind === join ? left.tree : { kind: join, terms: [left.tree], spans: [before] };
      const { terms, spans } = tree as Tree & { kind: "and" };
      terms.push(right.tree);
      spans.push(this.#since(from));
      left = { tree, qualifiers: right.qualifiers };
    }
  }

  #operand(qualifiers: Qualifiers | undefined): Parsed {
    const token = this.#token;
    if (this.#isSign("!") || this.#isWord("not")) {
      this.#next();
      const { tree, qualifiers: behind } = this.#deeper(() => this.#operand(qualifiers));
      return { tree: { kind: "not", term: tree }, qualifiers: behind };
    }
    if (this.#beginsArithmetic()) return { tree: this.#comparison(), qualifiers: undefined };
    if (this.#isSign("(")) return this.#inBrackets(qualifiers);
    if (token.kind === "word" && !isKeyword(token)) {
      if (!qualifiers) {
        throw this.#expected(
          this.#looksLikeValue(token) ? `a word in front of this, such as host or port` : "a word of the filter language",
        );
      }
      return { tree: this.#value(qualifiers), qualifiers };
    }
    if (token.kind !== "word") throw this.#expected("a filter");
    return this.#primitive();
  }

  #looksLikeValue({ text }: Token): boolean {
    return /^[0-9]/.test(text) || text.includes(":");
  }

  /** Whether a comparison begins here. */
  #beginsArithmetic(): boolean {
    const token = this.#token;
    const follows = (at: number): boolean => {
      const { kind, text } = this.#tokens[at]!;
      return kind === "sign" && (RELATIONS.has(text) || RANKS.has(text) || text === "^" || text === "%");
    };
    if (token.kind === "sign") return token.text === "-" || token.text === "(" && follows(token.partner + 1);
    if (token.kind === "end" || token.escaped) return false;
    if (token.text === "len" || BYTE_NAMES.has(token.text)) return true;
    if (BYTE_WORDS.has(token.text)) return this.#isSign("[", this.#tokens[this.#at + 1]);
    return numberOf(token.text) !== undefined && follows(this.#at + 1);
  }

  #comparison(): Tree {
    const left = this.#arithmetic(0);
    const relation = this.#token.kind === "sign" ? RELATIONS.get(this.#token.text) : undefined;
    if (!relation) throw this.#expected("a comparison such as = or >=");
    this.#next();
    return { kind: "compare", relation, left, right: this.#arithmetic(0) };
  }

  #arithmetic(least: number): Arithmetic {
    const { start } = this.#token;
    let left = this.#factor();
    for (;;) {
      const { kind, text } = this.#token;
      const unranked = text === "^" || text === "%";
      const rank = unranked ? UNRANKED : RANKS.get(text);
      if (kind !== "sign" || rank === undefined || rank < least) return left;
      this.#step();
      this.#next();
      const right = unranked ? this.#deeper(() => this.#arithmetic(0)) : this.#arithmetic(rank + 1);
      left = { kind: "calculation", sign: text as ArithmeticSign, left, right, at: this.#since(start) };
    }
  }

  #factor(): Arithmetic {
    const token = this.#next();
    if (this.#isSign("-", token)) {
      return { kind: "negation", of: this.#deeper(() => this.#arithmetic(5)) };
    }
    if (this.#isSign("(", token)) {
      const inner = this.#deeper(() => this.#arithmetic(0));
      if (!this.#isSign(")")) throw this.#expected("a closing bracket");
      this.#next();
      return inner;
    }
    if (token.kind !== "word" || token.escaped) throw this.#expected("a number, len, or bytes such as ip[8]", token);
    if (token.text === "len") return { kind: "length" };
    const value = BYTE_NAMES.get(token.text) ?? numberOf(token.text);
    if (value !== undefined) {
      if (value > 0xffffffff) throw this.#refuse(token, "a number has at most 32 bits");
      return { kind: "number", value };
    }
    if (!BYTE_WORDS.has(token.text)) throw this.#expected("a number, len, or bytes such as ip[8]", token);
    if (!this.#isSign("[")) throw this.#expected("a bracket with the offset");
    this.#next();
    const index = this.#deeper(() => this.#arithmetic(0));
    let size = 1;
    if (this.#isSign(":")) {
      this.#next();
      size = numberOf(this.#token.text) ?? 0;
      if (size !== 1 && size !== 2 && size !== 4) throw this.#expected("how many bytes: 1, 2 or 4");
      this.#next();
    }
    if (!this.#isSign("]")) throw this.#expected("the closing bracket");
    this.#next();
    return { kind: "bytes", protocol: token.text as ByteProtocol, index, size: size as 1 | 2 | 4 };
  }

  /** What begins with a word of the language. */
  #primitive(): Parsed {
    const token = this.#token;
    const { text } = token;
    const refused = REFUSED.get(text);
    if (refused !== undefined) throw this.#refuse(token, refused);
    const alone = this.#alone(token);
    if (alone) return { tree: alone, qualifiers: undefined };
    let protocol: string | undefined;
    if (PROTOCOL_WORDS.has(text) || text === "ether" || text === "link") {
      this.#next();
      protocol = text === "link" ? "ether" : text;
      const cast = this.#cast(protocol);
      if (cast) return { tree: cast, qualifiers: undefined };
      const after = this.#token;
      if (after.escaped || !(after.text === "src" || after.text === "dst" || TYPES.has(after.text) || REFUSED.has(after.text))) {
        if (protocol === "ether") throw this.#expected("host, src, dst, proto, broadcast or multicast");
        return { tree: { kind: "protocol", protocol: protocol as Protocol }, qualifiers: undefined };
      }
    }
    const direction = this.#direction();
    const type = this.#token;
    const why = type.escaped ? undefined : REFUSED.get(type.text);
    if (why !== undefined) throw this.#refuse(type, why);
    if (!type.escaped && TYPES.has(type.text)) this.#next();
    else if (direction === undefined) throw this.#expected("a word of the filter language");
    const qualifiers: Qualifiers = {
      protocol,
      direction: direction ?? "src or dst",
      type: TYPES.has(type.text) && !type.escaped ? type.text as Qualifiers["type"] : "host",
    };
    if (this.#isSign("(")) return this.#inBrackets(qualifiers);
    return { tree: this.#value(qualifiers), qualifiers };
  }

  /** What is in brackets; the opening one is next. */
  #inBrackets(qualifiers: Qualifiers | undefined): Parsed {
    this.#next();
    const inner = this.#deeper(() => this.#joined(qualifiers));
    if (!this.#isSign(")")) throw this.#expected(`"and", "or" or a closing bracket`);
    this.#next();
    return inner;
  }

  #direction(): Direction | undefined {
    const first = this.#token.text;
    if (this.#token.escaped || first !== "src" && first !== "dst") return undefined;
    this.#next();
    const join = JOINS.get(this.#token.text);
    const second = this.#tokens[this.#at + 1]?.text;
    if (join === undefined || second !== (first === "src" ? "dst" : "src")) return first;
    this.#next();
    this.#next();
    return `src ${join} dst`;
  }

  #cast(protocol: string): Tree | undefined {
    const token = this.#token;
    if (this.#isWord("broadcast")) {
      if (protocol === "ip") throw this.#refuse(token, "ip broadcast needs the netmask of the device; say dst host and the address");
      if (protocol !== "ether") throw this.#refuse(token, `broadcast goes with ether, not with ${protocol}`);
      this.#next();
      return { kind: "broadcast" };
    }
    if (!this.#isWord("multicast")) return undefined;
    if (protocol !== "ether" && protocol !== "ip" && protocol !== "ip6") {
      throw this.#refuse(token, `multicast goes with ether, ip or ip6, not with ${protocol}`);
    }
    this.#next();
    return { kind: "multicast", over: protocol };
  }

  /** A primitive without a value, or with one whose qualifiers are not taken over. */
  #alone(token: Token): Tree | undefined {
    const { text } = token;
    const cast = this.#cast("ether");
    if (cast) return cast;
    if (text === "less" || text === "greater") {
      this.#next();
      const right: Arithmetic = { kind: "number", value: this.#number(0xffffffff, "a length in bytes") };
      return { kind: "compare", relation: text === "less" ? "<=" : ">=", left: { kind: "length" }, right };
    }
    if (text === "vlan" || text === "mpls") {
      this.#next();
      const given = this.#token.kind === "word" && !this.#token.escaped && numberOf(this.#token.text) !== undefined;
      if (text === "mpls") return { kind: "mpls", label: given ? this.#number(0xfffff, "a label") : undefined };
      return { kind: "vlan", id: given ? this.#number(0xfff, "the number of a VLAN") : undefined, at: token };
    }
    if (text === "vni") {
      this.#next();
      return { kind: "vni", value: this.#number(0xffffff, "the number of a network"), at: this.#since(token.start) };
    }
    if (text === "inner") return this.#inner(token);
    const test = this.#sampleTest(text);
    if (test && this.#inside > 0) {
      throw this.#refuse(token, "inside a tunnel there are packets; samples have this: say it outside of inner (...)");
    }
    return test && { kind: "sample", test, at: this.#since(token.start) };
  }

  /** A condition about the packet inside a tunnel. */
  #inner(word: Token): Tree {
    this.#next();
    if (!this.#isSign("(")) throw this.#expected("an opening bracket, as in inner (tcp port 443)");
    this.#inside++;
    const { tree } = this.#inBrackets(undefined);
    this.#inside--;
    return { kind: "inner", term: tree, at: word };
  }

  #sampleTest(word: string): SampleTest | undefined {
    if (word === "ingress" || word === "egress") {
      this.#next();
      return { about: "direction", egress: word === "egress" };
    }
    if (NAMES_A_DEVICE.has(word)) {
      this.#next();
      const { kind, text } = this.#token;
      if (kind !== "word") throw this.#expected("the name of a device");
      this.#next();
      return { about: word as "device" | "in" | "out", name: text };
    }
    if (word === "cookie") {
      this.#next();
      const bytes = this.#token.kind === "word" ? fromHex(this.#token.text) : undefined;
      if (!bytes || bytes.length < 1 || bytes.length > 16) throw this.#expected("2 to 32 hexadecimal digits, an even number of them");
      this.#next();
      return { about: "cookie", bytes };
    }
    if (!SAMPLE_NUMBERS.has(word)) return undefined;
    this.#next();
    const relation = this.#token.kind === "sign" ? RELATIONS.get(this.#token.text) : undefined;
    if (relation) this.#next();
    const value = word === "latency" ? this.#time() : this.#number(0xffffffff, "a number");
    return { about: word as "group" | "rate" | "queue" | "latency", relation: relation ?? "=", value };
  }

  #number(most: number, what: string): number {
    const value = this.#token.kind === "word" ? numberOf(this.#token.text) : undefined;
    if (value === undefined || value > most) throw this.#expected(`${what} from 0 to ${most}`);
    this.#next();
    return value;
  }

  /** A span of time, in nanoseconds. */
  #time(): number {
    const value = nanosecondsOf(this.#token.text);
    if (value === undefined) throw this.#expected("a time such as 500ns, 20us, 1.5ms or 1s");
    this.#next();
    return value;
  }

  /** A value after the words that say what it is. */
  #value(qualifiers: Qualifiers): Tree {
    switch (qualifiers.type) {
      case "port":
      case "portrange":
        return this.#ports(qualifiers);
      case "proto":
        return this.#protocolNumber(qualifiers);
      default:
        return this.#address(qualifiers);
    }
  }

  #ports({ protocol, direction, type }: Qualifiers): Tree {
    const token = this.#token;
    if (protocol !== undefined && protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
      throw this.#refuse(token, `ports go with tcp, udp or sctp, not with ${protocol}`);
    }
    const over = protocol ?? "any";
    const single = portOf(token);
    if (single !== undefined) {
      this.#next();
      return { kind: "ports", over, direction, from: single, to: single };
    }
    const what = "a port: a number up to 65535, or a well-known name such as https";
    if (type === "port") throw this.#expected(what);
    // Names may contain a hyphen.
    for (let hyphen = token.text.indexOf("-"); token.kind === "word" && hyphen > 0; hyphen = token.text.indexOf("-", hyphen + 1)) {
      const from = portOf({ ...token, text: token.text.slice(0, hyphen) });
      const to = portOf({ ...token, text: token.text.slice(hyphen + 1) });
      if (from === undefined || to === undefined) continue;
      this.#next();
      return { kind: "ports", over, direction, from: Math.min(from, to), to: Math.max(from, to) };
    }
    throw this.#expected(`${what}, or two with a hyphen between them`);
  }

  #protocolNumber({ protocol, direction }: Qualifiers): Tree {
    const token = this.#token;
    if (direction !== "src or dst") throw this.#refuse(token, `a protocol has no ${direction}`);
    if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6" && protocol !== "ether") {
      throw this.#refuse(token, `proto goes with ip, ip6 or ether, not with ${protocol}`);
    }
    const ether = protocol === "ether";
    const value = token.kind !== "word" ? undefined : (ether ? ETHER_TYPES : IP_PROTOCOL_NUMBERS).get(token.text) ?? numberOf(token.text);
    if (value === undefined || value > (ether ? 0xffff : 0xff)) {
      throw this.#expected(
        ether ? "an EtherType: a number up to 0xffff, or a name such as arp" : "an IP protocol: a number up to 255, or a name such as tcp",
      );
    }
    this.#next();
    return { kind: "number", over: protocol ?? "any", value, at: token };
  }

  #address({ protocol, direction, type }: Qualifiers): Tree {
    const token = this.#token;
    if (token.kind !== "word" || isKeyword(token)) throw this.#expected(type === "net" ? "a net such as 10.0.0.0/8" : "an address");
    if (protocol === "ether") {
      const address = macBytes(token.text);
      if (!address || type === "net") throw this.#expected("a hardware address such as 00:11:22:33:44:55");
      this.#next();
      return { kind: "mac", direction, address };
    }
    if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6" && protocol !== "arp" && protocol !== "rarp") {
      throw this.#refuse(token, `addresses go with ip, ip6, arp, rarp or ether, not with ${protocol}`);
    }
    const over = protocol ?? "any";
    const address6 = ipv6Bytes(token.text);
    const address4 = address6 ? undefined : shortIpv4(token.text, type === "net");
    if (!address6 && !address4) {
      throw macBytes(token.text)
        ? this.#refuse(token, "a hardware address goes with ether: ether host")
        : this.#expected(`an IP address${/[a-z]/i.test(token.text) ? " (names are not looked up)" : ""}`);
    }
    if (address6 && over !== "any" && over !== "ip6") throw this.#refuse(token, `an IPv6 address goes with ip6, not with ${over}`);
    if (address4 && over === "ip6") throw this.#refuse(token, "an IPv4 address goes with ip, not with ip6");
    this.#next();
    const address = address6 ?? address4!.address;
    let mask: Uint8Array = prefixMask(address6 ? 128 : address4!.bits, address.length);
    const given = this.#mask(address.length, token.text);
    if (given) {
      if (type !== "net" && !given.mask.every((byte) => byte === 0xff)) throw this.#refuse(given.at, "only a net has a mask: say net");
      mask = given.mask;
      if (address.some((byte, i) => byte & ~mask[i]!)) {
        throw this.#refuse(this.#since(token.start), "the address has bits beyond its mask");
      }
    }
    return { kind: "net", over, direction, address, mask };
  }

  #mask(size: number, text: string): { mask: Uint8Array; at: Span } | undefined {
    if (this.#isSign("/")) {
      // As in libpcap, a slash is allowed only after an address with a dot or a colon.
      if (!/[.:]/.test(text)) throw this.#expected("an address with a dot in front of the slash, such as 10.0/8");
      const { start } = this.#next();
      const mask = prefixMask(this.#number(8 * size, "how many bits the net has:"), size);
      return { mask, at: this.#since(start) };
    }
    if (!this.#isWord("mask") || size !== 4) return undefined;
    const { start } = this.#next();
    const mask = this.#token.kind === "word" ? shortIpv4(this.#token.text, false)?.address : undefined;
    if (!mask) throw this.#expected("a mask such as 255.255.0.0");
    this.#next();
    return { mask, at: this.#since(start) };
  }
}
