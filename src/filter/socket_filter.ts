/**
 * Filters that the kernel runs in front of a listener's socket: the part of an expression that it can decide becomes a program; the rest is
 * decided in user space. The kernel's part never drops a match, so evaluating the whole expression again on what comes through gives
 * exactly what the expression says.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import { all, type Test } from "./condition.ts";
import { encodeGroupFilter } from "./group_filter.ts";
import type { KnownDevices } from "./known_devices.ts";
import { parseFilter } from "./language/parse.ts";
import type { Tree } from "./language/tree.ts";
import { lowerTerms } from "./lower.ts";
import { canDecide, compileMessages } from "./message_code.ts";
import { SampleMatcher } from "./sample_matcher.ts";

/** One of the conditions that must all hold: as written, and lowered. */
interface Term {
  readonly text: string;
  readonly tests: Readonly<Record<FirstHeader, Test>>;
}

/** What runs where. */
export interface FilterPlan {
  /** For SO_ATTACH_FILTER, 8 bytes per instruction; `undefined` if there is nothing that the kernel can decide. */
  readonly program: Uint8Array<ArrayBuffer> | undefined;
  /** The conditions that the kernel decides. */
  readonly inKernel: readonly string[];
  /** The conditions that are decided in user space. */
  readonly here: readonly string[];
  /** Whether samples are dropped by anything other than their group, so that gaps in the sequence numbers mean nothing. */
  readonly leavesGaps: boolean;
}

/** Expressions that must all match. */
export class SocketFilter {
  readonly #parsed: readonly (readonly [expression: string, tree: Tree])[];
  readonly #terms: readonly Term[];

  /**
   * Parses the expressions.
   *
   * @throws {FilterError} if one is invalid.
   */
  constructor(expressions: readonly string[]) {
    this.#parsed = expressions.map((expression) => [expression, parseFilter(expression)] as const)
      .filter((pair): pair is readonly [string, Tree] => pair[1] !== undefined);
    this.#terms = this.#parsed.flatMap(([expression, tree]) => termsOf(expression, tree));
  }

  /** Matchers that decide whether samples match all of the expressions. */
  matchers(): SampleMatcher[] {
    return this.#parsed.map(([expression, tree]) => new SampleMatcher(expression, tree));
  }

  /**
   * Divides the conditions between kernel and user space.
   *
   * @param groups The only groups that are asked for; `undefined` for all.
   * @param devices The present devices; `undefined` if the devices of samples are not these.
   */
  plan(groups: readonly number[] | undefined, devices: KnownDevices | undefined): FilterPlan {
    const compile = (terms: readonly Term[]): Uint8Array<ArrayBuffer> | undefined => {
      const tests = {
        ethernet: all(...terms.map(({ tests }) => tests.ethernet)),
        "raw-ip": all(...terms.map(({ tests }) => tests["raw-ip"])),
      };
      try {
        return compileMessages({ groups, tests, devices }, (why) => new TooMuch(why));
      } catch (error) {
        if (error instanceof TooMuch) return undefined;
        throw error;
      }
    };
    const sizes = new Map<Term, number>();
    for (const term of this.#terms) {
      const { ethernet, "raw-ip": raw } = term.tests;
      const program = canDecide(ethernet, devices) && canDecide(raw, devices) ? compile([term]) : undefined;
      if (program) sizes.set(term, program.length);
    }
    // If all of them together are too long, the longest are left out.
    let kept = this.#terms.filter((term) => sizes.has(term));
    let program: Uint8Array<ArrayBuffer> | undefined;
    while (kept.length > 0 && !(program = compile(kept))) {
      const longest = kept.reduce((a, b) => sizes.get(b)! > sizes.get(a)! ? b : a);
      kept = kept.filter((term) => term !== longest);
    }
    if (kept.length === 0) program = groups && encodeGroupFilter(groups);
    return {
      program,
      inKernel: kept.map(({ text }) => text),
      here: this.#terms.filter((term) => !kept.includes(term)).map(({ text }) => text),
      leavesGaps: !kept.every(({ tests }) => isAboutGroups(tests.ethernet) && isAboutGroups(tests["raw-ip"])),
    };
  }
}

class TooMuch extends Error {}

function termsOf(expression: string, tree: Tree): Term[] {
  const ethernet = lowerTerms(expression, tree, "ethernet");
  const raw = lowerTerms(expression, tree, "raw-ip");
  return ethernet.map((test, i) => {
    const { start, end } = tree.kind === "and" ? tree.spans[i]! : { start: 0, end: expression.length };
    return { text: expression.slice(start, end).trim(), tests: { ethernet: test, "raw-ip": raw[i]! } };
  });
}

/** Whether a condition is about nothing but the group: each group has its own sequence numbers. */
function isAboutGroups(test: Test): boolean {
  switch (test.kind) {
    case "sample":
      return test.test.about === "group";
    case "not":
      return isAboutGroups(test.term);
    case "and":
    case "or":
      return test.terms.every(isAboutGroups);
    case "constant":
      return test.value;
    default:
      return false;
  }
}
