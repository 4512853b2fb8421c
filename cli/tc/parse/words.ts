/** How iproute2 goes through words: keywords, whole or as a prefix, and the values after them. */
import { duplicateArgument, STATUS_USAGE, TcRefusal } from "./refusal.ts";

/** The words of a command, and how far they are read. */
export class Words {
  /** The device that iproute2 has looked up by now: its absence comes before a mistake further on. */
  device: string | undefined;
  /** The network namespace, which iproute2 enters as soon as it has read its name. */
  netns: string | undefined;
  readonly #words: readonly string[];
  #at = 0;

  /** Reads `words` from the first on. */
  constructor(words: readonly string[]) {
    this.#words = words;
  }

  /** How many words are left. */
  get left(): number {
    return this.#words.length - this.#at;
  }

  /** The next word; `undefined` at the end. */
  get word(): string | undefined {
    return this.#words[this.#at];
  }

  /** All words from this one on, for messages. */
  rest(): string {
    return this.#words.slice(this.#at).join(" ");
  }

  /** Steps over the word. */
  skip(): void {
    this.#at++;
  }

  /** Throws unless a word is left. */
  demand(): void {
    if (this.left <= 0) throw new TcRefusal('Command line is not complete. Try option "help"', STATUS_USAGE);
  }

  /** Takes the word. */
  take(): string {
    this.demand();
    return this.#words[this.#at++]!;
  }

  /** Steps over a keyword and takes its value (NEXT_ARG). */
  value(): string {
    this.skip();
    return this.take();
  }

  /** The same for a keyword that may be `given` once only. */
  valueOnce(name: string, given: boolean): string {
    const value = this.value();
    if (given) throw duplicateArgument(name, value);
    return value;
  }

  /** Whether the word is this one, or a prefix of it (matches()). */
  is(keyword: string): boolean {
    return this.word !== undefined && isPrefix(this.word, keyword);
  }
}

/** iproute2's matches(): a prefix that is not empty. */
export function isPrefix(word: string, keyword: string): boolean {
  return word !== "" && keyword.startsWith(word);
}

/** The first keyword of which `word` is a prefix. */
export function keywordOf<T extends string>(word: string, keywords: readonly T[]): T | undefined {
  return keywords.find((keyword) => isPrefix(word, keyword));
}
