/**
 * `match`: which packets to sample, as one tc filter. The language is that of {@linkcode import("./stage.ts").filter}.
 *
 * Flower compares fields of headers, each with one value or one range, and hardware can do that. Anything that it cannot express becomes a
 * classic BPF program for the classifier `bpf`. Never several filters: one packet would be sampled twice.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import { ETH_P_ALL } from "../wire/ether_types.ts";
import { compileTest, packetTest } from "./classic_bpf.ts";
import { any } from "./condition.ts";
import { FilterError } from "./filter_error.ts";
import { type FlowerMatch, flowerMatch } from "./flower_keys.ts";
import { asKernelHasIt } from "./tagged.ts";

/** Every packet. */
interface AllMatch {
  readonly kind: "matchall";
  readonly protocol: number;
}

/** A program for the classifier `bpf`. */
interface ProgramMatch {
  readonly kind: "bpf";
  readonly protocol: number;
  /** `struct sock_filter`, 8 bytes an instruction. */
  readonly program: Uint8Array<ArrayBuffer>;
  /** Why flower cannot do it: a clause about flower. */
  readonly whyNotFlower: string;
  /** Nothing matches among packets that begin like this. */
  readonly never: boolean;
}

/** What a match compiles to: one filter. */
export type Match = AllMatch | ({ readonly kind: "flower" } & FlowerMatch) | ProgramMatch;

/**
 * The most instructions. The kernel takes 4096, but a tc command cannot contain more than 16 KiB, and the filter must be listed in one
 * message.
 */
const MOST_INSTRUCTIONS = 1500;

/**
 * Compiles a match.
 *
 * @param expressions One of them must match. No expression, or an empty one, means every packet.
 * @param first What the packets of the device begin with.
 * @param exact Accept no filter that judges some packets differently from the expression: see {@linkcode FlowerMatch.differences}.
 * @throws {FilterError} if an expression is invalid, or asks for something that only samples have, or for a packet inside a tunnel.
 */
export function compileMatch(expressions: readonly string[], first: FirstHeader, exact = false): Match {
  const tests = expressions.map((expression) => packetTest(expression, first));
  if (tests.length === 0 || tests.some((test) => test.kind === "constant" && test.value)) return { kind: "matchall", protocol: ETH_P_ALL };
  const test = any(...tests);
  const flower = flowerMatch(test, first, exact);
  if (typeof flower !== "string") return { kind: "flower", ...flower };
  const refuse = (why: string): FilterError => {
    const [expression = "", ...others] = expressions;
    return new FilterError(
      expression,
      { start: 0, end: expression.length },
      `${why}${others.length > 0 ? " for all of them together" : ""}`,
    );
  };
  const program = compileTest(first === "ethernet" ? asKernelHasIt(test) : test, refuse, { most: MOST_INSTRUCTIONS });
  const never = test.kind === "constant";
  return { kind: "bpf", protocol: ETH_P_ALL, program, whyNotFlower: flower, never };
}
